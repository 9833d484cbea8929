import pytest

from ctxai.errors import InputError
from ctxai.folder_kinds import RESULTS, RUN, STORE, describe_kind, kind_of, refuse_other, refuse_to_replace


def folder(tmp_path, *files):
    made = tmp_path / "folder"
    made.mkdir()
    for name in files:
        (made / name).write_text("")
    return made


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["layout.json", "manifest.csv"], STORE),
        (["weights.safetensors", "calibration.json"], RUN),
        (["weights.safetensors"], "a pretrained backbone"),
        (["predictions.json", "report.html"], RESULTS),
        (["training.json"], "a detector of `ctxai train-detector`"),
        (["0001.dcm"], ""),
    ],
)
def test_a_folder_is_known_by_its_files(tmp_path, files, kind):
    assert kind_of(folder(tmp_path, *files)) == kind


def test_a_message_says_what_a_folder_is_only_where_it_is_known(tmp_path):
    assert describe_kind(tmp_path / "absent") == ""
    assert describe_kind(folder(tmp_path, "layout.json")) == "; it is a nodule store"


def test_results_are_not_written_into_a_store_and_may_be_written_again(tmp_path):
    store = folder(tmp_path, "layout.json")
    with pytest.raises(InputError, match="is a nodule store, and results of `ctxai explain` would be written into it"):
        refuse_other(store, RESULTS)
    refuse_other(store, STORE)
    refuse_other(tmp_path / "absent", RESULTS)


def test_what_is_read_is_not_written_to(tmp_path):
    ct = folder(tmp_path, "0001.dcm")
    with pytest.raises(InputError, match="is read and would be written"):
        refuse_other(tmp_path / "folder" / ".." / "folder", RESULTS, (None, tmp_path / "absent", ct))
    refuse_other(ct / "out", RESULTS, (ct,))


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    refuse_to_replace(tmp_path / "absent", RUN)
    mine = folder(tmp_path)
    refuse_to_replace(mine, RUN)
    (mine / "thesis.txt").write_text("")
    with pytest.raises(InputError, match="is there and is not a run; give a folder that does not exist yet"):
        refuse_to_replace(mine, RUN)
    (mine / "calibration.json").write_text("")
    refuse_to_replace(mine, RUN)
    with pytest.raises(InputError, match="is there and is not a run"):
        refuse_to_replace(mine / "thesis.txt", RUN)
