"""All mistakes of a run's settings at once, before a photo is looked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vision_ft.data.settings import setting_faults as data_faults
from vision_ft.data.split import Split
from vision_ft.errors import InputError
from vision_ft.model.backbone import check_name, stage_names
from vision_ft.model.classifier import setting_faults as model_faults
from vision_ft.model.lora import check_installed
from vision_ft.model.weights import parse_source
from vision_ft.train.exporting import Export
from vision_ft.train.loggers import DEFAULT
from vision_ft.train.looking import Cache
from vision_ft.train.run import Run
from vision_ft.train.schedule import Gradual, Phase
from vision_ft.train.steps import Average
from vision_ft.train.unfreeze import Unfreeze

# Of numpy's random numbers, which Lightning seeds with the others.
_LARGEST_SEED = 2**32 - 1


def mistakes(settings: Any) -> list[str]:
    """What is wrong with parsed settings, apart from what only the photos, the weights or the machine can tell.

    Args:
        settings: of one verb, as the parser gives them.
    """
    model, data = settings["model"], settings["data"]
    faults = model_faults(
        **{name: model[name] for name in ("weight_decay", "label_smoothing", "dropout", "drop_path", "mixup", "cutmix")}
    )
    faults += data_faults(
        **{name: data[name] for name in ("batch_size", "num_workers", "max_unreadable", "augment", "views")}
    )
    faults += _said(lambda: _filled(Split, data["split"]))
    faults += _said(lambda: parse_source(model["weights"]))
    unknown = _said(lambda: check_name(model["backbone"]))
    faults += unknown
    if (seed := settings["seed_everything"]) is not None and not 0 <= seed <= _LARGEST_SEED:
        faults.append(f"seed_everything is {seed}, must be from 0 to {_LARGEST_SEED}")
    if (size := model["image_size"]) is not None and size < 1:
        faults.append(f"model.image_size is {size}, must be 1 or more")
    if settings.get("unfreeze") is not None:
        faults += _trainer_faults(settings["trainer"])
        faults += _said(lambda: _filled(Average, settings["ema"]))
        faults += _said(lambda: _filled(Run, settings["run"]))
        faults += _said(lambda: _filled(Cache, settings["cache"]))
        faults += _said(lambda: _filled(Export, settings["export"]))
        stages = () if unknown else stage_names(model["backbone"])
        faults += _logger_faults(settings["run"], settings["trainer"]["logger"])
        faults += _said(lambda: _unfreeze_of(settings))
        faults += _said(lambda: _check_schedule(settings["unfreeze"], stages))
        if _plain(settings["unfreeze"])["head_views"] > 0 and data["augment"] in ("none", []):
            faults.append(
                "unfreeze.head_views: data.augment is none, so there are no random views for the head; leave it out"
            )
    return list(dict.fromkeys(faults))


def _trainer_faults(trainer: Any) -> list[str]:
    """What Lightning would take, or only break on after the photos were read."""
    faults = []
    if (steps := trainer["max_steps"]) < -1:
        faults.append(f"trainer.max_steps is {steps}, must be 0 or more, or -1 for no limit")
    if (batches := trainer["accumulate_grad_batches"]) < 1:
        faults.append(f"trainer.accumulate_grad_batches is {batches}, must be 1 or more")
    if trainer["enable_checkpointing"] is False:
        faults.append("trainer.enable_checkpointing is false, but a checkpoint is what is handed over; leave it out")
    return faults


def _logger_faults(run: Any, logger: Any) -> list[str]:
    if logger is None or list(_plain(run)["loggers"]) == list(DEFAULT):
        return []
    return ["run.loggers and trainer.logger are both set; the former names loggers, the latter builds one by hand"]


def _unfreeze_of(settings: Any) -> Unfreeze:
    given = _plain(settings["unfreeze"])
    return Unfreeze(**{**given, "phases": _phases(given), "gradual": _rule(given)})


def _check_schedule(given: Any, stages: Sequence[str]) -> None:
    """Look at the schedule alone, also where something else about unfreezing is wrong."""
    settings = _plain(given)
    phases = _phases(settings)
    schedule = Unfreeze(phases, None if phases is not None else _rule(settings)).schedule(stages)
    if schedule.lora is not None:
        check_installed()


def _phases(given: dict[str, Any]) -> list[Phase] | None:
    return None if given["phases"] is None else [_filled(Phase, phase) for phase in given["phases"]]


def _rule(given: dict[str, Any]) -> Gradual | None:
    return None if given["gradual"] is None else _filled(Gradual, given["gradual"])


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
