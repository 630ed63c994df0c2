"""How curved the image manifold is at a layer: CAML as published, an invariant estimator, and neighbourhoods.

`caml` is the faithful arm (Kaufman & Azencot 2023, after Li 2018): tangent space and curvatures both come from
the neighbours' activations. `second_fundamental_form` is the corrected arm: the neighbours' coordinates in a
chart of the input are known, so one linear fit, the same for all points and layers, gives the pull-back of the
layer, and from it measures that do not depend on units, axes or the number of normals.
"""

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from helpers.layers import double

CHUNK, ROWS = 8, 64  # points at a time, and rows of each: larger batches leave the processor's cache


def _quadratic_design(u: Float[Tensor, "... K q"]) -> Float[Tensor, "... K P"]:
    """Columns u_i, then u_i u_j for i <= j with weight 1/2 on the squares: f(u) = b.u + u'Hu / 2, P = q + q(q+1)/2."""
    rows, columns = torch.triu_indices(u.shape[-1], u.shape[-1], device=u.device)
    weight = torch.where(rows == columns, 0.5, 1.0).to(u.dtype)
    return torch.cat([u, u[..., rows] * u[..., columns] * weight], dim=-1)


def _symmetric(upper: Float[Tensor, "... P2"], q: int) -> Float[Tensor, "... q q"]:
    """The symmetric matrices whose upper triangles are given row by row."""
    rows, columns = torch.triu_indices(q, q, device=upper.device)
    full = upper.new_empty(*upper.shape[:-1], q, q)
    full[..., rows, columns] = upper
    full[..., columns, rows] = upper
    return full


def _shaped(name: str, value: Tensor, shape: str) -> None:
    if value.ndim != shape.count(",") + 1:
        raise ValueError(f"{name}: shape {tuple(value.shape)}, expected {shape}")


def _finite(name: str, total: Tensor) -> None:
    """Refuse what sums to NaN or infinity: one pass where torch.isfinite on every entry takes forty times as long."""
    if not total.isfinite().all():
        raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")


# --- The faithful arm ------------------------------------------------------------------------------------------


def _principal_coordinates(z: Float[Tensor, "n K D"]) -> Float[Tensor, "n K r"]:
    """Coordinates of the rows of z in their own singular directions, largest first: S V' of z' = U S V'."""
    if z.shape[2] < z.shape[1]:
        return z @ _left_singular(z.mT)[0]
    vectors, values = _left_singular(z)
    return vectors * values[:, None].clamp(min=0).sqrt()


def _left_singular(z: Float[Tensor, "n r m"]) -> tuple[Float[Tensor, "n r r"], Float[Tensor, "n r"]]:
    """Left singular vectors of z, r at most m, and the squares of its singular values, largest first.

    From the smaller Gram matrix, which costs one matrix product where an SVD costs many. A Gram matrix squares
    the condition number, so directions below 1e-4 of the largest are decomposed once more, alone: what remains
    after the large directions are projected out has a Gram matrix of its own scale, exact again.
    """
    values, vectors = torch.linalg.eigh(z @ z.mT)  # ascending
    settled, known = [], []
    while True:
        small = int((values < 1e-8 * values[:, -1:]).sum(1).max())
        if small in (0, values.shape[1]):
            break
        settled.append(vectors[..., small:])
        known.append(values[:, small:])
        basis = vectors[..., :small]
        rest = basis.mT @ z
        values, turn = torch.linalg.eigh(rest @ rest.mT)
        vectors = basis @ turn
        if values[:, -1].max() < 1e-24 * known[0].sum(1).min():
            break  # only rounding is left
    parts = [*settled, vectors], [*known, values]
    return tuple(torch.cat([part.flip(-1) for part in each], dim=-1) for each in parts)


def _published_coordinates(z: Float[Tensor, "n K D"]) -> Float[Tensor, "n K r"]:
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    return u * s[:, None]


def caml(
    points: Float[Tensor, "n D"],
    neighbours: Float[Tensor, "n K D"],
    dim: int,
    *,
    dtype: torch.dtype | None = None,
    cutoff: float | None = None,
) -> Float[Tensor, "n normals dim"]:
    """Principal curvatures by curvature-aware manifold learning, as the published code computes them.

    Centre the neighbours on the point, take the first `dim` singular directions as tangent, fit each of the
    other min(D, K) - dim coordinates by b.u + u'Hu / 2 without a constant, and return the eigenvalues of each H
    (Kaufman & Azencot 2023; Li 2018, Pattern Recognition 83:273). The slope b is fitted and then ignored, as
    published. Units: one over the units of the activations.

    Args:
        points: (n, D), centres.
        neighbours: (n, K, D), each centre's neighbours.
        dim: intrinsic dimension d of the manifold, at least 1 and below min(D, K).
        dtype: `torch.float32` runs the published solver (SVD and pseudo-inverse in single precision);
            the default, float64, computes the same through Gram matrices and several times faster.
        cutoff: relative singular value below which the fit drops a direction of the design; by default
            max(K, P) times the precision of `dtype`, torch's own. In float32 that default deletes the whole
            quadratic part once neighbours lie closer than about 1e-4.

    Returns:
        (n, min(D, K) - d, d), ascending along the last axis. Their mean absolute value is the MAPC.

    Raises:
        ValueError: shapes that do not fit, NaN, or a dimension out of range.
    """
    _shaped("points", points, "(n, D)")
    _shaped("neighbours", neighbours, "(n, K, D)")
    if neighbours.shape[0] != points.shape[0] or neighbours.shape[2] != points.shape[1]:
        raise ValueError(f"neighbours: shape {tuple(neighbours.shape)}, expected ({points.shape[0]}, K, {points.shape[1]})")
    normals = min(neighbours.shape[1:]) - dim
    if dim < 1 or normals < 1:
        raise ValueError(f"dim: {dim}, expected at least 1 and below min(D, K) = {normals + dim}")
    _finite("points", points.sum())
    _finite("neighbours", neighbours.sum())
    if dtype not in (None, torch.float32, torch.float64):
        raise ValueError(f"dtype: {dtype}, expected torch.float32 or torch.float64")
    single = dtype == torch.float32
    coordinates = _published_coordinates if single else _principal_coordinates
    curvatures = []
    for centre, around in zip(points.split(CHUNK), neighbours.split(CHUNK)):
        z = (around.float() - centre.float()[:, None]) if single else (double(around) - double(centre)[:, None])
        c = coordinates(z)
        fit = torch.linalg.pinv(_quadratic_design(c[..., :dim]), rtol=cutoff) @ c[..., dim:]  # (n, P, normals)
        curvatures.append(torch.linalg.eigvalsh(_symmetric(fit[:, dim:].mT, dim)))
    return torch.cat(curvatures)


# --- The corrected arm -----------------------------------------------------------------------------------------


class Form(NamedTuple):
    """What a layer does to a small ball of inputs, to second order; every field (n,)."""

    bend: Tensor  # departure from flatness over displacement, both rms over the ball; no unit, no inverse metric
    kappa_rms: Tensor  # rms normal curvature over unit tangents, 1/units; NaN where cond > 100
    norm: Tensor  # Frobenius norm of the second fundamental form, 1/units; NaN where cond > 100
    scale: Tensor  # rms displacement over the ball, units of the activations
    cond: Tensor  # condition number of the metric g = JJ'
    r2: Tensor  # share of the squared displacements that the quadratic fit explains


def _product(a: Float[Tensor, "P K"], z: Float[Tensor, "n K D"]) -> tuple[Float[Tensor, "n P D"], Float[Tensor, "n"]]:
    """a @ z in float64, and the sum of squares of each z; on a CPU by blocks of rows, while they are in the cache.

    Layers have a power of two of features more often than not. The rows of such a z collide in the cache, and its
    product takes two to three times as long as one with a few columns more: hence the wider buffer.
    """
    if z.device.type != "cpu":
        z = double(z)
        return a @ z, torch.linalg.vector_norm(z.flatten(1), dim=1) ** 2
    n, count, features = z.shape
    out, square = a.new_empty(n, len(a), features), a.new_zeros(n)
    buffer = a.new_empty(min(n, CHUNK), ROWS, features + 8)
    for few, found, squares in zip(z.split(CHUNK), out.split(CHUNK), square.split(CHUNK)):
        for start in range(0, count, ROWS):
            block = few[:, start : start + ROWS]
            block = buffer[: len(few), : block.shape[1], :features].copy_(block)
            found.baddbmm_(a[:, start : start + ROWS].expand(len(few), -1, -1), block, beta=min(start, 1))
            squares += torch.linalg.vector_norm(block, dim=2).square().sum(1)
    return out, square


def _normal_part(
    j: Float[Tensor, "n q D"], h: Float[Tensor, "n P2 D"], g: Float[Tensor, "n q q"]
) -> Float[Tensor, "n P2 D"]:
    """h without its components along the rows of j, in place.

    The tangent basis is orthonormalised from the principal directions of g, largest first. Directions that the
    layer has wiped out (below 1e-7 of the largest: rounding) span nothing, and nothing is projected on them.
    """
    values, turn = torch.linalg.eigh(g)
    rows = turn.flip(-1).mT @ j
    alive = values.flip(-1) > 1e-14 * values[:, -1:]
    basis = torch.linalg.qr(rows.mT).Q  # (n, D, min(D, q))
    basis = basis * alive[:, None, : basis.shape[-1]]
    return h.baddbmm_(h @ basis, basis.mT, alpha=-1)


def second_fundamental_form(
    displacements: Float[Tensor, "n K D"], coordinates: Float[Tensor, "K q"], radius: float | None = None
) -> Form:
    """Curvature of a layer on a chart of its input, free of units, axes, and the number of normals.

    Fits f(x + t) - f(x) = J't + H(t, t) / 2 once for all points (the coordinates are shared), and takes the part
    N of H normal to the range of J. The headline is bend = rms |N(t, t) / 2| / rms |J't| over the ball; on a
    sphere of radius r it is (eps / 2r) sqrt((q + 2) / (q + 4)). `kappa_rms` is the root mean square normal
    curvature over unit tangents, sqrt((2 |II|^2 + |tr II|^2) / (q (q + 2))), 1/r on a sphere in any dimension.

    Args:
        displacements: (n, K, D), the neighbours' activations minus their centre's.
        coordinates: (K, q), the neighbours in the chart, the same for every centre, spread over a ball around
            0; K at least q + q(q+1)/2.
        radius: eps, the ball's radius; by default the one whose uniform ball has the coordinates' mean square.

    Raises:
        ValueError: shapes that do not fit, NaN, a radius that is not positive, too few neighbours, or
            coordinates on which a quadratic form is not determined (corners of a box, say).
    """
    _shaped("displacements", displacements, "(n, K, D)")
    _shaped("coordinates", coordinates, "(K, q)")
    _finite("coordinates", coordinates.sum())
    (count, q), terms = coordinates.shape, coordinates.shape[1] * (coordinates.shape[1] + 3) // 2
    if displacements.shape[1] != count or count < terms:
        raise ValueError(f"displacements: {displacements.shape[1]} neighbours for {count} coordinates, "
                         f"expected the same number, at least {terms} for q = {q}")  # fmt: skip
    t = double(coordinates).to(double(displacements[:0]).device)
    radius = math.sqrt(float(t.square().sum(1).mean()) * (q + 2) / q) if radius is None else radius
    if not radius > 0:
        raise ValueError(f"radius: {radius}, expected a positive length")
    design = _quadratic_design(t / radius)
    if torch.linalg.matrix_rank(design) < terms:
        raise ValueError(f"coordinates: they determine {int(torch.linalg.matrix_rank(design))} of the {terms} terms "
                         "of a quadratic form, expected all of them (points in a ball, not on corners)")  # fmt: skip

    # From here on lengths in the chart are in units of the radius.
    fit, square = _product(torch.linalg.pinv(design), displacements)  # (n, P, D): the only product in which K and D meet
    _finite("displacements", square)
    explained = (design.T @ design * (fit @ fit.mT)).sum((1, 2)) / square
    j, h = fit[:, :q], fit[:, q:]
    g = j @ j.mT
    values = torch.linalg.eigvalsh(g)
    cond = values[:, -1] / values[:, 0].clamp(min=0)
    normal = _normal_part(j, h, g)
    gram = normal @ normal.mT
    bend, scale = _over_the_ball(gram, g, q)
    norm, kappa = _over_unit_tangents(gram, g, q, cond <= 100)
    return Form(bend, kappa, norm, scale, cond, explained)


def _pairs(gram: Float[Tensor, "n P2 P2"], q: int) -> Float[Tensor, "n q2 q2"]:
    """Inner products N_ij . N_kl for all i, j, k, l, from those of the upper triangle."""
    index = _symmetric(torch.arange(gram.shape[1], device=gram.device, dtype=torch.float32), q).long().flatten()
    return gram[:, index][:, :, index]


def _over_the_ball(gram: Float[Tensor, "n P2 P2"], g: Float[Tensor, "n q q"], q: int) -> tuple[Tensor, Tensor]:
    """Bend and scale: moments of the uniform unit ball, E t_i t_j = delta / (q + 2) and the fourth by Wick's rule."""
    eye = torch.eye(q, dtype=g.dtype, device=g.device).flatten()
    pairs = _pairs(gram, q)
    fourth = 2 * pairs.diagonal(dim1=1, dim2=2).sum(1) + eye @ (pairs @ eye).mT
    scale = (g.diagonal(dim1=1, dim2=2).sum(1) / (q + 2)).sqrt()
    return (fourth.clamp(min=0) / (4 * (q + 2) * (q + 4))).sqrt() / scale, scale


def _over_unit_tangents(
    gram: Float[Tensor, "n P2 P2"], g: Float[Tensor, "n q q"], q: int, sound: Tensor
) -> tuple[Tensor, Tensor]:
    """Norm of II and rms normal curvature, in an orthonormal tangent frame; NaN where the metric is not `sound`."""
    eye = torch.eye(q, dtype=g.dtype, device=g.device)
    inverse = torch.linalg.inv(torch.where(sound[:, None, None], g, eye))
    pairs = _pairs(gram, q)
    both = torch.einsum("nik,njl->nijkl", inverse, inverse).reshape(len(g), q * q, q * q)
    square = (both * pairs).sum((1, 2))
    trace = (inverse.reshape(len(g), 1, q * q) @ pairs @ inverse.reshape(len(g), q * q, 1)).flatten()
    kappa = ((2 * square + trace) / (q * (q + 2))).clamp(min=0).sqrt()
    nan = torch.full_like(kappa, math.nan)
    return torch.where(sound, square.clamp(min=0).sqrt(), nan), torch.where(sound, kappa, nan)


# --- Neighbourhoods --------------------------------------------------------------------------------------------


def ball(q: int, count: int, generator: torch.Generator, dtype: torch.dtype = torch.float64) -> Float[Tensor, "K q"]:
    """`count` points (even) uniform in the unit ball of R^q, in antithetic pairs t, -t.

    Pairs make the odd and the even terms of a quadratic fit independent, so that neither leaks into the other.
    """
    if q < 1 or count < 2 or count % 2:
        raise ValueError(f"q, count: {q}, {count}, expected q at least 1 and an even count of at least 2")
    direction = torch.randn(count // 2, q, generator=generator, dtype=dtype)
    length = torch.rand(count // 2, 1, generator=generator, dtype=dtype) ** (1 / q)
    half = length * direction / direction.norm(dim=1, keepdim=True)
    return torch.cat([half, -half])


def pca_chart(images: Float[Tensor, "n C H W"], q: int) -> Float[Tensor, "q D"]:
    """The q leading principal directions of the images, orthonormal: one chart for every image."""
    flat = double(images.flatten(1))
    if not 1 <= q <= min(flat.shape):
        raise ValueError(f"q: {q}, expected 1 to {min(flat.shape)} for images of shape {tuple(images.shape)}")
    return torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:q].to(images.dtype)


def svd_chart(images: Float[Tensor, "n C H W"], q: int) -> Float[Tensor, "n q D"]:
    """Each image's own q smallest singular directions, the ones that `svd_corners` switches, made unit vectors."""
    if not 1 <= q <= min(images.shape[2:]):
        raise ValueError(f"q: {q}, expected 1 to {min(images.shape[2:])} for images of shape {tuple(images.shape)}")
    u, s, vh = torch.linalg.svd(images, full_matrices=False)
    # A direction that the image lacks (singular value 0) is kept as a direction: hence u v', not s u v'.
    parts = torch.einsum("nchj,ncjw->njchw", u[..., -q:], vh[:, :, -q:])
    return parts.flatten(2) / math.sqrt(images.shape[1])


def smooth_chart(shape: tuple[int, int, int], q: int, generator: torch.Generator) -> Float[Tensor, "q D"]:
    """q random smooth directions (white noise damped as 1/frequency^2), orthonormal: a chart that no data chose."""
    channels, height, width = shape
    if not 1 <= q <= channels * height * width:
        raise ValueError(f"q: {q}, expected 1 to {channels * height * width} for images of shape {shape}")
    frequency = torch.fft.fftfreq(height)[:, None] ** 2 + torch.fft.rfftfreq(width)[None] ** 2
    noise = torch.randn(q, *shape, generator=generator, dtype=torch.float64)
    spectrum = torch.fft.rfft2(noise) / (frequency + 1 / (height * width))
    fields = torch.fft.irfft2(spectrum, s=(height, width)).flatten(1)
    return torch.linalg.qr(fields.T).Q.T.float()


def neighbours(
    images: Float[Tensor, "n C H W"], chart: Float[Tensor, "*n q D"], coordinates: Float[Tensor, "K q"]
) -> Float[Tensor, "n K C H W"]:
    """The images x + t.chart for every image and every coordinate t (input units)."""
    steps = coordinates.to(images) @ chart.to(images)  # (K, D) or (n, K, D)
    return (images.flatten(1)[:, None] + steps).unflatten(2, images.shape[1:])


def svd_corners(images: Float[Tensor, "n C H W"], keep: int = 10) -> Float[Tensor, "n K C H W"]:
    """The published neighbourhood: each image without some of its smallest singular values.

    Per channel, the last q = min(rank, keep) retained singular values are switched on and off in all patterns
    but "all on", the same pattern in each channel: K = 2^q - 1 corners of a box that hangs off the image. The
    rank is the smallest in the batch, as published, and what lies beyond it is dropped from every neighbour.

    Raises:
        ValueError: `keep` not in 1..12, or an image without any non-zero pixel.
    """
    if not 1 <= keep <= 12:
        raise ValueError(f"keep: {keep}, expected 1 to 12 (there are 2^keep - 1 neighbours)")
    u, s, vh = torch.linalg.svd(images, full_matrices=False)
    tolerance = s.amax(-1, keepdim=True) * max(images.shape[2:]) * torch.finfo(torch.float32).eps
    rank = int((s > tolerance).sum(-1).min())
    if rank == 0:
        raise ValueError("images: one has a channel of zeros, expected at least one non-zero singular value")
    q = min(rank, keep)
    patterns = torch.arange(2**q - 1, device=images.device)[:, None] >> torch.arange(q, device=images.device) & 1
    kept = torch.cat([patterns.new_ones(2**q - 1, rank - q), patterns], dim=1).to(images.dtype)
    return torch.einsum("ncij,ncj,kj,ncjw->nkciw", u[..., :rank], s[..., :rank], kept, vh[:, :, :rank])


def nearest(points: Float[Tensor, "n D"], count: int) -> Float[Tensor, "n K D"]:
    """Each point's `count` nearest others (n, K, D): the published neighbourhood of the input layer."""
    if not 1 <= count < len(points):
        raise ValueError(f"count: {count}, expected 1 to {len(points) - 1} for {len(points)} points")
    distance = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    distance.fill_diagonal_(math.inf)  # a point is not its own neighbour
    return points[distance.topk(count, largest=False).indices]
