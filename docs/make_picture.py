"""Draws docs/quickstart.jpg: faces that the quickstart's model has never seen, with what it says of them.

python docs/make_picture.py runs/quickstart/latest/bundle
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import vision_ft
from vision_ft.supply.faces import KINDS, draw_face

COLUMNS, ROWS, SIDE, LINE, GAP = 6, 2, 160, 26, 8
# No picture of the practice set has this seed.
SEED = 2026


def main(bundle: str) -> None:
    """Draw the sheet."""
    model = vision_ft.load(bundle)
    width, height = COLUMNS * (SIDE + GAP) + GAP, ROWS * (SIDE + LINE + GAP) + GAP
    sheet = Image.new("RGB", (width, height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
    right = 0
    for place in range(COLUMNS * ROWS):
        rng = np.random.default_rng([SEED, place])
        kind = KINDS[int(rng.integers(len(KINDS)))]
        face = draw_face(kind, rng, SIDE)
        (found,) = model.predict(face)
        right += found.verdict == kind
        left = GAP + place % COLUMNS * (SIDE + GAP)
        top = GAP + place // COLUMNS * (SIDE + LINE + GAP)
        sheet.paste(face, (left, top))
        colour = "#1a7f37" if found.verdict == kind else "#cf222e"
        text = f"{found.verdict} {found.confidence:.0%}"
        pen.text((left + SIDE / 2, top + SIDE + LINE / 2), text, fill=colour, font=font, anchor="mm")
    sheet.save(Path(__file__).with_name("quickstart.jpg"), quality=88, optimize=True)
    sys.stdout.write(f"{right} of {COLUMNS * ROWS} right\n")


if __name__ == "__main__":
    main(sys.argv[1])
