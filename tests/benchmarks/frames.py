"""How much faster than one vector at a time: frames of 23 vectors at 60 images, pushed through two networks.

    python tests/benchmarks/frames.py

Through the digits network (20 x 20) and torchvision's ResNet-18 (64 x 64), reduced to Gram matrices at 7 and at 13
points. The others push one vector through for all images at once, or one vector of one image, by `torch.func.jvp`, and
keep the same Gram matrices. All run side by side in one process on one thread, alternating; the answers are compared
first, then the medians of the times. One image and vector at a time is timed on the first 6 images and scaled to 60.
Wanted: at least 5 times faster than one image and vector, 1.4 times faster than one vector at a time, and at most 3.5
forward passes a vector; a forward pass is that of all 60 images in one batch. Figures hold for a quiet machine.
"""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"

import sys
import warnings
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]

import torch
from side_by_side import medians
from torchvision.models import resnet18

from helpers.frames import directions, push_forward
from helpers.networks import activations, models
from helpers.networks.numerics import stream

torch.set_num_threads(1)
warnings.filterwarnings("ignore", ".*torch.jit.script. is deprecated")
IMAGES, VECTORS, SUBSET, ROUNDS = 60, 23, 6, 5
BLOCKS = [f"layer{stage}.{block}" for stage in range(1, 5) for block in range(2)]


@torch.no_grad()
def one_vector_at_a_time(model, images, vectors, points):
    """Gram matrices (n, k, k) a point, in float64, from a jvp for each of the k vectors."""
    through = lambda x: activations.record(model, x, points, lambda point, activation: activation.flatten(1))
    pushed = [torch.func.jvp(through, (images,), (vectors[:, k].contiguous(),))[1] for k in range(vectors.shape[1])]
    grams = {}
    for point in points:
        along = torch.stack([each[point] for each in pushed], dim=1).double()
        grams[point] = along @ along.mT
    return grams


def one_image_and_vector_at_a_time(model, images, vectors, points):
    parts = [one_vector_at_a_time(model, x, v, points) for x, v in zip(images.split(1), vectors.split(1))]
    return {point: torch.cat([part[point] for part in parts]) for point in points}


def agree(ours, theirs):
    for point, gram in theirs.items():
        assert (ours[point].gram[: len(gram)] - gram).norm() < 1e-5 * gram.norm(), point


@torch.no_grad()
def race(name, model, shape, points):
    images = torch.rand(IMAGES, *shape, generator=stream(0, "images"))
    named = directions.generators(images).vectors
    vectors = torch.cat([named, directions.white_noise(images, VECTORS - named.shape[1], stream(0, "noise"))], dim=1)
    few = (images[:SUBSET], vectors[:SUBSET], points)
    sides = [
        lambda: push_forward.gram(model, images, vectors, points),
        lambda: one_vector_at_a_time(model, images, vectors, points),
        lambda: one_image_and_vector_at_a_time(model, *few),
        lambda: model(images),
    ]
    ours = sides[0]()
    agree(ours, sides[1]()), agree(ours, sides[2]())
    together, each, alone, forward = medians(sides, ROUNDS)
    alone *= IMAGES / SUBSET
    per_vector = together / VECTORS / forward
    ratios = f"{each / together:12.1f}{alone / together:12.1f}"
    print(f"{name:10}{together:9.2f}{each:12.2f}{alone:12.2f}{ratios}{per_vector:20.2f}", flush=True)


def main():
    print(f"seconds for {VECTORS} vectors of {IMAGES} images, one thread, torch {torch.__version__}\n")
    print(f"{'':10}{'ours':>9}{'by vector':>12}{'one by one':>12}{'ratio':>12}{'ratio':>12}{'forwards a vector':>20}")
    print(f"{'wanted':10}{'':>9}{'':>12}{'':>12}{'1.4':>12}{'5':>12}{'at most 3.5':>20}")
    digits = models.build("cnn4", classes=10, size=20).eval()
    race("cnn4", digits, (1, 20, 20), list(models.points(digits)))
    torch.manual_seed(0)
    race("resnet18", resnet18(num_classes=10).eval(), (3, 64, 64), ["input", "relu", "maxpool", *BLOCKS, "avgpool", "fc"])


if __name__ == "__main__":
    main()
