"""Two runs side by side, on the photos that both kept out of training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from vision_ft.data.listing import TEST
from vision_ft.errors import DataError
from vision_ft.evaluate.metrics import score
from vision_ft.evaluate.page import MARK, PARTS
from vision_ft.evaluate.paired import Paired, compare
from vision_ft.evaluate.saved import Part, Saved
from vision_ft.evaluate.tables import METRICS, Cell, cell, tone_of
from vision_ft.evaluate.verdict import percent
from vision_ft.files import shown
from vision_ft.pages import environment
from vision_ft.scoring import losses_of

_MOST_LISTED = 40


@dataclass(frozen=True)
class Side:
    """One of two runs.

    Attributes:
        saved: its files.
        part: what it says of the photos that are compared; ``None`` where there are none.
    """

    saved: Saved
    part: Part | None


@dataclass(frozen=True)
class Compared:
    """What :func:`compare_saved` gives.

    Attributes:
        first: a run.
        second: another.
        only_test: whether the photos are of the test part of both; otherwise some helped to choose weights.
        relabelled: photos left out because the runs have other labels for them.
        paired: the first against the second; ``None`` where they have no photo in common.
    """

    first: Side
    second: Side
    only_test: bool
    relabelled: int
    paired: Paired | None

    def verdict(self) -> str:
        """What there is to be said, in a sentence or two."""
        if self.paired is None:
            return (
                "The two runs kept no photo in common out of training: their figures are of different photos, and "
                "cannot be held against each other."
            )
        pair = self.paired
        where = f"On {pair.photos:,} photos that both kept out of training"
        if pair.accuracy_verdict == pair.log_loss_verdict == "no clear difference":
            return f"{where}, no clear difference between the two (McNemar p = {pair.p_value:.3g})."
        accuracy = _said(
            pair.accuracy_verdict, "is right clearly more often", "is right clearly less often", "accuracy"
        )
        loss = _said(
            pair.log_loss_verdict, "has clearly the lower log-loss", "has clearly the higher log-loss", "log-loss"
        )
        return f"{where}, {shown(self.first.saved.folder.name)} {accuracy} and {loss} (McNemar p = {pair.p_value:.3g})."


def _said(verdict: str, better: str, worse: str, what: str) -> str:
    return {"better": better, "worse": worse}.get(verdict, f"shows no clear difference in {what}")


def compare_saved(first: Saved, second: Saved) -> Compared:
    """Match the photos of two runs by their contents, and hold the two against each other.

    The photos of both test parts are taken where there are such; otherwise all that both kept out of training.

    Raises:
        DataError: a run does not say what its photos contain.
    """
    ours, theirs = _known(first), _known(second)
    both = ours.join(theirs, on="sha256", suffix="_second").sort("sha256")
    tests = both.filter((pl.col("split") == TEST) & (pl.col("split_second") == TEST))
    chosen = tests if tests.height else both
    same = chosen.filter(pl.col("label") == pl.col("label_second"))
    if not same.height:
        return Compared(Side(first, None), Side(second, None), False, chosen.height, None)
    parts = [
        Part.of(saved.predictions[same[column].to_list()], saved.spec.classes)
        for saved, column in ((first, "row"), (second, "row_second"))
    ]
    paired = compare(parts[0].right, parts[1].right, *(losses_of(part.probabilities, part.labels) for part in parts))
    sides = Side(first, parts[0]), Side(second, parts[1])
    return Compared(sides[0], sides[1], bool(tests.height), chosen.height - same.height, paired)


def _known(saved: Saved) -> pl.DataFrame:
    """Held-out photos that could be read: the row of their prediction, contents, label and part; each once."""
    if saved.manifest is None:
        raise DataError(f"{str(saved.folder.path)!r} has no {saved.folder.manifest.name} to know its photos by")
    rows = saved.predictions.with_row_index("row").filter(pl.col("error").is_null())
    known = rows.select("row", "path", "label", "split").join(saved.manifest.select("path", "sha256"), on="path")
    return known.unique("sha256", keep="first", maintain_order=True)


def write_comparison(path: Path, found: Compared) -> None:
    """Write the page; an earlier one is written over."""
    sides = (found.first, found.second)
    page = environment("vision_ft.evaluate").get_template("comparison.html.jinja").render(
        mark=MARK,
        verdict=found.verdict(),
        names=[shown(side.saved.folder.name) for side in sides],
        models=[_model(side.saved) for side in sides],
        own=[_own(side.saved) for side in sides],
        metrics=[] if found.paired is None else _metrics(found),
        found=found,
        pair=found.paired,
        tone=tone_of,
        percent=percent,
        differing=_differing(found)[:_MOST_LISTED],
        more=max(0, len(_differing(found)) - _MOST_LISTED),
    )  # fmt: skip
    path.write_text(page, encoding="utf-8")


def _model(saved: Saved) -> dict[str, Any]:
    spec = saved.spec
    photos = ", ".join(f"{count:,} {part}" for part, count in spec.data.get("photos", {}).items())
    return {
        "folder": shown(str(saved.folder.path)),
        "backbone": f"{spec.backbone}, {spec.preprocessing.framing.width} pixels",
        "weights": spec.weights.source,
        "classes": len(spec.classes),
        "photos": photos,
        "fingerprint": str(spec.data.get("fingerprint", "unknown"))[:16],
        "created": spec.created,
    }


def _own(saved: Saved) -> list[tuple[str, int, Cell, Cell]]:
    """What each run measured on photos of its own."""
    rows = []
    for name, part in saved.parts().items():
        found = score(part.probabilities, part.labels, saved.spec.classes).as_record()
        rows.append(
            (PARTS[name], len(part.labels), cell(found, "accuracy", share=True), cell(found, "log_loss", share=False))
        )
    return rows


def _metrics(found: Compared) -> list[tuple[str, str, list[Cell]]]:
    scored = [
        score(side.part.probabilities, side.part.labels, side.saved.spec.classes).as_record()
        for side in (found.first, found.second)
        if side.part is not None
    ]
    return [(title, meaning, [cell(one, key, share=share) for one in scored]) for key, title, share, meaning in METRICS]


def _differing(found: Compared) -> list[tuple[str, str, list[tuple[str, str, bool]]]]:
    """Photos on which just one of the two is right: path, label and what each says; the surest mistakes first."""
    first, second = found.first.part, found.second.part
    if first is None or second is None:
        return []
    rows = np.flatnonzero(first.right != second.right)
    wrong = np.where(first.right[rows], second.probabilities[rows].max(axis=1), first.probabilities[rows].max(axis=1))
    listed = []
    for row in rows[np.argsort(-wrong, kind="stable")]:
        said = [
            (
                side.saved.spec.classes[part.guesses[row]],
                percent(float(part.probabilities[row].max())),
                bool(part.right[row]),
            )
            for side, part in ((found.first, first), (found.second, second))
        ]
        listed.append((shown(first.table["path"][int(row)]), str(first.table["label"][int(row)]), said))
    return listed
