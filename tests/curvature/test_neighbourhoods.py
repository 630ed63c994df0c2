"""Neighbourhoods and charts: corners, balls, nearest points, each as defined."""

from curvature_shared import *  # noqa: F403


@pytest.mark.parametrize(
    ("z", "t", "radius", "message"),
    [
        (torch.zeros(len(T), 4), T, None, r"displacements: shape .*, expected \(n, K, D\)"),
        (torch.full((1, len(T), 4), math.nan), T, None, "displacements: holds NaN"),
        (torch.zeros(1, len(T), 4), T * math.inf, None, "coordinates: holds NaN or infinite"),
        (torch.zeros(1, len(T), 4), T.flatten(), None, r"coordinates: shape .*, expected \(K, q\)"),
        (torch.zeros(1, 7, 4), T, None, "displacements: 7 neighbours for 40 coordinates"),
        (torch.zeros(1, 4, 4), T[:4], None, "expected the same number, at least 5 for q = 2"),
        (torch.zeros(1, len(T), 4), T, 0.0, "radius: 0.0, expected a positive length"),
        (torch.zeros(1, len(T), 4), T, math.nan, "radius: nan, expected"),
        (torch.zeros(1, len(T), 4), 0 * T, None, "radius: 0.0, expected"),
    ],
)
def test_the_form_refuses(z, t, radius, message):
    refused(second_fundamental_form, z, t, radius, message=message)


@pytest.mark.parametrize("q", [2, 6])
def test_corners_do_not_determine_a_quadratic_form(q):
    corners = (torch.arange(2**q - 1)[:, None] >> torch.arange(q) & 1).double()
    corners = corners.repeat(3, 1)  # enough of them, were they elsewhere
    terms = q * (q + 3) // 2
    message = rf"coordinates: they determine \d+ of the {terms} terms"
    refused(second_fundamental_form, torch.zeros(1, len(corners), 3), corners, message=message)


# --- Neighbourhoods


@pytest.mark.parametrize("q", [1, 2, 5])
def test_the_ball_is_uniform_and_antithetic(q):
    t = ball(q, 200_000, stream(0, "moments"))
    half = len(t) // 2
    assert torch.equal(t[:half], -t[half:]) and t.norm(dim=1).max() <= 1
    assert torch.allclose(t.T @ t / len(t), torch.eye(q, dtype=t.dtype) / (q + 2), atol=3e-3)
    fourth = t.square().T @ t.square() / len(t)
    wick = (1 + 2 * torch.eye(q, dtype=t.dtype)) / ((q + 2) * (q + 4))
    assert torch.allclose(fourth, wick, atol=3e-3)
    assert t.norm(dim=1).median() == pytest.approx(0.5 ** (1 / q), rel=0.01)


@pytest.mark.parametrize(("q", "count"), [(0, 4), (2, 0), (2, 5)])
def test_a_ball_has_pairs(q, count):
    with pytest.raises(ValueError, match=f"q, count: {q}, {count}, expected"):
        ball(q, count, stream(0))


@pytest.mark.parametrize(("rank", "keep"), [(None, 3), (None, 10), (5, 10), (5, 3), (2, 1)])
def test_corners_switch_the_last_singular_values(rank, keep):
    """In the singular directions of its image a neighbour has each value or 0, the same pattern in all channels."""
    x = pictures(rank=rank)
    near = curvature.svd_corners(x, keep=keep)
    rank = rank or 8
    q = min(rank, keep)
    assert near.shape == (4, 2**q - 1, 3, 8, 8)
    u, s, vh = torch.linalg.svd(x)
    inside = torch.einsum("ncij,nkciw,ncjw->nkcj", u, near, vh)
    on = inside[..., :rank] / s[:, None, :, :rank]
    pattern = on.round()
    assert torch.allclose(on, pattern, atol=1e-3) and set(pattern.unique().tolist()) <= {0.0, 1.0}
    assert torch.allclose(inside[..., rank:], torch.zeros(()), atol=1e-4)
    assert (pattern == pattern[:, :, :1]).all() and (pattern == pattern[:1]).all()
    rows = pattern[0, :, 0]
    assert (rows[:, : rank - q] == 1).all()
    patterns = {tuple(row) for row in rows[:, rank - q :].tolist()}
    assert len(patterns) == 2**q - 1 and (1.0,) * q not in patterns and (0.0,) * q in patterns


def test_the_corners_set_is_affine_and_hangs_off_the_image():
    x = pictures(n=2)
    z = (curvature.svd_corners(x, keep=4) - x[:, None]).flatten(2).double()
    values = torch.linalg.svdvals(z)
    assert (values[:, 4] < 1e-5 * values[:, 0]).all() and (values[:, 3] > 1e-2 * values[:, 0]).all()


def test_one_poor_image_costs_the_others_their_last_directions():
    """As published: the rank of the batch is the smallest in it."""
    x = torch.cat([pictures(n=1), pictures(n=1, rank=3)])
    near = curvature.svd_corners(x, keep=10)
    assert near.shape[1] == 2**3 - 1
    assert (torch.linalg.matrix_rank(near[0], rtol=1e-4) <= 3).all()
    assert curvature.svd_corners(x[:1], keep=10).shape[1] == 2**8 - 1


@pytest.mark.parametrize(
    ("x", "keep", "message"),
    [(pictures(), 0, "keep: 0, expected 1 to 12"), (pictures(), 13, "keep: 13"), (0 * pictures(), 3, "images: one has a channel of zeros")],
)  # fmt: skip
def test_corners_refuse(x, keep, message):
    with pytest.raises(ValueError, match=message):
        curvature.svd_corners(x, keep=keep)


def test_charts_are_orthonormal():
    x = pictures(n=50)
    charts = {
        "pca": (curvature.pca_chart(x, 6), (6, 192)),
        "svd": (curvature.svd_chart(x, 6), (50, 6, 192)),
        "smooth": (curvature.smooth_chart((3, 8, 8), 6, stream(0, "smooth")), (6, 192)),
    }
    for name, (chart, shape) in charts.items():
        assert chart.shape == shape and chart.dtype == torch.float32 and orthonormal(chart), name


def test_the_pca_chart_spans_the_leading_directions():
    scale = torch.tensor([9.0, 5.0, 3.0] + [0.1] * 13)
    x = (normal(400, 16).float() * scale) @ rotation(16).float() + 7
    lead = curvature.pca_chart(x.unflatten(1, (1, 4, 4)), 3)
    assert torch.allclose((lead @ rotation(16).float().T)[:, :3].square().sum(1), torch.ones(3), atol=1e-2)


def test_the_svd_chart_spans_what_the_corners_switch():
    x = pictures(n=3, channels=1)
    z = (curvature.svd_corners(x, keep=4) - x[:, None]).flatten(2)
    chart = curvature.svd_chart(x, 4)
    assert torch.allclose(z @ chart.mT @ chart, z, atol=1e-4)


def test_smooth_directions_are_smoother_than_noise():
    roughness = lambda x: float(x.unflatten(-1, (3, 16, 16)).diff(dim=-1).square().mean() / x.square().mean())
    smooth = curvature.smooth_chart((3, 16, 16), 4, stream(0, "smooth"))
    assert roughness(smooth) < 0.5 < 1.5 < roughness(normal(4, 768).float())
    assert torch.equal(smooth, curvature.smooth_chart((3, 16, 16), 4, stream(0, "smooth")))


@pytest.mark.parametrize(
    ("make", "limit"),
    [
        (lambda q: curvature.pca_chart(pictures(n=5), q), 5),
        (lambda q: curvature.svd_chart(pictures(), q), 8),
        (lambda q: curvature.smooth_chart((1, 4, 4), q, stream(0)), 16),
    ],
)
def test_charts_have_no_more_directions_than_there_are(make, limit):
    make(limit)
    for q in (0, limit + 1):
        with pytest.raises(ValueError, match=f"q: {q}, expected 1 to {limit}"):
            make(q)


def test_neighbours_lie_at_their_coordinates():
    x, t = pictures(n=3), chart(4, 0.5)
    for axes in (curvature.pca_chart(pictures(n=20), 4), curvature.svd_chart(x, 4)):
        near = curvature.neighbours(x, axes, t)
        assert near.shape == (3, len(t), 3, 8, 8) and near.dtype == x.dtype
        back = (near - x[:, None]).flatten(2) @ axes.mT
        assert torch.allclose(back, t.float().expand(3, -1, -1), atol=1e-5)


def test_nearest_are_the_nearest_others():
    x = normal(40, 3)
    x[7] = x[8]  # a twin is a neighbour, at distance 0
    near = curvature.nearest(x, 5)
    for i, point in enumerate(x):
        others = torch.cat([x[:i], x[i + 1 :]])
        order = (others - point).norm(dim=1).argsort(stable=True)[:5]
        assert torch.equal((near[i] - point).norm(dim=1), (others[order] - point).norm(dim=1))
    assert torch.equal(near[7, 0], x[8])
    for count in (0, 40):
        with pytest.raises(ValueError, match=f"count: {count}, expected 1 to 39 for 40 points"):
            curvature.nearest(x, count)


def test_a_ball_is_its_points_along_its_chart():
    x, chart = pictures(3, 1), curvature.smooth_chart((1, 8, 8), 4, stream(0))
    found = curvature.Ball.drawn(3, 0.5, stream(1), chart)
    assert found.coordinates.shape == (32, 3) and torch.equal(found.chart, chart[:3])
    assert torch.equal(found.coordinates, 0.5 * curvature.ball(3, 32, stream(1)))
    assert torch.equal(found.around(x), curvature.neighbours(x, chart[:3], found.coordinates))
    counts = [len(curvature.Ball.drawn(8, 0.5, stream(1), count=count).coordinates) for count in (None, 200)]
    assert counts == [8 * (8 + 3), 200]
    z = normal(2, 32, 6)
    for one, other in zip(found.form(z), curvature.second_fundamental_form(z, found.coordinates, 0.5)):
        assert torch.equal(one, other)


def test_a_ball_without_a_chart_takes_each_images_own():
    x = pictures(3, 1)
    found = curvature.Ball.drawn(2, 0.5, stream(1))
    assert torch.equal(found.directions(x), curvature.svd_chart(x, 2))
    assert torch.equal(found.around(x), curvature.neighbours(x, curvature.svd_chart(x, 2), found.coordinates))


def test_charts_by_name():
    x = pictures(9, 1)
    found = curvature.charts(x, 3, stream(2))
    assert found["svd"] is None and torch.equal(found["pca"], curvature.pca_chart(x, 3))
    assert torch.equal(found["smooth"], curvature.smooth_chart((1, 8, 8), 3, stream(2)))
