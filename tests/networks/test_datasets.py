"""Images: planted folders, closed forms of the shift, named streams, and files that are whole or made again."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import chi2, norm

import helpers
from helpers.networks import cache, datasets, numerics


def paint(path, value, size=(8, 8)):
    """A picture of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 10, 20)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Two classes, three training and one test image each; the red channel tells which."""
    for part, n in (("train", 3), ("test", 1)):
        for c, name in enumerate(("ant", "bee")):
            for i in range(n):
                paint(tmp_path / "zoo" / part / name / f"{i}.png", 100 * c + i)
    return tmp_path / "zoo"


def test_digits_are_the_1797_split_once():
    digits = datasets.load("digits")
    assert digits.train_images.shape == (1297, 1, 8, 8) and digits.test_images.shape == (500, 1, 8, 8)
    images = torch.cat([digits.train_images, digits.test_images])
    assert images.min() == 0 and images.max() == 255 and len(images.unique(dim=0)) == 1797
    assert digits.train_labels.bincount(minlength=10).min() > 100
    assert digits.checksum == datasets.load("digits").checksum
    standard = digits.normalise(digits.train_images)
    assert standard.mean().abs() < 1e-5 and (standard.std() - 1).abs() < 1e-3


def test_digits20_has_the_same_split_in_a_black_frame():
    small, large = datasets.load("digits"), datasets.load("digits20")
    assert torch.equal(small.test_labels, large.test_labels) and large.test_images.shape == (500, 1, 20, 20)
    frame = large.test_images.clone()
    frame[..., 2:18, 2:18] = 0
    assert not frame.any()
    shrunk = torch.nn.functional.avg_pool2d(large.test_images[..., 2:18, 2:18].float(), 2)
    assert torch.corrcoef(torch.stack([shrunk.flatten(), small.test_images.float().flatten()]))[0, 1] > 0.97


@pytest.mark.parametrize(
    "name, shape, train, test, classes",
    [("noise", (1, 8, 8), 500, 100, 10), ("noise32", (3, 32, 32), 10_000, 1_000, 100)],
)
def test_noise_has_clipped_normal_pixels_and_labels_at_random(name, shape, train, test, classes):
    noise = datasets.load(name)
    assert noise.train_images.shape == (train, *shape) and noise.test_images.shape == (test, *shape)
    assert len(noise.classes) == classes and noise.train_labels.unique().tolist() == list(range(classes))
    assert noise.checksum == datasets.load(name).checksum

    def fits(values, shares):
        counts, expected = values.bincount(minlength=len(shares)).double().numpy(), len(values) * np.asarray(shares)
        return chi2.sf(((counts - expected) ** 2 / expected).sum(), len(shares) - 1) > 1e-3

    # Each of the 256 values takes the pixels within half a step of it, the first and the last one all beyond.
    borders = np.concatenate([[-np.inf], (np.arange(255) + 0.5) / 255, [np.inf]])
    assert fits(noise.train_images.flatten(), np.diff(norm.cdf(borders, 1 / 2, 1 / 4)))
    assert fits(noise.train_labels, [1 / classes] * classes)
    pixel = noise.train_images[:, 0, 0, 0].double()
    assert abs(torch.corrcoef(torch.stack([pixel, noise.train_labels.double()]))[0, 1]) < 4 / train**0.5
    some = torch.cat([noise.train_images, noise.test_images])[:, 0].flatten(1)[:, :24]
    assert len(some.unique(dim=0)) == train + test


def test_normalise_keeps_precision_and_has_the_closed_form():
    digits = dataclasses.replace(datasets.load("digits"), mean=(0.5,), std=(0.25,))
    white = torch.full((2, 1, 8, 8), 255, dtype=torch.uint8)
    assert torch.equal(digits.normalise(white), torch.full((2, 1, 8, 8), 2.0))
    assert digits.normalise(torch.ones(3, 2, 1, 8, 8, dtype=torch.float64)).dtype == torch.float64


def test_select_renumbers_in_the_order_given():
    digits = datasets.load("digits")
    two = digits.select([7, 1])
    assert two.classes == ("7", "1") and two.checksum != digits.checksum
    assert torch.equal(two.train_images[two.train_labels == 0], digits.train_images[digits.train_labels == 7])
    assert torch.equal(two.test_images[two.test_labels == 1], digits.test_images[digits.test_labels == 1])
    for wrong in ([], [1, 1], [10], [-1]):
        with pytest.raises(ValueError, match="classes="):
            digits.select(wrong)


@given(pad=st.integers(0, 3), seed=st.integers(0, 1000), flip=st.booleans())
@settings(max_examples=25, deadline=None)
def test_augment_is_a_shift_and_at_most_a_mirror(pad, seed, flip):
    images = torch.randint(1, 255, (6, 2, 5, 7), dtype=torch.uint8, generator=numerics.stream(seed, "images"))
    moved = datasets.augment(images, numerics.stream(seed, "augment"), pad=pad, flip=flip)
    assert torch.equal(moved, datasets.augment(images, numerics.stream(seed, "augment"), pad=pad, flip=flip))
    padded = torch.nn.functional.pad(images, (pad,) * 4)
    for image, canvas in zip(moved, padded):
        shifts = [canvas[:, i : i + 5, j : j + 7] for i in range(2 * pad + 1) for j in range(2 * pad + 1)]
        allowed = shifts + [shift.flip(-1) for shift in shifts if flip]
        assert any(torch.equal(image, shift) for shift in allowed)


def test_augment_uses_every_shift_and_mirrors_half():
    image = torch.zeros(2000, 1, 3, 3, dtype=torch.uint8)
    image[..., 1, 0] = 255
    moved = datasets.augment(image, numerics.stream(0, "test"), pad=1, flip=False)
    assert len(moved.unique(dim=0)) == 7  # six places inside, and pushed out at the left
    still = datasets.augment(image, numerics.stream(0, "test"), pad=0, flip=True)
    assert abs((still[..., 1, 2] == 255).float().mean() - 0.5) < 0.05


def test_streams_are_named():
    first = torch.rand(4, generator=numerics.stream(0, "a"))
    assert torch.equal(first, torch.rand(4, generator=numerics.stream(0, "a")))
    for other in (numerics.stream(1, "a"), numerics.stream(0, "b"), numerics.stream(0, "a", 1)):
        assert not torch.equal(first, torch.rand(4, generator=other))


def test_devices():
    assert numerics.device("cpu") == torch.device("cpu")
    assert numerics.device() == numerics.device(None) == numerics.device("auto")
    for wrong in ("gpu", "meta", "cuda:99"):
        with pytest.raises(ValueError, match="device="):
            numerics.device(wrong)


@pytest.mark.parametrize("name, near", [("digit", "digits"), ("cifar", "cifar10"), ("imagenet", "folder:PATH")])
def test_unknown_names_are_refused(name, near):
    with pytest.raises(ValueError, match=near):
        datasets.load(name)


def test_a_size_is_for_folders(folder):
    with pytest.raises(ValueError, match="size=16"):
        datasets.load("digits", size=16)
    with pytest.raises(ValueError, match="size=None"):
        datasets.load(f"folder:{folder}")


def test_a_folder_with_two_parts_and_classes(folder):
    zoo = datasets.load(f"folder:{folder}", size=4)
    assert (zoo.name, zoo.title, zoo.classes) == ("folder:zoo", "zoo", ("ant", "bee"))
    assert zoo.train_images.shape == (6, 3, 4, 4) and zoo.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert zoo.train_images[:, 0, 0, 0].tolist() == [0, 1, 2, 100, 101, 102]
    assert zoo.test_labels.tolist() == [0, 1] and zoo.mean[1] == pytest.approx(10 / 255)


def test_a_folder_is_split_by_the_seed(folder):
    first, again, other = (datasets.load(f"folder:{folder}/train", size=4, seed=seed) for seed in (0, 0, 3))
    assert len(first.train_images) == 5 and len(first.test_images) == 1
    assert first.checksum == again.checksum != other.checksum


def test_a_flat_folder_has_no_labels(tmp_path, monkeypatch):
    for i in range(10):
        paint(tmp_path / "flat" / f"{i}.jpg", 20 * i, size=(12, 8))
    flat = datasets.load(f"folder:{tmp_path}/flat", size=8)
    monkeypatch.setenv("LAYERS_DATA", str(tmp_path))
    assert datasets.load("folder:flat", size=8).checksum == flat.checksum
    assert flat.train_labels is None and flat.test_labels is None and flat.classes == ()
    assert len(flat.train_images) == 8 and flat.train_images.shape[1:] == (3, 8, 8)
    with pytest.raises(ValueError, match="no labels"):
        flat.select([0])


def test_a_picture_is_scaled_and_cropped_to_the_centre(tmp_path):
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    (tmp_path / "wide").mkdir()
    for i in range(5):
        Image.fromarray(pixels).save(tmp_path / "wide" / f"{i}.png")
    assert (datasets.load(f"folder:{tmp_path}/wide", size=8).train_images == 200).all()


def test_a_changed_folder_is_decoded_again_and_an_unchanged_one_is_not(folder, capsys):
    datasets.load(f"folder:{folder}", size=5)
    assert "decoding" in capsys.readouterr().err
    before = datasets.load(f"folder:{folder}", size=5)
    assert "decoding" not in capsys.readouterr().err
    paint(folder / "train" / "ant" / "new.png", 55)
    assert len(datasets.load(f"folder:{folder}", size=5).train_images) == len(before.train_images) + 1


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected images"):
        datasets.load(f"folder:{tmp_path}/empty", size=4)
    with pytest.raises(FileNotFoundError, match="no folder"):
        datasets.load(f"folder:{tmp_path}/nowhere", size=4)
    (tmp_path / "empty" / "broken.png").write_bytes(b"not a picture")
    with pytest.raises(ValueError, match="broken.png"):
        datasets.load(f"folder:{tmp_path}/empty", size=4)


@pytest.mark.parametrize("name, kind, count", [("cifar10", "CIFAR10", 10), ("cifar100", "CIFAR100", 100)])
def test_cifar_comes_from_torchvision(name, kind, count, monkeypatch, tmp_path):
    from torchvision import datasets as theirs

    class Fake:
        def __init__(self, root, train, download):
            if root != tmp_path:
                raise RuntimeError("not found")
            self.data = np.full((4 if train else 2, 32, 32, 3), 51, np.uint8)
            self.targets, self.classes = [0, 1, 2, 3][: len(self.data)], [str(c) for c in range(count)]

    monkeypatch.setattr(theirs, kind, Fake)
    monkeypatch.setenv("LAYERS_DATA", str(tmp_path))
    cifar = datasets.load(name)
    assert cifar.train_images.shape == (4, 3, 32, 32) and cifar.test_labels.tolist() == [0, 1]
    assert len(cifar.classes) == count and cifar.augmentation == {"pad": 4, "flip": True}


def test_missing_cifar_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setenv("LAYERS_DATA", str(tmp_path))
    monkeypatch.delenv("LAYERS_DOWNLOAD", raising=False)
    with pytest.raises(FileNotFoundError, match=r"LAYERS_DOWNLOAD=1.*digits") as caught:
        datasets.load("cifar10")
    assert str(tmp_path) in str(caught.value)


def test_the_cache_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path))
    assert cache.folder() == tmp_path
    monkeypatch.delenv("LAYERS_CACHE")
    assert cache.folder().name == "layer-by-layer"


def test_the_store_gives_back_what_it_was_given(tmp_path):
    path, tensors = tmp_path / "deep" / "x.safetensors", {"b": torch.randn(3, 4).T, "a": torch.arange(3)}
    assert cache.kept(path) is None
    cache.keep(path, tensors, note="hello")
    found, notes = cache.kept(path)
    assert all(torch.equal(found[name], tensors[name]) for name in tensors) and notes["note"] == "hello"
    assert [file.name for file in path.parent.iterdir()] == ["x.safetensors"]


@pytest.mark.parametrize("harm", ["truncate", "flip", "garbage"])
def test_the_store_names_a_corrupt_file(tmp_path, capsys, harm):
    path = tmp_path / "x.safetensors"
    cache.keep(path, {"a": torch.zeros(100)})
    content = path.read_bytes()
    path.write_bytes({"truncate": content[:-8], "flip": content[:-1] + b"\x01", "garbage": b"no tensors"}[harm])
    assert cache.kept(path) is None and "x.safetensors" in capsys.readouterr().err


def test_torchvision_imports_in_a_fresh_process():
    code = "import helpers; from torchvision import datasets, models"
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, env={**os.environ, "PYTHONPATH": "."})


def test_operators_are_declared_only_where_they_are_missing(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert helpers._declare_missing_operators() is None
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(torch.ops, "load_library", lambda path: None)
    assert helpers._declare_missing_operators() is None
