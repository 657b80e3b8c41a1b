"""``vision-ft data draw``: a practice set, drawn."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from vision_ft.commands.parsing import parser_for
from vision_ft.errors import ExitCode
from vision_ft.supply.draw import COUNT, SIZE, draw_set


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    parser = parser_for(verb, "Draw a labelled folder of cat and dog faces, to try everything without photos.")
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="a new folder; gets cat/ and dog/ in it")
    parser.add_argument("--count", type=int, default=COUNT, help="drawings of each class (default %(default)s)")
    parser.add_argument("--size", type=int, default=SIZE, help="width and height in pixels (default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same faces (default %(default)s)")
    options = parser.parse_args(args)
    draw_set(options.folder, count=options.count, size=options.size, seed=options.seed)
    sys.stdout.write(
        f"drew {options.count} cats and {options.count} dogs into {options.folder}\n"
        f"next: vision-ft fit --config configs/quickstart.yaml --data.root {shlex.quote(str(options.folder))}\n"
    )
    return ExitCode.DONE
