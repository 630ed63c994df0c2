"""Singular directions of displacements, for less than an SVD costs.

CAML reads little of the decomposition Z = V S W' of a point's K displacements: the first d of its principal
coordinates, the columns of V S, and how a few columns fit the others. W is not read, and V only through products.
"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import eigh_tridiagonal, qr
from scipy.linalg.blas import dsyrk
from scipy.linalg.lapack import dormqr, dsytrd
from torch import Tensor

from helpers.networks.numerics import numpy_stream

BLOCK = 64  # columns that LAPACK reflects at a time; mixtures of features that are tried
SHORT = 1e-5  # beside the longest: a Gram matrix in float64 keeps too few digits of such directions
SHORT_TANGENT = 1e-2  # the same of a tangent direction, by the square of whose length curvatures are divided

Inverse = Callable[[Float[Tensor, "*n K dim"]], Float[Tensor, "*n P K"]]


def fit_at_once(
    z: Float[Tensor, "n K D"], dim: int, inverse: Inverse, exact: bool = True
) -> Float[Tensor, "n P normals"]:
    """inverse(tangent) @ normal, of the first `dim` and the other principal coordinates of each z, on any device.

    In float64 through Gram matrices; unless `exact`, by an SVD in the precision of z.
    """
    coordinates = _principal_coordinates(z) if exact else _by_svd(z)
    return inverse(coordinates[..., :dim]) @ coordinates[..., dim:]


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


def _by_svd(z: Float[Tensor, "n K D"]) -> Float[Tensor, "n K r"]:
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    return u * s[:, None]


def fit_by_point(
    z: Float[Tensor, "n K D"], dim: int, inverse: Inverse, exact: bool = True
) -> Float[Tensor, "n P normals"]:
    """The same on a CPU, in half of the time and less; `inverse` is asked in the precision of z.

    One point after the other, as LAPACK does with a batch, too. Unless `exact`, as accurate as an SVD in float32.
    """
    return torch.stack([_fit(one.detach(), dim, inverse, dim if exact else None) for one in z])


def _fit(z: Float[Tensor, "K D"], dim: int, inverse: Inverse, tangents: int | None) -> Float[Tensor, "P normals"]:
    around, narrow = z.double().numpy(), z.shape[1] < z.shape[0]
    axes = Directions(around.T if narrow else around, tangents)
    tangent = around @ axes.first(dim) if narrow else axes.first(dim) * axes.lengths[:dim]
    rows = inverse(torch.from_numpy(tangent).to(z.dtype)).double().numpy()
    fitted = axes.along((rows @ around).T) if narrow else axes.along(rows.T) * axes.lengths[:, None]
    return torch.from_numpy(fitted[dim:]).to(z.dtype).mT


class Directions:
    """Left singular directions V of z (r, m), r at most m, longest first, as what they do to a few columns.

    From the eigenvectors of the Gram matrix zz' = H T H': reflections H make it tridiagonal, and V = H E with E the
    eigenvectors of T. To multiply H by E would take as long as to find both, so V stays a product.

    A Gram matrix squares the condition number. Lengths come out to 1e-8 of the longest, as from an SVD in single
    precision, and shorter directions are a mixture. Where `tangents`, the number of directions that span a tangent
    space, is given, what is `SHORT` is decomposed once more, alone: without the long directions it has a Gram matrix
    of its own scale, exact again. Below the `floor` it is rounding: nothing, of length 0.
    """

    def __init__(self, z: Float[np.ndarray, "r m"], tangents: int | None = None, floor: float | None = None):
        gram = dsyrk(1.0, np.asfortranarray(z.T), trans=1, lower=1)
        reflections, diagonal, beside, self._scales, _ = dsytrd(gram, lower=1, lwork=BLOCK * len(z), overwrite_a=1)
        self._reflections = np.asfortranarray(reflections[1:, :-1])
        values, vectors = eigh_tridiagonal(diagonal, beside)
        self.lengths, self._turn, self._rest = np.sqrt(values[::-1].clip(0)), vectors[:, ::-1], None
        if tangents is not None:
            relative = self.lengths / (self.lengths[0] or 1)
            long = int((relative > (SHORT if relative[tangents - 1] > SHORT_TANGENT else SHORT_TANGENT)).sum())
            if 0 < long < len(z):
                # Long directions turn by rounding, more so the shorter they are, and leave that much of themselves.
                rounding = max(1e-14, 4e-16 / relative[long - 1]) * np.linalg.norm(self.lengths)
                self._deflate(z, long, max(tangents - long, 1), rounding if floor is None else floor)

    def _deflate(self, z: Float[np.ndarray, "r m"], long: int, tangents: int, floor: float) -> None:
        """Decompose what is left of z without its longest directions.

        Random mixtures of features span it if it has fewer directions than they are: the rest is only rounding.
        """
        left, self._turn = self._turn[:, long:], self._turn[:, :long]
        drawn = numpy_stream(0, "mixtures of features").standard_normal((z.shape[1], min(BLOCK, left.shape[1])))
        span, sizes, _ = qr(left.T @ self._reflected(z @ drawn, "T"), mode="economic", pivoting=True)
        rank = int((np.abs(sizes.diagonal()) > floor).sum())
        self._basis = self._reflected(left if rank == BLOCK else left @ span[:, :rank], "N")
        self.lengths[long:] = 0
        if rank:
            self._rest = Directions(self._basis.T @ z, tangents, floor)
            self.lengths[long : long + len(self._rest.lengths)] = self._rest.lengths

    def _reflected(self, columns: Float[np.ndarray, "r k"], transposed: str) -> Float[np.ndarray, "r k"]:
        """H ("N") or H' ("T") times the columns; the first row stays as it is."""
        out = np.array(columns, order="F")
        if len(out) > 1:
            space = BLOCK * (BLOCK + 1 + out.shape[1])
            out[1:] = dormqr("L", transposed, self._reflections, self._scales, out[1:], space)[0]
        return out

    def first(self, count: int) -> Float[np.ndarray, "r count"]:
        """The longest directions; those of length 0 are left out, as zeros."""
        found = np.zeros((len(self.lengths), count))
        known = min(count, self._turn.shape[1])
        found[:, :known] = self._reflected(self._turn[:, :known], "N")
        if self._rest is not None and known < count:
            more = self._rest.first(min(count - known, len(self._rest.lengths)))
            found[:, known : known + more.shape[1]] = self._basis @ more
        return found

    def along(self, columns: Float[np.ndarray, "r k"]) -> Float[np.ndarray, "r k"]:
        """Components of the columns along every direction, V' times them."""
        found, known = np.zeros(columns.shape), self._turn.shape[1]
        found[:known] = self._turn.T @ self._reflected(columns, "T")
        if self._rest is not None:
            found[known : known + len(self._rest.lengths)] = self._rest.along(self._basis.T @ columns)
        return found
