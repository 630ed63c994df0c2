"""The searches of `helpers.depth.inversion`: from a start to an image whose code is near the target, many images at once.

First-order steps, then L-BFGS. A step of one image depends on no other image: what is kept of the past is kept for each.
"""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.linalg import vector_norm

Map = Callable[[Tensor], Tensor]

HISTORY = 20  # pairs that L-BFGS remembers
HALVINGS = 20  # of a step that does not reduce the loss, before its direction is given up
ARMIJO = 1e-4  # share of the decrease that the slope promises, for a step to be accepted
CURVATURE = 1e-10  # least cosine of a step and the gradient's change, for the pair to be remembered


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

    @property
    def relative_error(self) -> Tensor:
        """(n,): distance of the last iterate over that of the start."""
        return self.errors[:, -1] / self.errors[:, 0]


class Sought(NamedTuple):
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


# --- Descent ---------------------------------------------------------------------------------------------------------


def log_spaced(last: int, count: int) -> list[int]:
    between = torch.logspace(0, math.log10(last), count - 1, dtype=torch.float64).round().int().tolist()
    return sorted({0, *between, last})


class Trace:
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


def descend(sought: Sought, candidate: Tensor, procedure: Procedure, trace: Trace) -> Tensor:
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


def polish(sought: Sought, finite: Tensor, procedure: Procedure, trace: Trace) -> None:
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
