import numpy as np
import pandas as pd
from PIL import Image

from ctxai.report.benchmark_figures import pareto_front, write_examples


def test_the_front_is_what_nothing_cheaper_beats():
    rows = pd.DataFrame(
        {"method": list("abcde"), "forward_passes": [1.0, 2.0, 3.0, 3.0, 9.0], "value": [0.2, 0.1, 0.5, 0.6, 0.6]}
    )
    assert pareto_front(rows)["method"].tolist() == ["a", "d"]


def test_a_page_has_a_row_for_every_nodule_and_a_column_for_the_ct_and_every_method(tmp_path):
    hu = np.full((2, 16, 16), -800.0)
    maps = {"cdam": np.zeros((2, 16, 16)), "random_map": np.ones((2, 16, 16))}
    write_examples(tmp_path / "page.png", hu, np.zeros((2, 16, 16), bool), maps, ["first", "second"])
    with Image.open(tmp_path / "page.png") as page:
        picture = np.asarray(page.convert("RGB")).astype(int)
    coloured = np.abs(picture[..., 0] - picture[..., 2]) > 40  # only the map of ones is
    columns = np.flatnonzero(coloured.any(axis=0))
    assert columns.min() > picture.shape[1] * 0.6
    assert coloured.any(axis=1).mean() > 0.5
