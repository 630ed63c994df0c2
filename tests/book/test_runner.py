"""The runner: results kept whole, nothing run twice."""

import json
import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from small_book import command, contents, environment

from helpers.book import execute, recording, runner, site
from helpers.networks.cache import write


def test_a_run_holds_its_notebook_and_records(here):
    folder = runner.place("tiny", "laptop")
    assert {path.as_posix() for path in contents(folder)} == {"notebook.ipynb", "records/values.json", "run.json"}
    found = json.loads((folder / "records" / "values.json").read_text())
    assert found["table"]["value"] == {"type": "float64", "values": [0.0, 1.0]}
    assert found["provenance"]["checked"] == "abc" and found["provenance"]["threads"] == 1


def test_two_runs_are_byte_identical_once_scrubbed(here):
    def scrubbed():
        path = runner.place("tiny", "laptop") / "notebook.ipynb"
        return nbformat.writes(site.scrub(nbformat.read(path, as_version=4)))

    first = scrubbed()
    assert "one\\n" in first and '"noise\\n' not in first and str(here) not in first
    shutil.rmtree(here / "cache", ignore_errors=True)
    before = (runner.place("tiny", "laptop") / "run.json").stat().st_mtime_ns
    runner.run("tiny", force=True)
    assert (runner.place("tiny", "laptop") / "run.json").stat().st_mtime_ns > before
    assert scrubbed() == first


def test_another_value_is_another_run_and_the_default_is_none(here, monkeypatch):
    ran = []
    monkeypatch.setattr(runner, "_execute", lambda *job: ran.append(job) or 0.0)
    assert runner.run("tiny", parameters={"scale": 1}) == runner.place("tiny", "laptop") and not ran
    folder = runner.run("tiny", parameters={"scale": 2})
    assert folder.name.startswith("laptop-") and len(folder.name) == len("laptop-") + 8
    assert ran[0][2] == {"scale": 2.0}
    runner.run("tiny", "smoke")
    assert ran[1][2] == {"seeds": [5]}
    shutil.rmtree(folder), shutil.rmtree(runner.place("tiny", "smoke"))


def test_a_recording_is_published_and_a_run_is_not(fresh, monkeypatch):
    write(fresh / "book" / "profiles" / "paper" / "tiny.yml", "scale: 3\n")
    monkeypatch.setenv("LAYERS_WORKERS", "1")

    def execute(chapter, profile, values, folder):
        write(folder / "records" / "values.json", json.dumps(values))
        return 0.0

    monkeypatch.setattr(runner, "_execute", execute)
    committed = write(fresh / "book" / "records" / "paper" / "tiny" / "former.json", "{}").parent
    runner.run("tiny", "paper", {"scale": 2})
    runner.run("tiny", "paper")
    assert [path.name for path in committed.iterdir()] == ["former.json"]
    assert recording.record("tiny", "paper", workers=3) == committed and os.environ["LAYERS_WORKERS"] == "3"
    assert sorted(path.name for path in committed.iterdir()) == ["SHA256SUMS", "values.json"]
    assert json.loads((committed / "values.json").read_text())["scale"] == 3


@pytest.mark.parametrize(("profile", "message"), [
    ("digit", "profile = 'digit': expected one of .*; did you mean 'digits'"),
    ("laptop", "profile = 'laptop': expected one of"),
    ("cifar", "profile = 'cifar': expected one that tiny has; there is no tiny.yml"),
])  # fmt: skip
def test_only_a_recorded_profile_that_the_chapter_has_is_recorded(fresh, profile, message):
    with pytest.raises(ValueError, match=message):
        recording.record("tiny", profile)


def test_two_runs_by_papermill_alone_keep_their_own_records(fresh):
    """At once, with other seeds and with the same: none writes into the folder of another."""
    call = [sys.executable, "-m", "papermill", "book/tiny.ipynb", "-", "--no-progress-bar", "-y"]
    given = {name: value for name, value in environment(fresh).items() if name not in ("LAYERS_RUN", "LAYERS_PROFILE")}
    given["JUPYTER_PATH"] = str(kernel(fresh))
    started = [
        subprocess.Popen([*call, f"seeds: [{seed}]"], env=given, cwd=fresh, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for seed in (7, 8, 8)
    ]
    for each in started:
        out, err = each.communicate()
        assert each.returncode == 0 and b"records go to" in out, err
    found = (fresh / "_build" / "runs" / "tiny").glob("custom-*/records/values.json")
    assert sorted(json.loads(path.read_text())["parameters"]["seeds"][0] for path in found) == [7, 8, 8]


def kernel(folder):
    """A kernel `python3` that is this interpreter."""
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    write(folder / "jupyter" / "kernels" / "python3" / "kernel.json", json.dumps(spec))
    return folder / "jupyter"


@pytest.mark.parametrize(
    ("mode", "status", "message"),
    [("raise", 1, "fragile: cell act: KeyError: 'nothing there'"), ("kill", 138, "fragile: cell act: the kernel died")],
)
def test_a_failure_has_its_status_and_leaves_the_earlier_result(root, mode, status, message):
    folder = root / "_build" / "runs" / "fragile"
    before = contents(folder / "laptop")
    (root / "mode.txt").write_text(mode)
    failed = command(root, "run", "fragile", "--force")
    assert failed.returncode == status
    assert message in failed.stderr
    assert contents(folder / "laptop") == before
    assert {path.name for path in folder.iterdir()} == {"laptop", "laptop.lock", "laptop.failed.ipynb"}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_cell_that_ends_the_notebook_is_no_success(here, tmp_path, capsys):
    (here / "mode.txt").write_text("leave")
    job = {"chapter": "fragile", "source": str(here / "book" / "fragile.ipynb"), "output": str(tmp_path / "out.ipynb"),
           "parameters": {}, "cwd": str(here)}  # fmt: skip
    assert execute.execute(job) == "cell act: ended the notebook early"
    assert "fragile: cell 2 of 3: act" in capsys.readouterr().err
    (here / "mode.txt").write_text("fine")
