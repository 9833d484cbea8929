import subprocess
import sys

#: Asks twice on a made CT, the first question as soon as the model is there; prints what only then was imported.
ASKED = """
import sys, time
import numpy as np
from ctxai.ct.volume import CTVolume
from ctxai.open.answers import CHECKS, DONE, Answers, Question
from ctxai.open.marks import Mark
from ctxai.open.study import OpenedSeries

hu = np.random.default_rng(0).integers(-1000, 100, (70, 70, 70))
series = OpenedSeries("1.2", lambda: CTVolume(hu, (1.0, 1.0, 1.0)), {})
series.planes
answers = Answers(None, device="cpu")
answers.start()
while answers.run is None:
    time.sleep(0.01)
before = set(sys.modules)
method, target = answers.run.default_methods[0], answers.run.target_names[0]
answer = answers.ask(series, Question(Mark(series.key, "a", 30.0, 30.0, 30.0), method, target))
while answer.stage not in (CHECKS, DONE):
    assert not answer.error, answer.error
    time.sleep(0.001)
answers.end()
answers._thread.join()
new = {name.split(".")[0] for name in set(sys.modules) - before} - {"ctxai"}
print("imported:", *sorted(new))
"""


def test_the_first_click_finds_every_library_loaded():
    done = subprocess.run([sys.executable, "-c", ASKED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "imported:"
    assert "failed" not in done.stderr
