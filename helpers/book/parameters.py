"""The parameters of a chapter, read from its notebook: one parser for the command line, the page and the run.

Each line of the cell tagged `parameters` reads `name: type = literal  # unit; allowed; meaning`, where
`allowed` is `lo..hi` (either end may be missing), `a|b|c`, or `-` for anything of the type.
An option such as `folder:PATH` stands for every text that begins with `folder:`, and `NETWORK` for the name of a network,
of the book's own, of torchvision's or of the reader's. For a list this is about its elements. No element may stand twice,
and there must be one, unless the default has none or `allowed` ends in ` or none`, as in `4..1000 or none`.
"""

import ast
import json
import math
from dataclasses import dataclass
from typing import Any

import yaml

from helpers.book import sources
from helpers.networks import models
from helpers.networks.names import nearest
from helpers.networks.user_code import syntax

NONE = " or none"  # at the end of what is allowed: an empty list is, too
TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list}


@dataclass(frozen=True)
class Parameter:
    """One line of the parameters cell."""

    name: str
    type: str
    default: Any
    unit: str
    allowed: str
    meaning: str

    def check(self, value):
        """The value, of this parameter's type. ValueError says what was expected instead."""
        if self.type == "list":
            if not isinstance(value, list | tuple):
                raise self._refuse(value, "a list")
            if not value and self.default and not self.allowed.endswith(NONE):
                raise self._refuse(value, "at least one element")
            kind = type(self.default[0]).__name__ if self.default else ""
            found = [self._element(item, kind) for item in value]
            if any(item in found[:place] for place, item in enumerate(found)):
                raise self._refuse(value, "each element once")
            return found
        return self._element(value, self.type)

    def read(self, text: str):
        """The value that a text of the command line stands for: JSON, or plain text where text is expected."""
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        return self.check(text if self.type == "str" and not isinstance(value, str) else value)

    def _element(self, value, kind: str):
        expected = TYPES.get(kind, object)
        if expected is float and type(value) is int:
            value = float(value)
        # bool is an int to Python, but True is no number of images.
        if not isinstance(value, expected) or (isinstance(value, bool) and expected not in (bool, object)):
            raise self._refuse(value, f"{kind} elements" if self.type == "list" else kind)
        if isinstance(value, float) and not math.isfinite(value):
            raise self._refuse(value, "a finite number")
        allowed = self.allowed.removesuffix(NONE)
        if not _allows(allowed, value):
            raise self._refuse(value, allowed.replace("NETWORK", "a network") + _unknown(allowed, value))
        return value

    def _refuse(self, value, expected: str) -> ValueError:
        return ValueError(f"{self.name} = {value!r}: expected {expected} ({self.meaning})")


def _allows(allowed: str, value) -> bool:
    if allowed == "-":
        return True
    low, dots, high = allowed.partition("..")
    if dots:
        return float(low or -math.inf) <= value <= float(high or math.inf)
    options = allowed.split("|")
    prefixes = [option.partition(":")[0] + ":" for option in options if option.partition(":")[2].isupper()]
    if str(value) in options or any(str(value).startswith(prefix) for prefix in prefixes):
        return True
    return "NETWORK" in options and not _unknown(allowed, value)


def _unknown(allowed: str, value) -> str:
    """Why a value is no network, where one is allowed; or nothing."""
    if "NETWORK" not in allowed.split("|"):
        return ""
    try:
        models.check(str(value))
    except ValueError as error:
        return f"; {error}"
    return ""


def parameters(chapter: str) -> list[Parameter]:
    """The parameters of a chapter, in order. ValueError names the line that cannot be read."""
    found = [cell for cell in sources.notebook(chapter).cells if "parameters" in cell.metadata.get("tags", ())]
    if len(found) != 1:
        raise ValueError(f"{chapter}: expected one cell tagged 'parameters', found {len(found)}")
    lines = found[0].source.splitlines()
    return [_parse(chapter, node, lines[node.end_lineno - 1]) for node in syntax(found[0].source).body]


def _parse(chapter: str, node: ast.stmt, line: str) -> Parameter:
    expected = "name: type = literal  # unit; allowed; meaning"
    try:
        default = ast.literal_eval(node.value)
        comment = line.encode()[node.end_col_offset :].decode().partition("#")[2]
        unit, allowed, meaning = (part.strip() for part in comment.split(";", 2))
        found = Parameter(node.target.id, ast.unparse(node.annotation), default, unit, allowed, meaning)
        if found.type not in TYPES or "=" in comment:  # papermill cannot read a comment with an equals sign
            raise ValueError
    except (AttributeError, TypeError, ValueError):
        raise ValueError(f"{chapter}: parameter line {line!r}: expected {expected!r}") from None
    found.check(default)
    return found


def profiles() -> list[str]:
    """The names of the profiles: `laptop`, and the folders of book/profiles."""
    folders = (root for root in (sources.root() / "book" / "profiles").glob("*") if root.is_dir())
    return sorted({"laptop", *(folder.name for folder in folders)})


def overrides(chapter: str, profile: str) -> dict[str, Any]:
    """What a profile's file changes in a chapter's defaults, checked; {} where there is no file."""
    if profile not in profiles():
        raise ValueError(f"profile = {profile!r}: expected one of {profiles()}{nearest(profile, profiles())}")
    path = sources.root() / "book" / "profiles" / profile / f"{chapter}.yml"
    return validate(chapter, yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {})


def validate(chapter: str, values: dict) -> dict[str, Any]:
    """The values with their types settled. ValueError for an unknown name, a wrong type, or a value out of range."""
    known = {parameter.name: parameter for parameter in parameters(chapter)}
    for name in values:
        if name not in known:
            hint = nearest(str(name), known)
            raise ValueError(f"{chapter} has no parameter {name!r}: expected one of {list(known)}{hint}")
    return {name: known[name].check(value) for name, value in values.items()}


def resolve(chapter: str, profile: str) -> dict[str, Any]:
    """Every parameter of a chapter with its value in a profile."""
    return {parameter.name: parameter.default for parameter in parameters(chapter)} | overrides(chapter, profile)


def table(chapter: str, values: dict | None = None) -> str:
    """The parameters as a Markdown table: their defaults, or these values."""
    rows = ["| parameter | type | value | unit | allowed | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    for each in parameters(chapter):
        value = json.dumps(each.default if values is None else values[each.name])
        allowed = each.allowed.replace("|", ", ")  # a bar would end the column
        rows.append(f"| `{each.name}` | {each.type} | `{value}` | {each.unit} | {allowed} | {each.meaning} |")
    return "\n".join(rows)
