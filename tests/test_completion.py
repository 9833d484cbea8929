import shutil
import subprocess
import sys

import pytest

from ctxai.cli import main
from ctxai.commands import COMMANDS


@pytest.fixture(scope="module")
def script() -> str:
    command = [sys.executable, "-m", "ctxai", "--print-completion", "bash"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def completed(script: str, *words: str) -> set[str]:
    """What bash offers for the last of some words."""
    if shutil.which("bash") is None:
        pytest.skip("bash is absent")
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        'function=$(complete -p ctxai | sed "s/.*-F \\([^ ]*\\).*/\\1/"); $function 2>/dev/null\n'
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    return set(subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True).stdout.split())


def test_bash_completes_every_command(script):
    assert completed(script, "ctxai", "") >= set(COMMANDS)
    assert completed(script, "ctxai", "ev") == {"evaluate"}


def test_bash_completes_the_options_of_a_command(script):
    assert completed(script, "ctxai", "explain", "--deid") >= {"--deidentify"}
    assert "--deidentify" not in completed(script, "ctxai", "train", "--")


def test_another_shell_is_refused_with_the_names_there_are(capsys):
    assert main(["--print-completion", "cmd"]) == 2
    assert "expected one of bash, zsh" in capsys.readouterr().err
