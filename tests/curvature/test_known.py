"""Known surfaces: the closed forms of dilution, units and corners."""

import pytest

from helpers.curvature import known


def test_the_published_mean_of_a_sphere_is_diluted_and_the_invariant_one_is_not():
    rows = known.in_spaces([6, 12, 64, 512])
    assert [row["features"] for row in rows] == [6, 12, 64, 512]
    normals = [min(row["features"], known.NEIGHBOURS) - known.Q for row in rows]
    assert [row["mapc"] for row in rows] == pytest.approx([1 / count for count in normals], rel=5e-3)
    assert [row["kappa_rms"] for row in rows] == pytest.approx([1] * 4, rel=2e-3)


def test_units_do_not_matter_but_for_the_cut_off():
    rows = known.in_units([100.0, 1.0, 1e-6, 1e-8], features=12)
    assert [row["scale"] for row in rows] == [100.0, 1.0, 1e-6, 1e-8]
    assert [row["mapc_float64"] for row in rows] == pytest.approx([1 / 7] * 4, rel=5e-3)
    assert [row["mapc"] for row in rows[:2]] == pytest.approx([1 / 7] * 2, rel=5e-2)
    assert max(row["mapc"] for row in rows[2:]) < 1e-6  # the quadratic part is deleted
    assert rows[2]["mapc_no_cutoff"] == pytest.approx(1 / 7, rel=0.2)


def test_corners_hide_squares_and_a_ball_does_not():
    bent, twisted = known.from_corners()
    assert bent["map"].startswith("squares") and twisted["map"].startswith("products")
    assert bent["ball"] == pytest.approx(bent["true"], rel=1e-6)
    assert twisted["ball"] == pytest.approx(twisted["true"], rel=1e-6)
    assert bent["corners"] < 1e-9 and twisted["corners"] > 1
