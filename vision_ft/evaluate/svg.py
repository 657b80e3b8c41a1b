"""SVG that takes its colours and its letters from the page around it."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from html import escape
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

# Colours that stand for variables of the page, which has them for light and for dark.
INK, FAINT, LINE, GROUND = "#010203", "#040506", "#070809", "#0a0b0c"
FIRST, SECOND, THIRD, FOURTH = "#0d0e0f", "#101112", "#131415", "#161718"
_VARIABLES = {
    INK: "ink", FAINT: "faint", LINE: "line", GROUND: "ground",
    FIRST: "first", SECOND: "second", THIRD: "third", FOURTH: "fourth",
}  # fmt: skip
# Inches; on a phone a point is about a pixel then.
_SIZE = (4.4, 3.3)
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10, "axes.labelsize": 10,
    "xtick.labelsize": 9.5, "ytick.labelsize": 9.5,
    "legend.fontsize": 9.5, "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": FAINT, "axes.linewidth": 0.8,
    "xtick.color": FAINT, "ytick.color": FAINT, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": LINE,
    "grid.linewidth": 0.8, "axes.axisbelow": True, "figure.facecolor": "none", "axes.facecolor": "none",
    "legend.frameon": False, "lines.linewidth": 1.8, "lines.solid_capstyle": "round",
}  # fmt: skip


def svg(name: str, title: str, draw: Callable[[Figure], None], size: tuple[float, float] = _SIZE) -> str:
    """A figure as an ``<svg>`` element.

    Args:
        name: unlike that of any other figure on the page; what it refers to within itself begins so.
        title: for who cannot see it.
        draw: draws into the empty figure.
        size: in inches.
    """
    # Not pyplot: it looks for a display, and keeps what it draws.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": name}), warnings.catch_warnings():
        # A sign that matplotlib's own letters lack; the page's are those that are seen.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = Figure(figsize=size, layout="constrained")
        draw(figure)
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return _adapted(buffer.getvalue(), name, title)


def _adapted(text: str, name: str, title: str) -> str:
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var(--{variable})")
    # The page's letters, at the size that was asked for.
    text = re.sub(r"font: (?:[a-z0-9]+ )?([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    # A hundredth of a point is enough, and half the size; of numbers that people read, nothing is taken.
    text = re.sub(r'\bd="[^"]*"', lambda path: re.sub(r"(\.\d{2})\d+", r"\1", path.group(0)), text)
    head = re.match(r"<svg[^>]*>", text)
    if head is None:
        raise RuntimeError("matplotlib wrote no SVG")
    # Within a page, an <svg> needs no names of its languages, and has the size that the page gives it.
    opened = re.sub(r' (?:width|height|version|xmlns(?::\w+)?)="[^"]*"', "", head.group(0))[:-1]
    return f'{opened} role="img" aria-label="{escape(title)}" id="figure-{name}">' + text[head.end() :]


def in_percent(axes: Axes, x: bool = True, y: bool = True) -> None:
    """Label axes of shares in percent."""
    for axis, wanted in ((axes.xaxis, x), (axes.yaxis, y)):
        if wanted:
            axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
            axis.set_major_formatter(FuncFormatter(lambda share, _: f"{round(100 * share, 6):g} %"))


def legend_name(name: str) -> str:
    """A class's name as a legend shows it; those that begin with a dash below, matplotlib would leave out."""
    return f"\u200b{name}" if name.startswith("_") else name
