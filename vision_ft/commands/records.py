"""A prediction as a record of a file: a line of JSON, or a row of CSV; and what such a file holds already."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import IO, NamedTuple, Protocol

from vision_ft.errors import UsageError
from vision_ft.runtime.predictor import Prediction

COLUMNS = ("path", "verdict", "label", "confidence", "novelty", "error")
_QUOTED = re.compile('[",\r\n]')


def share_column(name: str) -> str:
    """The column of a class's probability."""
    return f"probability:{name}"


class Record(NamedTuple):
    """What matters of a record that was written before: whose it is, and whether there was an answer."""

    path: str
    failed: bool


class Format(Protocol):
    """How predictions stand in a file."""

    def head(self) -> bytes:
        """What stands before the first of them."""

    def encode(self, prediction: Prediction) -> bytes:
        """A prediction, with its end of line."""

    def whole(self, file: IO[bytes]) -> Iterator[bytes]:
        """The records of a file up to the last one that is whole, the head included."""

    def read(self, record: bytes) -> Record:
        """A record as :meth:`encode` gives it.

        Raises:
            ValueError: it is none, or one of a model with other classes.
        """


class JsonLines:
    r"""One JSON object a line; a path's bytes that are not UTF-8 are escaped as ``\udcXX``, as Python does."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Of a model with these classes."""
        self._classes = list(classes)

    def head(self) -> bytes:
        """Nothing."""
        return b""

    def encode(self, prediction: Prediction) -> bytes:
        """A line."""
        return json.dumps(dataclasses.asdict(prediction)).encode() + b"\n"

    def whole(self, file: IO[bytes]) -> Iterator[bytes]:
        """The lines that have an end."""
        return (line for line in file if line.endswith(b"\n"))

    def read(self, record: bytes) -> Record:
        """The record of a line."""
        content = json.loads(record)
        if not isinstance(content, dict) or not isinstance(content.get("path"), str) or "verdict" not in content:
            raise ValueError("it is no prediction")
        if content["probabilities"] is not None and list(content["probabilities"]) != self._classes:
            raise ValueError("it is of a model with other classes")
        return Record(content["path"], content["error"] is not None)


class Table:
    """CSV: a column each of :data:`COLUMNS`, then ``probability:CLASS`` of each class; names with their own bytes."""

    def __init__(self, classes: Sequence[str]) -> None:
        """Of a model with these classes."""
        self._classes = list(classes)
        self._names = [*COLUMNS, *map(share_column, classes)]

    def head(self) -> bytes:
        """The names of the columns."""
        return self._encoded(self._names)

    def encode(self, prediction: Prediction) -> bytes:
        """A row; what is null is empty."""
        shares = prediction.probabilities or {}
        return self._encoded(
            [*(getattr(prediction, name) for name in COLUMNS), *(shares.get(name) for name in self._classes)]
        )

    def whole(self, file: IO[bytes]) -> Iterator[bytes]:
        """The rows that have an end; a name may have ends of lines in it, between quotes."""
        row = b""
        for line in file:
            row += line
            if line.endswith(b"\n") and row.count(b'"') % 2 == 0:
                yield row
                row = b""

    def read(self, record: bytes) -> Record:
        """The record of a row; the head is one without a path."""
        (row,) = csv.reader(io.StringIO(record.decode("utf-8", "surrogateescape"), newline=""), strict=True)
        if row == self._names:
            return Record("", failed=False)
        if len(row) != len(self._names) or not row[0]:
            raise ValueError("it is no prediction of this model")
        return Record(row[0], bool(row[COLUMNS.index("error")]))

    def _encoded(self, row: Sequence[object]) -> bytes:
        return ",".join(map(_field, row)).encode("utf-8", "surrogateescape") + b"\n"


def _field(value: object) -> str:
    # Python's writer leaves a carriage return without quotes, and then cannot read it back.
    text = "" if value is None else str(value)
    return '"' + text.replace('"', '""') + '"' if _QUOTED.search(text) else text


def format_of(suffix: str, classes: Sequence[str]) -> Format:
    """How predictions stand in a file whose name ends so; what becomes Parquet is written as JSON lines first.

    Raises:
        UsageError: there is no such format.
    """
    formats: dict[str, type[JsonLines] | type[Table]] = {".jsonl": JsonLines, ".csv": Table, ".parquet": JsonLines}
    if suffix not in formats:
        raise UsageError(f"--out: a name must end in {', '.join(formats)}, not in {suffix!r}")
    return formats[suffix](classes)
