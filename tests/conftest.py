"""Settings for every test: one thread, checked shapes, and a cache of its own."""

import os

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[name] = "1"  # results depend on the thread count, and two processes of one thread are fastest

from jaxtyping import install_import_hook

# Every shape that stands in a signature is checked at run time, in the tests only.
hook = install_import_hook("helpers", "beartype.beartype")

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
