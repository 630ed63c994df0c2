"""How much faster together than one by one: 20 images sought from the codes of a residual network.

    python tests/benchmarks/inversion.py

Random images, 3 x 32 x 32, through the CIFAR form of ResNet-20 up to the last block of its second stage, 50 steps of
each procedure, against the same steps for one image at a time. Weights carry no gradient on either side, and the pass
stops at the layer. Both run side by side in one process on one thread, alternating; the answers are compared first, in
float64, then the medians of the processor times in float32. Wanted: at least 2 times faster.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import torch
from side_by_side import medians

from helpers.depth import inversion
from helpers.networks import models
from helpers.networks.numerics import stream

torch.set_num_threads(1)
IMAGES, ROUNDS, POINT = 20, 5, "layer2.2"
PROCEDURES = {
    "primary": replace(inversion.PRIMARY, steps=50),
    "literal": replace(inversion.LITERAL, steps=50),
    "strong": replace(inversion.STRONG, steps=40, polish=10),
}


def together(model, images, start, procedure):
    return inversion.invert(model, POINT, images, start, procedure).images


def one_by_one(model, images, start, procedure):
    return torch.cat([together(model, a, b, procedure) for a, b in zip(images.split(1), start.split(1))])


def main():
    model = models.build("resnet20", classes=10, channels=3, size=32).eval()
    images = torch.rand(IMAGES, 3, 32, 32, generator=stream(0, "images"))
    start = inversion.start(images, stream(0, "start"))
    print(f"seconds for 50 steps of {IMAGES} images, one thread, torch {torch.__version__}\n")
    print(f"{'':10}{'together':>10}{'one by one':>12}{'ratio':>8}\n{'wanted':10}{'':>22}{2.0:8.1f}")
    for name, procedure in PROCEDURES.items():
        few = replace(procedure, steps=5, polish=min(procedure.polish, 5))
        ours, theirs = (side(model.double(), images.double(), start.double(), few) for side in (together, one_by_one))
        assert (ours - theirs).abs().max() < 1e-6, name
        model.float()
        sides = [lambda side=side: side(model, images, start, procedure) for side in (together, one_by_one)]
        batched, looped = medians(sides, ROUNDS, clock=time.process_time)
        print(f"{name:10}{batched:10.2f}{looped:12.2f}{looped / batched:8.1f}", flush=True)


if __name__ == "__main__":
    main()
