"""Bias of estimators: closed forms against clouds, subsets of images against the layers themselves, and its slopes."""

import numpy as np
import pandas as pd
import pytest
import torch
from planted_paths import gauss

from helpers.networks.numerics import stream
from helpers.paths import bias
from helpers.paths.metrics import ESTIMATORS, gram


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_clouds_have_the_length_of_the_closed_form(estimator):
    found = pd.DataFrame(bias.clouds(0, 200, 64, 8))
    mean = found[found["estimator"] == estimator]["length"].mean()
    assert mean == pytest.approx(bias.expected_length(200, 64, estimator), rel=0.05)


def test_the_closed_form_is_true_where_images_are_many_and_for_the_unbiased():
    true = np.arccos(1 / 1.5) + np.arccos(1 / 2.25)
    assert bias.expected_length(3, 64, "unbiased", noise=0.5) == pytest.approx(true)
    for estimator in ESTIMATORS:
        assert bias.expected_length(10**9, 64, estimator, noise=0.5) == pytest.approx(true, rel=1e-5)
    assert bias.expected_length(50, 64, "plug-in") < bias.expected_length(50, 64, "low-bias") < true


def test_a_subset_is_the_gram_matrix_of_those_images():
    x, chosen = gauss(9, 4), torch.tensor([7, 0, 3, 4])
    assert torch.allclose(bias.subset(gram(x), chosen), gram(x[chosen]), atol=1e-12)


def test_subsets_leave_out_numbers_beyond_the_images_and_all_images_are_the_layers():
    layers = [gram(gauss(9, 4, seed=seed)) for seed in range(3)]
    found = pd.DataFrame(bias.subsets(0, layers, [5, 9, 20], 2))
    assert found["images"].value_counts().to_dict() == {5: 6, 9: 6}
    whole = pd.DataFrame(bias.by_estimator(layers)).set_index("estimator")
    for _, row in found[found["images"] == 9].iterrows():
        assert row["length"] == pytest.approx(whole.loc[row["estimator"], "length"])
        assert row["angle"] == pytest.approx(whole.loc[row["estimator"], "angle"])


def table(power, seeds=(1, 2), counts=(10, 20, 40)):
    """Lengths whose low-bias error falls as a power of the number of images; angles ten times less wrong."""
    rows = []
    for seed in seeds:
        for m in counts:
            error = seed * float(m) ** power
            for estimator, wrong in (("low-bias", error), ("unbiased", 0.0)):
                rows.append({"estimator": estimator, "seed": seed, "images": m, "length": 2 * (1 - wrong),
                             "angle": 1 + wrong / 10})  # fmt: skip
    return pd.DataFrame(rows)


def test_planted_biases_are_found():
    found = bias.biases(pd.concat([table(-2), table(-2)]))
    assert bias.falling(found, "low-bias").to_dict() == pytest.approx({1: -2.0, 2: -2.0})
    assert bias.excess(found, "low-bias").to_dict() == pytest.approx({1: 1.0, 2: 1.0})
    assert (found[found["estimator"] == "unbiased"][["length_bias", "angle_bias"]] == 0).all(axis=None)


def test_one_number_of_images_has_no_slope():
    assert bias.falling(bias.biases(table(-2, counts=(10,))), "low-bias").isna().all()


def test_draws_come_from_streams_of_their_own():
    first = bias.clouds(0, 10, 4, 1)
    assert first == bias.clouds(0, 10, 4, 2)[:3] and first != bias.clouds(1, 10, 4, 1)
    same = bias.by_estimator(bias.cloud(10, 4, stream(0, "bias", 10, 0)))
    assert first == same
