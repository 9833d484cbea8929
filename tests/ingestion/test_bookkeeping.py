import re

import pandas as pd
import pytest

from ctxai.ct.geometry import GeometryRules
from ctxai.data.store import NoduleStore
from ctxai.errors import StoreError
from ctxai.ingestion.bookkeeping import MANIFEST, begin, part_of, read_manifest
from ctxai.lidc.quality import QualityIssue

ROWS = pd.DataFrame(
    {"nodule_id": ["007", "NA", "1"], "series_uid": ["1.2", "1.2", "1.3"], "malignancy_ratings": ["5|4", "", "3"]}
)
RULES = GeometryRules()
FOUND = [QualityIssue("patient", "1.2", "", "tilt", "by 3 degrees", "noted")]


def test_the_manifest_is_read_as_it_was_written(tmp_path):
    begin(tmp_path, ROWS, FOUND, overwrite=False, rules=RULES)
    pd.testing.assert_frame_equal(read_manifest(tmp_path), ROWS)
    assert len(NoduleStore(tmp_path).hu(0).shape) == 3
    assert (tmp_path / "issues.csv").read_text().splitlines()[1:] == ["patient,1.2,,tilt,by 3 degrees,noted"]


def test_a_store_that_was_begun_goes_on_with_the_same_manifest_only(tmp_path):
    begin(tmp_path, ROWS, FOUND, overwrite=False, rules=RULES)
    part = part_of(tmp_path, "1.2")
    part.parent.mkdir()
    part.write_text("{}")
    begin(tmp_path, ROWS, FOUND, overwrite=True, rules=RULES)
    assert part.is_file()
    with pytest.raises(StoreError, match="another cohort, other patients or another --key"):
        begin(tmp_path, ROWS[:2], FOUND, overwrite=False, rules=RULES)
    begin(tmp_path, ROWS[:2], FOUND, overwrite=True, rules=RULES)
    assert not part.exists()
    assert len(read_manifest(tmp_path)) == 2


def test_a_part_is_named_by_no_uid(tmp_path):
    part = part_of(tmp_path, "1.2.840.113619")
    assert part.parent == tmp_path / "parts"
    assert len(part.stem) == 12 and part.stem.isalnum()
    assert not (tmp_path / MANIFEST).exists()


def test_a_store_that_was_begun_goes_on_with_the_same_rules_only(tmp_path):
    begin(tmp_path, ROWS, FOUND, overwrite=False, rules=RULES)
    part = part_of(tmp_path, "1.2")
    part.parent.mkdir()
    part.write_text("{}")
    other = GeometryRules.named(["mixed-orientation"], max_gap_mm=2.0)
    default = "--repair duplicated-position missing-slice non-uniform-spacing --max_gap_mm 5"
    said = f"other rules (found {default}, given --repair mixed-orientation --max_gap_mm 2); give an empty folder, or "
    with pytest.raises(StoreError, match=f"{re.escape(said)}--overwrite"):
        begin(tmp_path, ROWS, FOUND, overwrite=False, rules=other)
    assert part.is_file()
    begin(tmp_path, ROWS, FOUND, overwrite=True, rules=other)
    assert not part.exists()
