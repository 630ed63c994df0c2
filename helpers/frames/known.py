"""Images and networks whose frames are known: what learned spans find of them, and what a grid makes of a shift."""

import math
from collections.abc import Iterable
from statistics import median

import torch

from helpers.frames.directions import FACTORS, local_tangents, shapes, train_vae, unit
from helpers.frames.spans import captured
from helpers.networks.numerics import stream


def learned(size: int, count: int, epochs: int, neighbours: int, held: int = 60) -> list[dict[str, str | float]]:
    """How much of the true direction of each factor of `directions.shapes` lies in spans learned from such images.

    One row a factor, the share in [0, 1] a column, median over held-out images that have the direction: `local` for
    principal directions of neighbours, `generated` for a generative model, each of as many directions as factors.

    Args:
        size: side of the images, pixels.
        count: images to learn from.
        epochs: of training the generative model, at least 1.
        neighbours: for local principal directions; they are at most one fewer.
        held: images on which spans are taken.
    """
    drawn = shapes(count + held, size, stream(0, "ellipses"))
    seen, images = drawn.images[:count], drawn.images[count:]
    truth = unit(drawn.jacobian[count:])[0]
    one_class = torch.zeros(count + held, dtype=torch.long)
    near = (one_class[count:], seen, one_class[:count], neighbours, min(len(FACTORS), neighbours - 1))
    spans = {
        "local": local_tangents(images, *near),
        "generated": train_vae(seen, 0, epochs).directions(images, len(FACTORS)),
    }
    shares = {name: captured(truth, span).nanmedian(0).values.tolist() for name, span in spans.items()}
    return [{"factor": factor, **{name: shares[name][i] for name in spans}} for i, factor in enumerate(FACTORS)]


def folded(powers: Iterable[int], bands: Iterable[int], draws: int = 20) -> list[dict[str, int | float]]:
    """The `shift_gain` of each power at each band, one row each, median over random signals."""
    gain = lambda power, band: median(shift_gain(power, band, seed) for seed in range(draws))
    return [{"power": power, "band": band, "gain": gain(power, band)} for power in powers for band in bands]


def shift_gain(power: int, band: int, seed: int = 0, points: int = 16, channels: int = 8) -> float:
    """How much of the derivative of a shift is left by convolution, pointwise power and average over all points.

    A random signal of up to `band` cycles on so many points; the power 0 stands for ReLU. Relative to the derivative
    before the average: 0 is exact invariance, which holds as long as no frequency folds back, power * band < points.
    """
    draw = stream(seed, "aliasing", power, band)
    frequency = torch.fft.rfftfreq(points, 1 / points, dtype=torch.float64)
    inside = (frequency > 0) & (frequency <= band)
    signal = torch.randn(len(frequency), generator=draw, dtype=torch.complex128) * inside
    kernel = torch.randn(channels, len(frequency), generator=draw, dtype=torch.complex128)
    slope = 2j * math.pi * frequency * signal
    field, moved = (torch.fft.irfft(kernel * s, n=points) for s in (signal, slope))
    pointwise = torch.relu if power == 0 else lambda t: t**power
    pushed = torch.func.jvp(pointwise, (field,), (moved,))[1]
    return float(pushed.mean(1).norm() / pushed.square().mean(1).sqrt().norm())
