"""``vision-ft data fetch``: a public data set, verified."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from vision_ft.commands.parsing import parser_for
from vision_ft.errors import ExitCode, UsageError, nearest
from vision_ft.supply.catalogue import DATA_SETS
from vision_ft.supply.fetch import NOTICE, WORK, fetch

MIRROR = "VISION_FT_MIRROR"


def main(verb: str, args: Sequence[str]) -> int:
    """Run the verb."""
    parser = parser_for(
        verb,
        "Fetch a public data set, verify its checksum and unpack it. Goes on where an earlier call was interrupted.",
    )
    known = "; ".join(f"{name}: {data_set.about}" for name, data_set in DATA_SETS.items())
    parser.add_argument("name", metavar="NAME", help=known)
    parser.add_argument("folder", metavar="FOLDER", nargs="?", type=Path, help="where to (default data/NAME)")
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help=f"fetch URL/NAME/FILE instead of the makers' files; their checksums stay the same (or set {MIRROR})",
    )
    parser.add_argument("--keep-archives", action="store_true", help=f"leave the archives in FOLDER/{WORK}")
    options = parser.parse_args(args)
    if options.name not in DATA_SETS:
        raise UsageError(
            f"no data set {options.name!r}{nearest(options.name, DATA_SETS)}; there are: {', '.join(DATA_SETS)}"
        )
    data_set = DATA_SETS[options.name]
    folder: Path = Path("data", data_set.name) if options.folder is None else options.folder
    mirror: str | None = options.mirror if options.mirror is not None else os.environ.get(MIRROR) or None
    count = fetch(data_set, folder, mirror=mirror, keep_archives=options.keep_archives)
    done = f"fetched {count:,} files into {folder}" if count is not None else f"{folder} holds {data_set.name} already"
    kept = f"archives kept in {folder / WORK}\n" if options.keep_archives and count is not None else ""
    sys.stdout.write(
        f"{done}\n{kept}\n{data_set.title}\n{data_set.homepage}\nlicence: {data_set.licence}\n"
        f"if you publish with it, cite:\n{data_set.citation}\n(all of this is in {folder / NOTICE})\n\n"
        f"next: vision-ft data check {shlex.quote(str(folder / data_set.photos))}\n"
    )
    return ExitCode.DONE
