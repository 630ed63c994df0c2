"""Texts that point at something that decides a result: files of images and of weights, a reader's network."""

import os
from pathlib import Path

from helpers.networks import fingerprints, user_code
from helpers.networks.datasets import CIFAR
from helpers.networks.pretrained import SUFFIXES


def files(text: str) -> list[list]:
    """Names, sizes and times of what lies in `folder:PATH`, or of a file of weights; [] for any other text.

    The folder of an image is its class, and so belongs to its name.
    """
    own = os.environ.get("LAYERS_DATA")
    named = [text, text.rpartition("@")[2]] if text.endswith(SUFFIXES) else []
    named = [text.removeprefix("folder:")] if text.startswith("folder:") else dict.fromkeys(named)
    paths = [Path(name).expanduser() for name in named]
    places = paths + [Path(own).expanduser() / path for path in paths if own]
    found = [(file, place) for place in places for file in (sorted(place.rglob("*")) if place.is_dir() else [place])]
    return [
        [file.relative_to(place.parent).as_posix(), file.stat().st_size, file.stat().st_mtime_ns]
        for file, place in found
        if file.is_file()
    ]


def code(text: str) -> dict[str, str] | None:
    """The code of a reader's network MODULE:FUNCTION, as this process found it first; None for any other text."""
    return user_code.imported(text) or None


def where_data_lie(text: str) -> str | None:
    """The folder in which a data set that is not shipped is looked for."""
    return os.environ.get("LAYERS_DATA", "") if text in CIFAR else None


fingerprints.POINTS_AT += [files, code, where_data_lie]
