"""Photos that were saved again, smaller and at a lower quality, and whether they are found.

A hundred photos are chosen by seed, resized to 80 % and saved as JPEG at quality 60 beside the originals.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vision_ft.data.layout import list_photos
from vision_ft.data.survey import Survey, survey
from vision_ft.imaging import decode
from vision_ft.machine import describe


def pairs_of(seen: Survey) -> dict[tuple[str, str], int]:
    paths = seen.manifest.table["path"].to_list()
    columns = (column.tolist() for column in seen.pairs)
    return {(paths[first], paths[second]): distance for first, second, distance in zip(*columns, strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(["pillow", "numpy"]))
    before = pairs_of(survey(list_photos(options.photos)))
    print(f"in the set itself: {', '.join(f'{a} and {b} ({d} of 256 bits)' for (a, b), d in before.items()) or 'none'}")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "photos")
        shutil.copytree(options.photos, root)
        paths = list_photos(root).table["path"].to_list()
        wanted = {}
        for row in np.random.default_rng(options.seed).choice(len(paths), options.count, replace=False).tolist():
            photo = decode(root / paths[row])
            again = Path(paths[row]).with_name(f"again-{Path(paths[row]).stem}.jpg")
            smaller = photo.resize((round(photo.width * 0.8), round(photo.height * 0.8)), Image.Resampling.LANCZOS)
            smaller.save(root / again, "JPEG", quality=60)
            wanted[frozenset((paths[row], str(again)))] = True
        after = {frozenset(pair): distance for pair, distance in pairs_of(survey(list_photos(root))).items()}
    found = [distance for pair, distance in after.items() if pair in wanted]
    known = {frozenset(pair) for pair in before}
    other = [sorted(pair) for pair in after if pair not in wanted and pair not in known]
    print(f"saved again: {len(found)} of {options.count} matched, at most {max(found)} of 256 bits apart")
    print(f"other pairs that came up: {len(other)} {other}")


if __name__ == "__main__":
    main()
