"""What the documentation tells people to type runs, page by page, from top to bottom.

The ``bash`` blocks of a page run in one real shell, its ``python`` blocks then in one interpreter, in a folder that has
what the page takes for granted, and the repository's own. (Blocks of the kind ``python exec``
take nothing for granted; tests/test_docs.py runs them.) Everything runs but for what the tables here say, and whatever
else does not run fails the page by its line. A new page needs a line in :data:`GIVEN` for the names that it uses and
does not make.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from pydicom import dcmread

from ctxai.run.run import Run
from ctxai.viewer import find_ohif
from ctxai.viewer.orthanc import HOST, free_port

from pages import PAGES, REPOSITORY, at_their_lines, blocks, name_of
from system.docs_world import CHECKOUT, PATIENTS, docs_world
from system.orthanc import rest, started_orthanc
from system.requirements import require

pytestmark = pytest.mark.system

_PATIENCE_S = 900

#: What is there for every page, as in the root of the repository after `make install`; `/data` becomes `data`.
ALWAYS = (*CHECKOUT, ".venv", "data=.")
#: Names that a page takes for granted besides; NAME=THING where docs_world.py calls it otherwise.
GIVEN = {
    "README.md": "path/to/ct-series=ct-folder nodules.csv=points.csv path/to/LIDC-IDRI=LIDC-IDRI",
    "docs/benchmarks.md": "store run",
    "docs/explanation/why-cdam.md": "ct-folder points.csv",
    "docs/geometry.md": "DICOM_DIR=LIDC-IDRI",
    "docs/getting-started.md": "ct-folder points.csv dino_deitsmall8_pretrain.pth=dino.pth",
    "docs/how-to/cluster.md": "LIDC-IDRI lidc.yaml",
    "docs/how-to/deidentify.md": "ct-folder points.csv",
    "docs/how-to/detect.md": "ct-folder bundle path/to/LIDC-IDRI=LIDC-IDRI",
    "docs/how-to/evaluate.md": "RUN_DIR=run STORE_DIR=store STORE=store",
    "docs/how-to/explain.md": "ct-folder points.csv store run spiculated=store",
    "docs/how-to/ingest.md": "LIDC-IDRI scan points.csv LUNA16 crops",
    "docs/how-to/monai-bundle.md": "run ct.nii.gz points.csv",
    "docs/how-to/open.md": "ct-folder points.csv",
    "docs/how-to/own-ct.md": "ct-folder points.csv ct.nii.gz",
    "docs/how-to/own-labels.md": "path/to/cts=LIDC-IDRI points.csv=labelled.csv labels.csv=own-labels.csv targets.yaml "
    "path/to/new-ct=ct-folder new-points.csv=points.csv",
    "docs/how-to/pacs.md": "out=results nodules.csv=points.csv",
    "docs/how-to/pretrain.md": "lidc-nodules-2d=crops LIDC-IDRI-0001=ct-folder",
    "docs/how-to/report.md": "ct-folder points.csv",
    "docs/how-to/review.md": "ct-folder points.csv",
    "docs/how-to/supply-chain.md": ".local/share/bash-completion/completions=empty .zfunc=empty",
    "docs/how-to/train.md": "STORE=store OTHER_STORE=other-store LIDC-IDRI",
    "pipelines/README.md": "lidc.yaml",
}

BY_HAND = "by hand, because it needs the network"
#: Commands that are not run here: the file that runs them, or what they do.
RUN_ELSEWHERE = {
    "make install": ".ci/run",
    "make lint": ".ci/run",
    "make test": ".ci/run",
    "make viewer": "tests/system/install",
    "make demo": "tests/commands/test_demo.py",
    "ctxai review-stats ctxai-session": "tests/commands/test_review_stats.py",
    "ctxai demo --out demo-out": "tests/commands/test_demo.py",
    "python3 -m venv .venv && . .venv/bin/activate": "tests/test_wheel.py",
    "pip install --constraint constraints.txt '.[codecs]'": "tests/test_wheel.py",
    "pip install --constraint constraints.txt '.[cluster]'": "tests/test_wheel.py",
    ".venv/bin/python -m pip install pre-commit": BY_HAND,
    ".venv/bin/python -m pre_commit install": BY_HAND,
    "make sbom": BY_HAND,
    "python -m pip install pip-audit": BY_HAND,
    "pip-audit --requirement constraints.txt --no-deps --disable-pip": BY_HAND,
}

#: Said otherwise here: places of somebody's machine, devices that few have, numbers that take long.
REPLACED = {
    "/data/": "data/",
    "--workers 8": "--workers 2",
    "--array=0-63": "--array=0-1",
    "/64": "/2",
    "--gpus-per-node=4": "--cpus-per-task=1",
    "--ntasks-per-node=4": "--ntasks-per-node=2",
    "--ntasks-per-node 4": "--ntasks-per-node 2",
    "--nproc-per-node 4": "--nproc-per-node 2",
    "--devices 4": "--devices 2 --no-resume",  # by as many processes, even where a run has been trained before
}
#: The same in lidc.yaml.
SETTINGS = {"/data/": "data/", "/scratch/": "scratch/", "shards: 64": "shards: 1", "shards: 16": "shards: 1"}
SETTINGS |= {"[0, 1, 2, 3, 4]": "[0]"}

#: Addresses of a PACS.
ADDRESSES = {
    "http://pacs:8042/dicom-web": "{dicomweb}",
    "http://127.0.0.1:8042/dicom-web": "{dicomweb}",
    "ORTHANC@127.0.0.1:4242": "{dimse}",
    "RESEARCH@pacs:4242": "{dimse}",
    "--port 11112": "--port {port}",
    "1.2.840.113…": "{study}",
}

BRIEFLY = "--optim.epochs 1 --backbone.depth 2 --views.pixels 32 --backbone.pretrained false --accelerator cpu"
#: What a command gets at its end, by words that are in it; the last that fits counts.
BESIDES = {
    "train": BRIEFLY,
    "torchrun": BRIEFLY,
    "train dino_deitsmall8_pretrain.pth": BRIEFLY.replace("--backbone.depth 2", "--backbone.depth 12"),  # of the file
    "train planted.yaml": "--accelerator cpu",  # whose benchmark refuses a model that has not learnt
    "planted": "--nodules 200",
    "pretrain": "--optim.epochs 1 --optim.batch_size 8 --windows 8 --accelerator cpu",
    "train-diffmask": "--epochs 1",
    "train-detector": "--steps 25 --batch_size 1 --spacing_mm 3 --accelerator cpu",
    "benchmark": "--methods cdam random_map --metrics fidelity --limit 4",
    "explain integrated_gradients": "--no-trust",
    "watch": "--settle_s 0.5",
    "snakemake": "--slurm-init-seconds-before-status-checks 2 "
    f"--config 'phantom={{patients: [{', '.join(PATIENTS[:5])}]}}'",
}

_ASK = "import sys, urllib.request; urllib.request.urlopen(sys.argv[1], *map(str.encode, sys.argv[2:]))"
#: The first line of every page's script: `ask URL [CONTENT]`, and an end at the first failure, with its line.
FIRST = f"ask() {{ python -c '{_ASK}' \"$@\" 2> /dev/null; }}; shopt -s expand_aliases; set -eEuo pipefail; "
FIRST += "trap 'echo \"line $LINENO: $BASH_COMMAND\" >&2' ERR"
#: Commands that serve until they are told to end, and what is tried meanwhile, each until it succeeds.
SERVING = {
    "ctxai open": ["grep --quiet '/?token=' said"],
    "ctxai review": ["ask $(grep --only-matching 'http[^ ]*' said)"],
    "ctxai watch": ["ask $ORTHANC/modalities/CTXAI/store $SERIES", "ls spool/results/*/sent.json"],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Iterator[Path]:
    with docs_world(tmp_path_factory.mktemp("docs"), BESIDES) as folder:
        (folder / "lidc.yaml").write_text(replaced(shown_settings(), SETTINGS))
        ((_, targets),) = blocks(REPOSITORY / "docs" / "how-to" / "own-labels.md", "yaml")
        (folder / "targets.yaml").write_text(targets)
        yield folder


def shown_settings() -> str:
    """The configuration of a reader's own that pipelines/README.md shows."""
    ((_, settings),) = blocks(REPOSITORY / "pipelines" / "README.md", "yaml")
    return settings


def replaced(text: str, table: Mapping[str, str]) -> str:
    for said, here in table.items():
        text = text.replace(said, here)
    return text


def command_of(line: str) -> str:
    """A line of a shell without its comment."""
    return re.sub(r"(^|\s+)# .*$", "", line)


def commands(page: Path) -> list[str]:
    """What the page's bash blocks tell people to type; a command may take several lines."""
    text = "".join(block for _, block in blocks(page, "bash"))
    return [command for line in text.replace("\\\n", " ").splitlines() if (command := command_of(line))]


def script(page: Path, addresses: Mapping[str, str]) -> str:
    """The page's bash blocks, each at its own lines, as they run here."""
    lines = at_their_lines(blocks(page, "bash"))
    for number, command in enumerate(map(command_of, lines)):
        if command in RUN_ELSEWHERE:
            lines[number] = ""
        for serving, tried in SERVING.items():
            if f"{command} ".startswith(f"{serving} "):
                uses = "".join(f"until {use} || ! kill -0 $!; do sleep 0.2; done; " for use in tried)
                lines[number] = f"{command} > said 2>&1 & {uses} kill $!; wait $! || {{ cat said >&2; false; }}"
    return replaced("\n".join([FIRST, *lines[1:], ""]), REPLACED | addresses)


def lay_out(page: Path, world: Path, folder: Path) -> None:
    """Put into a folder what the page takes for granted: as a copy what commands write into."""
    for given in [*ALWAYS, *GIVEN.get(name_of(page), "").split()]:
        name, _, thing = given.partition("=")
        place, source = folder / name, world / (thing or name)
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.name in {"store", "run", "results", "empty"}:
            shutil.copytree(source, place)
        else:
            place.symlink_to(source)


@contextlib.contextmanager
def pacs(world: Path) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """A PACS that has a CT: what stands for the addresses of the pages, and variables of what :data:`SERVING` tries."""
    images, port = sorted((world / "ct-folder").iterdir()), free_port()
    with started_orthanc(modalities={"CTXAI": (HOST, port)}) as server:
        server.upload(images)
        found = {"dicomweb": server.dicomweb_url, "dimse": server.dimse_address, "port": port}
        found["study"] = dcmread(images[0]).StudyInstanceUID
        addresses = {said: here.format(**found) for said, here in ADDRESSES.items()}
        yield addresses, {"ORTHANC": server.url, "SERIES": rest(server, "/series")[0]}


def run_commands(page: Path, world: Path, folder: Path, request: pytest.FixtureRequest) -> None:
    """Run what a page has to type in a folder, with the servers that it talks to."""
    typed = "\n".join(commands(page))
    needs_slurm = any(word in typed for word in ("sbatch", "srun", "profiles/slurm"))
    variables = request.getfixturevalue("slurm").environment if needs_slurm else dict(os.environ)
    variables |= {"PATH": f"{world / '.venv' / 'bin'}:{variables['PATH']}", "HOME": str(folder)}
    variables |= {"OMP_NUM_THREADS": "1", "SBATCH_WAIT": "1", "DISPLAY": "", "WAYLAND_DISPLAY": ""}
    variables |= {"PYTHONWARNINGS": "ignore:parsing config_file,ignore:NvImgCodec"}  # what MONAI always says
    if "ctxai review" in typed:
        require(find_ohif() is not None, "OHIF", "it with `make viewer`")
    lay_out(page, world, folder)
    with pacs(world) if any(said in typed for said in ADDRESSES) else contextlib.nullcontext(({}, {})) as found:
        addresses, more = found
        command = ["bash", "-c", script(page, addresses), name_of(page)]
        done = subprocess.run(
            command, cwd=folder, env=variables | more, capture_output=True, text=True, timeout=_PATIENCE_S
        )
    logs = "".join(path.read_text() for path in folder.glob("slurm-*.out"))
    assert done.returncode == 0, done.stderr + logs
    assert "Warning" not in done.stderr + logs


@pytest.mark.parametrize("doc", [page for page in PAGES if blocks(page, "bash")], ids=name_of)
def test_what_a_page_tells_people_to_type_runs(doc, world, tmp_path, request):
    run_commands(doc, world, tmp_path, request)


@pytest.mark.filterwarnings("ignore:.*LeafSpec.* is deprecated:FutureWarning")
@pytest.mark.parametrize("doc", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_that_takes_names_for_granted_runs(doc, world, tmp_path, monkeypatch):
    lay_out(doc, world, tmp_path)
    monkeypatch.chdir(tmp_path)
    names = {"model": Run.load(None).model, "images": torch.randn(2, 3, 64, 64), "store_dir": world / "store"}
    exec(compile("\n".join(at_their_lines(blocks(doc, "python"))), name_of(doc), "exec"), names)


def test_a_command_that_neither_runs_nor_is_in_the_table_fails_by_its_line(world, tmp_path, request, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("# Title\n\n```bash\nmake viewer   # once\nctxai --version\nmake coffee\n```\n")
    monkeypatch.setattr("pages.REPOSITORY", tmp_path)
    with pytest.raises(AssertionError, match="line 6: make coffee"):
        run_commands(page, world, tmp_path / "folder", request)


def test_the_tables_have_nothing_that_no_page_needs():
    pages = {name_of(page): page for page in PAGES}
    typed = [command for page in PAGES for command in commands(page)]
    text = "\n".join(typed)
    assert not RUN_ELSEWHERE.keys() - set(typed)
    assert not [said for said in REPLACED | ADDRESSES if said not in text]
    assert not [said for said in SETTINGS if said not in shown_settings()]
    assert not [
        words for words in BESIDES if not any(set(words.split()) <= set(re.split(r"[ ']", line)) for line in typed)
    ]
    assert not [serving for serving in SERVING if serving not in text]
    assert not GIVEN.keys() - pages.keys()
    for name, given in GIVEN.items():
        needed = "".join(block for kind in ("bash", "python") for _, block in blocks(pages[name], kind))
        assert not [word for word in given.split() if word.partition("=")[0] not in needed]


def test_what_runs_elsewhere_is_there():
    makefile = (REPOSITORY / "Makefile").read_text()
    for command, elsewhere in RUN_ELSEWHERE.items():
        assert elsewhere == BY_HAND or (REPOSITORY / elsewhere).is_file()
        if command.startswith("make "):
            assert f"\n{command.split()[1]}:" in makefile
