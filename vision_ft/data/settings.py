"""What is wrong with the settings of the data, said before a photo is looked for."""

from __future__ import annotations

from vision_ft.data.presets import Transforms, transforms_of
from vision_ft.errors import ConfigError


def setting_faults(
    batch_size: int,
    num_workers: int | None,
    max_unreadable: float,
    augment: Transforms | str | None,
    views: int | None,
) -> list[str]:
    """Every fault, in words; for what the settings mean see :class:`vision_ft.data.module.PhotoData`."""
    faults = []
    if batch_size < 1:
        faults.append(f"data.batch_size is {batch_size}, must be 1 or more")
    if not 0 <= max_unreadable <= 1:
        faults.append(f"data.max_unreadable is {max_unreadable:g}, must be a share between 0 and 1")
    if num_workers is not None and num_workers < 0:
        faults.append(f"data.num_workers is {num_workers}, must be 0 or more")
    if views is not None and views < 1:
        faults.append(f"data.views is {views}, must be 1 or more, or null for a new view each epoch")
    try:
        transforms_of(augment)
    except ConfigError as error:
        faults.append(str(error))
    return faults
