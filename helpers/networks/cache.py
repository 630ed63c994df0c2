"""Tensors kept in the cache: each file is written whole or not at all, and checked when it is read."""

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


def folder() -> Path:
    """Where data and trained networks are kept: LAYERS_CACHE, or the user's cache folder."""
    return Path(os.environ.get("LAYERS_CACHE") or platformdirs.user_cache_path("layer-by-layer"))


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A name of this process to write to, renamed to `path` at the end; after a failure nothing of it is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield unfinished
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def write(path: Path, content: str | bytes) -> Path:
    """Write a file whole or not at all, creating its folder."""
    with whole(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def digest(*parts) -> str:
    """The first 16 hex digits of a sha256 over JSON-able parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def keep(path: Path, tensors: dict[str, Tensor], **notes: str) -> None:
    """Write a safetensors file whole or not at all, creating its folder."""
    tensors = {name: tensors[name].cpu().contiguous() for name in sorted(tensors)}
    with whole(path) as unfinished:
        save_file(tensors, unfinished, metadata={**notes, "checksum": checksum(*tensors.values())})


def kept(path: Path) -> tuple[dict[str, Tensor], dict[str, str]] | None:
    """Tensors and notes of a file that `keep` wrote; None if there is none, or if it is corrupt (said on stderr)."""
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            tensors, notes = {name: file.get_tensor(name) for name in sorted(file.keys())}, file.metadata() or {}
        if notes.get("checksum") == checksum(*tensors.values()):
            return tensors, notes
    except (SafetensorError, OSError):
        pass
    print(f"{path.name} in the cache is corrupt; it is made again", file=sys.stderr)
    return None


def checksum(*tensors: Tensor | None) -> str:
    """The first 16 hexadecimal digits of a SHA-256 over shapes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(repr(None if tensor is None else tuple(tensor.shape)).encode())
        digest.update(b"" if tensor is None else tensor.cpu().contiguous().numpy())
    return digest.hexdigest()[:16]
