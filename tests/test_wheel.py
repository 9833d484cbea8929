"""The built wheel, installed where the checkout cannot be seen."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from ctxai.commands import COMMANDS
from ctxai.run.run import SHIPPED

REPOSITORY = Path(__file__).parents[1]

LOOK = """
import json, sys
import ctxai
from ctxai.lidc.annotations import load_manifest
from ctxai.lidc.cohort import load_rules
from ctxai.resources import resource
files = {kind: [path.name for path in resource(kind).iterdir()] for kind in ("configs", "data_manifests")}
found = {
    "package": ctxai.__file__,
    "version": ctxai.__version__,
    "resources": {kind: {name: str(resource(kind, name)) for name in names} for kind, names in files.items()},
    "rules": load_rules("default").name,
    "nodules": len(load_manifest("default")),
    "run": None,
}
if sys.argv[1] == "with run":
    from ctxai.run.run import Run
    found["run"] = str(Run.load(None).path)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", folder, REPOSITORY)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """An interpreter with the wheel, that sees the packages of this one but not its ctxai.

    The folder of this interpreter's packages is added by a path file: path files inside it, such as that of an
    editable ctxai, then do not count, and what is installed beside the wheel's ctxai comes after it.
    """
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    places = {"base": str(folder), "platbase": str(folder)}
    packages = Path(sysconfig.get_path("purelib", "venv", places))
    ours = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (packages / "packages.pth").write_text("\n".join(ours))
    interpreter = Path(sysconfig.get_path("scripts", "venv", places)) / "python"
    run("-m", "pip", "--python", interpreter, "install", "--quiet", "--no-deps", "--no-index", wheel)
    return interpreter


def run(*arguments, interpreter=sys.executable, folder=None):
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [str(interpreter), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def names(folder, pattern="*"):
    return {path.relative_to(folder).as_posix() for path in folder.rglob(pattern) if path.is_file()}


def test_the_wheel_holds_code_types_configs_manifests_weights_and_page_templates(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
    assert {"ctxai/cli.py", "ctxai/py.typed"} <= inside
    pages = [name for name in names(REPOSITORY / "ctxai/report") if not name.endswith(".pyc")]
    assert {f"ctxai/report/{name}" for name in pages} <= inside
    for kind in ("configs", "data_manifests"):
        assert {f"ctxai/resources/{kind}/{name}" for name in names(REPOSITORY / kind)} <= inside
    assert {f"ctxai/weights/{name}" for name in names(REPOSITORY / "ctxai/weights")} <= inside
    assert not [name for name in inside if "__pycache__" in name or name.startswith(("tests/", "configs/"))]


def test_the_installed_package_finds_what_came_with_it(python, tmp_path):
    found = json.loads(
        run("-c", LOOK, "with run" if SHIPPED.is_dir() else "without", interpreter=python, folder=tmp_path)
    )
    own = python.parents[1]
    assert Path(found["package"]).is_relative_to(own)
    for kind, paths in found["resources"].items():
        assert set(paths) == names(REPOSITORY / kind)
        assert all(Path(path).is_relative_to(own) for path in paths.values())
    assert found["rules"] == "default"
    assert found["nodules"] > 1000
    if SHIPPED.is_dir():
        assert Path(found["run"]).is_relative_to(own)


def test_the_installed_command_answers_outside_the_checkout(python, tmp_path):
    command = python.with_name("ctxai")
    assert all(stage in run("--help", interpreter=command, folder=tmp_path) for stage in COMMANDS)
    assert "--cohort" in run("manifest", "--help", interpreter=command, folder=tmp_path)
