"""Directions at an image, pushed through layers, and their statistics."""

from helpers.frames import directions, known
from helpers.frames.batteries import battery, described
from helpers.frames.changes import followed, withstood
from helpers.frames.portrait import profile
from helpers.frames.push_forward import *
from helpers.frames.tables import log_means, slope, standardised
