"""Dense networks: what orthogonal layers, identities and random ones must do, seeds beside each other, bad input."""

import math
from dataclasses import replace

import pandas as pd
import pytest
import torch

from helpers.depth import dense, laws
from helpers.depth.dense import Dense
from helpers.depth.inversion import square_root_law
from helpers.depth.optimisers import Procedure
from helpers.networks import datasets
from helpers.networks.numerics import stream

SEEDS = (3, 4, 7)
AUTHOR = Procedure("l1", "plain", (0.1, 1e-4), constant=0.35, steps=300)


def rows(n, side=12, seed=0):
    return torch.rand(n, side, generator=stream(seed, "rows", n, side))


def identity(side, layers=1, relu=False):
    net = Dense([side] * (layers + 1), SEEDS, relu)
    for weight in net.weights:
        weight.copy_(torch.eye(side).expand_as(weight))
    return net


def test_each_part_of_the_images_goes_through_the_layers_of_its_seed():
    x, net = rows(6), Dense([12, 20, 5], SEEDS, relu=True)
    alone = [Dense([12, 20, 5], [seed], relu=True)(part) for seed, part in zip(SEEDS, x.chunk(3))]
    torch.testing.assert_close(net(x), torch.cat(alone))
    assert not torch.equal(net.weights[0][0], net.weights[0][1])


def test_weights_are_uniform_within_one_over_the_root_of_the_inputs_or_orthogonal():
    (weight,) = Dense([100, 400], SEEDS).weights
    assert weight.abs().max() <= 0.1 and weight.var() == pytest.approx(0.01 / 3, rel=0.02)
    (square,) = Dense([30, 30], SEEDS, orthogonal=True).weights
    torch.testing.assert_close(square @ square.mT, torch.eye(30).expand(3, -1, -1), atol=1e-5, rtol=0)


def test_the_matrix_is_what_the_layers_do_one_after_the_other():
    net, x = Dense([12, 20, 5], SEEDS), rows(3)
    torch.testing.assert_close((net.matrices() @ x.double()[:, :, None])[..., 0], net(x).double(), atol=1e-5, rtol=0)


def test_orthogonal_layers_are_perfectly_conditioned_at_any_depth():
    matrices = Dense([12] * 6, SEEDS, orthogonal=True).matrices()
    torch.testing.assert_close(torch.linalg.cond(matrices), torch.ones(3, dtype=torch.float64), atol=1e-5, rtol=0)


def test_descent_through_orthogonal_layers_gives_the_image_back():
    net, x = Dense([12, 24, 24], SEEDS, orthogonal=True), rows(3)
    found, begin = dense.descended(net, x, AUTHOR)
    assert dense.error(found.images, x, begin).max() < 0.01
    assert dense.error(begin, x, begin).tolist() == [1, 1, 1]


def test_starts_are_those_of_the_seeds():
    x = rows(2).repeat(3, 1)
    _, begin = dense.descended(Dense([12, 4], SEEDS), x, AUTHOR)
    _, alone = dense.descended(Dense([12, 4], SEEDS[1:2]), x[:2], AUTHOR)
    assert torch.equal(begin[2:4], alone) and not torch.equal(begin[:2], begin[2:4])


def test_the_first_step_below_a_level_is_one_that_was_logged():
    net, x = identity(12), rows(3)
    found, begin = dense.descended(net, x, replace(AUTHOR, steps=200), logged=200)
    for step, part in zip(dense.first_below(net, found, x, begin), net.parts(found.errors)):
        relative = part[0] / part[0][0]
        assert relative[found.steps.index(step)] < 0.1 <= relative[found.steps.index(step) - 1]


def test_where_none_is_below_the_last_step_counts():
    net, x = Dense([12, 2], SEEDS), rows(3)
    found, begin = dense.descended(net, x, replace(AUTHOR, steps=20))
    assert dense.first_below(net, found, x, begin) == [20] * 3


def test_the_rank_of_linear_layers_is_the_smallest_width():
    assert dense.rank_through(Dense([12, 30, 5, 9], SEEDS), rows(6)).tolist() == [5] * 6


def test_the_rank_through_an_identity_with_relu_is_the_number_of_positive_pixels():
    x = rows(6) - 0.5
    assert dense.rank_through(identity(12, 2, relu=True), x).tolist() == (x > 0).sum(1).tolist()


def test_an_orthogonal_inverse_does_not_amplify():
    net = Dense([40] * 4 + [10], SEEDS, orthogonal=True)
    assert dense.amplified(net) == pytest.approx([1, 1, 1], rel=0.1)
    for weight in net.weights[:-1]:
        weight.mul_(0.5)
    assert dense.amplified(net) == pytest.approx([8, 8, 8], rel=0.1)  # three layers, halved


def test_training_tells_labels_apart_for_every_seed_as_if_it_were_alone():
    x, labels = torch.eye(6), torch.arange(6)
    net = dense.learned(Dense([6, 6, 6], SEEDS), x, labels, batch=32, steps=1500)
    assert (net(x.repeat(3, 1)).argmax(1) == labels.repeat(3)).all()
    alone = dense.learned(Dense([6, 6, 6], SEEDS[1:2]), x, labels, batch=32, steps=1500)
    torch.testing.assert_close(net.weights[0][1], alone.weights[0][0], atol=1e-4, rtol=0)
    assert not any(weight.requires_grad for weight in net.weights)


@pytest.mark.parametrize(("widths", "seeds"), [([4], SEEDS), ([4, 4], [])])
def test_networks_of_nothing_are_refused(widths, seeds):
    with pytest.raises(ValueError, match="widths="):
        Dense(widths, seeds)


# --- Laws ------------------------------------------------------------------------------------------------------------


def test_descent_and_the_pseudo_inverse_follow_the_square_root_law():
    found = laws.one_layer(rows(16, 64), 32, range(4), {"descent": AUTHOR})
    assert [row["search"] for row in found] == ["descent"] * 4 + ["pseudo-inverse"] * 4
    for row in found:
        assert row["law"] == square_root_law(32, 64)
        assert row["error"] == pytest.approx(row["law"], rel=0.15)


def test_a_search_is_told_with_its_condition_or_its_rank():
    linear = laws.searched(rows(4), [24], SEEDS, AUTHOR, "orthogonal", logged=20)
    assert [set(row) for row in linear] == [{"seed", "error", "steps", "condition"}] * 3
    assert [row["seed"] for row in linear] == list(SEEDS)
    assert all(row["error"] < 0.01 and row["condition"] == pytest.approx(1, abs=1e-5) for row in linear)
    relu = laws.searched(rows(4), [120], SEEDS, AUTHOR, relu=True)
    assert [set(row) for row in relu] == [{"seed", "error", "rank"}] * 3  # without steps, which were not asked for
    assert [row["rank"] for row in relu] == [1, 1, 1]  # about sixty units are on, for twelve pixels


def test_pre_images_through_orthogonal_layers_are_as_far_apart_as_codes():
    found = laws.neighbourhoods(100, 3, SEEDS, "orthogonal", deviation=0.01)
    assert [row["precision"] for row in found] == ["float64", "float32"] * 3
    for row in found:
        assert row["low"] < row["distance"] < row["high"]
        assert row["distance"] == pytest.approx(0.01 * math.sqrt(100), rel=0.05)


def test_training_changes_how_steady_an_inverse_is():
    digits = datasets.load("digits")
    before = laws.steadiness(64, 10, SEEDS)
    after = laws.steadiness(64, 10, SEEDS, digits, batch=8)
    assert [row["seed"] for row in after] == list(SEEDS)
    assert all(a["amplification"] != b["amplification"] for a, b in zip(after, before))


def test_widths_are_doublings():
    assert laws.needed([4, 1, 2], [True, False, True]) == 1
    assert laws.needed([1, 2], [False, False]) == 2  # twice the largest


def test_widths_needed_stand_by_seed_and_layers_and_grow():
    table = pd.DataFrame({
        "width": [1, 2, 4] * 4, "layers": [1] * 3 + [2] * 3 + [2] * 3 + [1] * 3, "seed": [5] * 6 + [3] * 6,
        "error": [9, 0, 0, 9, 9, 0, 0, 0, 0, 9, 9, 9],
    })  # fmt: skip
    found = laws.widths_needed(table, table["error"] < 1)
    assert found.loc[5].tolist() == [1, 2] and found.loc[3].tolist() == [3, 0]  # three: of twice the largest
    assert list(found.columns) == [1, 2] and found.index.name == "seed"
    assert laws.growth(found).to_dict() == pytest.approx({5: 1, 3: -3})


def test_unknown_weights_are_refused():
    with pytest.raises(ValueError, match="weights='usual': expected one of torch's, orthogonal"):
        laws.neighbourhoods(4, 1, SEEDS, "usual")
