"""Directions at an image, pushed through layers, and their statistics."""

from helpers.frames import directions
from helpers.frames.aliasing import shift_gain
from helpers.frames.portrait import profile
from helpers.frames.push_forward import *
from helpers.frames.spans import captured
