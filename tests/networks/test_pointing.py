"""Texts that point at files and code: what they point at is in the fingerprint of whatever reads the text."""

import os

import pytest

from helpers.networks import pointing
from helpers.networks.fingerprints import fingerprint


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    monkeypatch.delenv("LAYERS_DATA", raising=False)


@pytest.fixture
def images(tmp_path):
    """Two classes of images, all of one size and time."""
    for name in ("0/a.png", "0/b.png", "1/c.png"):
        path = tmp_path / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"picture")
        os.utime(path, (1, 1))
    return tmp_path / "images"


def test_other_texts_point_at_nothing():
    for text in ("digits", "cifar10", "mlp2", "", "a text that ends in .png", "torchvision:resnet18"):
        assert pointing.files(text) == [] and not pointing.code(text)
    assert fingerprint("digits") == fingerprint("digits") != fingerprint("digits20")


def test_a_folder_is_its_files(images):
    text = f"folder:{images}"
    assert [name for name, _, _ in pointing.files(text)] == ["images/0/a.png", "images/0/b.png", "images/1/c.png"]
    before = fingerprint({"dataset": text})
    assert fingerprint({"dataset": text}) == before
    (images / "0" / "a.png").write_bytes(b"another")
    assert fingerprint({"dataset": text}) != before


def test_an_image_of_another_class_is_another_image(images):
    before = fingerprint(f"folder:{images}")
    (images / "0" / "b.png").rename(images / "1" / "b.png")
    assert fingerprint(f"folder:{images}") != before


@pytest.mark.parametrize("change", ["size", "time", "name", "gone", "more"])
def test_every_change_of_a_file_shows(images, change):
    before, path = fingerprint(f"folder:{images}"), images / "1" / "c.png"
    if change == "size":
        path.write_bytes(b"larger picture")
        os.utime(path, (1, 1))
    elif change == "time":
        os.utime(path, (2, 2))
    elif change == "name":
        path.rename(images / "1" / "d.png")
    elif change == "gone":
        path.unlink()
    else:
        (images / "1" / "d.png").write_bytes(b"picture")
    assert fingerprint(f"folder:{images}") != before


def test_a_folder_with_a_sign_in_its_name(images):
    there = images.rename(images.parent / "us@home")
    assert len(pointing.files(f"folder:{there}")) == 3


@pytest.mark.parametrize("form", ["{}", "mlp2@{}", "my.nets:make@{}"])
def test_a_file_of_weights(tmp_path, form):
    path = tmp_path / "net.safetensors"
    text = form.format(path)
    absent = fingerprint(text)
    path.write_bytes(b"weights")
    there = fingerprint(text)
    path.write_bytes(b"others")
    assert len({absent, there, fingerprint(text)}) == 3


def test_files_are_looked_for_where_data_lie(images, monkeypatch):
    before = fingerprint("folder:images"), fingerprint("cifar10"), fingerprint("digits")
    monkeypatch.setenv("LAYERS_DATA", str(images.parent))
    assert len(pointing.files("folder:images")) == 3
    after = fingerprint("folder:images"), fingerprint("cifar10"), fingerprint("digits")
    assert [a == b for a, b in zip(before, after)] == [False, False, True]


def test_the_code_of_a_readers_network(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    found = []
    for name, text in {"one": "width = 8", "two": "width = 9", "three": '"""Words."""\nwidth = 8  # more'}.items():
        (tmp_path / f"nets_{name}.py").write_text(f"{text}\n\n\ndef make():\n    return width\n")
        found.append(pointing.code(f"nets_{name}:make")[f"nets_{name}"])
    assert found[0] == found[2] != found[1]
    assert fingerprint("nets_one:make") != fingerprint("nets_none:make")


def test_a_file_whose_name_points_at_itself(tmp_path, monkeypatch):
    """Named by its path, and found by its mere name, too, where data lie."""
    monkeypatch.setenv("LAYERS_DATA", str(tmp_path))
    (tmp_path / "mine.pth").write_bytes(b"weights")
    before = fingerprint(str(tmp_path / "mine.pth"), "mine.pth")
    (tmp_path / "mine.pth").write_bytes(b"other weights")
    assert fingerprint(str(tmp_path / "mine.pth"), "mine.pth") != before
