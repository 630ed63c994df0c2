"""Dense networks without biases, of which it is known what can be inverted; those of several seeds side by side.

Images are rows of pixels (n, D), in as many equal parts as there are seeds: the first part goes through the layers of
the first seed, and so on. Badger (2022), Depth and representation in vision models, arXiv:2211.06496, argues with such
networks on the author's pages.
"""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor, nn

from helpers.depth.inversion import inverse_neighbourhood, invert, start
from helpers.depth.optimisers import Inverted, Procedure
from helpers.networks.numerics import double, stream

Rows = Float[Tensor, "n D"]
Scalars = Float[Tensor, "n"]


class Dense(nn.Module):
    """Dense layers of these widths, the images' first, drawn for each seed; the code of all of them is at `out`.

    Weights are torch's initial ones, uniform within 1 / sqrt(inputs), or orthogonal; `weights` has (seeds, out, in) for
    each layer, without gradients. ValueError for fewer than two widths, or no seeds.
    """

    def __init__(self, widths: Sequence[int], seeds: Sequence[int], relu: bool = False, orthogonal: bool = False):
        super().__init__()
        if len(widths) < 2 or not len(seeds):
            raise ValueError(f"widths={list(widths)}, seeds={list(seeds)}: expected two or more, and one or more")
        self.seeds, self.relu, self.out = tuple(seeds), relu, nn.Identity()
        self.weights = nn.ParameterList()
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            streams = [stream(seed, "dense", layer, *widths) for seed in seeds]
            drawn = torch.stack([_drawn(outputs, inputs, orthogonal, generator) for generator in streams])
            self.weights.append(nn.Parameter(drawn, requires_grad=False))
        self.eval()

    def forward(self, x: Rows) -> Float[Tensor, "n outputs"]:
        x = self.parts(x)
        for weight in self.weights:
            x = x @ weight.mT
            x = x.relu() if self.relu else x
        return self.out(x.flatten(0, 1))

    def parts(self, rows: Tensor) -> Tensor:
        """(n, ...) as (seeds, n / seeds, ...)."""
        return rows.unflatten(0, (len(self.seeds), -1))

    def medians(self, values: Scalars) -> list[float]:
        """The median over each seed's images."""
        return self.parts(values).median(1).values.tolist()

    def matrices(self) -> Float[Tensor, "seeds outputs D"]:
        """What the layers are together, if they are linear, in float64."""
        product = double(self.weights[0])
        for weight in self.weights[1:]:
            product = double(weight) @ product
        return product


def _drawn(outputs: int, inputs: int, orthogonal: bool, generator: torch.Generator) -> Tensor:
    weight = torch.empty(outputs, inputs)
    if orthogonal:
        return nn.init.orthogonal_(weight, generator=generator)
    return weight.uniform_(-1, 1, generator=generator) / math.sqrt(inputs)


def descended(net: Dense, images: Rows, procedure: Procedure, logged: int = 20) -> tuple[Inverted, Rows]:
    """A search through all layers, every seed with noise of its own to start from; what it found, and the starts."""
    parts = zip(net.seeds, images.chunk(len(net.seeds)))
    begin = torch.cat([start(part, stream(seed, "dense start")) for seed, part in parts])
    return invert(net, "out", images, begin, procedure, logged=logged), begin


def error(found: Rows, images: Rows, begin: Rows) -> Scalars:
    """Distance to the images over that of the starts, (n,)."""
    return (found - images).norm(dim=1) / (begin - images).norm(dim=1)


def first_below(net: Dense, found: Inverted, images: Rows, begin: Rows, level: float = 0.1) -> list[int]:
    """By seed, the first logged step after the start with the median error below the level; the last if none is."""
    errors = net.parts(found.errors / (begin - images).norm(dim=1)[:, None]).median(1).values
    below = errors < level
    below[:, 0] = False
    first = torch.where(below.any(1), below.int().argmax(1), len(found.steps) - 1)
    return [found.steps[k] for k in first.tolist()]


def rank_through(net: Dense, images: Rows) -> Int64[Tensor, "n"]:
    """Rank of the Jacobian at each image, (n,), in float64; below 1e-9 of the largest a singular value is none."""
    x = net.parts(double(images))
    jacobian = torch.eye(images.shape[1], dtype=x.dtype, device=x.device)
    for weight in net.weights:
        x = x @ double(weight).mT
        jacobian = double(weight)[:, None] @ jacobian
        if net.relu:
            jacobian = (x > 0).to(x)[..., None] * jacobian
            x = x.relu()
    return torch.linalg.matrix_rank(jacobian.expand(*x.shape, -1), rtol=1e-9).flatten()


def amplified(net: Dense) -> list[float]:
    """By seed, the median distance of pre-images over the length of the noise on their code, before the last layer.

    For square linear layers with a read-out of any size.
    """
    found = []
    for k, seed in enumerate(net.seeds):
        square = [weight[k].detach() for weight in net.weights[:-1]]
        noise = 1 / math.sqrt(square[0].shape[0])
        far = inverse_neighbourhood(square, noise, 64, stream(seed, "shift"))
        found.append(float(far.median()))
    return found


def learned(net: Dense, images: Rows, labels: Int64[Tensor, "n"], batch: int, steps: int = 200) -> Dense:
    """The network, trained in place by Adam to tell labels; batches anew for every step, the same for all seeds."""
    adam = torch.optim.Adam(net.requires_grad_(True).parameters(), lr=1e-3)
    count = len(net.seeds)
    with torch.enable_grad():
        for step in range(steps):
            chosen = torch.randint(len(images), (batch,), generator=stream(0, "linear", step)).to(images.device)
            logits = net(images[chosen].repeat(count, 1))
            loss = F.cross_entropy(logits, labels[chosen].repeat(count))
            adam.zero_grad()
            (loss * count).backward()  # of each seed as if it were alone
            adam.step()
    return net.requires_grad_(False)
