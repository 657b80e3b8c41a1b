"""All mistakes of a run's settings at once, before a photo is looked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

from vision_ft.data.settings import setting_faults as data_faults
from vision_ft.data.split import Split
from vision_ft.errors import InputError
from vision_ft.model.backbone import check_name, stage_names
from vision_ft.model.classifier import setting_faults as model_faults
from vision_ft.model.weights import parse_source
from vision_ft.train.run import Run
from vision_ft.train.schedule import Gradual, Phase
from vision_ft.train.steps import Average
from vision_ft.train.unfreeze import Unfreeze


def mistakes(settings: Any) -> list[str]:
    """What is wrong with parsed settings, apart from what only the photos, the weights or the machine can tell.

    Args:
        settings: of one verb, as the parser gives them.
    """
    model, data = settings["model"], settings["data"]
    faults = model_faults(
        **{name: model[name] for name in ("weight_decay", "label_smoothing", "dropout", "drop_path", "mixup", "cutmix")}
    )
    faults += data_faults(data["batch_size"], data["num_workers"], data["max_unreadable"], data["augment"])
    faults += _said(lambda: _filled(Split, data["split"]))
    faults += _said(lambda: parse_source(model["weights"]))
    unknown = _said(lambda: check_name(model["backbone"]))
    faults += unknown
    if settings.get("unfreeze") is not None:
        faults += _said(lambda: _filled(Average, settings["ema"]))
        faults += _said(lambda: _filled(Run, settings["run"]))
        faults += _said(lambda: _unfreeze_of(settings).schedule(() if unknown else stage_names(model["backbone"])))
    return list(dict.fromkeys(faults))


def _unfreeze_of(settings: Any) -> Unfreeze:
    given = _plain(settings["unfreeze"])
    phases, rule = given.pop("phases"), given.pop("gradual")
    return Unfreeze(
        phases=None if phases is None else [_filled(Phase, phase) for phase in phases],
        gradual=None if rule is None else _filled(Gradual, rule),
        **given,
    )


def _filled(kind: Callable[..., Any], given: Any) -> Any:
    return given if dataclasses.is_dataclass(given) else kind(**_plain(given))


def _plain(given: Any) -> dict[str, Any]:
    return dict(given if isinstance(given, dict) else vars(given))


def _said(check: Callable[[], object]) -> Iterable[str]:
    try:
        check()
    except InputError as error:
        return [str(error)]
    return []
