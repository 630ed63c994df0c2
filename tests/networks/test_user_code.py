"""Networks of the reader at work: measured and trained as others are, and anew when their code changes."""

from user_models_shared import *  # noqa: F403


def test_lenses_see_it_as_they_see_others(write):
    write(ROW)
    net = models.build("mynets:net", classes=10).eval().double()
    points = list(models.points(net))
    assert points == ["input", "2", "3", "6", "8"]
    images, vectors = torch.rand(3, 1, 8, 8, dtype=torch.float64), torch.randn(3, 2, 1, 8, 8, dtype=torch.float64)
    found = push_forward.gram(net, images, vectors, points)
    _, pushed = torch.func.jvp(lambda x: net(x), (images,), (vectors[:, 1],))
    assert torch.allclose(found["8"].gram[:, 1, 1], pushed.square().sum(1))


def test_it_is_trained_once_and_again_when_its_code_changes(write, tmp_path):
    write(ROW)
    spec = Spec("mynets:net", **QUICK)
    first = trained(spec, "cpu", progress=False)
    assert len(files(tmp_path)) == 1 and len(first.history) == 1
    forget()
    write('"""Explained."""\n' + textwrap.dedent(ROW) + "\n# Comments count for nothing.\n")
    assert same(first, trained(spec, "cpu", progress=False)) and len(files(tmp_path)) == 1
    write(ROW.replace("MaxPool2d", "AvgPool2d"))
    assert same(first, trained(spec, "cpu", progress=False)) and len(files(tmp_path)) == 1  # still the one imported
    forget()
    other = trained(spec, "cpu", progress=False)
    assert isinstance(other.model[3], nn.AvgPool2d) and not same(first, other) and len(files(tmp_path)) == 2


def test_measurements_are_made_again_when_its_code_changes(write):
    """Whatever names the network has another fingerprint."""
    write(ROW)
    names = ("mynets:net", "mynets:net@a.pth", "pack:net@a.pth")
    keys = lambda: [fingerprint({"spec": {"model": name}}) for name in names]
    before = keys()
    assert before == keys() and len(set(before)) == 3
    write(ROW + "\n    x = 1\n"), write("", "pack")
    forget()
    assert not set(before) & set(keys())


def test_the_modules_beside_it_that_it_imports_count(write, tmp_path):
    write("from . import inner\nfrom ..beyond import x\n", "pack.__init__")
    write("import beside, sys, torch\nfrom .deeper import *\n", "pack.inner")
    write("x = 1  # why\n", "pack.deeper"), write("x = 1\n", "pack.unused"), write("def (", "beside")
    assert user_code.reader("pack.inner:net") == {
        "beside": "def (", "pack": "from . import inner\nfrom ..beyond import x",
        "pack.deeper": "x = 1", "pack.inner": "import beside, sys, torch\nfrom .deeper import *",
    }  # fmt: skip
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (tmp_path / "pack").rename(installed / "pack"), (tmp_path / "beside.py").rename(installed / "beside.py")
    sys.path.insert(0, str(installed))  # syspath_prepend of the fixture puts back what was
    assert set(user_code.reader("pack.inner:net@file.pth")) == {"pack", "pack.deeper", "pack.inner"}
    write("x = 1\n", "loose.inner")
    assert set(user_code.reader("loose.inner:net")) == {"loose.inner"}  # a folder that does not say that it is a package
    for other in ("nowhere:net", "folder:photos", "resnet8", "torchvision:resnet18", "a:b:c"):
        assert user_code.reader(other) == {}


@pytest.mark.parametrize("recipe", ["mixup", "manifold", "adversarial"])
def test_it_trains_by_every_kind_of_recipe(write, recipe):
    write(ROW)
    net = trained(Spec("mynets:net", **QUICK, **training.RECIPES[recipe]), "cpu", progress=False)
    assert not any(module._forward_hooks for module in net.model.modules())


def test_manifold_mixup_mixes_at_one_call_of_a_shared_module():
    net, calls = Shared(), []
    net.relu.register_forward_hook(lambda module, inputs, output: calls.append(output.clone()))
    net.depths = {"input": 0, "relu#2": 1, "fc": 9}
    mix = training.fitting.mixing(Spec("mlp1", manifold_mixup=2.0), net, 20)
    images = torch.rand(6, 1, 8, 8)
    expected = net.relu(net.one(images))
    for _ in range(20):
        calls.clear()
        mix(images, torch.arange(6) % 4)
        if not torch.equal(calls[0], expected):  # mixed at the input
            continue
        assert torch.equal(calls[1], net.relu(net.two(expected)))  # seen before it is mixed, and only there
        calls.append("hidden")
        break
    assert calls[-1] == "hidden"


SIDE_BY_SIDE = """
import os, torch
from pathlib import Path
from helpers.networks import Spec, trained, training

if __name__ == "__main__":
    torch.set_num_threads(1)
    os.cpu_count, training.WORTH = lambda: 2, 0
    files = lambda: sorted((Path(os.environ["LAYERS_CACHE"]) / "networks").glob("*.safetensors"))
    specs = [Spec("mynets:net", seed=seed, epochs=1, fraction=0.1) for seed in (1, 2)]
    training.prefetch(specs, "cpu")
    kept, weights = files(), lambda: list(trained(specs[0], "cpu").model.state_dict().values())
    there = weights()
    assert len(kept) == 2 and files() == kept
    for file in kept:
        file.unlink()
    assert all(map(torch.equal, there, weights()))
"""


@pytest.mark.slow
def test_two_processes_train_it_side_by_side(write, tmp_path):
    """Without the tests' own checks of shapes, which are code, too."""
    write(ROW)
    script = tmp_path / "script.py"
    script.write_text(SIDE_BY_SIDE)
    found = os.pathsep.join([str(HERE), *map(str, {path.parent for path in tmp_path.rglob("mynets.py")})])
    environment = os.environ | {"LAYERS_CACHE": str(tmp_path / "own"), "PYTHONPATH": found}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_weights_come_from_nowhere_or_from_a_file(write, tmp_path):
    write(ROW)
    net = trained(Spec("mynets:net", classes=3, **QUICK), "cpu", progress=False)
    path = str(tmp_path / "mine.pth")
    torch.save(net.model.state_dict(), path)
    again = trained(Spec("mynets:net", classes=3, weights=path), "cpu")
    assert same(net, again) and again.accuracy == pytest.approx({"test": net.accuracy["test"]})
    three = trained(Spec("mynets:net", weights=path), "cpu")  # ten classes in the data, three in the file
    assert three.model[-1].out_features == 3 and three.accuracy == {}
    untrained = trained(Spec("mynets:net", weights="none", seed=4), "cpu")
    assert same(untrained, trained(Spec("mynets:net", epochs=0, seed=4), "cpu", progress=False))
    with pytest.raises(ValueError, match="mynets:net is not torchvision's"):
        trained(Spec("mynets:net", weights="IMAGENET1K_V1"), "cpu")


def test_a_network_with_classes_of_its_own_is_measured_but_needs_enough_to_train(write):
    write("from torch import nn\ndef net(size):\n    return nn.Sequential(nn.Flatten(), nn.Linear(size**2, 4))\n")
    assert trained(Spec("mynets:net", weights="none"), "cpu").accuracy == {}
    with pytest.raises(ValueError, match="mynets:net.*4 logits.*10 classes"):
        trained(Spec("mynets:net", epochs=1), "cpu")
    assert len(trained(Spec("mynets:net", classes=4, **QUICK), "cpu", progress=False).history) == 1


def test_the_example_of_the_book_is_one(write):
    page = (HERE / "book" / "rerun.md").read_text()
    write(page.partition("```python\n")[2].partition("```")[0])
    net = models.build("mynets:tiny", classes=10, channels=3, size=32)
    assert list(models.points(net)) == ["input", "1", "2", "4", "5", "7"]


def test_a_command_finds_it_where_it_is_given(write, tmp_path):
    write(ROW)
    code = "from helpers.networks import models; print(models.build('mynets:net', classes=3)[-1].out_features)"
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert found.stdout == "3\n", found.stderr
