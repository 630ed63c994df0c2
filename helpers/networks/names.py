"""Names that are misspelt."""

import difflib


def nearest(name: str, names) -> str:
    """`; did you mean 'seeds'?`, or nothing if no name is near."""
    near = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
