"""``vision-ft predict``: photos in, a line of JSON each out."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING

from vision_ft.commands.ending import Ending
from vision_ft.commands.output import Output
from vision_ft.commands.parsing import parser_for
from vision_ft.commands.progress import on_terminal, progress
from vision_ft.commands.records import JsonLines
from vision_ft.commands.selftest import SELF_TEST
from vision_ft.commands.selftest import main as self_test_main
from vision_ft.errors import ExitCode, UsageError
from vision_ft.files import shown
from vision_ft.runtime.engine import ENGINES, cores
from vision_ft.runtime.photos import Named, Photo
from vision_ft.runtime.predictor import BATCH_SIZE, Prediction, Predictor
from vision_ft.runtime.process import AVAILABLE
from vision_ft.runtime.sources import count_photos, photo_paths
from vision_ft.runtime.thresholds import AS_BUNDLED, Moved

if TYPE_CHECKING:
    from rich.table import Table

# So many are decoded sooner than processes that decode are started.
_FEW = 64
_TABLE_ROWS = 500
_TIMEOUT = 30.0


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    if SELF_TEST in args:
        return self_test_main(verb, args)
    options = _parse(verb, args)
    if options.resume and options.out is None:
        raise UsageError("--resume goes on with a file; name it by --out")
    if options.out is not None and options.format != "auto":
        raise UsageError("--format is for standard output; the format of --out is in its name")
    if isinstance(sys.stdin, io.TextIOWrapper):
        # A list may hold any bytes that a file's name may.
        sys.stdin.reconfigure(errors="surrogateescape")
    photos = photo_paths(options.photos, sys.stdin)
    as_table = options.format == "table" or (options.format == "auto" and sys.stdout.isatty())
    ending, failed = Ending(), 0
    with ending.listening(), ExitStack() as opened:
        predictor = Predictor.load(options.bundle, options.engine, options.unsure, options.neither, lanes=cores())
        output, already = None, 0
        if options.out is not None:
            output = opened.enter_context(Output(options.out, predictor.spec.classes, resume=options.resume))
            photos, failed, already = _not_done(photos, output), output.failed, len(output.done)
        predictions = opened.enter_context(closing(_stream(predictor, photos, options)))
        watched = on_terminal() and (output is not None or as_table or not sys.stdout.isatty())
        through = opened.enter_context(progress(watched, lambda: count_photos(options.photos), already))
        if output is not None:
            failed += _write(through(predictions), output, ending)
        elif as_table:
            failed += _print_table(through(predictions))
        else:
            failed += _print_lines(through(predictions), ending)
    return ExitCode.SOME_UNREADABLE if failed else ExitCode.DONE


def _parse(verb: str, args: Sequence[str]) -> argparse.Namespace:
    parser = parser_for(verb, "Say what is on photos, with an exported model. Needs no PyTorch.")
    parser.add_argument("bundle", metavar="BUNDLE", help="the folder of an exported model")
    parser.add_argument(
        "photos",
        metavar="PATH",
        nargs="+",
        help="photos, folders of photos, archives (.zip, .tar, .tar.gz), or - for a list on standard input",
    )
    parser.add_argument(
        "--format",
        choices=("auto", "jsonl", "table"),
        default="auto",
        help="a line of JSON a photo, or a table; auto is a table on a terminal (default %(default)s)",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write to a .jsonl, .csv or .parquet instead")
    parser.add_argument("--resume", action="store_true", help="go on with an --out that is there: skip what it has")
    parser.add_argument("--unordered", action="store_true", help="answers as they come, not in the order of the photos")
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=_TIMEOUT,
        metavar="SECONDS",
        help="give a photo up that takes longer to decode; 0 never does (default %(default)g)",
    )
    parser.add_argument(
        "--workers",
        type=_none_or_more,
        metavar="N",
        help=f"processes that decode; 0 decodes in threads (default: as many as cores, none for {_FEW} photos or less)",
    )
    parser.add_argument(
        "--batch-size", type=_at_least_one, default=BATCH_SIZE, help="photos at once (default %(default)s)"
    )
    parser.add_argument("--engine", choices=tuple(ENGINES), default="onnx", help="what computes (default %(default)s)")
    for name, what in (("unsure", "a largest probability below P"), ("neither", "a novelty above P")):
        parser.add_argument(
            f"--{name}",
            type=_threshold,
            default=AS_BUNDLED,
            metavar="P",
            help=f"{what} is {name}; off for never (default: the bundle's own)",
        )
    parser.add_argument(SELF_TEST, action="store_true", help="ask the bundle of its own photos instead; takes no PATH")
    return parser.parse_args(args)


def _at_least_one(text: str) -> int:
    return _whole(text, 1)


def _none_or_more(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, {least} or more")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 1e6:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds, 0 or more")
    return seconds


def _threshold(text: str) -> Moved:
    # The default comes by here as well.
    if text in ("off", AS_BUNDLED):
        return None if text == "off" else AS_BUNDLED
    try:
        return float(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, nor off") from error


def _stream(predictor: Predictor, photos: Iterator[str | Named], options: argparse.Namespace) -> Generator[Prediction]:
    processes = options.workers
    waiting: Iterable[Photo] = photos
    if processes is None:
        first = list(islice(photos, _FEW + 1))
        processes = cores() if len(first) > _FEW and AVAILABLE else 0
        waiting = chain(first, photos)
    return predictor.stream(
        waiting,
        options.batch_size,
        ordered=not options.unordered,
        processes=processes,
        timeout=options.timeout or None,
    )


def _not_done(photos: Iterator[str | Named], output: Output) -> Iterator[str | Named]:
    return (photo for photo in photos if not output.done.take(photo.path if isinstance(photo, Named) else photo))


def _write(predictions: Iterable[Prediction], output: Output, ending: Ending) -> int:
    """Write as they come; returns how many photos could not be read."""
    failed = 0
    for prediction in predictions:
        failed += prediction.error is not None
        with ending.waits():
            output.write(prediction)
    output.finish()
    return failed


def _print_lines(predictions: Iterable[Prediction], ending: Ending) -> int:
    """Print as they come; returns how many photos could not be read."""
    failed, lines = 0, JsonLines(())
    for prediction in predictions:
        failed += prediction.error is not None
        with ending.waits():
            sys.stdout.write(lines.encode(prediction).decode())
            sys.stdout.flush()
    return failed


def _print_table(predictions: Iterable[Prediction]) -> int:
    """Print a table, or several where there are many; returns how many photos could not be read."""
    from rich.console import Console
    from rich.table import Table

    failed, printed = 0, False
    while rows := list(islice(predictions, _TABLE_ROWS)):
        table = Table()
        for heading in ("photo", "verdict", "confidence"):
            table.add_column(heading, overflow="fold", justify="right" if heading == "confidence" else "left")
        for prediction in rows:
            failed += prediction.error is not None
            _add_row(table, prediction)
        Console().print(table)
        printed = True
    if not printed:
        return 0
    return failed


def _add_row(table: Table, prediction: Prediction) -> None:
    from rich.text import Text

    confidence = "" if prediction.confidence is None else f"{prediction.confidence:.1%}"
    verdict = Text(prediction.verdict or f"cannot be read: {prediction.error}", "red" if prediction.error else "")
    table.add_row(Text(shown(prediction.path or "")), verdict, confidence)
