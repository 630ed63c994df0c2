"""Where numbers come from, in words: the badge of a result, and links to its tables."""

from helpers.book import records


def badge(result) -> str:
    """One line of Markdown that says where numbers come from: of a Record, of a Run (live), or of None."""
    if result is None:
        return "**Not recorded** at this scale yet."
    if not isinstance(result, records.Record):
        return f"**Live** · {result.profile} profile · {records.device_name(result.device)}"
    if result.status == "unreadable":
        return f"**Recorded** · {result.profile} profile · **unreadable**: `{result.path.name}` is damaged"
    origin = result.provenance
    parts = ["**Recorded**", f"{result.profile} profile", origin["device"], f"commit {origin['commit'] or 'unknown'}"]
    parts.append(origin["created"][:10])
    if result.status == "stale":
        parts.append("**stale**: what measured it has changed since")
    return " · ".join(parts)


def downloads(run, *others: str) -> str:
    """Markdown links to the tables of a run and to those recorded, as they lie beside its page.

    The tables of other chapters follow, those of the same profile and those recorded.
    """
    return "\n".join(line for chapter in (run.chapter, *others) for line in _links(run, chapter, bool(others)))


def _links(run, chapter: str, named: bool) -> list[str]:
    own = run.folder / "records"  # not yet in its place
    places = {"live": ("this run", own if chapter == run.chapter else records.location(chapter, run.profile))}
    for profile, title in records.RECORDED.items():
        places[f"records/{profile}"] = f"the record, {title}", records.location(chapter, profile)
    lines = []
    for where, (title, folder) in places.items():
        links = []
        for path in sorted(folder.glob("*.json")):
            files = (f"{{download}}`{kind.upper()} <{where}/{chapter}/{path.stem}.{kind}>`" for kind in ("csv", "json"))
            links.append(f"- {path.stem}: {', '.join(files)}")
        if links:
            lines += ["", f"Tables of {title}{f', {chapter}' if named else ''}:", "", *links]
    return lines
