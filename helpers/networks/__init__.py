"""What is measured: images, networks by name or from the reader, points along depth, activations, training, the cache."""

from helpers.networks import pointing as pointing
from helpers.networks.activations import Point, collect, flat, order, record, varying
from helpers.networks.datasets import Dataset, augment, load
from helpers.networks.fitting import RECIPES, Spec
from helpers.networks.models import build, named, points
from helpers.networks.normalisation import bare, normalised
from helpers.networks.numerics import device, double, stream
from helpers.networks.training import Trained, calibrate, checkpoints, dataset, prefetch, trained
from helpers.networks.zoo import Zoo
