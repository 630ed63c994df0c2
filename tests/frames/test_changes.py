"""Finite changes: cosines in closed form, and answers that a change must or cannot alter."""

from frames_shared import *  # noqa: F403

from helpers.frames import followed, withstood


class Mean(nn.Module):
    """Two classes: the mean of the image above a bound, or not."""

    def __init__(self, bound=0.5):
        super().__init__()
        self.bound = bound

    def forward(self, x):
        mean = x.mean((1, 2, 3))
        return torch.stack([self.bound - mean, mean - self.bound], dim=1)


class Square(nn.Module):
    def forward(self, x):
        return x.flatten(1) ** 2


def test_brightness_is_followed_exactly_and_its_square_in_closed_form():
    """f(x + s) - f(x) = 2 x s + s^2 beside 2 x s, at x constant but for two pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 16, bias=False), Square())
    model.requires_grad_(False)[1].weight.copy_(torch.eye(16))
    images = torch.zeros(3, 1, 4, 4)
    images[:, 0, 0, 0], images[:, 0, 3, 3] = 0.5, 1.0
    strengths = [1.0, 50.0]
    rows = followed(model.eval(), images, ["brightness"], strengths, ["input", "2"])
    assert [(row["name"], row["point"], row["strength"]) for row in rows] == [
        ("brightness", point, s) for point in ("input", "2") for s in strengths
    ]
    assert [row["cosine"] for row in rows[:2]] == pytest.approx([1, 1])
    x = images[0].flatten().double()
    for row, strength in zip(rows[2:], strengths):
        s = 0.01 * strength
        step, tangent = 2 * x * s + s**2, 2 * x * s
        assert row["cosine"] == pytest.approx(float(torch.cosine_similarity(step, tangent, dim=0)))


def test_a_change_the_other_way_is_followed_the_other_way():
    rows = followed(seeded(cnn).float(), torch.rand(2, 1, 10, 10), ["brightness"], [-1.0], ["input"])
    assert rows[0]["cosine"] == pytest.approx(1)


def test_what_is_followed_leaves_the_network_in_its_precision():
    model = seeded(cnn).float()
    images = torch.rand(2, 1, 10, 10)
    followed(model, images, ["rotation"], [0.5], ["7"])
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}


def test_answers_that_nothing_alters_and_answers_that_much_does():
    images = torch.cat([torch.zeros(40, 1, 8, 8), torch.ones(40, 1, 8, 8)])
    labels = torch.arange(2).repeat_interleave(40)
    safe = withstood(Mean().eval(), images, labels, deviation=0.1, radius=0.1, seed=0)
    assert list(safe) == ["clean", "geometric", "photometric", "noise", "attack"]
    assert {name: safe[name] for name in ("clean", "photometric", "noise", "attack")} == dict.fromkeys(
        ("clean", "photometric", "noise", "attack"), 1.0
    )
    # To bring the mean of 64 pixels from 0 (or 1) across a half takes a change of length 0.5 * 8 = 4.
    assert withstood(Mean().eval(), images, labels, 0.1, 3.9, 0)["attack"] == 1
    assert withstood(Mean().eval(), images, labels, 0.1, 4.2, 0)["attack"] == 0
    close = withstood(Mean(0.999).eval(), images, labels, deviation=1.0, radius=0.0, seed=0)
    assert close["clean"] == close["attack"] == 1 and 0.5 <= close["noise"] < 0.9
    assert close["photometric"] < 1 and close["geometric"] < 1


def test_another_seed_draws_other_changes():
    images = torch.rand(60, 1, 8, 8, generator=stream(0, "images"))
    labels = torch.arange(2).repeat(30)
    tested = [withstood(Mean().eval(), images, labels, 0.5, 0.1, seed) for seed in (0, 0, 1)]
    assert tested[0] == tested[1] != tested[2]
