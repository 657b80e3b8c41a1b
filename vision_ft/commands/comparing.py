"""Two runs held against each other."""

from __future__ import annotations

from pathlib import Path

from vision_ft.errors import DataError, UsageError
from vision_ft.evaluate.comparison import compare_saved, write_comparison
from vision_ft.evaluate.page import is_ours
from vision_ft.evaluate.saved import Saved
from vision_ft.run_folder import RunFolder


def compare_runs(first: RunFolder, second: RunFolder, out: Path | None) -> tuple[Path, str]:
    """Write the page of two runs.

    Args:
        first: a run.
        second: another.
        out: the page; ``comparison.html`` in the first run if not given.

    Returns:
        Where the page is, and what it says first.

    Raises:
        DataError: a folder is no run, or the page would take the place of a file of the user's.
    """
    if first.path.resolve() == second.path.resolve():
        raise UsageError(f"{str(first.path)!r} twice; name two runs")
    page = first.path / "comparison.html" if out is None else out.expanduser()
    found = compare_saved(Saved.read(first), Saved.read(second))
    if not is_ours(page):
        raise DataError(f"{str(page)!r} is there and is no page of ours; name another with --out")
    if not page.parent.is_dir():
        raise UsageError(f"--out: no folder {str(page.parent)!r}; make it first")
    write_comparison(page, found)
    return page, found.verdict()
