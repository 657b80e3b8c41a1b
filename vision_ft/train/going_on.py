"""What a run takes over from the one that it goes on from, besides weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vision_ft.model.weights import parse_source
from vision_ft.run_folder import SIDES


def keep_sides(settings: Any) -> None:
    """Let photos keep the sides that they had in the run of a bundle that is gone on from, or of a checkpoint.

    Args:
        settings: of one verb, as the parser gives them; changed in place.
    """
    if settings["ckpt_path"] is not None:
        # The run that is resumed has them all, also where those before it are gone.
        sides = Path(settings["ckpt_path"]).resolve().parent.parent / SIDES
        if settings["data"]["earlier"] is not None and sides.is_file():
            settings["data"]["earlier"] = str(sides)
        return
    source = parse_source(settings["model"]["weights"])
    if source.kind != "bundle":
        return
    # Resolved now, for ``latest`` is about to be another run.
    bundle = source.file.resolve()
    settings["model"]["weights"] = f"bundle:{bundle}"
    if (bundle.parent / SIDES).is_file():
        settings["data"]["earlier"] = str(bundle.parent / SIDES)


def describe_going_on(known: Sequence[str], classes: Sequence[str], earlier: str | None) -> list[str]:
    """What a person should know of a head that goes on from a bundle's, in lines.

    Args:
        known: the classes whose rows came along.
        classes: all of them.
        earlier: where the sides of photos come from, if that is known.
    """
    new = [name for name in classes if name not in known]
    lines = [f"head: goes on with {', '.join(known)}" + (f"; {', '.join(new)} begins anew" if new else "")]
    if earlier is None:
        lines.append(
            "which photos the bundle learnt from is not known here, and some may be among those held out; if you have "
            "the sides.csv of its run, name it with --data.earlier"
        )
    return lines
