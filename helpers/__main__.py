"""The command line: `python -m helpers list | show | run | page | record | build | check | clean | new`."""

import argparse
import json
import signal
import sys

from helpers.book import checks, recording, records, runner, single_page, site, skeleton, sources
from helpers.book.parameters import parameters, profiles, table

DONE, CELL_FAILED, BAD_PARAMETER, INTERRUPTED, KERNEL_DIED = 0, 1, 2, 130, 138


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers", description="Run chapters and build the book.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("list", help="the chapters and their runs, and which of them are up to date")
    show = commands.add_parser("show", help="the parameters of a chapter")
    show.add_argument("chapter", metavar="CHAPTER")
    statuses = "Exit status: 0 done, 1 a cell failed, 2 bad parameter, 138 dead kernel."
    run = commands.add_parser("run", help="run a chapter", description=statuses)
    run.add_argument("chapter", metavar="CHAPTER")
    run.add_argument("--force", action="store_true", help="run even what is up to date")
    page = commands.add_parser("page", help="the run just made as one HTML file, into _build/pages", description=statuses)
    page.add_argument("chapter", metavar="CHAPTER")
    page.add_argument("--profile", help="that of the run (default: laptop with -p; or else the newest run)")
    for command in (run, page):
        command.add_argument(
            "-p", dest="changes", nargs=2, action="append", default=[], metavar=("NAME", "JSON"),
            help="a parameter and its value, as in -p seeds '[0, 1]'; may be repeated",
        )  # fmt: skip
    record = commands.add_parser("record", help="run a chapter whole, and put its records under book/records", description=statuses)
    record.add_argument("chapter", metavar="CHAPTER")
    record.add_argument("--profile", required=True, help=f"one of {', '.join(records.RECORDED)}")
    record.add_argument(
        "--workers", type=int, default=recording.WORKERS, metavar="N",
        help="processes side by side (default: %(default)s); what was interrupted resumes",
    )  # fmt: skip
    build = commands.add_parser("build", help="run what is out of date and build the site into _build/html")
    for command in (run, build):
        command.add_argument("--profile", default="laptop", help="one of the profiles (default: laptop)")
    commands.add_parser("check", help="look for mistakes in the notebooks, the claims and the records")
    clean = commands.add_parser("clean", help="show what the caches hold, and empty them")
    clean.add_argument("--yes", action="store_true", help="empty them, but for the runs; without it they are only shown")
    clean.add_argument("--runs", action="store_true", help="with --yes: the runs, too")
    fresh = commands.add_parser("new", help="begin a chapter: a notebook that runs at smoke, its profile, a claim")
    fresh.add_argument("chapter", metavar="CHAPTER")
    return parser


def _new(arguments) -> int:
    for path in skeleton.new(arguments.chapter):
        print(path)
    print(f"now: python -m helpers run {arguments.chapter} --profile smoke", file=sys.stderr)
    return DONE


def _list(arguments) -> int:
    for chapter in sources.chapters():
        for profile in profiles():
            _tell(chapter, profile, {})
        for said in map(runner.summary, runner.finished_runs(chapter)):
            if said["changes"]:
                _tell(chapter, said["profile"], said["changes"])
    return DONE


def _tell(chapter: str, profile: str, changes: dict) -> None:
    """A line about a run: its state, when it finished, and what it changed."""
    folder = runner.place(chapter, profile, changes)
    date = runner.summary(folder).get("finished", "")[:16].replace("T", " ")
    changed = " ".join(f"{name}={json.dumps(value)}" for name, value in changes.items())
    print(f"{chapter:12} {profile:8} {_state(chapter, profile, changes):11} {date:16} {changed}".rstrip())


def _state(chapter: str, profile: str, changes: dict) -> str:
    folder = runner.place(chapter, profile, changes)
    if not (folder / "run.json").exists():
        return "not run"
    try:
        return "up to date" if runner.finished(folder, runner.key(chapter, profile, changes)) else "out of date"
    except ValueError:  # of a profile or parameter that is no more
        return "out of date"


def _show(arguments) -> int:
    print(table(arguments.chapter))
    return DONE


def _changes(arguments) -> dict:
    """The parameters given, read; a name that is not known keeps its text: it is refused with the nearest right one."""
    known = {parameter.name: parameter for parameter in parameters(arguments.chapter)}
    return {name: known[name].read(text) if name in known else text for name, text in arguments.changes}


def _run(arguments) -> int:
    print(runner.run(arguments.chapter, arguments.profile, _changes(arguments), arguments.force))
    return DONE


def _page(arguments) -> int:
    print(single_page.page(arguments.chapter, arguments.profile, _changes(arguments)))
    return DONE


def _record(arguments) -> int:
    if arguments.workers < 1:
        raise ValueError(f"workers = {arguments.workers}: expected 1 or more")
    print(recording.record(arguments.chapter, arguments.profile, arguments.workers))
    return DONE


def _build(arguments) -> int:
    print(site.build(arguments.profile))
    return DONE


def _check(arguments) -> int:
    mistakes, remarks = checks.check()
    for line in [*mistakes, *(f"note: {remark}" for remark in remarks)]:
        print(line)
    return 1 if mistakes else DONE


def _clean(arguments) -> int:
    for folder, (files, size) in checks.clean(arguments.yes, arguments.runs).items():
        print(f"{files:7} files {size / 1e6:8.1f} MB  {folder}")
    kept = "" if arguments.runs else f", but for {sources.runs()} (`--runs` empties it, too)"
    print(f"emptied{kept}" if arguments.yes else f"`clean --yes` empties these folders{kept}")
    return DONE


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    chosen = _parser().parse_args(arguments)
    try:
        return globals()[f"_{chosen.command}"](chosen)
    except ValueError as error:
        status, message = BAD_PARAMETER, error
    except runner.KernelDied as error:
        status, message = KERNEL_DIED, error
    except runner.Failed as error:
        status, message = CELL_FAILED, error
    except KeyboardInterrupt:
        status, message = INTERRUPTED, "interrupted"
    print(f"error: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to end as Ctrl-C does: nothing is left behind
    sys.exit(main())
