"""Files that are vouched for: their names and SHA-256, by which what was edited, cut short or removed since is found."""

import hashlib
from pathlib import Path

from helpers.networks import cache

NAME = "SHA256SUMS"  # in the form that `sha256sum --check` reads


def sums(folder: Path, *parts: str) -> dict[str, str]:
    """Names and SHA-256 of the files of a folder, or of these parts of it; hidden ones and the manifest do not count."""
    places = [folder / part for part in parts] or [folder]
    files = [file for place in places for file in ([place] if place.is_file() else sorted(place.rglob("*")))]
    names = {file.relative_to(folder).as_posix(): file for file in files if file.is_file() and file.name != NAME}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in names.items()
        if not any(part.startswith(".") for part in Path(name).parts)
    }


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """What has become of files since their sums were taken, a line for each."""
    become = {name: "is missing" if name not in found else "was changed since" for name in expected}
    become |= {name: "was added since" for name in found if name not in expected}
    return [f"{name} {how}" for name, how in sorted(become.items()) if found.get(name) != expected.get(name)]


def write(folder: Path) -> Path:
    """Vouch for what is in a folder, beside it."""
    return cache.write(folder / NAME, "".join(f"{digest}  {name}\n" for name, digest in sums(folder).items()))


def changed(folder: Path) -> list[str]:
    """What differs in a folder from its manifest."""
    lines = (folder / NAME).read_text(encoding="utf-8").splitlines()
    return differences({name: digest for digest, _, name in (line.partition("  ") for line in lines)}, sums(folder))
