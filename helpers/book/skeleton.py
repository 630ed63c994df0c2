"""A new chapter: a notebook that runs at smoke, with its profile, a first claim, and its page in the table of contents.

Everything in it is there to be replaced; what it shows is the order of a page and the calls of which one is made.
"""

import re
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers.book import sources
from helpers.networks.cache import write
from helpers.verdicts import claims

FIGURE = {"tags": ["figure", "hide-input"]}
CELLS = [
    ("title", "# {title}\n\nWhat is asked, in a sentence that is true whatever a run finds. **Status.** Not a chapter yet."),
    ("strip", ["strip"], "*The verdicts stand here once they are recorded; those of this run stand below.*"),
    ("finding", ["result"], "**What we found.** One sentence that a reader remembers, and only the record's."),
    ("question", "## The question\n\nWhat changes from layer to layer? A paper's claim, or a question of our own: {claim}."),
    ("parameters-text", "## Parameters\n\nEverything below follows from these values. {doc}`rerun` says how to change them."),
    ("parameters", {"tags": ["parameters"]}, '''\
dataset: str = "digits"  # name; digits|digits20|cifar10|cifar100|folder:PATH; images to learn and to measure on
size: int = 0  # pixels; 0..512; side of a folder's images (0 for the other data sets)
models: list = ["resnet8"]  # names; NETWORK; architectures, the headline first
seeds: list = [100, 101, 102]  # seeds; 0..; one network of each kind a seed
epochs: int = 4  # epochs; 1..1000; length of training
images: int = 200  # images; 20..20000; held-out images
device: str = "auto"  # name; auto|cpu|cuda|mps; where to compute'''),
    ("setup", {"tags": ["hide-output"]}, '''\
from helpers import book, curvature, networks
from helpers.book import figures

run = book.begin("{name}", globals())
image_set = networks.load(dataset, size=size or None, device=run.device)'''),
    ("method", "## How it is measured\n\nThe definition, and its core as code that one can read."),
    ("measure", {}, '''\
shared = {"dataset": dataset, "size": size or None, "epochs": epochs}
zoo = networks.Zoo(shared, device=run.device)  # trained, and untrained
who = book.grid(model=models, condition=list(zoo.conditions), seed=seeds)
zoo.prefetch(who)


def dimension_of(model, condition, seed):
    """One row a point: the intrinsic dimension of the images there."""
    net = zoo.network(model, condition, seed)
    pixels = net.images.test_images[:images] / 255
    depths = networks.points(net.model, pixels[:2])
    cloud = lambda point, activation: curvature.two_nn(networks.flat(activation))
    found = networks.record(net.model, pixels, list(depths), cloud)
    return [{"point": p, "depth": depths[p], "dimension": found[p]} for p in depths]


table = book.measure(run, dimension_of, who)
book.save(run, "profiles", table, digits=4, data=image_set);'''),
    ("profiles-text", "## A question as a heading?\n\nThe figure answers it: {numref}`fig-{name}`."),
    ("profiles-figure", FIGURE | {"mystnb": {
        "figure": {"caption": "What is drawn. Bands are 95% t-intervals over seeds.", "name": "fig-{name}"},
        "image": {"alt": "What is seen: lines against relative depth, one a condition."},
    }}, '''\
rows = table[table["model"] == models[0]]
colours = {name: figures.COLOURS[name] for name in zoo.conditions}
panel = figures.Panel(rows, "dimension", models[0], "dimension", ylim=(0, None))
figures.curves([panel], "condition", colours);'''),
    ("profiles-reading", ["result", "claim:{claim}"], "What the figure says, of the record, and why."),
    ("claims-text", "## The claims, judged\n\nTheir rules stand in `book/claims.yml`, committed before the run."),
    ("verdicts", {}, '''\
last = table[table["point"] == table["point"].iloc[-1]]
last = last[last["model"] == models[0]].set_index(["condition", "seed"])["dimension"]
measured = {("{claim}", "corrected"): lambda s: last["trained", s] - last["untrained", s]}
judged = book.judge(run, measured, seeds)'''),
    ("differences", "## What differs from the paper, and why"),
    ("teach-and-rerun", "## Teach it, rerun it\n\n```bash\npython -m helpers run {name}\n```"),
    ("provenance", "## Provenance"),
    ("provenance-table", FIGURE, "book.show_provenance(run)"),
]  # fmt: skip
CLAIM = """
- id: {claim}
  chapter: {name}
  statement: Training lowers the intrinsic dimension of the images at the logits.
  source: own
  known_beforehand: nothing yet
  contrast: the same architecture and seed, trained and untrained
  arms:
    corrected:
      kind: less
      quantity: TwoNN dimension at the logits, trained minus untrained
      margin: 0.5
"""


def new(name: str) -> list[Path]:
    """Write a chapter of this name; the files that it touched. ValueError for a name that is taken, or is none."""
    if not re.fullmatch(r"[a-z][a-z0-9]*", name):
        raise ValueError(f"chapter = {name!r}: expected a short word in lower case, as those of {sources.chapters()}")
    book = sources.root() / "book"
    if name in sources.chapters() or (book / f"{name}.md").exists():
        raise ValueError(f"chapter = {name!r}: there is a page of this name already")
    known = claims.load()
    claim = next(each for k in range(1, len(known) + 2) if (each := f"{name[0].upper()}{k}") not in known)
    smoke = "# Every code path, no scientific meaning.\nseeds: [100, 101]\nepochs: 1\nimages: 40\n"
    return [
        write(book / f"{name}.ipynb", nbformat.writes(_notebook(name, claim)) + "\n"),
        write(book / "profiles" / "smoke" / f"{name}.yml", smoke),
        _append(book / "claims.yml", CLAIM.format(name=name, claim=claim)),
        _listed(sources.root() / "_toc.yml", name),
    ]


def _notebook(name: str, claim: str):
    filled = lambda text: text.replace("{name}", name).replace("{claim}", claim).replace("{title}", name.capitalize())
    cells = []
    for identity, *rest in CELLS:
        text = filled(rest[-1])
        if len(rest) == 1 or isinstance(rest[0], list):  # text, with its tags
            cell = new_markdown_cell(text, metadata={"tags": [filled(tag) for tag in rest[0]]} if len(rest) > 1 else {})
        else:
            cell = new_code_cell(text, metadata=_filled(rest[0], filled))
        cell.id = identity
        cells.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "language_info": {"name": "python"}})


def _filled(value, filled):
    """Nested metadata with its texts filled in."""
    if isinstance(value, dict):
        return {key: _filled(part, filled) for key, part in value.items()}
    return filled(value) if isinstance(value, str) else value


def _append(path: Path, text: str) -> Path:
    return write(path, path.read_text(encoding="utf-8").rstrip("\n") + "\n" + text)


def _listed(path: Path, name: str) -> Path:
    """The table of contents with the chapter after the last study."""
    lines = path.read_text(encoding="utf-8").splitlines()
    place = max(k for k, line in enumerate(lines) if re.match(rf"\s*- file: book/({'|'.join(sources.chapters())})$", line)
                and "scorecard" not in line)  # fmt: skip
    indent = lines[place][: lines[place].index("-")]
    return write(path, "\n".join([*lines[: place + 1], f"{indent}- file: book/{name}", *lines[place + 1 :]]) + "\n")
