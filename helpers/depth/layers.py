"""What one layer of a network gives back of images: where to look, the search, how like its results are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from helpers.depth import image_similarity, jacobians
from helpers.depth.inversion import equivalent_noise, invert, measures, shifted, start
from helpers.depth.optimisers import Inverted, Procedure
from helpers.networks import activations, models
from helpers.networks.activations import Point
from helpers.networks.numerics import stream

Images = Float[Tensor, "n c h w"]
SHARES = ("collision", "agreement", "copies", "diverged")  # of images


def stages(model: nn.Module, images: Images) -> list[Point]:
    """The first convolution, the last point of each stage, the pooled layer if there is one, and the logits.

    A stage is what one part of the network holds. Without a convolution, as in a perceptron, it is all points.
    """
    names = list(models.points(model, images[:1]))[1:]
    stem = next((name for name, module in model.named_modules() if isinstance(module, nn.Conv2d)), None)
    if stem is None:
        return names
    return list(dict.fromkeys([stem, *{name.rpartition(".")[0] or name: name for name in names}.values()]))


def ranges(stages: Sequence[Point]) -> dict[str, list[Point]]:
    """The `stages` by where they lie: `all`, the first as `stem`, the `logits`, and `order`, those before the logits.

    Of the order without the stem (`body`; all of it if it has nothing else) the `first`, the two `early` and the two
    `deep` ones, those in the `middle`, without its ends, and the `last` that is not pooled. A name may have none.
    """
    order = list(stages[:-1])
    body = order[1:] or order
    return {
        "all": list(stages), "order": order, "stem": list(stages[:1]), "logits": list(stages[-1:]), "body": body,
        "first": body[:1], "early": body[:2], "middle": body[1:-1], "deep": body[-2:],
        "last": [name for name in body if "pool" not in name][-1:],
    }  # fmt: skip


def names(models: Mapping[str, nn.Module], stages: Mapping[str, Sequence[Point]]) -> dict[Point, str]:
    """What stages, by model, are called under an axis: conv (a first convolution), stage 1, ..., pooled, logits."""
    known = {"linear": "logits", "avgpool": "pooled"}
    for model, (stem, *_) in stages.items():
        if isinstance(models[model].get_submodule(stem.partition("#")[0]), nn.Conv2d):
            known[stem] = "conv"
    stage = lambda point: point.split(".")[0].replace("layer", "stage").replace("stage", "stage ")
    return {point: known.get(point, stage(point)) for points in stages.values() for point in points}


def seek(model: nn.Module, point: Point, images: Images, procedure: Procedure, seed: int) -> tuple[Inverted, Images]:
    """The search from the seed's noise; what it found, and where it started."""
    begin = start(images, stream(seed, "start"))
    return invert(model, point, images, begin, procedure), begin


def likeness(
    model: nn.Module, point: Point, images: Images, found: Inverted, begin: Images, seed: int
) -> dict[str, Float[Tensor, "n"]]:
    """How near a search came, for each image (n,): `inversion.measures`, and besides

    `distance` of codes, `diverged`, spectral `slope`, `ssim` and correlation of `edges`.
    """
    shift = shifted(model, point, images, stream(seed, "shift"))
    return measures(found, images, begin, shift) | {
        "distance": found.residual, "diverged": found.diverged,
        "slope": image_similarity.spectral_slope(found.images),
        "ssim": image_similarity.ssim(found.images, images),
        "edges": image_similarity.edge_correlation(found.images, images),
    }  # fmt: skip


def agreement(
    judge: Callable[[Images], Float[Tensor, "n classes"]], found: Images, images: Images, generator: torch.Generator
) -> dict[str, Tensor]:
    """Whether a classifier gives results the class that it gives the images, (n,); and noisy `copies` as far away."""
    noise = torch.randn(images.shape, generator=generator).to(images)
    far = (found - images).flatten(1).norm(dim=1) / noise.flatten(1).norm(dim=1)
    copies = images + far[:, None, None, None] * noise
    classes = judge(images).argmax(1)
    return {"agreement": judge(found).argmax(1) == classes, "copies": judge(copies).argmax(1) == classes}


def approach(found: Inverted) -> float:
    """Slope of log pixel distance on log distance of codes over the later half of the logged steps, of medians over
    images: 1 where they shrink together, 0 where the image stands still."""
    late = slice(len(found.steps) // 2, None)
    medians = (values.median(0).values[late].double() for values in (found.residuals, found.errors))
    codes, pixels = (torch.log(values).cpu().numpy() for values in medians)
    return float(np.polyfit(codes, pixels, 1)[0])


def way(found: Inverted, values: Mapping[str, Tensor]) -> dict[str, float | list]:
    """A search on its way, for a table: distances of `codes` and `pixels` at the logged steps, medians over images.

    And its first `picture` with its `error`, and `rho_in` and `rho_out` of all images, as `likeness` gives them.
    """
    medians = {"codes": found.residuals.median(0).values, "pixels": found.errors.median(0).values}
    medians |= {name: values[name] for name in ("rho_in", "rho_out")}
    picture = found.images[0].cpu().numpy().round(3).tolist()
    kept = {name: of.tolist() for name, of in medians.items()}
    return kept | {"picture": picture, "error": float(values["error"][0])}


def summary(values: Mapping[str, Tensor], rows: slice = slice(None)) -> dict[str, float]:
    """Medians of measures over some of the images; of SHARES, means."""
    chosen = {name: value[rows].double() for name, value in values.items()}
    return {name: float(of.mean() if name in SHARES else of.nanmedian()) for name, of in chosen.items()}


def sensitivity(model: nn.Module, point: Point, images: Images, begin: Images) -> dict[str, float]:
    """Mean absolute `gradient` by the pixels at the start, and the `relative gradient`, over the size of the code.

    Of the sum of absolute differences of codes; medians over images.
    """
    absolute = jacobians.input_gradient(model, point, images, begin)
    size = activations.record(model, images, [point])[point].flatten(1).abs().sum(1)
    return {"gradient": float(absolute.median()), "relative gradient": float((absolute / size).median())}


def seen(
    model: nn.Module, point: Point, images: Images, found: Inverted, begin: Images, seed: int, count: int
) -> dict[str, float | list]:
    """What the layer sees at the first `count` images, and the pixel noise `equivalent` to what a search leaves of all.

    Where among the singular vectors at the images the errors lie, mean shares `null`, `weak` and `strong`; by image the
    `rank`, `participation` and `dimension` of the singular values; their median `spectrum`, over the largest; and
    `sensitivity`.
    """
    some, residual = images[:count], found.residual
    noise = equivalent_noise(model, point, images, residual, stream(seed, "equivalent"), draws=1)
    spectrum = jacobians.spectrum(model, point, some)
    shares = jacobians.split(spectrum, found.images[:count] - some)._asdict()
    numbers = {
        "rank": jacobians.rank(spectrum.values),
        "participation": jacobians.participation_ratio(spectrum.values),
        "dimension": jacobians.dimension(spectrum.values),
    }
    relative = (spectrum.values / spectrum.values[:, :1]).median(0).values
    return (
        {"equivalent": float(noise.median())}
        | {name: float(share.nanmean()) for name, share in shares.items()}
        | {name: number.tolist() for name, number in numbers.items()}
        | {"spectrum": relative.cpu().numpy().round(6).tolist()}
        | sensitivity(model, point, some, begin[:count])
    )


def best_constant(
    model: nn.Module, point: Point, images: Images, procedure: Procedure, constants: Sequence[float], seed: int
) -> float:
    """The procedure's constant, among these, with which the codes come nearest; the first of equal ones."""

    def left(constant: float) -> float:
        found, _ = seek(model, point, images, replace(procedure, constant=constant), seed)
        return float(found.residual.median())

    return min(constants, key=left)


def operations(model: nn.Module, images: Images, last: str) -> dict[Point, str]:
    """The operations in the order in which they are called, up to the first of this kind, with the kinds of all.

    ValueError if there is none of the kind.
    """
    kind = lambda name: type(model.get_submodule(name.partition("#")[0])).__name__
    kinds = {name: kind(name) for name in activations.order(model, images[:1])}
    if last not in kinds.values():
        raise ValueError(f"last={last!r}: expected one of {', '.join(dict.fromkeys(kinds.values()))}")
    return dict(list(kinds.items())[: list(kinds.values()).index(last) + 1])
