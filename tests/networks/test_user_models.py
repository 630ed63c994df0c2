"""Networks of the reader: found, made, refused with what was expected, trained again when their code changes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from helpers.book import records
from helpers.frames import push_forward
from helpers.networks import activations, models, tracing, training, user_code, user_models
from helpers.networks.training import Spec, trained

HERE = Path(__file__).parents[2]
ROW = """
    from torch import nn

    def net(classes, channels, size):
        first = [nn.Conv2d(channels, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
        return nn.Sequential(*first, nn.Flatten(), nn.Linear(size**2, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, classes))
    """


@pytest.fixture
def write(tmp_path, monkeypatch):
    """A function that writes a module of the reader's into a folder where Python finds it."""
    monkeypatch.setenv("LAYERS_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)

    def written(text, name="mynets"):
        path = tmp_path.joinpath(*name.split(".")).with_suffix(".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    forget()
    yield written
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]
    forget()


def forget():
    """What a new process would not know."""
    sys.modules.pop("mynets", None)
    user_code.imported.cache_clear()


# Found and made


def test_a_network_is_made_by_its_function(write):
    write(ROW)
    net = models.build("mynets:net", classes=7, channels=2, size=8)
    assert net.training and net.name == "mynets:net" and not any(getattr(m, "inplace", False) for m in net.modules())
    assert torch.equal(net[1].running_mean, torch.zeros(4))  # looking at it has left no trace
    assert net(torch.rand(3, 2, 8, 8)).shape == (3, 7)


def test_it_is_initialised_from_the_seed_as_others_are(write):
    write("from helpers.networks import models\ndef net(**given):\n    return models._own('mlp2', **given)\n")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    nets = [models.build("mynets:net", classes=3, seed=seed) for seed in (1, 2)]
    assert torch.equal(torch.rand(3), expected)
    for seed, net in zip((1, 2), nets):
        assert torch.equal(net.fc1.weight, models.build("mlp2", classes=3, seed=seed).fc1.weight)


@pytest.mark.parametrize("takes, given", [
    ("", {}), ("size", {"size": 8}), ("channels, classes=3", {"channels": 1, "classes": 10}), ("*, size, width=4", {"size": 8}),
    ("**all", {"classes": 10, "channels": 1, "size": 8}), ("size=8, /, classes=2", {"classes": 10}),
])  # fmt: skip
def test_a_function_is_given_what_it_takes(write, takes, given):
    write(f"""
        from torch import nn
        seen = []
        def net({takes}):
            found = locals()
            seen.append(found.get("all", found))
            return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        """)
    models.build("mynets:net", classes=10)
    seen = sys.modules["mynets"].seen[0]
    assert {name: seen[name] for name in given} == given
    assert user_models._taken(sys.modules["mynets"].net, {"classes": 10, "channels": 1, "size": 8}) == given


def test_a_class_in_a_package_will_do(write):
    write("", "pack.__init__")
    write("""
        from torch import nn
        class Net(nn.Module):
            def __init__(self, classes):
                super().__init__()
                self.late = nn.LazyLinear(classes)
            def forward(self, x):
                return self.late(x.flatten(1))
        """, "pack.inner")  # fmt: skip
    net = models.build("pack.inner:Net", classes=5, size=4)
    assert net.late.weight.shape == (5, 16)


# Refused


@pytest.mark.parametrize("name, message", [
    ("mynest:net", "no module 'mynest'; did you mean 'mynets'.*PYTHONPATH"),
    ("mynets.inner:net", "no module 'mynets.inner'"),
    ("mynets:nett", "no function 'nett'; did you mean 'net'"),
    ("mynets:", "PACKAGE.MODULE:FUNCTION"),
    ("my-nets:net", "PACKAGE.MODULE:FUNCTION"),
    ("mynets:SIZE", "no function 'SIZE'"),
])  # fmt: skip
def test_what_is_not_there_is_named(write, name, message):
    write(ROW + "\n    SIZE = 3\n")
    with pytest.raises(ValueError, match=f"{name}.*{message}"):
        models.check(name)
    with pytest.raises(ValueError, match=message):
        Spec(name)


def test_the_nearest_module_of_a_package_is_named(write):
    write("", "pack.__init__"), write(ROW, "pack.inner")
    with pytest.raises(ValueError, match="'pack.iner'; did you mean 'pack.inner'"):
        models.check("pack.iner:net")


@pytest.mark.parametrize("text, message", [
    ("import no_such_package", "importing mynets raised ModuleNotFoundError.*no_such_package"),
    ("def net(:", "importing mynets raised SyntaxError"),
    ("1 / 0", "importing mynets raised ZeroDivisionError"),
])  # fmt: skip
def test_a_module_that_cannot_be_imported_says_why(write, text, message):
    write(text)
    with pytest.raises(ValueError, match=f"mynets:net.*{message}"):
        models.check("mynets:net")


@pytest.mark.parametrize("body, message", [
    ("def net(width): return nn.Identity()", r"net\(\) raised TypeError.*width.*expected a function of classes"),
    ("def net(size): raise RuntimeError('no luck')", r"net\(size=8\) raised RuntimeError: no luck"),
    ("def net(): return 3", r"net\(\) gave a int: expected a torch.nn.Module"),
    ("def net(): return nn.Linear(3, 10)", r"images \(2, 1, 8, 8\) raised RuntimeError.*expected logits \(2, any"),
    ("def net(): return nn.Identity()", r"gave \(2, 1, 8, 8\): expected logits \(2, any"),
    ("def net(classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, 9))", r"gave \(2, 9\): expected logits \(2, 10\)"),
    ("def net(): return nn.Sequential(nn.Flatten(0), nn.Linear(128, 10))", r"gave \(10,\): expected"),
    ("class net(nn.Flatten):\n    def forward(self, x): return x, x", "gave a tuple: expected logits"),
])  # fmt: skip
def test_a_function_that_gives_no_network_is_named(write, body, message):
    write(f"from torch import nn\n{body}\n")
    with pytest.raises(ValueError, match=f"mynets:net.*{message}"):
        models.build("mynets:net", classes=10)


# Its points


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()

    def forward(self, x):
        return x + self.act(self.norm(self.conv(x)))


class Shared(nn.Module):
    """One activation for all."""

    def __init__(self):
        super().__init__()
        self.relu, self.one, self.two, self.fc = nn.ReLU(), nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3), nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.relu(self.two(self.relu(self.one(x)))).mean((2, 3)))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.fc = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3), nn.Linear(3, 4)

    def forward(self, x):
        return self.fc(self.two(self.one(x).relu()).relu().mean((2, 3)))


class Wrapped(nn.Module):
    """Everything in one module, and a part that gives no single tensor."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.attention = inner, nn.MultiheadAttention(4, 1, batch_first=True)

    def forward(self, x):
        y = self.inner(x)[:, None]
        return (y + self.attention(y, y, y)[0])[:, 0]


class ResNet(nn.Module):
    """By the name of one of torchvision's, but not it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.layer1, self.linear = nn.Conv2d(1, 4, 3), nn.Sequential(Block(4), Block(4), Block(4)), nn.Linear(4, 4)

    def forward(self, x):
        return self.linear(self.layer1(self.conv1(x).relu()).mean((2, 3)))


def row():
    first = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    return nn.Sequential(*first, nn.Linear(36, 9), nn.Dropout(), nn.LayerNorm(9), nn.GELU(), nn.Linear(9, 4))


@pytest.mark.parametrize("net, expected", [
    (row(), {"2": 3, "3": 4, "8": 9, "9": 10}),
    (nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.PReLU(8), nn.Linear(8, 4), nn.Dropout()), {"2": 3, "4": 5}),
    (Shared(), {"relu": 2, "relu#2": 4, "fc": 5}),
    (Functional(), {"one": 1, "two": 2, "fc": 3}),
    (Wrapped(row()), {"inner.2": 3, "inner.3": 4, "inner.8": 9, "inner.9": 10}),
    (ResNet(), {"conv1": 1, "layer1.0": 4, "layer1.1": 7, "layer1.2": 10, "linear": 11}),
])  # fmt: skip
def test_the_steps_of_an_unknown_network(net, expected):
    images = torch.rand(3, 1, 8, 8)
    found = tracing.depths(net, images)
    assert found == {"input": 0} | expected and list(found) == ["input", *expected]
    assert net.training and not any(module._forward_hooks for module in net.modules())
    relative = models.points(net, images)
    assert list(relative.values()) == pytest.approx([passed / max(expected.values()) for passed in found.values()])
    seen = activations.record(net.eval(), images, list(found))
    assert all(len(activation) == 3 for activation in seen.values())
    if not isinstance(net, Wrapped):
        net.requires_grad_(False)  # `record` is without gradients, with which other kernels may be chosen
        assert torch.equal(seen[list(found)[-1]], net(images))


def test_a_network_may_say_its_points_itself(write):
    write("""
        from torch import nn
        def net(classes):
            made = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, classes))
            made.depths = {"input": 0, "1": 1, "3": 2}
            return made
        def odd(classes):
            made = net(classes)
            made.depths = [2, 2]
            return made
        """)
    assert models.points(models.build("mynets:net", classes=4)) == {"input": 0, "1": 0.5, "3": 1}
    odd = models.build("mynets:odd", classes=4)
    assert odd.depths == [2, 2] and list(models.points(odd, torch.rand(2, 1, 8, 8))) == ["input", "2", "3"]
    with pytest.raises(ValueError, match="images=None"):
        models.points(odd)


def test_lenses_see_it_as_they_see_others(write):
    write(ROW)
    net = models.build("mynets:net", classes=10).eval().double()
    points = list(models.points(net))
    assert points == ["input", "2", "3", "6", "8"]
    images, vectors = torch.rand(3, 1, 8, 8, dtype=torch.float64), torch.randn(3, 2, 1, 8, 8, dtype=torch.float64)
    found = push_forward.gram(net, images, vectors, points)
    _, pushed = torch.func.jvp(lambda x: net(x), (images,), (vectors[:, 1],))
    assert torch.allclose(found["8"].gram[:, 1, 1], pushed.square().sum(1))


# Trained and kept

QUICK = {"epochs": 1, "fraction": 0.2, "batch": 64}


def same(a, b):
    return all(torch.equal(a.model.state_dict()[name], tensor) for name, tensor in b.model.state_dict().items())


def files(folder):
    return sorted((folder / "cache" / "networks").glob("*.safetensors"))


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
    write(ROW)
    counted = iter(range(9))

    def measured(name):
        return records.remember({"spec": {"model": name}}, lambda: next(counted))

    assert [measured("mynets:net"), measured("mynets:net"), measured("pack:net@a.pth")] == [0, 0, 1]
    write(ROW + "\n    x = 1\n"), write("", "pack")
    forget()
    assert [measured("mynets:net"), measured("mynets:net@a.pth"), measured("pack:net@a.pth")] == [2, 3, 4]


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


def test_two_processes_train_it_side_by_side(write, tmp_path, monkeypatch):
    write(ROW)
    monkeypatch.setattr(training.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(training, "WORTH", 0)
    specs = [Spec("mynets:net", seed=seed, **QUICK) for seed in (1, 2)]
    training.prefetch(specs, "cpu")
    kept = files(tmp_path)
    assert len(kept) == 2
    there = trained(specs[0], "cpu")
    assert files(tmp_path) == kept
    kept[0].unlink(), kept[1].unlink()
    assert same(there, trained(specs[0], "cpu", progress=False))


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
