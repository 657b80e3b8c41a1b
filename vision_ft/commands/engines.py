"""What is said of a bundle's engines, calibration and thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from vision_ft.commands.console import say
from vision_ft.spec import ModelSpec

if TYPE_CHECKING:
    from vision_ft.commands.handover import HandedOver


def describe(spec: ModelSpec) -> Iterator[str]:
    """Lines on what was chosen on the validation part."""
    found = spec.calibration
    if not found:
        yield "uncalibrated, and without novelty: there were no photos to choose on"
        return
    yield (
        f"temperature {spec.temperature:.2f}: validation log-loss {found['log_loss_before']:.4f} to "
        f"{found['log_loss_after']:.4f}, calibration error {found['ece_before']:.2%} to {found['ece_after']:.2%}"
    )
    band = found["unsure"]
    answered = round(band["kept"] * found["photos"])
    known = f"{band['errors']} wrong of {answered} answered, and below {band['bound']:.1%} with 95 % confidence"
    if not band["reached"]:
        known += f", short of the {band['target']:.1%} aimed at"
    if spec.thresholds.unsure is None:
        yield f"unsure: never; {known}"
    else:
        yield f"unsure: below {spec.thresholds.unsure:.3f}; {band['kept']:.1%} is answered, {known}"
    if (novelty := found.get("novelty")) is None:
        yield "neither: never; there were no training photos to be had"
    else:
        yield (
            f"neither: beyond novelty 1, the distance to the {_ordinal(novelty['neighbour'])} nearest of "
            f"{novelty['photos']} training photos that {novelty['kept']:.0%} of the validation photos keep within"
        )


def show_engines(handed: HandedOver, console: Console) -> None:
    """Print a row for each engine of a bundle, and a line for each that is not in it."""
    if len(handed.spec.engines) > 1:
        table = Table(title="engines that passed the gate", title_justify="left")
        for heading in ("engine", "file", "MB", "against the checkpoint"):
            table.add_column(heading, justify="right" if heading == "MB" else "left")
        for name, record in handed.spec.engines.items():
            size = handed.sizes[record["file"]] / 1e6
            table.add_row(name, record["file"], f"{size:.2f}", _against(record))
        console.print(table)
    for name, reason in handed.refused.items():
        say(console, f"{name} is not in the bundle: {reason}")


def _against(record: dict[str, object]) -> str:
    if "largest_difference" in record:
        return f"{record['largest_difference']:.1e} in probability at most, on {record['photos']} photos"
    return (
        f"accuracy {record['accuracy']:.2%} ({record['accuracy_of_float32']:.2%}), log-loss {record['log_loss']:.4f} "
        f"({record['log_loss_of_float32']:.4f}), on {record['photos']} photos"
    )


def _ordinal(number: int) -> str:
    return {1: "", 2: "second", 3: "third"}.get(number, f"{number}th")
