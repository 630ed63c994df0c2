"""Run one notebook, in a process of its own that dies with the one that started it.

The runner starts this file, sends the job as one line of JSON and keeps the pipe open. It imports nothing of the package:
so it starts at once. Papermill is never run in threads: it changes the working directory of the whole process.
"""

import json
import os
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

import psutil


class _Progress:
    """Plain lines on stderr, and the cell that was started last."""

    def __init__(self, chapter: str, total: int):
        self.chapter, self.total, self.cell = chapter, total, "(none)"

    def __call__(self, cell, cell_index: int) -> None:
        if cell.cell_type == "code":
            injected = "injected-parameters" in cell.metadata.get("tags", ())
            self.cell = "injected-parameters" if injected else cell.get("id", str(cell_index))
            print(f"{self.chapter}: cell {cell_index + 1} of {self.total}: {self.cell}", file=sys.stderr, flush=True)


def execute(job: dict) -> str:
    """Run the notebook of a job; what went wrong in one sentence, or nothing. Raises DeadKernelError."""
    import nbformat
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    cells = len(nbformat.read(job["source"], as_version=4).cells) + bool(job["parameters"])  # one is injected
    progress = _Progress(job["chapter"], cells)
    try:
        done = papermill.execute_notebook(
            job["source"], job["output"], job["parameters"], kernel_name="python3", cwd=job["cwd"],
            progress_bar=False, stderr_file=sys.stderr, on_cell_start=progress,
        )  # fmt: skip
    except DeadKernelError:
        raise DeadKernelError(f"cell {progress.cell}: the kernel died") from None
    except PapermillExecutionError as error:
        return f"cell {progress.cell}: {error.ename}: {error.evalue}"
    # sys.exit() in a cell stops the notebook, and papermill calls that a success.
    for cell in done.cells:
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None:
            return f"cell {cell.id}: was never run"
        if any(output.output_type == "error" for output in cell.get("outputs", ())):
            return f"cell {cell.id}: ended the notebook early"
    return ""


def end(variable: str, value: str) -> None:
    """Kill every process but this one in whose environment the variable has this value: a family, orphans and all."""
    family = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # gone by now, or somebody else's
            # Resource trackers end by themselves, last of all, when they have cleaned up after the others.
            tracker = any("resource_tracker" in word for word in process.cmdline())
            if process.pid != os.getpid() and process.environ().get(variable) == value and not tracker:
                process.kill()
                family.append(process)
    psutil.wait_procs(family, timeout=5)


def _die_with_parent() -> None:
    """Wait for the end of the pipe, which comes even when the parent is killed; take the kernel and its workers along."""
    os.read(0, 1)
    end("LAYERS_RUN", os.environ["LAYERS_RUN"])
    os._exit(1)


def main() -> int:
    """0 done, 1 a cell failed, 138 the kernel died; the reason is left in the job's `failure` file."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends this process as SIGTERM does, and the runner ends the others
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_parent, daemon=True).start()
    from nbclient.exceptions import DeadKernelError

    try:
        reason, status = execute(job), 1
    except DeadKernelError as error:
        reason, status = str(error), 138
    if not reason:
        return 0
    Path(job["failure"]).write_text(reason, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
