"""One drawn cat or dog face, from a random generator.

The two differ as real ones do, by ears, pupils, muzzle and whiskers, and no one of these settles it: some cats have
folded ears, some dogs pointed ones, whiskers may be missing, and colours, pose, size, light, background and covers
are drawn alike for both.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter

Colour = tuple[int, int, int]
Point = tuple[float, float]

CAT, DOG = "cat", "dog"
KINDS = (CAT, DOG)
# Drawn larger and scaled down, which smooths the edges.
_SCALE = 2
_FURS = ((0.08, 0.55), (0.06, 0.75), (0.09, 0.30), (0.0, 0.03), (0.6, 0.06), (0.05, 0.45))  # hue, saturation


def draw_face(kind: str, rng: np.random.Generator, size: int) -> Image.Image:
    """Draw one picture.

    Args:
        kind: ``"cat"`` or ``"dog"``.
        rng: everything random comes from here.
        size: width and height, in pixels.

    Returns:
        An RGB image.
    """
    canvas = _background(rng, size * _SCALE)
    head = _head(kind, rng, size * _SCALE)
    wide = size * _SCALE
    share = rng.uniform(0.38, 0.95)
    head = head.resize((int(wide * share * rng.uniform(0.85, 1.15)), int(wide * share)), Image.Resampling.BICUBIC)
    head = head.rotate(rng.normal(0, 17), Image.Resampling.BICUBIC, expand=True)
    spare = (1 - share) * 0.6 + 0.05
    left = (wide - head.width) / 2 + wide * rng.uniform(-spare, spare) / 2
    top = (wide - head.height) / 2 + wide * rng.uniform(-spare, spare) / 2
    canvas.paste(head, (int(left), int(top)), head)
    if rng.random() < 0.4:
        _cover(canvas, rng)
    canvas = canvas.resize((size, size), Image.Resampling.LANCZOS)
    return _light(canvas, rng)


@dataclass
class _Pen:
    """Draws in head coordinates: both axes run from -1 to 1 over the canvas, y downwards."""

    image: Image.Image

    def __post_init__(self) -> None:
        self._draw = ImageDraw.Draw(self.image)

    def _to_pixels(self, point: Point) -> Point:
        return (point[0] + 1) / 2 * self.image.width, (point[1] + 1) / 2 * self.image.height

    def oval(self, centre: Point, radii: Point, fill: Colour, outline: Colour | None = None) -> None:
        (left, top), (right, bottom) = (
            self._to_pixels((centre[0] + sign * radii[0], centre[1] + sign * radii[1])) for sign in (-1, 1)
        )
        self._draw.ellipse((left, top, right, bottom), fill=fill, outline=outline, width=2 * _SCALE)

    def shape(self, points: Sequence[Point], fill: Colour) -> None:
        self._draw.polygon([self._to_pixels(point) for point in points], fill=fill)

    def line(self, points: Sequence[Point], fill: Colour, width: float) -> None:
        pixels = [self._to_pixels(point) for point in points]
        self._draw.line(pixels, fill=fill, width=max(1, round(width * self.image.width / 2)), joint="curve")


@dataclass(frozen=True)
class _Look:
    fur: Colour
    shade: Colour
    pale: Colour
    ink: Colour
    iris: Colour
    wide: float
    tall: float


def _head(kind: str, rng: np.random.Generator, side: int) -> Image.Image:
    """A face on a transparent ground."""
    hue, saturation = _FURS[rng.integers(len(_FURS))]
    value = rng.uniform(0.18, 0.95)
    fur = _hsv(hue + rng.normal(0, 0.01), saturation, value)
    look = _Look(
        fur=fur,
        shade=_mix(fur, (20, 14, 10), rng.uniform(0.25, 0.55)),
        pale=_mix(fur, (250, 244, 236), rng.uniform(0.2, 0.8)),
        ink=_mix((12, 10, 12), fur, rng.uniform(0, 0.2)),
        iris=_hsv(
            rng.uniform(0.05, 0.4) if rng.random() < 0.8 else 0.58,
            rng.uniform(0.3, 0.8),
            rng.uniform(0.4, 0.9),
        ),
        wide=rng.uniform(0.5, 0.62),
        tall=rng.uniform(0.5, 0.66),
    )
    pen = _Pen(Image.new("RGBA", (side, side), (*look.shade, 0)))
    turn = rng.uniform(-0.12, 0.12)
    ears = _pointed_ears if rng.random() < (0.85 if kind == CAT else 0.3) else _hanging_ears
    behind = ears is _pointed_ears or rng.random() < 0.4
    if behind:
        ears(pen, look, rng)
    pen.oval((0, 0.08), (look.wide, look.tall), look.fur)
    _coat(pen, look, rng)
    if not behind:
        ears(pen, look, rng)
    (_cat_features if kind == CAT else _dog_features)(pen, look, rng, turn)
    return _with_fur(pen.image, rng)


def _pointed_ears(pen: _Pen, look: _Look, rng: np.random.Generator) -> None:
    height, lean, width = rng.uniform(0.42, 0.6), rng.uniform(-0.08, 0.16), rng.uniform(0.3, 0.42)
    inner = _mix(look.pale, (214, 150, 150), 0.6)
    for sign in (-1, 1):
        tip = (sign * (look.wide * 0.72 + lean), -look.tall * 0.6 - height + rng.normal(0, 0.02))
        low, high = (
            (sign * look.wide * 0.98, -0.05),
            (sign * (look.wide * 0.98 - width * 1.4), -look.tall * 0.72),
        )
        pen.shape([low, tip, high], look.fur)
        middle = tuple(np.mean([low, tip, high], axis=0))
        pen.shape([_towards(corner, middle, 0.35) for corner in (low, tip, high)], inner)


def _hanging_ears(pen: _Pen, look: _Look, rng: np.random.Generator) -> None:
    long, width, drop = rng.uniform(0.28, 0.5), rng.uniform(0.13, 0.22), rng.uniform(-0.2, 0.12)
    for sign in (-1, 1):
        centre = (sign * (look.wide * 0.98), drop + rng.normal(0, 0.03))
        pen.oval(centre, (width, long), look.shade)


def _coat(pen: _Pen, look: _Look, rng: np.random.Generator) -> None:
    pattern = rng.random()
    if pattern < 0.3:  # stripes on the forehead
        for offset in np.linspace(-0.3, 0.3, rng.integers(3, 7)):
            pen.line([(offset, -look.tall + 0.2), (offset * 0.8, -0.2)], look.shade, rng.uniform(0.02, 0.06))
    elif pattern < 0.6:  # a patch over one eye, or some freckles
        for _ in range(rng.integers(1, 4)):
            centre = (rng.uniform(-0.35, 0.35), rng.uniform(-0.3, 0.3))
            pen.oval(centre, (rng.uniform(0.08, 0.24), rng.uniform(0.08, 0.24)), look.shade)


def _eyes(pen: _Pen, look: _Look, rng: np.random.Generator, turn: float, radii: Point, pupil: Point) -> None:
    apart, height = rng.uniform(0.2, 0.28), rng.uniform(-0.18, -0.02)
    look_at = rng.normal(0, 0.015)
    for sign in (-1, 1):
        centre = (turn + sign * apart, height)
        pen.oval(centre, radii, look.iris, outline=look.ink)
        at = (centre[0] + look_at, centre[1])
        pen.oval(at, pupil, (8, 8, 10))
        pen.oval((at[0] + 0.025, at[1] - 0.04), (0.018, 0.018), (250, 250, 250))


def _cat_features(pen: _Pen, look: _Look, rng: np.random.Generator, turn: float) -> None:
    tall = rng.uniform(0.09, 0.14)
    _eyes(pen, look, rng, turn, (rng.uniform(0.1, 0.14), tall), (rng.uniform(0.015, 0.07), tall * 0.95))
    nose_y = rng.uniform(0.16, 0.26)
    for sign in (-1, 1):
        pen.oval((turn + sign * 0.09, nose_y + 0.1), (0.13, 0.1), look.pale)
    nose = _mix((216, 130, 130), look.ink, rng.uniform(0, 0.9))
    pen.shape([(turn - 0.07, nose_y - 0.03), (turn + 0.07, nose_y - 0.03), (turn, nose_y + 0.05)], nose)
    _mouth(pen, look, turn, nose_y + 0.05, 0.1)
    if rng.random() < 0.75:
        light = _mix((240, 240, 240), look.ink, rng.uniform(0, 1))
        for sign in (-1, 1):
            for slope in np.linspace(-0.1, 0.14, rng.integers(2, 5)):
                start = (turn + sign * 0.14, nose_y + 0.08 + slope * 0.3)
                end = (turn + sign * rng.uniform(0.5, 0.8), nose_y + 0.06 + slope)
                pen.line([start, end], light, 0.008)


def _dog_features(pen: _Pen, look: _Look, rng: np.random.Generator, turn: float) -> None:
    nose_y = rng.uniform(0.16, 0.3)
    if rng.random() < 0.5:
        _tongue(pen, rng, turn, nose_y)
    pen.oval((turn, nose_y + 0.12), (rng.uniform(0.22, 0.32), rng.uniform(0.2, 0.28)), look.pale)
    radius = rng.uniform(0.075, 0.12)
    _eyes(pen, look, rng, turn, (radius, radius * rng.uniform(0.8, 1.05)), (radius * 0.62, radius * 0.68))
    nose = _mix(look.ink, (150, 96, 90), rng.uniform(0, 0.7))
    pen.oval((turn, nose_y), (rng.uniform(0.08, 0.13), rng.uniform(0.06, 0.09)), nose)
    _mouth(pen, look, turn, nose_y + 0.08, 0.15)


def _mouth(pen: _Pen, look: _Look, turn: float, top: float, width: float) -> None:
    pen.line([(turn, top), (turn, top + 0.06)], look.ink, 0.015)
    for sign in (-1, 1):
        curve = [(turn + sign * width * part, top + 0.06 + 0.05 * part * (2 - part)) for part in np.linspace(0, 1, 6)]
        pen.line(curve, look.ink, 0.015)


def _tongue(pen: _Pen, rng: np.random.Generator, turn: float, nose_y: float) -> None:
    length = rng.uniform(0.12, 0.22)
    pen.oval((turn + rng.uniform(-0.05, 0.05), nose_y + 0.34), (0.08, length), (222, 112, 122))


def _with_fur(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Short strokes of light and shade, which leave the outline as it is."""
    grain = rng.normal(128, rng.uniform(6, 26), (image.height // 3, image.width // 5)).clip(0, 255).astype(np.uint8)
    layer = Image.fromarray(grain).resize(image.size, Image.Resampling.BILINEAR).convert("RGB")
    rgb = ImageChops.overlay(image.convert("RGB"), layer)
    rgb.putalpha(image.getchannel("A"))
    return rgb


def _background(rng: np.random.Generator, side: int) -> Image.Image:
    first, second = _any_colour(rng), _any_colour(rng)
    ramp = np.linspace(0, 1, side)
    across = np.cos(angle := rng.uniform(0, 2 * np.pi)) * ramp[None, :] + np.sin(angle) * ramp[:, None]
    across = (across - across.min()) / (np.ptp(across) + 1e-9)
    pixels = np.asarray(first) * (1 - across[..., None]) + np.asarray(second) * across[..., None]
    image = Image.fromarray(pixels.astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 14)):
        _background_thing(draw, rng, side)
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, side / 60)))


def _background_thing(draw: ImageDraw.ImageDraw, rng: np.random.Generator, side: int) -> None:
    x, y = rng.uniform(-0.1, 1, 2) * side
    width, height = rng.uniform(0.05, 0.45, 2) * side
    colour = _any_colour(rng)
    things: list[Callable[[], None]] = [
        lambda: draw.rectangle((x, y, x + width, y + height), fill=colour),
        lambda: draw.ellipse((x, y, x + width, y + height), fill=colour),
        lambda: draw.line((x, y, x + width, y - height), fill=colour, width=int(side * rng.uniform(0.005, 0.04))),
        lambda: draw.polygon([(x, y), (x + width, y), (x + width / 2, y - height)], fill=colour),
    ]
    things[rng.integers(len(things))]()


def _cover(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Something in front: a bar, a blade of grass, or the edge of a frame."""
    draw = ImageDraw.Draw(canvas)
    side, colour = canvas.width, _any_colour(rng)
    kind = rng.integers(3)
    if kind == 0:
        at, thick = rng.uniform(0, 1) * side, rng.uniform(0.06, 0.22) * side
        draw.rectangle((0, at, side, at + thick) if rng.random() < 0.5 else (at, 0, at + thick, side), fill=colour)
    elif kind == 1:
        for _ in range(rng.integers(3, 9)):
            foot, tip, width = rng.uniform(0, side), rng.uniform(0, side), side * rng.uniform(0.015, 0.05)
            top = side * rng.uniform(0.2, 0.8)
            draw.polygon([(foot - width, side), (foot + width, side), (tip, top)], fill=colour)
    else:
        depth = rng.uniform(0.1, 0.3) * side
        left, top = 0.0, 0.0
        right, bottom = (depth, float(side)) if rng.random() < 0.5 else (float(side), depth)
        if rng.random() < 0.5:
            left, top, right, bottom = side - right, side - bottom, float(side), float(side)
        draw.rectangle((left, top, right, bottom), fill=colour)


def _light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.45, 1.4))
    image = ImageEnhance.Contrast(image).enhance(rng.uniform(0.55, 1.3))
    image = ImageEnhance.Color(image).enhance(0.0 if rng.random() < 0.1 else rng.uniform(0.5, 1.4))
    if rng.random() < 0.35:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.8)))
    noise = rng.normal(0, rng.uniform(0, 14), (image.height, image.width, 1))
    return Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))


def _any_colour(rng: np.random.Generator) -> Colour:
    return _hsv(rng.random(), rng.uniform(0, 0.7), rng.uniform(0.15, 0.95))


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    red, green, blue = colorsys.hsv_to_rgb(hue % 1, saturation, value)
    return int(red * 255), int(green * 255), int(blue * 255)


def _mix(first: Colour, second: Colour, share: float) -> Colour:
    red, green, blue = (int(one * (1 - share) + two * share) for one, two in zip(first, second, strict=True))
    return red, green, blue


def _towards(point: Point, centre: tuple[float, ...], share: float) -> Point:
    return point[0] + (centre[0] - point[0]) * share, point[1] + (centre[1] - point[1]) * share
