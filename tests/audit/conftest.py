"""A set of drawings in which everything that can be wrong is wrong somewhere."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vision_ft.supply.draw import draw_set


def save(image: Image.Image, path: Path, kind: str, **settings: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, kind, **settings)  # type: ignore[arg-type]


def spoil(root: Path) -> dict[str, str]:
    """Add a photo of each kind of fault; returns the path of one by the kind's name."""
    cats = sorted((root / "cat").iterdir())
    image = Image.open(cats[0]).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6
    (root / "cat/empty.jpg").write_bytes(b"")
    data = cats[1].read_bytes()
    (root / "cat/half.jpg").write_bytes(data[: len(data) // 2])
    (root / "cat/text.jpg").write_bytes(b"not a photo at all")
    save(image, root / "cat/png.jpg", "PNG")
    save(image.rotate(40), root / "cat/moving.gif", "GIF", save_all=True, append_images=[image.rotate(80)])
    save(image.rotate(10).convert("CMYK"), root / "cat/cmyk.jpg", "JPEG")
    deep = np.asarray(image.rotate(20).convert("L")).astype(np.uint16) * 257
    Image.fromarray(deep).save(root / "cat/deep.png")
    cv2.imwrite(str(root / "cat/deep_colour.png"), np.asarray(image.rotate(30)).astype(np.uint16) * 257)
    save(image.rotate(50).convert("P"), root / "cat/palette.png", "PNG")
    clear = image.rotate(60).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    save(clear, root / "cat/clear.png", "PNG")
    save(image.rotate(70), root / "cat/turned.jpg", "JPEG", exif=exif)
    save(image.rotate(90).resize((20, 20)), root / "cat/small.png", "PNG")
    save(image.rotate(100).resize((400, 100)), root / "cat/long.png", "PNG")
    save(Image.new("RGB", (160, 160), (200, 200, 200)), root / "cat/blank.png", "PNG")
    shutil.copy(cats[2], root / "cat/copy.jpg")
    shutil.copy(cats[3], root / "dog/conflict.jpg")
    resaved = Image.open(cats[4]).convert("RGB").resize((128, 128))
    save(resaved, root / "cat/near.jpg", "JPEG", quality=60)
    resaved = Image.open(cats[5]).convert("RGB").resize((128, 128))
    save(resaved, root / "dog/near_conflict.jpg", "JPEG", quality=60)
    return {
        "empty": "cat/empty.jpg",
        "unreadable": "cat/half.jpg",
        "wrong_extension": "cat/png.jpg",
        "animation": "cat/moving.gif",
        "cmyk": "cat/cmyk.jpg",
        "deep": "cat/deep.png",
        "palette": "cat/palette.png",
        "transparency": "cat/clear.png",
        "rotated": "cat/turned.jpg",
        "too_small": "cat/small.png",
        "extreme_shape": "cat/long.png",
        "near_blank": "cat/blank.png",
        "copy": "cat/copy.jpg",
        "label_conflict": "dog/conflict.jpg",
        "near_copy": "cat/near.jpg",
        "near_label_conflict": "dog/near_conflict.jpg",
    }


@pytest.fixture(scope="session")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("spoilt") / "pets"
    draw_set(root, count=30, size=160)
    return root, spoil(root)
