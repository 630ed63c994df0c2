"""Statistics of a frame pushed into a layer, from its Gram matrix: gains, angles, ranks, volumes.

A `Gram` holds the inner products of k vectors J v at each of n images; J is the layer's Jacobian, v unit vectors of
pixel space. Statistics are per image, in float64, (n, ...): take ratios an image first, and medians over images after.
What is not defined, such as an angle with a vector that a layer has wiped out, or the rank of a dead network's frame,
is NaN. They are standard ones, made for the frames of Kvinge et al. (2022, arXiv:2211.10558), whose own were not seen.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from helpers.networks.numerics import double

Scalars = Float[Tensor, "n"]
PerVector = Float[Tensor, "n k"]
Frame = Float[Tensor, "n k D"]


class Gram(NamedTuple):
    """A pushed frame in one layer, in float64: all that its lengths, angles and ranks need."""

    gram: Tensor  # (n, k, k), inner products of the vectors J v
    cross: Tensor  # (n, k), inner products with the activation h
    norm: Tensor  # (n,), |h|

    def part(self, vectors: Sequence[int] | slice) -> "Gram":
        """The frame of these vectors alone."""
        return Gram(self.gram[:, vectors][:, :, vectors], self.cross[:, vectors], self.norm)


# --- Lengths ---------------------------------------------------------------------------------------------------


def gain(gram: Gram, before: Gram | None = None) -> PerVector:
    """g(v) = |J v| / |v|, (n, k): how much a layer stretches each vector. Never compare it between networks.

    Vectors are taken to be of unit length, unless `before`, their Gram at the input, says how long they are; then it is
    NaN where there is no vector, and with an earlier layer it is the gain from there on.
    """
    return _lengths(gram) / (1 if before is None else _lengths(before))


def noise_gain(noise: Gram) -> Scalars:
    """n = sqrt(mean |J u|^2) over noise vectors u of unit length, (n,)."""
    return noise.gram.diagonal(dim1=1, dim2=2).mean(1).sqrt()


def relative_gain(gram: Gram, noise: Gram | Scalars) -> PerVector:
    """rho(v) = g(v) / n, (n, k): 1 is "treated like noise"; free of the scale of a layer.

    `noise` is the Gram of noise vectors (white, or with each image's spectrum), or their gain (n,) itself.
    """
    return gain(gram) / (noise_gain(noise) if isinstance(noise, Gram) else noise)[:, None]


def sensitivity(gram: Gram) -> PerVector:
    """s(v) = |J v| / |h|, (n, k): fractional change of the activation for a unit of pixel length."""
    return _lengths(gram) / gram.norm[:, None]


def rate(before: Gram, after: Gram, noise_before: Gram | Scalars, noise_after: Gram | Scalars) -> PerVector:
    """log g(v) in a layer minus that in an earlier one, less the same for noise, (n, k): where contraction happens."""
    return (relative_gain(after, noise_after) / relative_gain(before, noise_before)).log()


def radial(gram: Gram) -> PerVector:
    """Cosine between J v and the activation h, (n, k): 1 or -1 where a vector merely scales the activation."""
    return (gram.cross / (_lengths(gram) * gram.norm[:, None])).clamp(-1, 1)


def angular_gain(gram: Gram) -> PerVector:
    """The gain of the part of J v across the activation, g sqrt(1 - r^2), (n, k)."""
    return gain(gram) * (1 - radial(gram).square()).sqrt()


def _lengths(gram: Gram) -> PerVector:
    return gram.gram.diagonal(dim1=1, dim2=2).sqrt()


# --- Angles and ranks ------------------------------------------------------------------------------------------


def cosines(gram: Gram) -> Float[Tensor, "n k k"]:
    """Cosines between the pushed vectors, (n, k, k)."""
    return unit_columns(gram).gram.clamp(-1, 1)


def unit_columns(gram: Gram) -> Gram:
    """The same frame with each pushed vector scaled to length one, so that its gain counts no more."""
    long = _lengths(gram)
    return Gram(gram.gram / (long[:, :, None] * long[:, None]), gram.cross / long, gram.norm)


def orthonormalised(gram: Gram, before: Gram) -> Gram:
    """The frame as if its vectors had been made orthonormal before they were pushed.

    `before` is their Gram at the input. The singular values then depend on the span of the vectors alone; directions
    that the vectors do not span (redundant ones) come out as 0.
    """
    values, vectors = _eigen(before.gram)
    inverse = torch.where(_alive(values), values, math.inf).rsqrt()
    turn = vectors * inverse[:, None]  # to the principal directions of the vectors
    return Gram(turn.mT @ gram.gram @ turn, (gram.cross[:, None] @ turn)[:, 0], gram.norm)


def singular_values(frames: Gram | Frame) -> PerVector:
    """Singular values of J V, largest first, (n, k), of a Gram or of the pushed vectors themselves.

    From a Gram those below 1e-8 of the largest are rounding. NaN where the frame has numbers that are not finite.
    """
    if isinstance(frames, Gram):
        return _eigen(frames.gram)[0].clamp(min=0).sqrt()
    frames = double(frames)
    finite = frames.isfinite().all((1, 2), keepdim=True)
    values = torch.linalg.svdvals(torch.where(finite, frames, 0))
    values = torch.where(finite[:, 0], values, math.nan)
    return torch.cat([values, values.new_zeros(len(values), frames.shape[1] - values.shape[1])], dim=1)


def stable_rank(frames: Gram | Frame) -> Scalars:
    """|J V|_F^2 / sigma_1^2, (n,), in [1, k]: a soft number of dimensions."""
    square = singular_values(frames).square()
    return square.sum(1) / square[:, 0]


def participation_ratio(frames: Gram | Frame) -> Scalars:
    """(sum sigma^2)^2 / sum sigma^4, (n,), in [1, k]: less ruled by the largest."""
    square = singular_values(frames).square()
    square = square / square[:, :1]
    return square.sum(1).square() / square.square().sum(1)


def effective_rank(frames: Gram | Frame) -> Scalars:
    """exp of the entropy of sigma / sum sigma, (n,), in [1, k] (Roy & Vetterli 2007, EUSIPCO)."""
    values = singular_values(frames)
    return torch.special.entr(values / values.sum(1, keepdim=True)).sum(1).exp()


def log_volume(gram: Gram, noise: Gram) -> Scalars:
    """Logarithm of the k-volume that the pushed vectors span, per vector, less that of k vectors of noise, (n,).

    NaN where either spans fewer than k dimensions: at ten logits, say, with eleven vectors. ValueError for a noise
    frame of fewer than k vectors; of more the first k are taken.
    """
    k = gram.gram.shape[1]
    if noise.gram.shape[1] < k:
        raise ValueError(f"noise: {noise.gram.shape[1]} vectors, expected at least {k}, as many as the frame has")
    return _log_root(gram) - _log_root(noise.part(slice(k)))


def principal_angles(gram: Gram, a: Sequence[int], b: Sequence[int]) -> Float[Tensor, "n m"]:
    """Angles between the spans of the vectors a and of the vectors b of a pushed frame, radians, smallest first.

    (n, min(len(a), len(b))); NaN where either span has fewer dimensions. Angles below 1e-7 are rounding.
    """
    a, b = list(a), list(b)
    if not a or not b:
        raise ValueError(f"a, b: {a}, {b}, expected the numbers of at least one vector each")
    (values_a, turn_a), (values_b, turn_b) = (_eigen(gram.part(each).gram) for each in (a, b))
    turn_a, turn_b = (
        turn * torch.where(_alive(values), values, math.inf).rsqrt()[:, None]
        for values, turn in ((values_a, turn_a), (values_b, turn_b))
    )
    between = turn_a.mT @ gram.gram[:, a][:, :, b] @ turn_b
    finite = between.isfinite().all((1, 2), keepdim=True)
    angles = torch.linalg.svdvals(torch.where(finite, between, 0)).clamp(max=1).acos()
    rank = torch.minimum(_alive(values_a).sum(1), _alive(values_b).sum(1))
    there = torch.arange(angles.shape[1], device=angles.device) < rank[:, None]
    return torch.where(there & finite[:, 0], angles, math.nan)


def _eigen(matrices: Float[Tensor, "n k k"]) -> tuple[PerVector, Float[Tensor, "n k k"]]:
    """Eigenvalues, largest first, and eigenvectors; NaN for a matrix with numbers that are not finite."""
    finite = matrices.isfinite().all((1, 2), keepdim=True)
    values, vectors = torch.linalg.eigh(torch.where(finite, matrices, 0))
    return torch.where(finite[:, 0], values, math.nan).flip(1), torch.where(finite, vectors, math.nan).flip(2)


def _alive(values: PerVector) -> Bool[Tensor, "n k"]:
    """Which eigenvalues of a Gram, largest first, are more than its rounding."""
    return values > values.shape[1] * 1e-14 * values[:, :1]


def _log_root(gram: Gram) -> Scalars:
    values, _ = _eigen(gram.gram)
    return torch.where(_alive(values).all(1), values.clamp(min=0).log().mean(1) / 2, math.nan)
