import numpy as np

from ctxai.report.tiles import nodule_tile

SIDE = 4 * 40  # zoom x shown voxels
STEP = SIDE + 6


def plane(tile, row, column):
    return np.asarray(tile)[row * STEP : row * STEP + SIDE, column * STEP : column * STEP + SIDE].astype(int)


def block(low, high, shape=(64, 64, 64)):
    volume = np.zeros(shape, np.float32)
    volume[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = 1
    return volume


def coloured(picture):
    """Centre (row, column) of what is not grey, as a share of the side."""
    where = np.argwhere(np.ptp(picture, axis=2) > 30)
    return where.mean(axis=0) / SIDE


def test_the_upper_row_is_the_ct_and_the_lower_one_carries_the_map():
    tile = nodule_tile(np.full((64, 64, 64), -800), block((28, 28, 28), (36, 36, 36)), None)
    assert tile.size == (3 * STEP - 6, 2 * STEP - 6)
    for column in range(3):
        assert np.ptp(plane(tile, 0, column), axis=2).max() == 0
        assert np.ptp(plane(tile, 1, column), axis=2).max() > 30


def test_superior_is_up_and_left_is_right():
    # evidence that lies superior, posterior and to the left of the centre
    values = block((34, 36, 38), (44, 44, 48))
    values[24:40, 24:40, 24:40] += 1e-9
    tile = nodule_tile(np.full((64, 64, 64), -800), values, None)
    # the planes through the centre do not cross it; shift it into each plane in turn
    for axis, (row, column) in enumerate([("low", "right"), ("up", "right"), ("up", "right")]):
        low, high = [34, 36, 38], [44, 44, 48]
        low[axis], high[axis] = 28, 36
        tile = nodule_tile(np.full((64, 64, 64), -800), block(low, high), None)
        centre = coloured(plane(tile, 1, axis))
        assert (centre[0] > 0.5) == (row == "low"), axis
        assert (centre[1] > 0.5) == (column == "right"), axis


def test_evidence_for_is_warm_and_evidence_against_is_blue():
    hu = np.full((64, 64, 64), -800)
    warm = plane(nodule_tile(hu, block((28, 28, 28), (36, 36, 36)), None), 1, 0)[SIDE // 2, SIDE // 2]
    cold = plane(nodule_tile(hu, -block((28, 28, 28), (36, 36, 36)), None), 1, 0)[SIDE // 2, SIDE // 2]
    assert warm[0] > warm[2] + 50
    assert cold[2] > cold[0] + 50


def test_no_evidence_gives_the_plain_ct_and_the_consensus_is_outlined():
    hu = np.random.default_rng(0).integers(-1000, 300, (64, 64, 64))
    zero = np.zeros((64, 64, 64), np.float32)
    plain = nodule_tile(hu, zero, None)
    np.testing.assert_array_equal(plane(plain, 0, 1), plane(plain, 1, 1))
    outlined = plane(nodule_tile(hu, zero, block((28, 28, 28), (36, 36, 36)) > 0), 0, 0)
    green = (outlined[..., 1] > outlined[..., 0] + 100).sum()
    assert green == 4 * (8 * 4 - 1)  # the rim of a square of 8 voxels, 4 pixels each


def test_the_image_number_stands_on_the_axial_plane_alone():
    hu, zero = np.full((64, 64, 64), -1200), np.zeros((64, 64, 64), np.float32)
    bare, named = nodule_tile(hu, zero, None), nodule_tile(hu, zero, None, image=43)
    for row in (0, 1):
        changed = np.argwhere((plane(bare, row, 0) != plane(named, row, 0)).any(axis=2))
        assert len(changed) > 20
        assert changed.max() < SIDE / 2  # the upper left corner
        for column in (1, 2):
            np.testing.assert_array_equal(plane(bare, row, column), plane(named, row, column))
