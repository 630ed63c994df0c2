"""Singular directions through Gram matrices, one point after the other: what an SVD finds, and where they stop doing so."""

from curvature_shared import *  # noqa: F403

from helpers.curvature import published
from helpers.curvature.singular import Directions, fit_at_once, fit_by_point

SCALES = [1e-8, 1e-4, 1.0, 1e8]


def falling(count, features, decades, seed=0):
    """Displacements (count, features) whose singular values fall evenly by so many powers of ten."""
    rank = min(count, features)
    left, right = (torch.linalg.qr(normal(side, rank, seed=seed)).Q for side in (count, features))
    return left * torch.logspace(0, -decades, rank, dtype=torch.float64) @ right.mT


def bent(count, features):
    """Neighbours on a surface of four dimensions that a smooth map makes."""
    t = 0.5 * ball(4, count, stream(0, "bent"))
    return (torch.tanh(t @ normal(4, 64) + normal(64)) - torch.tanh(normal(64))) @ normal(64, features) / 8


def with_noise(z):
    return z + 1e-3 * z.std() * normal(*z.shape, seed=1)


CLOUDS = {
    "even": falling(40, 60, 0.5),
    "six decades": falling(40, 60, 6),
    "twelve decades": falling(40, 60, 12),
    "square": falling(40, 40, 9),
    "smooth": bent(80, 200),
    "noisy": with_noise(bent(80, 200)),
    "few features": with_noise(bent(80, 30)),
    "deficient": turned(normal(40, 7), 60),
    "many short": torch.cat([normal(20, 300), 1e-7 * normal(130, 300)]),
    "one short": normal(3, 3).tril() * torch.tensor([1, 1, 1e-7], dtype=torch.float64)[:, None],
    "plane": turned(normal(50, 4), 20),
    "nothing": torch.zeros(6, 9, dtype=torch.float64),
}


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", CLOUDS)
@pytest.mark.parametrize(("tangents", "error"), [(2, 1e-10), (None, 3e-8)])
def test_directions_are_those_of_an_svd(name, scale, tangents, error):
    z = scale * CLOUDS[name].numpy()
    z = z if z.shape[0] <= z.shape[1] else z.T
    axes, values = Directions(z, tangents), np.linalg.svd(z, compute_uv=False)
    vectors = axes.along(np.eye(len(z))).T
    alive = axes.lengths > 0 if tangents else np.full(len(z), True)
    assert np.abs(vectors.T @ vectors - np.diag(alive)).max() < 1e-12 or name == "nothing"
    assert np.abs(axes.lengths - values).max() <= error * values[0]
    assert np.allclose(axes.first(2), vectors[:, :2], atol=1e-12)
    # Each direction is as long as it says, and no two of them share anything.
    along = vectors.T @ z
    assert np.linalg.norm(along @ along.T - np.diag(axes.lengths**2), 2) <= error * values[0] ** 2
    assert np.abs(np.linalg.norm(along, axis=1) - axes.lengths).max() <= error * values[0]


def test_only_what_is_exact_is_decomposed_again():
    z = falling(40, 60, 9).numpy()
    values = np.linalg.svd(z, compute_uv=False)
    relative = lambda tangents: np.abs(Directions(z, tangents).lengths / values - 1)
    assert relative(2).max() < 1e-5 and relative(None).max() > 1e-2
    # Tangent directions that are short themselves keep more digits.
    assert relative(30)[:30].max() < 1e-9


def curvatures(fit, z, dim, exact):
    inverse = lambda tangent: torch.linalg.pinv(quadratic.quadratic_design(tangent))[..., dim:, :]
    return torch.linalg.eigvalsh(quadratic.symmetric(fit(z, dim, inverse, exact=exact).mT, dim))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("name", ["even", "six decades", "twelve decades", "square", "smooth", "noisy", "few features"])
def test_one_by_one_as_all_at_once(name, scale):
    z = scale * torch.stack([CLOUDS[name], CLOUDS[name].roll(1, dims=1) + CLOUDS[name]])
    for one, other in zip(*(curvatures(fit, z, 4, True) for fit in (fit_by_point, fit_at_once))):
        same_curvatures(one, other, 1e-8)


@pytest.mark.parametrize("scale", [1e6, 1.0, 1e-1, 1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-6, 1e-8])
@pytest.mark.parametrize("name", ["even", "smooth", "noisy", "few features", "sphere"])
def test_in_single_precision_the_cut_off_lets_go_where_it_does_after_an_svd(name, scale):
    sphere = turned(graph(cap(), 4, 0.3, 80, n=1, pairs=False), 100)[0]
    z = (sphere if name == "sphere" else CLOUDS[name])[None]
    exact = curvatures(fit_at_once, z, 4, True).abs()
    one, other = (
        scale * curvatures(fit, (scale * z).float(), 4, False).double().abs() for fit in (fit_by_point, fit_at_once)
    )
    assert float(one.mean()) == pytest.approx(float(other.mean()), rel=5e-3, abs=1e-6 * float(exact.mean()))
    assert (one.flatten().sort().values - other.flatten().sort().values).abs().max() <= 0.02 * exact.max()


def test_what_is_flat_is_flat_to_rounding_in_either_precision():
    z = turned(normal(3, 200, 4), 250)
    for dtype, rounding in ((torch.float64, 1e-12), (torch.float32, 1e-5)):
        assert at_origin(z, 4, dtype=dtype).abs().max() < rounding


@pytest.mark.parametrize(
    ("solver", "by_point"),
    [({}, True), ({"cutoff": 1e-3}, True), ({"dtype": torch.float32}, True), ({"dtype": torch.float32, "cutoff": 1e-3}, False)],
)
@pytest.mark.parametrize(("count", "many"), [(200, True), (199, False)])
def test_small_ones_and_other_cut_offs_in_single_precision_go_at_once(solver, by_point, count, many, monkeypatch):
    taken = []
    for name in ("fit_by_point", "fit_at_once"):
        fit = getattr(published, name)
        monkeypatch.setattr(published, name, lambda *of, name=name, fit=fit, **more: taken.append(name) or fit(*of, **more))
    at_origin(normal(2, count, 210), 2, **solver)
    assert set(taken) == {"fit_by_point" if by_point and many else "fit_at_once"}


def test_activations_that_still_know_their_gradient_are_taken_as_they_are():
    z = normal(1, 200, 210)
    assert torch.equal(at_origin(z.clone().requires_grad_(), 2), at_origin(z, 2))
