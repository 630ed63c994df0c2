"""Batteries: their groups keep their places, and what is described of them is what the statistics say of each alone."""

from frames_shared import *  # noqa: F403

from helpers.frames import batteries, described
from helpers.frames.batteries import Battery


def drawn(images, noises=4):
    return batteries.battery(images, noises, stream(0, "white"), stream(0, "matched"))


def planes(*groups, n=2):
    """Groups of vectors of the standard basis of 4 x 4 pixels, the same at each of n images."""
    axes = torch.eye(16, dtype=torch.float64).reshape(16, 1, 4, 4)
    return [axes[list(group)].expand(n, -1, -1, -1, -1) for group in groups]


def of_planes():
    augmentation, white, matched, local = planes((0, 1, 2), (3, 4), (5, 6, 7, 8), (0, 9))
    return Battery(("a", "b", "c"), {"augmentation": augmentation, "white": white, "matched": matched, "local": local})


def scaled(factors):
    """A linear network that multiplies each pixel by a factor, and its images of ones at pixel 15."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16, bias=False)).double().eval().requires_grad_(False)
    model[1].weight.copy_(torch.diag(torch.as_tensor(factors, dtype=torch.float64)))
    images = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    images[..., 3, 3] = 2.0
    return model, images


def test_a_battery_is_made_of_the_directions_of_its_streams():
    images = normal(3, 1, 8, 8).abs()
    found, named = drawn(images), directions.generators(images)
    assert found.names == named.names and list(found.groups) == ["augmentation", "white", "matched"]
    assert torch.equal(found.groups["augmentation"], named.vectors)
    assert torch.equal(found.groups["white"], directions.white_noise(images, 4, stream(0, "white")))
    assert torch.equal(found.groups["matched"], directions.matched_noise(images, 4, stream(0, "matched")))
    assert found.families["filter"] == ["blur"] and found.families["photometric"] == ["brightness", "contrast", "gamma"]
    more = found.more(attack=found.groups["white"][:, :1])
    assert list(found.groups) == list(more.groups)[:-1]  # the first is as it was
    assert more.vectors.shape[1] == len(named.names) + 9 and more.place("attack") == [len(named.names) + 8]
    for group, vectors in more.groups.items():
        assert torch.equal(more.vectors[:, more.place(group)], vectors)
    with pytest.raises(ValueError, match="group: 'grey', expected one of augmentation, white, matched"):
        found.place("grey")


def test_values_by_name_are_single_or_root_mean_squares():
    values = torch.tensor([[1.0, -2, 3, 3, 4, 1, 1, 1, 1, 0, 2]]).double()
    found = of_planes().by_name(values)
    expected = {"a": 1.0, "b": -2.0, "c": 3.0, "white": 12.5**0.5, "matched": 1.0, "local": 2**0.5}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected)
    assert list(found) == list(expected)


def test_examples_are_each_augmentation_and_the_first_of_each_group():
    found = of_planes().examples(1)
    assert [int(vector.flatten().argmax()) for vector in found.values()] == [0, 1, 2, 3, 5, 0]
    assert list(found) == ["a", "b", "c", "white", "matched", "local"]


def test_what_lies_inside_a_span():
    rows = of_planes().inside("local", "white")
    assert [row["share"] for row in rows] == [1, 0, 0, 0, 0, 0]
    assert [row["span"] for row in rows] == ["local"] * 3 + ["white"] * 3
    assert [row["vector"] for row in rows] == ["a", "b", "c"] * 2


def test_a_diagonal_network_is_described_in_closed_form():
    """Gains are the factors; nothing but pixel 15 is active, and no vector moves it: all is across the activation."""
    factors = [2.0, 3.0, 6.0, 1.0, 7.0, 4.0, 4.0, 4.0, 4.0, 5.0, 0, 0, 0, 0, 0, 10.0]
    model, images = scaled(factors)
    found = described(model, images, of_planes(), {"input": 0.0, "1": 1.0}, exact=False, by_image="b")
    rows = {row["vector"]: row for row in found["vectors"] if row["point"] == "1"}
    gains = {"a": 2, "b": 3, "c": 6, "white": 5, "matched": 4, "local": 14.5**0.5}  # white: (1 + 49) / 2 = 25
    for name, gain in gains.items():
        expected = {"rho": gain / 5, "matched": gain / 4, "sensitivity": gain / 20}
        expected |= {"angular_matched": gain / 4, "angular_sensitivity": gain / 20, "depth": 1.0}
        assert {key: rows[name][key] for key in expected} == pytest.approx(expected)
    ranks = {row["point"]: row for row in found["ranks"]}
    expected = {"sr_augmentation": 49 / 36, "sr_white": 50 / 49, "sr_matched": 3.0, "sr_local": 29 / 25, "sr_unit": 3.0}
    assert {name: ranks["1"][name] for name in expected} == pytest.approx(expected)
    assert ranks["1"]["cosine"] == pytest.approx(0, abs=1e-12) and "angle" not in ranks["1"]
    assert ranks["input"]["sr_augmentation"] == pytest.approx(3) and ranks["input"]["depth"] == 0
    assert [(row["image"], row["point"]) for row in found["images"]] == [(0, "1"), (1, "1")]
    assert [row["rho"] for row in found["images"]] == pytest.approx([3 / 5] * 2)
    exact = described(model, images, of_planes(), {"input": 0.0, "1": 1.0})
    norm = math.sqrt(sum(factor**2 for factor in factors) / 16)
    last = {row["vector"]: row["rho"] for row in exact["vectors"] if row["point"] == "1"}
    assert last["b"] == pytest.approx(3 / norm) and "images" not in exact
    same = lambda rows: [row for row in rows if row["point"] == "input"]
    assert same(exact["vectors"]) == same(found["vectors"])  # only the last point has few outputs


def test_what_is_along_the_activation_is_not_across_it():
    model, images = scaled([1.0] * 16)
    images = images.clone()
    images[..., 0, 0] = 2.0  # as pixel 15: vector a makes half a right angle with the activation
    gram_of = gram(model, images, of_planes().vectors, ["1"])["1"]
    found = batteries.gains(gram_of, of_planes())
    assert found["angular_matched"][0, :2].tolist() == pytest.approx([0.5**0.5, 1.0])
    assert found["matched"][0, :2].tolist() == pytest.approx([1.0, 1.0])
    images[..., 0, 0], images[..., 1, 1] = 0.0, 2.0  # pixel 5, where one of four vectors of matched noise is
    found = batteries.gains(gram(model, images, of_planes().vectors, ["1"])["1"], of_planes())
    assert found["angular_matched"][0, :2].tolist() == pytest.approx([(4 / 3.5) ** 0.5] * 2)  # of the noise as well


def test_angles_between_local_and_generated_spans_are_degrees():
    model, images = scaled([1.0] * 16)
    x, y, z = (planes((i,))[0] for i in (9, 10, 11))
    both = of_planes().more(local=x, generated=(x + y) / 2**0.5)
    pushed = gram(model, images, both.vectors, ["1"])["1"]
    assert batteries.ranks(pushed, both)["angle"] == pytest.approx(45)
    both = both.more(generated=z)
    assert batteries.ranks(gram(model, images, both.vectors, ["1"])["1"], both)["angle"] == pytest.approx(90)


def test_medians_leave_out_images_without_a_value():
    model, images = scaled([1.0] * 16)
    groups = dict(of_planes().groups)
    groups["augmentation"] = groups["augmentation"].clone()
    groups["augmentation"][0] = 0  # an image that has none of these directions: its rank is not a number
    found = described(model, images, Battery(("a", "b", "c"), groups), {"1": 1.0}, exact=False)
    assert found["ranks"][0]["sr_augmentation"] == pytest.approx(3)
