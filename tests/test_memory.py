"""Freed memory goes back to the system."""

import subprocess
import sys

FREE = """
from ctxai.memory import return_freed_memory

def resident():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return int(line.split()[1]) / 1024

blocks = [b"x" * (100_000 + number) for number in range(2000)]  # 200 MB, each too small to be mapped by itself
last = blocks[-1]  # what lies above the others keeps the allocator from giving them back
del blocks
kept = resident()
return_freed_memory()
print(kept - resident())
"""


def test_freed_blocks_are_handed_back():
    done = subprocess.run([sys.executable, "-c", FREE], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 150
