"""A run's figures on a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from vision_ft.data.listing import TEST, VAL


def show_parts(parts: Mapping[str, dict[str, Any]], console: Console) -> None:
    """Print the figures of each part, as in the record, the validation part first."""
    table = Table(title="the exported model on held-out photos", title_justify="left")
    for heading in ("part", "photos", "accuracy", "95 % interval", "log-loss", "95 % interval"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    for name in (VAL, TEST):
        if name in parts:
            table.add_row(name, *_cells(parts[name]))
    console.print(table)


def _cells(part: dict[str, Any]) -> list[str]:
    (low, high), (loss_low, loss_high) = part["accuracy_interval"], part["log_loss_interval"]
    return [
        str(part["photos"]),
        f"{part['accuracy']:.2%}",
        f"{low:.2%} – {high:.2%}",
        f"{part['log_loss']:.4f}",
        f"{loss_low:.4f} – {loss_high:.4f}",
    ]
