"""Points and representations that tests of paths share: on a great circle, of a random network, and by slow formulas."""

import torch

from helpers.networks.numerics import stream
from helpers.paths.metrics import AngularCKA, AngularShape, EuclideanShape, Stress


class Sphere:
    """Textbook formulas on the unit sphere, with arccos and the law of cosines: an independent check, not a good metric."""

    def distance(self, p, q):
        return (p * q).sum(-1).clamp(-1, 1).arccos()

    def log(self, p, q):
        v = q - (p * q).sum(-1, keepdim=True) * p
        return self.distance(p, q)[..., None] * v / v.norm(dim=-1, keepdim=True)

    def exp(self, p, v):
        long = v.norm(dim=-1, keepdim=True)
        return long.cos() * p + long.sin() * v / long

    def transport(self, v, p, q):
        u = self.log(p, q) / self.distance(p, q)[..., None]
        along = (u * v).sum(-1, keepdim=True)
        omega = self.distance(p, q)[..., None]
        return v + along * ((omega.cos() - 1) * u - omega.sin() * p)

    def inner(self, p, u, v):
        return (u * v).sum(-1)

    def angle(self, p, q, r):
        a, b, c = self.distance(q, p), self.distance(q, r), self.distance(p, r)
        return ((c.cos() - a.cos() * b.cos()) / (a.sin() * b.sin())).clamp(-1, 1).arccos()

    def project(self, r, p, q):
        """By search: the nearest of many places on the great circle."""
        place = torch.linspace(-4, 4, 80001, dtype=torch.float64)[:, None]
        u = self.log(p, q) / self.distance(p, q)
        distance = self.distance(place.cos() * p + place.sin() * u, r[..., None, :])
        least, index = distance.min(-1)
        return place[index, 0] / self.distance(p, q), least


def gauss(*shape, seed=0):
    return torch.randn(*shape, generator=stream(seed, "gauss", *shape), dtype=torch.float64)


def unit(x):
    return x / x.norm(dim=-1, keepdim=True)


def circle(angles):
    """Points at these angles on a great circle of the sphere in six dimensions, in no special position."""
    a, b = torch.linalg.qr(gauss(6, 2)).Q.T
    angles = torch.as_tensor(angles, dtype=torch.float64)[..., None]
    return angles.cos() * a + angles.sin() * b


def representations(k=5, m=12, seed=0):
    """Layers (m, n) of a random network, widths changing, and one-hot labels."""
    x, layers = gauss(m, 9, seed=seed), []
    for depth, width in enumerate([9, 8, 6, 7, 5, 4, 6, 5][:k]):
        layers.append(x)
        x = torch.relu(x @ gauss(x.shape[1], width, seed=100 * seed + depth)) + 0.3 * gauss(m, width, seed=seed + depth)
    return layers, torch.eye(3, dtype=torch.float64)[torch.arange(m) % 3]


def embedded(metric, k=5, seed=0):
    layers, labels = representations(k, seed=seed)
    return torch.stack([metric.embed(x) for x in layers]), metric.embed(labels)


CKA, SHAPE = AngularCKA(), AngularShape(components=4)
METRICS = [CKA, AngularCKA("plug-in"), SHAPE, EuclideanShape(components=4), Stress()]
