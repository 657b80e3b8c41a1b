"""Parquet, from lines of JSON; some thousand rows are held at a time."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from vision_ft.commands.records import COLUMNS, share_column
from vision_ft.errors import UsageError

_ROWS = 20_000
_NUMBERS = frozenset({"confidence", "novelty"})


def check_installed() -> None:
    """Say what is missing before anything is predicted.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--out: Parquet needs pyarrow, which is not installed: pip install 'vision-ft[parquet]', or name a .jsonl "
            "or .csv"
        ) from error


def from_lines(lines: Path, path: Path, classes: Sequence[str]) -> None:
    r"""Write the table of some predictions; it is there whole or not at all.

    Its columns are those of a CSV; a path's bytes that are not UTF-8 are written as ``\xNN``.

    Args:
        lines: a file of JSON lines.
        path: the table.
        classes: those of the model.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [(name, pa.float32() if name in _NUMBERS else pa.string()) for name in COLUMNS]
        + [(share_column(name), pa.float32()) for name in classes]
    )
    half = Path(f"{path}.half")
    with lines.open("rb") as file, pq.ParquetWriter(half, schema) as writer:
        while rows := [_row(line) for line in islice(file, _ROWS)]:
            writer.write_table(pa.Table.from_pylist(rows, schema))
    half.replace(path)


def _row(line: bytes) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    row |= {share_column(name): share for name, share in (row.pop("probabilities") or {}).items()}
    return {name: _text(value) if isinstance(value, str) else value for name, value in row.items()}


def _text(value: str) -> str:
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
