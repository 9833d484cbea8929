"""What `ctxai explain` is asked to do decides what its results depend on."""

import shutil
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest

from ctxai.ct.series import read_series
from ctxai.deidentification.profile import Confidentiality
from ctxai.deidentification.pseudonyms import Pseudonymizer
from ctxai.deidentification.secret_key import read_key
from ctxai.errors import InputError
from ctxai.explain import CDAM, AttentionMap
from ctxai.inference.nodules import NoduleCandidate
from ctxai.inference.options import ExplainOptions, checked_views

from runs import untrained_run
from sphere import SPHERE


@pytest.fixture(scope="module")
def asked() -> ExplainOptions:
    run = untrained_run()
    views = [*run.views.views]
    return ExplainOptions(
        Path("ct"),
        run,
        [CDAM(run.model)],
        ["malignancy"],
        views,
        ["nifti"],
        std=False,
        trust=False,
        names=Pseudonymizer(),
    )


@pytest.fixture(scope="module")
def series(sphere_ct):
    return read_series(sphere_ct)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: replace(one, run=replace(one.run, weights_sha256="1" * 64)),
        lambda one: replace(one, methods=[AttentionMap(one.run.model)]),
        lambda one: replace(one, targets=["spiculation"]),
        lambda one: replace(one, views=["axial"]),
        lambda one: replace(one, formats=["nifti", "seg"]),
        lambda one: replace(one, std=True),
        lambda one: replace(one, trust=True),
    ],
)
def test_results_depend_on_every_option(asked, series, change):
    candidate = NoduleCandidate("sphere", SPHERE, 14.0)
    changed = change(asked)
    assert changed.digest != asked.digest
    assert changed.digest_of(series, [candidate]) != asked.digest_of(series, [candidate])


def test_results_of_a_series_depend_on_its_nodules_and_not_on_where_it_lies(asked, series):
    candidate = NoduleCandidate("sphere", SPHERE, 14.0)
    digest = asked.digest_of(series, [candidate])
    assert replace(asked, input=Path("elsewhere")).digest_of(series, [candidate]) == digest
    assert asked.digest_of(series, [replace(candidate, diameter_mm=15.0)]) != digest
    assert asked.digest_of(series, [candidate, candidate]) != digest


def test_deidentified_results_depend_on_the_secret_and_have_other_folders(asked, series, tmp_path):
    first, second = (
        replace(asked, confidentiality=Confidentiality(read_key(tmp_path / name), frozenset())) for name in "ab"
    )
    assert len({asked.digest, first.digest, second.digest}) == 3
    assert len({one.key_of(series.series_uid) for one in (asked, first, second)}) == 3


@pytest.mark.parametrize("change", [{"views": ["axial"]}, {"formats": ["seg"]}])
def test_a_spread_is_over_several_views_and_written_as_nifti(asked, change):
    replace(asked, std=True).check()
    with pytest.raises(InputError, match="--spread is over views and written as NIfTI"):
        replace(asked, std=True, **change).check()


def test_a_view_that_the_run_was_not_trained_for_is_allowed_and_said(asked, caplog):
    views = replace(asked.run.config.views, views=("axial",))
    run = replace(asked.run, config=replace(asked.run.config, views=views))
    assert checked_views(run, None) == ["axial"]
    assert not caplog.text
    assert checked_views(run, ["axial", "coronal"]) == ["axial", "coronal"]
    assert "was not trained on coronal views" in caplog.text


@pytest.mark.parametrize("keyword", ["PixelSpacing", "PatientName", "RescaleIntercept", "pixels"])
def test_results_of_a_series_depend_on_headers_and_pixels_whose_uids_stay(asked, sphere_ct, tmp_path, keyword):
    candidate = NoduleCandidate("sphere", SPHERE, 14.0)
    before = asked.digest_of(read_series(sphere_ct), [candidate])
    copied = tmp_path / "ct"
    shutil.copytree(sphere_ct, copied)
    assert asked.digest_of(read_series(copied), [candidate]) == before
    for path in copied.iterdir():
        image = pydicom.dcmread(path)
        if keyword == "PixelSpacing":
            image.PixelSpacing = [value / 2 for value in image.PixelSpacing]
        elif keyword == "PatientName":
            image.PatientName = "Another^Name"
        elif keyword == "RescaleIntercept":
            image.RescaleIntercept = image.RescaleIntercept - 10
        else:
            image.PixelData = bytes(len(image.PixelData))
        image.save_as(path)
        if keyword == "pixels":
            break
    assert asked.digest_of(read_series(copied), [candidate]) != before


def test_results_depend_on_all_of_a_run_that_predictions_depend_on(asked):
    run = asked.run
    changes = [
        replace(run, calibration=replace(run.calibration, slope=9.0)),
        replace(run, provenance=run.provenance | {"patients": {"training": [], "validation": [], "test": []}}),
        replace(run, config=replace(run.config, half_precision=not run.config.half_precision)),
        replace(run, name="another"),
    ]
    assert len({replace(asked, run=one).digest for one in [run, *changes]}) == len(changes) + 1
