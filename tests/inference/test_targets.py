import shutil

import numpy as np
import pytest
import torch

from ctxai.ct.patch import extract_patch
from ctxai.ct.series import read_series
from ctxai.data.views import render_own_views
from ctxai.errors import InputError
from ctxai.explain import Concept, Contrast
from ctxai.inference.concepts import read_concept
from ctxai.run.targets import identity_of, name_of, parse_targets

from cohorts import sphere_store
from runs import untrained_run
from sphere import SPHERE


@pytest.fixture(scope="module")
def run():
    return untrained_run()


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Five nodules, one of them with a fault."""
    made = sphere_store(tmp_path_factory.mktemp("concept") / "round", nodules=5)
    table = made.table
    table.loc[3, "fault"] = "missing slices"
    made.write_table(table)
    return made


def embeddings(run, patches):
    images = render_own_views(torch.from_numpy(np.stack(patches)), run.views, (0.0,)).flatten(0, 1)
    with torch.inference_mode():
        return run.model.backbone(images)


def test_targets_are_outputs_and_contrasts_of_two(run):
    targets = parse_targets(["malignancy", "spiculation-lobulation"], run.target_names)
    assert targets == ["malignancy", Contrast("spiculation", "lobulation")]
    assert [name_of(target) for target in targets] == ["malignancy", "spiculation-lobulation"]


@pytest.mark.parametrize("name", ["beauty", "spiculation-beauty", "margin-margin", "-margin", "margin-", "1-2"])
def test_other_targets_are_refused(run, name):
    with pytest.raises(InputError, match="always 0" if name == "margin-margin" else f"--target {name}: the run has"):
        parse_targets([name], run.target_names)


def test_a_concept_from_a_store_is_the_mean_embedding_of_all_rows_without_a_fault(run, store):
    concept = read_concept(store.path, run)
    expected = embeddings(run, [store.hu(row) for row in (0, 1, 2, 4)]).mean(dim=0)
    torch.testing.assert_close(concept.vector, expected, rtol=1e-4, atol=1e-5)
    assert concept.name == "round"


def test_a_concept_from_marked_series_is_the_mean_embedding_of_the_points(run, sphere_ct, tmp_path):
    folder = tmp_path / "dense.cap-1"
    shutil.copytree(sphere_ct, folder / "deep" / "ct")
    second = SPHERE + np.array([3.0, -2.0, 1.0])
    lines = [",".join(f"{value}" for value in point) for point in (SPHERE, second)]
    (folder / "points.csv").write_text("x,y,z\n" + "\n".join(lines) + "\n")
    concept = read_concept(folder, run)
    patches = [extract_patch(read_series(sphere_ct), point).hu for point in (SPHERE, second)]
    torch.testing.assert_close(concept.vector, embeddings(run, patches).mean(dim=0), rtol=1e-4, atol=1e-5)
    assert concept.name == "dense.cap-1"


def test_only_a_concepts_direction_is_told_beside_its_name():
    one, other = (Concept(torch.full((4,), value), "spiculated") for value in (1.0, 2.0))
    assert identity_of("malignancy") == identity_of(Contrast(0, 1)) == {}
    assert identity_of(one) == identity_of(Concept(one.vector.clone()))
    assert identity_of(one) != identity_of(other)


def test_folders_that_show_no_concept_are_refused(run, store, sphere_ct, tmp_path):
    with pytest.raises(InputError, match=r"expected a nodule store, or a folder of DICOM series with points\.csv"):
        read_concept(sphere_ct, run)
    with pytest.raises(InputError, match="expected a nodule store"):
        read_concept(tmp_path / "absent", run)
    (tmp_path / "two words").mkdir()
    with pytest.raises(InputError, match="letters, digits"):
        read_concept(tmp_path / "two words", run)
    (tmp_path / "margin").mkdir()
    with pytest.raises(InputError, match="rename the folder"):
        read_concept(tmp_path / "margin", run)
    (tmp_path / "spiculation_lobulation").mkdir()
    with pytest.raises(InputError, match="rename the folder"):
        read_concept(tmp_path / "spiculation_lobulation", run, ["spiculation-lobulation"])
    faulty = tmp_path / "faulty"
    shutil.copytree(store.path, faulty)
    type(store)(faulty).write_table(store.table.assign(fault="missing slices"))
    with pytest.raises(InputError, match="holds no usable nodule"):
        read_concept(faulty, run)
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(sphere_ct, elsewhere)
    (elsewhere / "points.csv").write_text("x,y,z,series_uid\n4,-9,17,1.2.3\n")
    with pytest.raises(InputError, match="holds no usable nodule"):
        read_concept(elsewhere, run)
    (elsewhere / "points.csv").write_text("x,y,z\n900,0,0\n")
    with pytest.raises(InputError, match="lies outside the CT"):
        read_concept(elsewhere, run)
