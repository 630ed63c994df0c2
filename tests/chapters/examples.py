"""The commands that the README, the rerun page and the chapters tell their readers to give, and small ones like them."""

import json
import re
import shlex
from pathlib import Path

import nbformat
import yaml

from helpers.book import parameters, sources

HERE = Path(__file__).parents[2]
FENCE = re.compile(r"```bash\n(.*?)```", re.DOTALL)
HEAVY = {"resnet50@IMAGENET1K_V1": "squeezenet1_1@IMAGENET1K_V1", "resnet50@IMAGENET1K_V2": "squeezenet1_1@IMAGENET1K_V1"}


def pages():
    """Markdown of all that has commands, by name."""
    found = {path.name: path.read_text() for path in (HERE / "README.md", HERE / "book" / "rerun.md")}
    for chapter in sources.chapters():
        cells = nbformat.read(HERE / "book" / f"{chapter}.ipynb", as_version=4).cells
        found[chapter] = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return found


def commands():
    """Every command that runs a chapter, as words; variables before it are left out."""
    lines = [line for text in pages().values() for block in FENCE.findall(text) for line in block.splitlines()]
    split = [shlex.split(line, comments=True) for line in lines]
    split = [words[1:] if words and words[0].startswith("LAYERS_") else words for words in split]
    runs = [words for words in split if words[:4] == ["python", "-m", "helpers", "run"] or words[:1] == ["papermill"]]
    return list(dict.fromkeys(map(tuple, runs)))


def mynets():
    """The module that the rerun page has its reader write."""
    (text,) = [block for block in re.findall(r"```python\n(.*?)```", pages()["rerun.md"], re.DOTALL) if "def tiny" in block]
    return text


def read(command):
    """(chapter, profile or None, parameters as text) of a command."""
    if command[0] == "papermill":
        given = [yaml.safe_load(text) for text in after("-y", command)]
        values = {name: json.dumps(value) for each in given for name, value in each.items()}
        return Path(command[1]).stem, "smoke" if "-f" in command else None, values
    places = [place for place, word in enumerate(command) if word == "-p"]
    profile = after("--profile", command)
    return command[4], profile[0] if profile else None, {command[place + 1]: command[place + 2] for place in places}


def after(option, command):
    return [word for before, word in zip(command, command[1:]) if before == option]


def small(command, folder):
    """The same command at the smoke profile, its numbers at most twice those of that profile; paths lie in a folder."""
    chapter, _, given = read(command)
    usual, values = parameters.resolve(chapter, "smoke"), {}
    for name, text in given.items():
        for heavy, light in HEAVY.items():
            text = text.replace(heavy, light)
        text = re.sub(r"folder:(\$PWD/photos|PATH)", f"folder:{folder / 'photos'}", text).replace("$PWD", str(folder))
        value = json.loads(text) if text[0] in '[0123456789"' else text
        few = isinstance(value, int | float) and isinstance(usual[name], int | float) and usual[name] > 0
        values[name] = min(value, 2 * usual[name]) if few else value
    if chapter == "depth" and values.get("size", 0) > 12:
        values["size"] = 12  # exact Jacobians of larger images take hours, as the page says
    if command[0] == "papermill":
        files = ["-f", str(HERE / "book" / "profiles" / "smoke" / f"{chapter}.yml")]
        return ["papermill", str(HERE / "book" / f"{chapter}.ipynb"), "out.ipynb", *files, "-y", yaml.safe_dump(values)]
    words = [word for name, value in values.items()
             for word in ("-p", name, value if isinstance(value, str) else json.dumps(value))]  # fmt: skip
    return ["python", "-m", "helpers", "run", chapter, "--profile", "smoke", *words]


def kinds():
    """One command of each kind: no two of them are the same when they are small."""
    return list({tuple(small(command, Path("/desk"))): command for command in reversed(commands())}.values())[::-1]
