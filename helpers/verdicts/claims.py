"""The register: every claim, and its rule, fixed before the run."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import yaml

from helpers.verdicts.statistics import STATISTICS

FILE = Path("book") / "claims.yml"  # in the folder of the book
SOURCES = ("abstract", "figure", "code", "web", "inferred", "memory", "own")
HEADLINE = ("abstract", "figure", "code", "web")  # what the paper shows; the rest is counted apart
KINDS = ("greater", "less", "within", "two-sided", "by construction", "not judged")
ARMS = ("faithful", "corrected")


@dataclass(frozen=True)
class Rule:
    """How one arm of a claim is decided.

    Kinds: `greater` and `less` hold when the whole interval lies beyond `bound`; `within` when it lies inside
    plus or minus `bound`; `two-sided` answers positive, negative or none; `by construction` and `not judged`
    carry a `reason` instead. `margin` is the smallest effect that would matter. `statistic` names what is taken of
    networks, which a bootstrap draws (`statistics`); without it the rule is about the mean over seeds. `choices` are the
    kinds of choice over which the claim must hold: each that is measured is named `KIND: VALUE`.
    """

    kind: str
    quantity: str = ""
    bound: float | int = 0.0
    margin: float | int = 0.0
    reason: str = ""
    statistic: str = ""
    choices: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind: {self.kind!r}, expected one of {', '.join(KINDS)}")
        if self.kind in KINDS[4:] and not self.reason:
            raise ValueError(f"reason: empty, expected why the claim is {self.kind}")
        if self.kind in KINDS[:4] and not (self.quantity and self.margin > 0):
            given = f"{self.quantity!r}, {self.margin}"
            raise ValueError(f"quantity, margin: {given}, expected a text and a positive number")
        if self.kind == "within" and not 0 < self.margin <= self.bound:
            raise ValueError(f"bound: {self.bound}, expected at least the margin, {self.margin}")
        if isinstance(self.choices, str):
            raise ValueError(f"choices: {self.choices!r}, expected a list of kinds")
        if self.statistic not in ("", *STATISTICS):
            raise ValueError(f"statistic: {self.statistic!r}, expected one of {', '.join(STATISTICS)}, or none")

    @property
    def judged(self) -> bool:
        """Is it decided by what was measured?"""
        return self.kind in KINDS[:4]

    @property
    def null(self) -> float:
        """What the p-value asks about: the bound, and no effect where there is none."""
        return float(self.bound) if self.kind in ("greater", "less") else 0.0

    @property
    def hash(self) -> str:
        """Fingerprint stored beside every verdict, so that a rule changed later shows."""
        said = {name: value for name, value in asdict(self).items() if name not in ("statistic", "choices") or value}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Claim:
    """One claim as it stands in claims.yml, with a rule for each of its arms.

    `known_beforehand` says what had been seen of its answer when the rule was written; `short` is the claim in a few words.
    """

    id: str
    chapter: str
    statement: str
    source: str
    known_beforehand: str
    contrast: str
    rules: Mapping[str, Rule]  # one an arm
    profiles: Sequence[str] = ()  # in which it is judged; in all if there are none
    short: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.profiles, str):
            raise ValueError(f"profiles: {self.profiles!r}, expected a list of names")

    @property
    def headline(self) -> bool:
        return self.source in HEADLINE

    @property
    def origin(self) -> str:
        """`paper`: seen in it; `inferred`: concluded from it or remembered; `own`: a question of ours."""
        return "paper" if self.headline else "own" if self.source == "own" else "inferred"


def load(path: Path | None = None) -> dict[str, Claim]:
    """Every claim by id, in the order of the file; by default that of the book.

    Raises:
        ValueError: a missing or unknown field, an unknown source or arm, or an id that stands twice.
    """
    path = path or folder_of_the_book() / FILE
    claims: dict[str, Claim] = {}
    for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
        name = entry.get("id", "?")
        try:
            rules = {arm: Rule(**rule) for arm, rule in entry["arms"].items()}
            claim = Claim(**{field: value for field, value in entry.items() if field != "arms"}, rules=rules)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{path.name}: claim {name}: {error}") from error
        if claim.source not in SOURCES or not rules or set(rules) - set(ARMS):
            raise ValueError(f"{path.name}: claim {name}: source {claim.source!r} with arms {sorted(rules)}, "
                             f"expected one of {', '.join(SOURCES)} with arms of {', '.join(ARMS)}")  # fmt: skip
        if name in claims:
            raise ValueError(f"{path.name}: claim {name} stands twice")
        claims[name] = claim
    return claims


def folder_of_the_book() -> Path:
    """Where LAYERS_ROOT says; or else the folder above `helpers`, or the current one. ValueError if neither has a book."""
    if given := os.environ.get("LAYERS_ROOT"):
        return Path(given).resolve()
    places = (Path(__file__).resolve().parents[2], Path.cwd())
    for place in places:
        if any((place / FILE.parent).glob("*.ipynb")):
            return place
    raise ValueError(
        f"LAYERS_ROOT: not set, and no book in {' or '.join(map(str, places))}: set it to the folder of the book, or there "
        "install the book where it is: python -m pip install --no-deps --editable ."
    )


def register(chapter: str) -> dict[str, Claim]:
    """The claims of a chapter by id. ValueError if it has none."""
    found = {name: claim for name, claim in load().items() if claim.chapter == chapter}
    if not found:
        raise ValueError(f"chapter: {chapter!r}, expected one with claims in {FILE}")
    return found
