"""Metrics between representations: transport, angles, projections."""

from metrics_shared import *  # noqa: F403


def test_transport_of_unit_vectors_is_that_of_the_frame():
    """Component along the arc turns with it, the rest stays."""
    metric = AngularCKA()
    p, q, r = embedded(metric)
    v, line = metric.log(p, r), metric.log(p, q)
    omega, u = line.norm(), line / line.norm()
    expected = v - (v @ u) * u + (v @ u) * (omega.cos() * u - omega.sin() * p)
    assert close(metric.transport(v, p, q), expected, 1e-14)


@pytest.mark.parametrize("metric", [AngularShape(6), EuclideanShape(6), AngularShape()], ids=repr)
def test_transport_of_shapes_is_the_published_one(metric):
    """It keeps the Frobenius norm and the way back undoes it, but some of what arrives is a mere turn."""
    p, q, r = (metric.embed(x) for x in features(widths=(12, 12, 12)))
    v = metric.log(p, r)
    there = metric.transport(v, p, q)
    assert close(there.norm(), v.norm(), 1e-10)
    assert close(metric.transport(there, q, p), v, 1e-8)
    assert norm(metric, q, there) < 0.999 * norm(metric, p, v)
    assert float((metric.horizontal(p, v) - v).norm()) < 1e-10
    along = metric.transport(metric.log(p, q), p, q)
    assert close(along, -metric.log(q, p), 1e-8)


@pytest.mark.parametrize("metric", [AngularShape(6), AngularShape(), EuclideanShape(20)], ids=repr)
def test_the_horizontal_part_solves_a_sylvester_equation(metric):
    p = metric.embed(features()[0])[:, :9]
    v = normal(24, p.shape[1])
    square, twist = (p.mT @ p).numpy(), (p.mT @ v - v.mT @ p).numpy()
    expected = v - p @ torch.from_numpy(solve_sylvester(square, square, twist))
    found = metric.horizontal(p, v)
    assert close(found, expected, 1e-10)
    assert close(p.mT @ found, found.mT @ p, 1e-10)  # symmetric: no rotation left
    assert close(metric.inner(p, v, v), found.square().sum(), 1e-10)


def test_the_horizontal_part_at_a_shape_of_lower_rank():
    metric = AngularShape(20)
    p, v = metric.embed(features()[0]), normal(24, 20)
    found = metric.horizontal(p, v)
    assert close(metric.horizontal(p, found), found, 1e-10) and close(p.mT @ found, found.mT @ p, 1e-10)


# --- Angles


def test_the_angle_follows_the_law_of_cosines_on_the_sphere_only():
    for metric, on_sphere in ((AngularCKA(), True), (AngularShape(6), False)):
        p, q, r = embedded(metric)
        a, b, c = metric.distance(q, p), metric.distance(q, r), metric.distance(p, r)
        law = ((c.cos() - a.cos() * b.cos()) / (a.sin() * b.sin())).arccos()
        assert close(metric.angle(p, q, r), law, 1e-9) == on_sphere


@every
def test_angles_are_those_of_small_triangles(metric):
    """A small triangle is flat: law of cosines on points near the vertex; to first order in its size."""
    p, q, r = embedded(metric)
    a, b = metric.geodesic(q, p, 1e-3), metric.geodesic(q, r, 1e-3)
    x, y, z = metric.distance(q, a), metric.distance(q, b), metric.distance(a, b)
    assert close(((x**2 + y**2 - z**2) / (2 * x * y)).arccos(), metric.angle(p, q, r), 0.01)


@every
def test_where_points_coincide_there_is_no_angle(metric):
    p, q, _ = embedded(metric)
    near = metric.geodesic(p, q, 1e-9)
    for a, b, c in ((p, p, q), (q, p, p), (p, p, p), (near, p, q), (q, p, near)):
        assert metric.angle(a, b, c).isnan()
    assert close(metric.angle(q, p, q), 0, 1e-7)
    assert metric.angle(metric.geodesic(p, q, 1e-3), p, q) < 1e-4


@pytest.mark.parametrize("turned", [1e-9, 1e-5, 1.0, math.pi - 1e-5, math.pi - 1e-9])
def test_angles_keep_their_digits_near_zero_and_pi(turned):
    metric = AngularCKA()
    p, q, r = embedded(metric)
    u = metric.log(q, p)
    v = metric.log(q, r)
    v = v - (v @ u) / (u @ u) * u
    direction = math.cos(turned) * u / u.norm() + math.sin(turned) * v / v.norm()
    found = float(metric.angle(p, q, metric.exp(q, 0.3 * direction)))
    assert found == pytest.approx(turned, abs=1e-13)


def test_the_angle_at_a_corner_of_shape_space():
    """A vertex of lower rank than both neighbours leaves them free to turn: the angle is the least of all turns."""
    metric = AngularShape(3)
    x = torch.linalg.qr(torch.cat([torch.ones(12, 1, dtype=torch.float64), normal(12, 6)], 1)).Q[:, 1:]
    q = metric.embed(x[:, :1])
    p, r = metric.embed(x[:, :3] + 0.1 * x[:, 3:]), metric.embed(x[:, [0, 4, 5]] + 0.3 * x[:, 1:4])
    u, v = metric.log(q, p), metric.log(q, r)
    turns = np.linspace(0, 2 * math.pi, 2001)
    least = math.pi
    for flip in (1, -1):
        c, s = torch.from_numpy(np.cos(turns)), torch.from_numpy(np.sin(turns))
        turn = torch.zeros(len(turns), 3, 3, dtype=torch.float64)
        turn[:, 0, 0] = 1
        turn[:, 1, 1], turn[:, 1, 2], turn[:, 2, 1], turn[:, 2, 2] = c, -flip * s, s, flip * c
        cosine = (u * (v @ turn)).sum((1, 2)) / u.norm() / v.norm()
        least = min(least, float(cosine.max().arccos()))
    assert float(metric.angle(p, q, r)) == pytest.approx(least, abs=1e-5)
    for seed in range(3):  # however the embedding happened to turn
        turn = torch.block_diag(torch.eye(1, dtype=torch.float64), rotation(2, seed))
        assert close(metric.angle(p @ rotation(3, seed), q @ turn, r), metric.angle(p, q, r), 1e-10)


# --- Projections


@every
@given(SEEDS, st.floats(-0.3, 1.3))
@few
def test_a_point_of_the_geodesic_is_its_own_projection(metric, seed, t):
    p, q, _ = embedded(metric, seed)
    unit = max(1, float(metric.distance(p, q)))
    found, off = metric.project(metric.geodesic(p, q, t), p, q)
    assert close(off, 0, 1e-6 * unit)
    assert close(found, t, 1e-6)


@every
@given(SEEDS)
@few
def test_the_projection_is_the_nearest_point_at_a_right_angle(metric, seed):
    p, q, r = embedded(metric, seed)
    t, off = metric.project(r, p, q)
    unit = max(1.0, float(metric.distance(p, q)))
    foot = metric.geodesic(p, q, t)
    assert close(metric.distance(foot, r), off, 1e-8 * unit)
    assert close(metric.angle(metric.geodesic(p, q, t + 0.1), foot, r), math.pi / 2, 1e-5)
    places = t + torch.linspace(-1e-3, 1e-3, 9), torch.linspace(-1, 2, 61)
    near, others = (metric.distance(metric.geodesic(p, q, s), r) for s in places)
    assert (near >= off - 1e-8 * unit).all()
    # Distances from the geodesic of a shape have several minima, of which two can be closer than the search looks.
    assert (others >= off * (0.99 if metric in SHAPES else 1) - 1e-8 * unit).all()


@given(SEEDS)
@few
def test_pythagoras_on_the_sphere(seed):
    metric = AngularCKA()
    p, q, r = embedded(metric, seed)
    t, off = metric.project(r, p, q)
    hypotenuse, leg = metric.distance(r, q), (1 - t) * metric.distance(p, q)
    assert close(hypotenuse.cos(), off.cos() * leg.cos(), 1e-12)


@every
def test_on_a_geodesic_without_length_there_is_no_position(metric):
    p, q, r = embedded(metric)
    for other in (p, metric.geodesic(p, q, 1e-10)):
        t, off = metric.project(r, p, other)
        assert t.isnan() and close(off, metric.distance(r, p), 1e-7 * max(1, float(off)))


def test_from_a_pole_all_positions_are_equal():
    axes = torch.eye(3, dtype=torch.float64)
    t, off = AngularCKA().project(axes[2], axes[0], axes[1])
    assert t.isnan() and close(off, math.pi / 2, 1e-15)


def test_between_antipodes_there_is_no_direction():
    p = embedded(AngularCKA())[0]
    assert AngularCKA().log(p, -p).isnan().all() and close(AngularCKA().distance(p, -p), math.pi, 1e-15)


@given(st.lists(st.floats(-0.9, 0.9), min_size=1, max_size=5))
@few
def test_roots_of_a_batch(places):
    """Against the roots of one function at a time."""
    slope = lambda t, place: (t - place) * (1 + 5 * (t + 1) ** 4) + 3 * (t - place) ** 3 - 0.1
    at = torch.tensor(places, dtype=torch.float64)
    found = root(lambda t: slope(t, at), -torch.ones_like(at), torch.ones_like(at))
    for value, place in zip(found.tolist(), places):
        assert value == pytest.approx(brentq(slope, -1, 1, args=(place,)), abs=1e-10)
