"""The fingerprint of values: equal for equal content in every process, refused where there is none."""

from fingerprints_shared import *  # noqa: F403

from helpers import frames


def test_the_condition_of_an_assertion_counts_and_its_message_does_not(load):
    texts = "> 0, 'a'", "> 0, f'{x}'", "> 1, 'a'"
    one, other, third = (load(f"def f(x):\n    assert x {text}\n    return x").f for text in texts)
    assert fingerprint(one) == fingerprint(other) != fingerprint(third)


def test_what_has_no_content_is_named_or_counts_by_its_type(notebook, load):
    cells = notebook("import threading\nlock = threading.Lock()\n\ndef measure():\n    return lock")
    with pytest.raises(TypeError, match=r"'lock' that measure reads is of type lock.*make it inside.*__fingerprint__"):
        fingerprint(cells["measure"])
    with pytest.raises(TypeError, match="argument 1 is of type lock"):
        fingerprint(1, threading.Lock())
    module = load("import threading\nlock = threading.Lock()\ndef measure():\n    return lock")
    assert fingerprint(module.measure) == fingerprint(module.measure)


def test_an_object_may_say_what_counts():
    class Source:
        def __init__(self, name):
            self.name, self.lock = name, threading.Lock()

        def __fingerprint__(self):
            return self.name

    assert fingerprint(Source("a")) == fingerprint(Source("a")) != fingerprint(Source("b"))


def test_text_that_points_at_something(monkeypatch):
    files = {"folder:photos": ["one"]}
    plain = fingerprint("digits")
    monkeypatch.setattr(fingerprints, "POINTS_AT", [lambda text: files.get(text, [])])
    before = fingerprint({"data": "folder:photos"})
    files["folder:photos"].append("two")
    assert fingerprint({"data": "folder:photos"}) != before
    assert fingerprint("digits") == plain


@pytest.mark.parametrize("values", DIFFERENT)
def test_different_values_differ_and_stay_the_same(values):
    digests = [fingerprint(value) for value in values]
    assert len(set(digests)) == len(values)
    assert digests == [fingerprint(value) for value in values]


def test_equal_content_is_equal():
    assert fingerprint(network()) == fingerprint(network())
    assert fingerprint(torch.arange(6).reshape(2, 3).T) == fingerprint(torch.arange(6).reshape(2, 3).T.contiguous())
    assert fingerprint({"a": 1, "b": {2, 3}}) == fingerprint({"b": {3, 2}, "a": 1})
    shared = [1]
    assert fingerprint([shared, shared]) == fingerprint([[1], [1]])


@given(values, values)
def test_values_are_equal_when_their_fingerprints_are(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (repr(spelled(one)) == repr(spelled(other)))


def test_the_package_itself_has_the_same_fingerprints_in_two_processes():
    root = Path(helpers.__file__).parent.parent
    said = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(REAL)], cwd=root, stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
        )
        for seed in ("1", "2")
    ]  # fmt: skip
    first, second = (process.communicate()[0] for process in said)
    assert first == second and first.count("\n") > 300
    assert len({line.split()[-1] for line in first.splitlines()}) > 250


def test_a_floor_can_be_fingerprinted_twice_with_shapes_checked():
    modules = [importlib.import_module(found.name) for found in pkgutil.walk_packages(frames.__path__, "helpers.frames.")]
    functions = [
        entry for module in modules for entry in vars(module).values()
        if inspect.isfunction(entry) and entry.__module__ == module.__name__
    ]  # fmt: skip
    assert len(functions) > 30 and fingerprint(*functions) == fingerprint(*functions)
