"""Images sought from their codes: descent on pixels until a layer sees in them what it saw in another image.

A layer's code f(a) of an image a is the target y; from a start a_0, usually noise, an image a_g is sought whose code is
near y. Where a_g is nearer in code than a slightly noisy copy of a, but farther in pixels, the layer has kept little of
the image. Badger (2022), Depth and representation in vision models, arXiv:2211.06496, of which the abstract, the
author's pages and his code were at hand. The relative loss is that of Mahendran & Vedaldi (2015), arXiv:1412.0035.
Codes are compared flattened, by Euclidean distance; so are images.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.linalg import vector_norm

from helpers import layers
from helpers.layers import Point, double

Images = Float[Tensor, "n *shape"]
Scalars = Float[Tensor, "n"]
Map = Callable[[Tensor], Tensor]

HISTORY = 20  # pairs that L-BFGS remembers
HALVINGS = 20  # of a step that does not reduce the loss, before its direction is given up
ARMIJO = 1e-4  # share of the decrease that the slope promises, for a step to be accepted
CURVATURE = 1e-10  # least cosine of a step and the gradient's change, for the pair to be remembered
SIGMAS = torch.logspace(-3, 0, 17, dtype=torch.float64).tolist()  # of pixel noise, pixels being in [0, 1]


@dataclass(frozen=True)
class Procedure:
    """How an image is sought: first-order steps, then L-BFGS. ValueError for values out of range.

    Attributes:
        loss: "l1", the sum of absolute differences of codes; "relative", their squared distance over the target's
            squared length (over 1 for a target of zeros).
        step: "plain", rate times gradient; "normalised", rate times gradient over its root mean square in each image;
            "adam" (betas 0.9 and 0.999), whose state belongs to each pixel.
        rate: of the first and of the last step.
        decay: "linear" or "cosine", of the rate in between.
        steps: how many.
        blur: the standard deviation, in pixels, of a 3 x 3 Gaussian applied after every step (edges are mirrored), at
            the first and the last step, linear in between.
        constant: factor of the loss; it matters to plain steps alone.
        polish: L-BFGS steps on the relative loss afterwards (history 20, halved to Armijo's condition), unblurred.
    """

    loss: str = "l1"
    step: str = "normalised"
    rate: tuple[float, float] = (0.03, 0.003)
    decay: str = "linear"
    steps: int = 500
    blur: tuple[float, float] | None = None
    constant: float = 1.0
    polish: int = 0

    def __post_init__(self) -> None:
        allowed = {"loss": ("l1", "relative"), "step": ("plain", "normalised", "adam"), "decay": ("linear", "cosine")}
        for name, names in allowed.items():
            if (value := getattr(self, name)) not in names:
                raise ValueError(f"{name}={value!r}: expected one of {', '.join(names)}")
        for name in ("rate", "blur", "constant"):
            value = getattr(self, name)
            pair = () if value is None else value if isinstance(value, tuple) else (value,)
            if not all(0 < each < math.inf for each in pair):
                raise ValueError(f"{name}={value}: expected positive numbers")
        if min(self.steps, self.polish) < 0 or self.steps + self.polish == 0:
            raise ValueError(f"steps={self.steps}, polish={self.polish}: expected none negative, and at least one step")

    def at(self, step: int) -> tuple[float, float | None]:
        """The rate and the blur's standard deviation of a step, counted from 0."""
        done = step / max(1, self.steps - 1)
        part = done if self.decay == "linear" else (1 - math.cos(math.pi * done)) / 2
        between = lambda ends, share: ends[0] + share * (ends[1] - ends[0])
        return between(self.rate, part), None if self.blur is None else between(self.blur, done)


LITERAL = Procedure(step="plain", rate=(0.1, 0.1), blur=(2.4, 0.4), constant=0.15)  # the author's code
PRIMARY = Procedure()
STRONG = Procedure(loss="relative", step="adam", rate=(0.05, 0.0005), decay="cosine", steps=2000, polish=200)


class Inverted(NamedTuple):
    """What `invert` found for n images; distances in the images' precision."""

    images: Tensor  # (n, *shape) the last iterate a_g
    best: Tensor  # (n, *shape) the iterate whose code was nearest to the target, the start included
    residual: Tensor  # (n,) m_g, distance of the last iterate's code from the target
    best_residual: Tensor  # (n,)
    length: Tensor  # (n,) |y|
    steps: list[int]  # t of them, about log-spaced; 0 is the start
    residuals: Tensor  # (n, t) m_g there
    errors: Tensor  # (n, t) m_i = |a - a_g| there
    diverged: Tensor  # (n,) bool: the last residual exceeds the first, or one was not finite


def invert(
    model: nn.Module,
    point: Point,
    images: Images,
    start: Images,
    procedure: Procedure = PRIMARY,
    *,
    normalise: Map | None = None,
    logged: int = 20,
    target: Float[Tensor, "n ..."] | None = None,
) -> Inverted:
    """Seeks, from the start, images whose code at the point is that of the images; all at once.

    The loss is a sum of losses of single images and nothing couples them. The forward pass stops at the point, weights
    carry no gradient meanwhile, and float32 is not rounded to TF32. An image whose code or gradient is not finite stays
    at its last finite iterate, flagged as diverged.

    Args:
        model: in evaluation mode.
        point: as in `layers.record`.
        images: (n, *shape), the targets, of the network's precision and on its device; repeated for several starts.
        start: as images.
        normalise: applied to images first, as a part of the network.
        logged: steps at which distances are kept, about.
        target: (n, ...), codes to seek in place of those of the images, to which `errors` still refer.

    Raises:
        ValueError: a network in training mode; shapes, precisions or values that do not fit; an unknown point.
    """
    _checked(model, images, start)
    if procedure.blur and (images.ndim != 4 or min(images.shape[2:]) < 2):
        raise ValueError(f"images: shape {tuple(images.shape)}, expected (n, c, h, w), h, w at least 2, to be blurred")
    if logged < 2:
        raise ValueError(f"logged: {logged}, expected at least 2: the start and the last step")
    with torch.no_grad(), _exact(model):
        sought = _sought(_coder(model, point, normalise), images.detach(), target)
        trace = _Trace(images.detach(), start, _log_spaced(procedure.steps + procedure.polish, logged))
        finite = _descend(sought, start.detach(), procedure, trace)
        if procedure.polish:
            _polish(sought, finite, procedure, trace)
        return trace.result(vector_norm(sought.target, dim=1), finite)


def start(images: Images, generator: torch.Generator, mean: float = 0.7, deviation: float = 0.05) -> Images:
    """Normal noise of the images' shape, by default the author's. The (CPU) generator decides on every device."""
    return mean + deviation * _normal(images, generator)


# --- Yardsticks ------------------------------------------------------------------------------------------------------


class Shift(NamedTuple):
    """What pixel noise does to an image and to its code: means over draws of the distances, each (n,)."""

    embedding: Tensor  # |f(a') - f(a)|
    pixels: Tensor  # |a' - a|


def shifted(
    model: nn.Module, point: Point, images: Images, generator: torch.Generator, *,
    deviation: float = 1 / 18, draws: int = 8, normalise: Map | None = None,
) -> Shift:  # fmt: skip
    """The reference of the epsilon-shift test: a' = a + N(0, deviation^2), unclipped. Raises as `equivalent_noise`."""
    if not 0 < deviation < math.inf:
        raise ValueError(f"deviation: {deviation}, expected a positive number")
    moved, pixels = _shifts(model, point, images, generator, [deviation], draws, normalise)
    return Shift(moved[0], pixels * deviation)


def equivalent_noise(
    model: nn.Module, point: Point, images: Images, residual: Scalars, generator: torch.Generator, *,
    draws: int = 8, normalise: Map | None = None,
) -> Scalars:  # fmt: skip
    """Standard deviation of the pixel noise that moves the code by the residual on average, (n,).

    Pixels in [0, 1]. The same draws, scaled to 17 deviations from 0.001 to 1: interpolated in logarithms between them,
    in proportion below, as small shifts are, and infinite above. Where more noise moves the code less, the smallest
    counts. Raises ValueError for a network in training mode, an unknown point, or values out of range.
    """
    if not (residual >= 0).all():
        raise ValueError(f"residual: {residual.tolist()}, expected none negative or NaN")
    moved = double(_shifts(model, point, images, generator, SIGMAS, draws, normalise)[0]).cummax(dim=0).values.T
    wanted, sigmas = double(residual)[:, None], moved.new_tensor(SIGMAS)
    above = torch.searchsorted(moved.contiguous(), wanted)  # the first deviation that moves the code as far
    upper = above.clamp(1, len(SIGMAS) - 1)
    low, high = moved.gather(1, upper - 1).clamp(min=1e-300), moved.gather(1, upper)
    share = (wanted / low).log() / (high / low).log()
    between = (sigmas[upper - 1].log() * (1 - share) + sigmas[upper].log() * share).exp()
    found = torch.where(above == 0, sigmas[0] * wanted / moved[:, :1], between)
    found = torch.where(above == len(SIGMAS), math.inf, torch.where(wanted == 0, 0.0, found))
    return found[:, 0].to(residual)


def measures(found: Inverted, images: Images, start: Images, shift: Shift) -> dict[str, Scalars]:
    """What the distances of last iterates amount to, in float64; each (n,).

    error: |a_g - a| / |a_0 - a|, 0 for a copy and 1 for nothing gained. residual: m_g / |y|.
    rho_in: |a_g - a| / s and rho_out: m_g / m_r, pixels and code against the `shift` (s, m_r).
    collision: 1 where rho_out < 1 and rho_in > 1, else 0. nonuniqueness: log10(rho_in / rho_out).
    memory: 1 - |a_g - a_0| / |a_0 - a|, 1 for an image that never moved.
    """
    a, begun, ended = (double(each).flatten(1) for each in (images, start, found.images))
    away, error, moved = (vector_norm(each, dim=1) for each in (begun - a, ended - a, ended - begun))
    residual = double(found.residual)
    inner, outer = error / double(shift.pixels), residual / double(shift.embedding)
    return {
        "error": error / away, "residual": residual / double(found.length), "rho_in": inner, "rho_out": outer,
        "collision": ((outer < 1) & (inner > 1)).double(), "nonuniqueness": (inner / outer).log10(),
        "memory": 1 - moved / away,
    }  # fmt: skip


# --- Linear maps -----------------------------------------------------------------------------------------------------


def projection(
    weight: Float[Tensor, "m D"], images: Float[Tensor, "n D"], start: Float[Tensor, "n D"]
) -> Float[Tensor, "n D"]:
    """Where plain gradient descent on the code of a linear map ends, (n, D) in float64: a_0 + P (a - a_0).

    P projects on the row space, which no gradient leaves: P (a - a_0) is the shortest vector of the same code. The
    numerical rank is that of a QR decomposition with pivots, up to a condition of 1 / (max(m, D) eps) in float64.
    Raises ValueError for values that are not finite.
    """
    matrix, away = double(weight).cpu(), (double(images) - double(start)).cpu()
    if not (matrix.isfinite().all() and away.isfinite().all()):
        raise ValueError("weight, images, start: hold NaN or infinite values, expected finite numbers")
    cut = max(matrix.shape) * torch.finfo(torch.float64).eps
    # On the CPU: elsewhere there is no solver for maps of deficient rank.
    shortest = torch.linalg.lstsq(matrix, matrix @ away.T, rcond=cut, driver="gelsy").solution.T
    return double(start) + shortest.to(double(start))


def square_root_law(rank: int, pixels: int) -> float:
    """The expected `error` of that end for a random row space: sqrt(1 - rank / pixels), at least 0."""
    if rank < 0 or pixels < 1:
        raise ValueError(f"rank={rank}, pixels={pixels}: expected at least 0 and at least 1")
    return math.sqrt(max(0.0, 1 - rank / pixels))


def inverse_neighbourhood(
    weights: Sequence[Float[Tensor, "D D"]], deviation: float, draws: int, generator: torch.Generator,
    dtype: torch.dtype = torch.float64,
) -> Float[Tensor, "draws"]:  # fmt: skip
    """Distances in the input between an image and the pre-images of its code plus N(0, deviation^2), (draws,).

    For square linear layers, the first one first, solved one after the other. The map is linear, so that the image does
    not matter; it is grey, 0.5 everywhere. In float32 the pre-image of the rounding drowns that of small noise.
    Raises ValueError for layers that are not square, of one size, and invertible, or values out of range.
    """
    shapes = {tuple(weight.shape) for weight in weights}
    if len(shapes) != 1 or len(set(min(shapes))) != 1 or len(min(shapes)) != 2:
        raise ValueError(f"weights: shapes {sorted(shapes)}, expected at least one, all (D, D)")
    if draws < 1 or not 0 <= deviation < math.inf:
        raise ValueError(f"draws={draws}, deviation={deviation}: expected at least 1 and a number of at least 0")
    matrices = [double(weight).to(dtype) for weight in weights]
    noise = deviation * torch.randn(draws, len(matrices[0]), generator=generator, dtype=torch.float64)
    found = image = torch.full_like(noise.T, 0.5).to(matrices[0])
    for matrix in matrices:
        found = matrix @ found
    found = found + noise.T.to(found)
    try:
        for matrix in reversed(matrices):
            found = torch.linalg.solve(matrix, found)
    except torch.linalg.LinAlgError as error:
        raise ValueError("weights: one of them is singular, expected invertible ones") from error
    return vector_norm(found - image, dim=0)


# --- Codes -----------------------------------------------------------------------------------------------------------


def _checked(model: nn.Module, images: Tensor, *others: Tensor) -> None:
    for name, module in model.named_modules():
        if module.training:
            where = f"its {name} is" if name else "it is"
            raise ValueError(f"model: {where} in training mode, which couples images; expected model.eval()")
    for name, value in zip(("images", "start"), (images, *others)):
        if value.ndim < 2 or not value.numel() or value.shape != images.shape or value.dtype != images.dtype:
            raise ValueError(
                f"{name}: shape {tuple(value.shape)}, {value.dtype}, expected (n, ...), not empty, start as images"
            )
        if not value.isfinite().all():
            raise ValueError(f"{name}: holds NaN or infinite values, expected finite numbers")
    if (weight := next(model.parameters(), images)).dtype != images.dtype:
        raise ValueError(f"images: {images.dtype}, expected the network's precision, {weight.dtype}")


@contextmanager
def _exact(model: nn.Module) -> Iterator[None]:
    """Weights without gradients; float32 that is not rounded to TF32."""
    convolution, product = torch.backends.cudnn.conv, torch.backends.cuda.matmul
    usual = convolution.fp32_precision, product.fp32_precision
    flags = [(weight, weight.requires_grad) for weight in model.parameters()]
    try:
        convolution.fp32_precision = product.fp32_precision = "ieee"
        model.requires_grad_(False)
        yield
    finally:
        convolution.fp32_precision, product.fp32_precision = usual
        for weight, flag in flags:
            weight.requires_grad_(flag)


def _coder(model: nn.Module, point: Point, normalise: Map | None) -> Map:
    """Images to their codes at the point, (n, D)."""
    flat = lambda point, activation: activation.flatten(1)
    return lambda x: layers.record(model, x if normalise is None else normalise(x), [point], flat)[point]


class _Sought(NamedTuple):
    """The codes that are sought, and how far an image is from them."""

    code: Map
    target: Tensor  # (n, D)
    scale: Tensor  # (n,) its length, 1 for zeros

    def at(self, x: Tensor, loss: str, rows: Tensor | slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Distances of codes of these rows' images (k,), and the gradient of the loss, shaped as x."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            seen = self.code(x)
            away = seen.detach() - self.target[rows]
            outer = away.sign() if loss == "l1" else 2 * away / self.scale[rows, None].square()
            (gradient,) = torch.autograd.grad(seen, x, outer)
        return vector_norm(away, dim=1), gradient


def _sought(code: Map, images: Tensor, target: Tensor | None) -> _Sought:
    codes = code(images) if target is None else target.detach().flatten(1)
    if target is not None and codes.shape != (expected := (len(images), *code(images[:1]).shape[1:])):
        raise ValueError(f"target: {tuple(target.shape)}, expected {expected} when flattened, as codes at the point")
    if not codes.isfinite().all():
        name = "images: their codes hold" if target is None else "target: holds"
        raise ValueError(f"{name} NaN or infinite values, expected finite numbers")
    length = vector_norm(codes, dim=1)
    return _Sought(code, codes, torch.where(length == 0, 1.0, length))


def _normal(images: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(images.shape, generator=generator, dtype=images.dtype).to(images.device)


@torch.no_grad()
def _shifts(
    model: nn.Module, point: Point, images: Tensor, generator: torch.Generator, sigmas: Sequence[float], draws: int,
    normalise: Map | None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Mean distances of codes (len(sigmas), n) under the same noise times sigma, and of the noise itself (n,)."""
    _checked(model, images)
    if draws < 1:
        raise ValueError(f"draws: {draws}, expected at least 1")
    with _exact(model):
        code = _coder(model, point, normalise)
        here, moved, pixels = code(images), 0, 0
        for _ in range(draws):
            noise = _normal(images, generator)
            pixels = pixels + vector_norm(noise.flatten(1), dim=1) / draws
            there = [vector_norm(code(images + sigma * noise) - here, dim=1) for sigma in sigmas]
            moved = moved + torch.stack(there) / draws
    return moved, pixels


# --- Descent ---------------------------------------------------------------------------------------------------------


def _log_spaced(last: int, count: int) -> list[int]:
    between = torch.logspace(0, math.log10(last), count - 1, dtype=torch.float64).round().int().tolist()
    return sorted({0, *between, last})


class _Trace:
    """The last and the best iterate, and distances at the steps that are logged."""

    def __init__(self, images: Tensor, start: Tensor, steps: list[int]):
        self.target, self.steps = images, steps
        self.last = self.best = start.detach()
        self.residual = self.least = start.new_full((len(start),), math.inf)
        self.residuals, self.errors = [], []

    def see(self, step: int, x: Tensor, residual: Tensor) -> None:
        better = residual < self.least
        self.last, self.residual = x, residual
        self.best, self.least = _where(better, x, self.best), torch.where(better, residual, self.least)
        if step in self.steps:
            self.residuals.append(residual)
            self.errors.append(vector_norm((x - self.target).flatten(1), dim=1))

    def result(self, length: Tensor, finite: Tensor) -> Inverted:
        residuals, errors = (torch.stack(each, dim=1) for each in (self.residuals, self.errors))
        diverged = ~finite | (self.residual > residuals[:, 0])
        found = (self.last, self.best, self.residual, self.least)
        return Inverted(*found, length, self.steps, residuals, errors, diverged)


def _where(rows: Tensor, here: Tensor, there: Tensor) -> Tensor:
    return torch.where(rows.view(-1, *[1] * (here.ndim - 1)), here, there)


def _descend(sought: _Sought, candidate: Tensor, procedure: Procedure, trace: _Trace) -> Tensor:
    """The first-order steps; (n,) which images were finite throughout. No step waits for the device."""
    x, residual, finite = candidate, trace.residual, torch.ones_like(trace.residual, dtype=torch.bool)
    stepping = _Steps(procedure)
    for step in range(procedure.steps + 1):
        distance, gradient = sought.at(candidate, procedure.loss)
        finite = finite & distance.isfinite()
        x, residual = _where(finite, candidate, x), torch.where(finite, distance, residual)
        trace.see(step, x, residual)
        if step < procedure.steps:
            size = vector_norm(gradient.flatten(1), dim=1)
            finite = finite & size.isfinite()
            candidate = stepping(step, x, gradient, size)
    return finite


class _Steps:
    """A procedure's steps, one after another."""

    def __init__(self, procedure: Procedure):
        self.procedure, self.mean, self.square = procedure, 0.0, 0.0

    def __call__(self, step: int, x: Tensor, gradient: Tensor, size: Tensor) -> Tensor:
        """From x, along the gradient, of this length (n,) in each image."""
        rate, sigma = self.procedure.at(step)
        if self.procedure.step == "adam":
            self.mean = 0.9 * self.mean + 0.1 * gradient
            self.square = 0.999 * self.square + 0.001 * gradient.square()
            spread = (self.square / (1 - 0.999 ** (step + 1))).sqrt() + 1e-8
            moved = x - rate / (1 - 0.9 ** (step + 1)) * self.mean / spread
        elif self.procedure.step == "normalised":
            size = (size / math.sqrt(gradient[0].numel())).clamp(min=torch.finfo(size.dtype).tiny)
            moved = x - gradient * (rate / size).view(-1, *[1] * (x.ndim - 1))
        else:
            moved = x - rate * self.procedure.constant * gradient
        return moved if sigma is None else _blurred(moved, sigma)


def _blurred(images: Tensor, sigma: float) -> Tensor:
    """A 3 x 3 Gaussian on each channel; beyond the edge the image is mirrored, without repeating the edge."""
    side = math.exp(-0.5 / sigma**2)
    side, centre = side / (1 + 2 * side), 1 / (1 + 2 * side)
    padded = F.pad(images, (1, 1, 1, 1), "reflect")
    rows = centre * padded[..., 1:-1, :] + side * (padded[..., :-2, :] + padded[..., 2:, :])
    return centre * rows[..., 1:-1] + side * (rows[..., :-2] + rows[..., 2:])


# --- L-BFGS ----------------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """Where each image is; images and gradients flat."""

    x: Tensor  # (n, D)
    residual: Tensor  # (n,)
    loss: Tensor  # (n,)
    gradient: Tensor  # (n, D)


def _polish(sought: _Sought, finite: Tensor, procedure: Procedure, trace: _Trace) -> None:
    """L-BFGS on the relative loss (Nocedal & Wright 2006, algorithms 7.4 and 3.1), each image by itself."""
    shape = trace.last.shape[1:]

    def evaluate(x: Tensor, rows: Tensor | slice) -> _Place:
        residual, gradient = sought.at(x.unflatten(1, shape), "relative", rows)
        return _Place(x, residual, (residual / sought.scale[rows]).square(), gradient.flatten(1))

    here = evaluate(trace.last.flatten(1), slice(None))
    active = finite & here.gradient.isfinite().all(dim=1)
    here = here._replace(gradient=_where(active, here.gradient, torch.zeros_like(here.x)), residual=trace.residual)
    memory = _Memory(here.loss)
    for step in range(procedure.steps + 1, procedure.steps + procedure.polish + 1):
        if active.any():
            there, moved = _search(evaluate, here, -memory.newton(here), active)
            memory.learn(there.x - here.x, there.gradient - here.gradient)
            here, active = there, moved  # who stands still has arrived
        trace.see(step, here.x.unflatten(1, shape), here.residual)


class _Memory:
    """Steps and the changes of the gradient that came of them: together, an approximate inverse Hessian."""

    def __init__(self, loss: Tensor):
        self.pairs: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=HISTORY)  # s and y (n, D), 1 / s.y or 0 (n,)
        self.gamma, self.tiny = torch.zeros_like(loss), torch.finfo(loss.dtype).tiny

    def newton(self, here: _Place) -> Tensor:
        """The inverse Hessian times the gradient; without memory, the step to where a straight line meets 0."""
        downhill = here.loss / here.gradient.square().sum(1).clamp(min=self.tiny)
        found, shares = here.gradient.clone(), []
        for s, y, weight in reversed(self.pairs):
            shares.append(weight * (s * found).sum(1))
            found.addcmul_(shares[-1][:, None], y, value=-1)
        found *= torch.where(self.gamma > 0, self.gamma, downhill)[:, None]
        for (s, y, weight), share in zip(self.pairs, reversed(shares)):
            found.addcmul_((share - weight * (y * found).sum(1))[:, None], s)
        return found

    def learn(self, s: Tensor, y: Tensor) -> None:
        curvature = (s * y).sum(1)
        least = CURVATURE * vector_norm(s, dim=1) * vector_norm(y, dim=1)
        good = curvature > least.clamp(min=self.tiny)
        self.pairs.append((s, y, torch.where(good, 1 / curvature, 0.0)))
        self.gamma = torch.where(good, curvature / y.square().sum(1), self.gamma)


def _search(
    evaluate: Callable[[Tensor, Tensor], _Place], here: _Place, direction: Tensor, active: Tensor
) -> tuple[_Place, Tensor]:
    """Halves each image's step until it reduces the loss enough; where it led, and who has moved."""
    slope = (direction * here.gradient).sum(1)
    there, moved, size = _Place(*(each.clone() for each in here)), torch.zeros_like(active), 1.0
    rows = active.nonzero()[:, 0]
    for _ in range(HALVINGS):
        trial = evaluate(here.x[rows] + size * direction[rows], rows)
        enough = (trial.loss < here.loss[rows]) & (trial.loss <= here.loss[rows] + ARMIJO * size * slope[rows])
        enough &= trial.gradient.isfinite().all(dim=1)
        for into, value in zip(there, trial):
            into[rows[enough]] = value[enough]
        moved[rows[enough]] = True
        rows, size = rows[~enough], size / 2
        if not len(rows):
            break
    return there, moved
