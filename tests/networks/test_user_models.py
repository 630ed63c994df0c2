"""Networks of the reader: found, made, and refused with what was expected."""

from user_models_shared import *  # noqa: F403

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
