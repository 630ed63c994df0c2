"""Every kind of command that readers are told to give runs, at small sizes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from examples import kinds, mynets, small
from PIL import Image

COMMANDS = kinds()


@pytest.fixture(scope="module")
def desk(tmp_path_factory, copy_of_the_book):
    """A reader's folder: photographs (noise), a module with a network, weights for it and for one of torchvision's."""
    folder = tmp_path_factory.mktemp("desk")
    rng = np.random.default_rng(0)
    for number in range(200):  # five classes, fewer than the digits have
        path = folder / "photos" / "abcde"[number % 5] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(40, 48, 3), dtype=np.uint8)).save(path)
    (folder / "mynets.py").write_text(mynets())
    changes = copy_of_the_book(folder).changes | {"LAYERS_DATA": str(folder)}
    exec(mynets(), names := {})
    torch.save(names["tiny"](classes=10, channels=1, size=20).state_dict(), folder / "mine.pth")
    weights = torchvision.models.SqueezeNet1_1_Weights.IMAGENET1K_V1
    torch.save(torchvision.models.squeezenet1_1().state_dict(), folder / Path(weights.url).name)
    return folder, changes


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_runs(command, desk):
    folder, changes = desk
    words = small(command, folder)
    program = [sys.executable] if words[0] == "python" else [sys.executable, "-m", "papermill"]
    done = subprocess.run(program + words[1:], cwd=folder, env=os.environ | changes, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
