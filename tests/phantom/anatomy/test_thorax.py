from dataclasses import replace

import numpy as np
import pytest

from ctxai.lidc.database import LidcDatabase
from ctxai.phantom.anatomy.thorax import draw_thorax


@pytest.fixture(scope="module")
def chests():
    database = LidcDatabase()
    scans = [scan for scan in database.scans[:400:8] if database.nodules(scan)]
    return [
        (scan, database.nodules(scan), draw_thorax(scan, database.nodules(scan), np.random.default_rng(scan.scan_id)))
        for scan in scans
    ]


def middles(nodules) -> np.ndarray:
    return np.array(
        [
            [
                np.concatenate([c.points for r in n.readings for c in r.contours])[:, 1].mean()
                * n.scan.pixel_spacing_mm,
                np.concatenate([c.points for r in n.readings for c in r.contours])[:, 0].mean()
                * n.scan.pixel_spacing_mm,
                np.mean([c.z_mm for r in n.readings for c in r.contours]),
            ]
            for n in nodules
        ]
    )


def test_every_nodule_lies_in_a_lung(chests):
    for _, nodules, chest in chests:
        assert (chest.parts(*middles(nodules).T).lung < 0).all()


def test_hardly_any_nodule_needs_a_pocket(chests):
    outside = np.concatenate([replace(c, pockets=np.zeros((0, 4))).parts(*middles(n).T).lung > 3 for _, n, c in chests])
    assert outside.mean() < 0.05


def test_lungs_have_a_human_volume(chests):
    litres = []
    for _, _, chest in chests:
        axis = np.arange(-160, 160, 4.0)
        z = np.arange(chest.base_mm, chest.apex_mm, 4.0)
        lung = chest.parts(chest.x_mm + axis[None, None], chest.y_mm + axis[None, :, None], z[:, None, None]).lung < 0
        litres.append(lung.sum() * 4**3 / 1e6)
    assert min(litres) > 1.5
    assert max(litres) < 12  # the nodules of a few scans ask for a large chest
    assert 3 < np.median(litres) < 8


def test_the_lungs_are_two(chests):
    for _, _, chest in chests[:10]:
        plain = replace(chest, pockets=np.zeros((0, 4)), waves=np.zeros((0, 6)))
        y = plain.y_mm + np.arange(-120, 120, 2.0)
        z = np.arange(plain.base_mm, plain.apex_mm, 4.0)
        middle = plain.parts(np.full((1, 1), plain.x_mm), y[None, :], z[:, None]).lung
        assert middle.min() > 0


def test_the_same_chance_gives_the_same_chest(chests):
    scan, nodules, chest = chests[0]
    again = draw_thorax(scan, nodules, np.random.default_rng(scan.scan_id))
    assert again.x_mm == chest.x_mm
    np.testing.assert_array_equal(again.pockets, chest.pockets)


def test_a_scan_without_nodules_has_a_chest_too():
    scan = LidcDatabase().scans[0]
    assert len(draw_thorax(scan, (), np.random.default_rng(0)).pockets) == 0
