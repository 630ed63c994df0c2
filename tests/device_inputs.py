"""Inputs of the instruments, made on the CPU and moved to the device that is asked for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils._pytree import tree_flatten

from helpers import curvature
from helpers.curvature import (
    dimension,
    layers,
    neighbourhoods,
    portrait,
    published,
    pull_back,
    quadratic,
    readouts,
    surfaces,
)
from helpers.depth import decoders, image_similarity, inversion, jacobians, optimisers
from helpers.frames import batteries, changes, directions, flows, grams, known, push_forward, spans, tables
from helpers.networks import (
    activations,
    architectures,
    augmentation,
    cache,
    datasets,
    evaluation,
    fitting,
    models,
    normalisation,
    numerics,
    pretrained,
    tracing,
    training,
    user_models,
    zoo,
)
from helpers.networks.numerics import stream
from helpers.paths import comparison, embeddings, geometry, metrics, path, procrustes

CPU = torch.device("cpu")
MODULES = (
    activations, architectures, augmentation, batteries, cache, changes, comparison, datasets, decoders, dimension,
    directions, embeddings, evaluation, fitting, flows, geometry, grams, image_similarity, inversion, jacobians, known,
    layers, metrics, models, neighbourhoods, normalisation, numerics, optimisers, path, portrait, pretrained,
    procrustes, published, pull_back, push_forward, quadratic, readouts, spans, surfaces, tables, tracing, training,
    user_models, zoo,
)  # fmt: skip
SPEC = training.Spec("cnn4-w4", epochs=1, batch=64, fraction=0.2)


# --- Inputs, made on the CPU and moved ---------------------------------------------------------------------------


def normal(*shape, dtype=torch.float64, name="normal"):
    return torch.randn(*shape, generator=stream(0, name, *shape), dtype=dtype)


def pictures(n=6, channels=1, side=8):
    return torch.rand(n, channels, side, side, generator=stream(0, "pictures", n, channels, side))


def shown(at, *shape):
    return pictures(*shape).to(at)


def network(at, name="cnn4-w4", channels=1, size=8):
    return models.build(name, classes=10, channels=channels, size=size).to(at).eval().requires_grad_(False)


def of_a_reader(channels, classes):
    """What a reader's function gives."""
    return torch.nn.Sequential(torch.nn.Conv2d(channels, 4, 3), torch.nn.Flatten(), torch.nn.Linear(36 * 4, classes))


def kept_network(at):
    return training.trained(SPEC, at, progress=False).model


def distances(k=6):
    points = normal(k, 4)
    return torch.cdist(points, points)


def a_battery(at):
    """Augmentations, noise, and a span of three directions."""
    found = batteries.battery(shown(at), 3, stream(0, "white"), stream(0, "matched"))
    return found.more(local=normal(6, 3, 1, 8, 8, dtype=torch.float32).to(at))


def pushed_battery(at):
    return push_forward.gram(network(at), shown(at), a_battery(at).vectors, ["linear"])["linear"]


def a_gram(at, k=4, name="gram"):
    vectors, activation = normal(3, k, 7, name=name).to(at), normal(3, 7, name=f"{name} at").to(at)
    cross = (vectors @ activation[..., None])[..., 0]
    return grams.Gram(vectors @ vectors.mT, cross, activation.norm(dim=1))


def of_metric(metric):
    """All that a metric does, with four points."""

    def call(at):
        points = torch.stack([metric.embed(normal(12, 5, name=name).to(at)) for name in "pqrs"])
        p, q, r, _ = points
        v, w = metric.log(p, q), metric.log(p, r)
        found = [points, metric.distance(p, q), metric.pairwise(points), v, metric.exp(p, v)]
        found += [metric.geodesic(p, q, 0.3)]
        found += [metric.angle(p, q, r), metric.project(r, p, q), metric.inner(p, v, w), metric.transport(w, p, q)]
        return [*found, metric.horizontal(p, v)] if hasattr(metric, "horizontal") else found

    return call


def a_path(at):
    metric = metrics.AngularCKA()
    points = torch.stack([metric.embed(normal(12, 5, name=name).to(at)) for name in "pqrst"])
    return metric, points[:-1], points[-1]


def images_of(at):
    return datasets.load("digits", device=at)


def optimised(at, optimiser):
    """A network's weights after two steps."""
    spec = replace(SPEC, optimiser=optimiser, lr=0.01)
    model = network(at).train().requires_grad_(True)
    rule = fitting.optimiser_of(spec, model)
    for _ in range(2):
        rule.zero_grad()
        model(shown(at)).square().sum().backward()
        rule.step()
    return [weight.detach() for weight in model.parameters()]


def descended(at, **changes):
    """History and weights after an epoch, on the way at step 2."""
    spec, states = replace(SPEC, **changes), []
    model, images = network(at).requires_grad_(True), images_of(at)
    keep = lambda *state: states.append((state, [weight.detach().clone() for weight in model.parameters()]))
    fitting.descend(spec, model, images, at, [0, 2, fitting.steps_per_epoch(spec, images)], keep, progress=False)
    return states


def sought(at):
    model, images = network(at), shown(at)
    target = model(images)
    code = lambda x: model(x)
    return optimisers.Sought(code, target, target.norm(dim=1)), images


def searched(at, polish=3):
    seek, images = sought(at)
    procedure = optimisers.Procedure(loss="relative", step="adam", steps=4, polish=polish, blur=(1.0, 0.5))
    trace = optimisers.Trace(images, inversion.start(images, stream(0, "start")), optimisers.log_spaced(4 + polish, 4))
    with torch.no_grad():
        finite = optimisers.descend(seek, trace.last, procedure, trace)
        if polish:
            optimisers.polish(seek, finite, procedure, trace)
    return trace.result(seek.target.norm(dim=1), finite)


def inverted(at, procedure=optimisers.PRIMARY):
    images = shown(at)
    start = inversion.start(images, stream(0, "start"))
    return inversion.invert(network(at), "avgpool", images, start, replace(procedure, steps=4)), images, start


def judged(at):
    found, images, start = inverted(at)
    shift = inversion.shifted(network(at), "avgpool", images, stream(0, "shift"))
    return inversion.measures(found, images, start, shift)


def a_vae(at):
    vae, images = directions.train_vae(pictures(40).to(at), 0, 2, latent=3), shown(at)
    return vae(images), vae.encode(images), vae.jacobian(images), vae.directions(images, 2), list(vae.parameters())


def spectrum_of(at, point="linear"):
    return jacobians.spectrum(network(at), point, shown(at, 3))


def moved(at):
    images = shown(at, 3)
    named = flows.generators(images, "geometric")
    tangents = 0.1 * named.vectors
    return push_forward.validity(network(at), images, images[:, None] + tangents, tangents, ["input", "avgpool", "linear"])


def near_of(at):
    offsets = 0.1 * normal(6, 3, 1, 8, 8, dtype=torch.float32).to(at)
    around = lambda part: part[:, None] + offsets[: len(part)]
    return layers.through(network(at), shown(at), around, ["act1"], lambda point, centre, near: {"z": near - centre[:, None]})


def a_ball(at):
    return curvature.Ball.drawn(2, 1.0, stream(0), curvature.smooth_chart((1, 8, 8), 2, stream(0)).to(at), count=12)


def on_ball(at):
    readout = lambda z, ball: z.square().sum((1, 2))
    return layers.on_ball(network(at), shown(at), ["act1", "linear"], a_ball(at), readout)
