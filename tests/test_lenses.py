"""The portrait of networks that are not the book's: torchvision's, and one of the reader's; one run of the chapter."""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers import records

pytestmark = pytest.mark.book

HERE = Path(__file__).parent.parent
POINTS = {  # the first and the last, and how many there are
    "torchvision:resnet18": ("input", "fc", 13),
    "torchvision:vit_b_16": ("input", "heads", 16),
    "mynets:net": ("input", "7", 5),
}
NET = """
    from torch import nn

    def net(classes, channels, size):
        first = [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten()]
        return nn.Sequential(*first, nn.Linear(size**2 // 4, 16), nn.ReLU(), nn.Linear(16, classes))
    """
FEW = {"images": 4, "path_images": 20, "steps": 2}


@pytest.fixture(scope="module")
def portraits(tmp_path_factory, copy_of_the_book):
    """The table of a run on images of noise; the reader's module lies where the command is given, not in the book."""
    folder = tmp_path_factory.mktemp("lenses")
    (folder / "mynets.py").write_text(textwrap.dedent(NET))
    rng = np.random.default_rng(0)
    for number in range(30):  # a third to train on, so that 20 are held out
        path = folder / "photos" / ("train" if number < 10 else "test") / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(256, size=(32, 32, 3), dtype=np.uint8)).save(path)
    images = {"dataset": f"folder:{folder / 'photos'}", "size": 32}
    given = {"models": list(POINTS), "weights": "none", "seeds": [100]} | images | FEW
    call = [sys.executable, "-m", "helpers", "run", "lenses", "--profile", "smoke"]
    for name, value in given.items():
        call += ["-p", name, value if isinstance(value, str) else json.dumps(value)]
    changes = copy_of_the_book(folder).changes
    done = subprocess.run(call, env=os.environ | changes, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LAYERS_ROOT", changes["LAYERS_ROOT"])
        return records.load("lenses", "profiles", Path(done.stdout.strip()).name).table


@pytest.mark.parametrize("model", POINTS)
def test_a_network_from_elsewhere_has_its_portrait(portraits, model):
    rows = portraits[portraits["cell"] == model]
    first, last, count = POINTS[model]
    assert set(rows["state"]) == {"untrained"} and set(rows["seed"]) == {100}
    assert len(rows) == count and rows["point"].iloc[0] == first and rows["point"].iloc[-1] == last
    assert rows["depth"].iloc[0] == 0 and rows["depth"].iloc[-1] == 1 and rows["depth"].is_monotonic_increasing
    hidden = rows.iloc[1:-1]
    assert np.isfinite(hidden[["error", "rank", "step", "target", "bend", "dimension"]]).all(axis=None)
    assert (hidden[["error", "rank", "dimension"]] > 0).all(axis=None) and (hidden["bend"] >= 0).all()


def test_the_images_themselves_are_the_same_for_all(portraits):
    inputs = portraits[portraits["point"] == "input"].drop(columns="cell").drop_duplicates()
    assert len(inputs) == 1 and inputs["error"].item() == 0 and inputs["bend"].item() < 1e-12
    assert len(portraits.groupby("cell")["rank"].mean().unique()) == len(POINTS)  # what follows is each network's own
