"""A run in a sentence or two, from its record."""

from __future__ import annotations

from typing import Any

from vision_ft.data.listing import TEST, VAL

_PARTS = {TEST: "test", VAL: "validation"}


def main_part(record: dict[str, Any]) -> str | None:
    """The part whose figures come first: the test part, where there is one."""
    return next((name for name in (TEST, VAL) if name in record["parts"]), None)


def percent(share: float) -> str:
    """A share, with one digit; those near the ends with as many as tell them from the end."""
    digits = 1 if share in (0, 1) or 0.001 <= share <= 0.999 else 2
    return f"{100 * share:.{digits}f} %"


def span(interval: tuple[float, float] | list[float]) -> str:
    """An interval of shares."""
    low, high = interval
    return f"{100 * low:.1f} to {100 * high:.1f} %"


def verdict(record: dict[str, Any]) -> str:
    """How often the model is right, what unfreezing was worth, and what it does with other pictures."""
    name = main_part(record)
    if name is None:
        return "Nothing was measured: no held-out photo could be read."
    part = record["parts"][name]
    hits = round(part["accuracy"] * part["photos"])
    said = [
        f"Right on {hits:,} of {part['photos']:,} {_PARTS[name]} photos: {percent(part['accuracy'])} "
        f"(95 % interval {span(part['accuracy_interval'])})."
    ]
    if name == VAL:
        said.append("The weights were chosen on these very photos, which flatters them.")
    said += _against_baselines(record)
    others = record["others"]
    if others is not None:
        said.append(
            f"Of {others['photos']:,} other pictures, {others['refused']:,} were not taken for one of the classes."
        )
    return " ".join(said)


def _against_baselines(record: dict[str, Any]) -> list[str]:
    if not record["baselines"]:
        return []
    last = record["baselines"][-1]
    name = title_of(last["name"], record)
    if record["training"]["handed_over"] == last["name"]:
        tried = bool(record["training"]["epochs"])
        return [f"It is the {name}: nothing that was unfrozen did better." if tried else f"It is the {name}."]
    against = last["against"]
    loss = f"log-loss {before_calibration(last):.4f} against {last['log_loss']:.4f}"
    if against["log_loss_verdict"] == "no clear difference":
        return [f"On the validation photos, no clear difference to the {name} ({loss})."]
    return [f"On the validation photos it does clearly {against['log_loss_verdict']} than the {name} ({loss})."]


def before_calibration(baseline: dict[str, Any]) -> float:
    """The model's log-loss that a baseline's is held against: before calibration, on the same photos."""
    return float(baseline["log_loss"] - baseline["against"]["log_loss_gain"])


def title_of(name: str, record: dict[str, Any]) -> str:
    """What a baseline is called: the pretrained head without any training is what ImageNet gives, or the bundle was."""
    if name != "pretrained head":
        return name
    return "bundle gone on from" if record["model"]["weights"]["ancestors"] else "ImageNet start"
