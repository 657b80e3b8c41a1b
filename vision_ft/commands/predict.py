"""``vision-ft predict``: photos in, a line of JSON each out."""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import sys
from collections.abc import Iterable, Sequence

from vision_ft.commands.parsing import parser_for
from vision_ft.errors import ExitCode
from vision_ft.files import shown
from vision_ft.runtime.predictor import BATCH_SIZE, Prediction, Predictor
from vision_ft.runtime.sources import photo_paths


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    options = _parse(verb, args)
    if isinstance(sys.stdin, io.TextIOWrapper):
        # A list may hold any bytes that a file's name may.
        sys.stdin.reconfigure(errors="surrogateescape")
    paths = photo_paths(options.photos, sys.stdin)
    predictor = Predictor.load(options.bundle)
    predictions = predictor.stream(paths, options.batch_size)
    as_table = options.format == "table" or (options.format == "auto" and sys.stdout.isatty())
    failed = _print_table(predictions) if as_table else _print_lines(predictions)
    return ExitCode.SOME_UNREADABLE if failed else ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> argparse.Namespace:
    parser = parser_for(verb, "Say what is on photos, with an exported model. Needs no PyTorch.")
    parser.add_argument("bundle", metavar="BUNDLE", help="the folder of an exported model")
    parser.add_argument(
        "photos",
        metavar="PATH",
        nargs="+",
        help="photos, folders of photos, or - for a list on standard input",
    )
    parser.add_argument(
        "--format",
        choices=("auto", "jsonl", "table"),
        default="auto",
        help="a line of JSON a photo, or a table; auto is a table on a terminal (default %(default)s)",
    )
    parser.add_argument(
        "--batch-size", type=_at_least_one, default=BATCH_SIZE, help="photos at once (default %(default)s)"
    )
    return parser.parse_args(args)


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return number


def _print_lines(predictions: Iterable[Prediction]) -> int:
    """Print as they come; returns how many photos could not be read."""
    failed = 0
    for prediction in predictions:
        failed += prediction.error is not None
        sys.stdout.write(json.dumps(dataclasses.asdict(prediction)) + "\n")
    sys.stdout.flush()
    return failed


def _print_table(predictions: Iterable[Prediction]) -> int:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    failed = 0
    table = Table()
    for heading in ("photo", "verdict", "confidence"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "confidence" else "left")
    for prediction in predictions:
        failed += prediction.error is not None
        confidence = "" if prediction.confidence is None else f"{prediction.confidence:.1%}"
        verdict = Text(prediction.verdict or f"cannot be read: {prediction.error}", "red" if prediction.error else "")
        table.add_row(Text(shown(prediction.path or "")), verdict, confidence)
    Console().print(table)
    return failed
