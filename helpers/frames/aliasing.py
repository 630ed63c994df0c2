"""Why a network that is invariant on paper is not: a pointwise function makes frequencies that the grid folds back."""

import math

import torch

from helpers.networks.numerics import stream


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
