"""LightningCLI, with our defaults and with errors for people."""

from __future__ import annotations

import math
import os
from argparse import ArgumentError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import yaml
from lightning_fabric.plugins import CheckpointIO
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning.cli import ArgsType, LightningArgumentParser, LightningCLI
from rich.console import Console

from vision_ft.data.listing import TRAIN
from vision_ft.data.module import PhotoData
from vision_ft.errors import CheckpointError, ConfigError, UsageError
from vision_ft.model.checkpoint import read_checkpoint
from vision_ft.model.classifier import Classifier
from vision_ft.model.translate import Translation
from vision_ft.train.boundary import Boundary
from vision_ft.train.callbacks import EpochLines, KeepConfig, ProgressBar
from vision_ft.train.checkpoints import LastCheckpoint, OneFolder, WholeFiles
from vision_ft.train.config import check_files, explain, flat
from vision_ft.train.exporting import Export
from vision_ft.train.forecast import Forecast
from vision_ft.train.going_on import describe_going_on, keep_sides
from vision_ft.train.history import History
from vision_ft.train.loggers import describe_run, make_loggers
from vision_ft.train.looking import Cache
from vision_ft.train.memory import BatchTooLarge, is_out_of_memory, way_on
from vision_ft.train.mistakes import mistakes
from vision_ft.train.precision import fitting_precision
from vision_ft.train.quiet import quieten
from vision_ft.train.run import Run, RunFolder, discard, new_run_folder
from vision_ft.train.schedule import Schedule
from vision_ft.train.selection import Selection
from vision_ft.train.steps import Average, StepSeed, StopAt
from vision_ft.train.stop import Stop
from vision_ft.train.unfreeze import Unfreeze

# Where the errors of PyTorch's compilers come from.
_COMPILERS = ("torch._inductor", "torch._dynamo", "triton")


class VisionCLI(LightningCLI):
    """The verbs ``fit``, ``validate`` and ``test``."""

    datamodule: PhotoData
    model: Classifier
    trainer: pl.Trainer

    def __init__(self, args: Sequence[str], stop: Stop | None = None, console: Console | None = None) -> None:
        """Parse, build and run.

        Args:
            args: the verb and what follows it.
            stop: hears when the run is told to end.
            console: what is said of the run goes there; to standard error if not given.

        Raises:
            InputError: the settings, the data or the weights are at fault.
        """
        self.console = Console(stderr=True) if console is None else console
        self.folder: RunFolder | None = None
        self.selection: Selection | None = None
        self.translation: Translation | None = None
        self._stop = Stop() if stop is None else stop
        self._lora: tuple[tuple[str, ...], int] | None = None
        strict = {"exit_on_error": False}
        quieten()
        try:
            super().__init__(
                Classifier,
                PhotoData,
                seed_everything_default=0,
                args=_spelt_out(args),
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                parser_kwargs={**strict, **{verb: dict(strict) for verb in self.subcommands()}},
            )
        except MisconfigurationException as error:
            # Lightning's own word for settings that do not go together, such as a GPU on a machine without one.
            raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error

    @property
    def unfreeze(self) -> Unfreeze:
        """The callback that applies the schedule; of ``fit`` alone."""
        found: Unfreeze = self._get(self.config_init, "unfreeze")
        return found

    @property
    def cache(self) -> Cache:
        """What is kept of photos that were looked at; of ``fit`` alone."""
        found: Cache = self._get(self.config_init, "cache")
        return found

    @property
    def export(self) -> Export:
        """What is handed over; of ``fit`` alone."""
        found: Export = self._get(self.config_init, "export")
        return found

    @property
    def schedule(self) -> Schedule:
        """What trains when, in this network."""
        return self.unfreeze.schedule(self.model.network.stages)

    def flat_settings(self) -> dict[str, Any]:
        """All settings as plain values, by their dotted names."""
        settings = yaml.safe_load(self._parser("fit").dump(self.config["fit"]))
        return dict(flat(settings))

    @property
    def called(self) -> tuple[str, str]:
        """What runs of its kind, and the run itself, are called where figures are sent to."""
        if self.folder is None:
            return "", ""
        return self.folder.path.parent.name, self.folder.path.name

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """The verbs, and which arguments of the Trainer's methods are not the user's to set."""
        verbs = LightningCLI.subcommands()
        return {verb: verbs[verb] | {"weights_only", "verbose"} for verb in ("fit", "validate", "test")}

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the schedule and the run, and link what is declared once."""
        parser.add_lightning_class_args(Unfreeze, "unfreeze")
        parser.add_class_arguments(Average, "ema")
        parser.add_class_arguments(Run, "run")
        parser.add_class_arguments(Cache, "cache")
        parser.add_class_arguments(Export, "export")
        parser.link_arguments("data.classes", "model.classes", apply_on="instantiate")
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse; a wrong key is named with the nearest right one."""
        check_files(args, self._known_keys())  # type: ignore[arg-type]
        try:
            self.config = parser.parse_args(args)  # type: ignore[arg-type]
        except ArgumentError as error:
            raise explain(error, self._known_keys()) from error
        settings = self.config[self.config["subcommand"]]
        faults = mistakes(settings)
        if faults:
            raise ConfigError("; ".join(faults))
        if settings["ckpt_path"] is not None:
            checkpoint = Path(settings["ckpt_path"]).expanduser()
            record, _ = read_checkpoint(checkpoint)
            self._lora = record.lora
            if self.config["subcommand"] == "fit" and not record.resumable:
                raise CheckpointError(
                    f"--ckpt_path: {str(checkpoint)!r} holds weights to use, and nothing to go on training from; name "
                    "last.ckpt beside it to resume that run, or start anew from its bundle with "
                    "--model.weights bundle:PATH"
                )
            # Resolved now, for this run is about to become the one that ``latest`` points to.
            settings["ckpt_path"] = str(checkpoint.resolve())
        elif self.config["subcommand"] != "fit":
            raise UsageError(
                f"{self.config['subcommand']} needs --ckpt_path, for example runs/NAME/latest/checkpoints/best.ckpt"
            )
        keep_sides(settings)

    def _known_keys(self) -> list[str]:
        return [
            action.dest
            for parser in self._subcommand_parsers.values()
            for action in parser._actions
            # Settings that are classes have a help of their own beside them.
            if action.dest.rpartition(".")[2] != "help"
        ]

    def instantiate_classes(self) -> None:
        """Build data, model and trainer. Where a checkpoint is given, its weights are the only ones that are read."""
        settings = self.config[self.config["subcommand"]]
        model = settings["model"]
        asked = model["weights"], model["renamed"]
        if settings["ckpt_path"] is not None:
            model["weights"], model["renamed"] = "random:", None
        super().instantiate_classes()
        model["weights"], model["renamed"] = asked

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """A trainer whose length is the schedule's, and whose defaults fit the machine."""
        self.datamodule.frame_as(self.model.preprocessing.framing)
        if self.subcommand == "fit":
            self._lora = self.schedule.lora
        if self._lora is not None:
            self.model.adapt(*self._lora)
        if self.subcommand == "fit":
            self.schedule.check_adapters(self.model.network.adapted)
        settings = self._get(self.config_init, "trainer")
        if settings["precision"] is None:
            kwargs["precision"] = self._fitting_precision(settings)
        if settings["enable_model_summary"] is None:
            kwargs["enable_model_summary"] = False
        callbacks: list[pl.Callback] = []
        if settings["enable_progress_bar"] is None:
            kwargs["enable_progress_bar"] = self.console.is_terminal
            callbacks += [ProgressBar()] if self.console.is_terminal else []
        try:
            if self.subcommand == "fit":
                kwargs.update(self._fit_settings(settings, callbacks))
            elif settings["logger"] is None:
                kwargs["logger"] = False
                self.save_config_callback = None
            settings["callbacks"] = [*(settings["callbacks"] or []), *callbacks]
            return super().instantiate_trainer(**kwargs)
        except BaseException:
            if self.folder is not None:
                discard(self.folder)
            raise

    def _fitting_precision(self, settings: Any) -> str:
        """What fits the machine; written down among the settings, for whoever goes on from the run."""
        training = self.subcommand == "fit"
        # Several processes could measure differently.
        others = "WORLD_SIZE" in os.environ or os.environ.get("SLURM_NTASKS", "1") != "1"
        alone = settings["devices"] in ("auto", 1, "1") and settings["strategy"] == "auto" and not others
        schedule = self.schedule if training and alone and not self.model.compiles else None
        photos = len(self.datamodule.manifest.part(TRAIN)) if schedule is not None else 0
        found = fitting_precision(settings["accelerator"], self.model.network, schedule, photos)
        if training:
            self.config["fit"]["trainer"]["precision"] = found
        return found

    def _fit_settings(self, settings: Any, callbacks: list[pl.Callback]) -> dict[str, Any]:
        unfreeze = self.unfreeze
        run: Run = self._get(self.config_init, "run")
        # The photos are read before the run gets a folder: data that cannot be used leaves nothing behind.
        batches = math.ceil(len(self.datamodule.manifest.part(TRAIN)) / self.config["fit"]["data"]["batch_size"])
        interval = settings["val_check_interval"]
        if isinstance(interval, int) and interval > batches and settings["check_val_every_n_epoch"] is not None:
            raise ConfigError(f"trainer.val_check_interval is {interval}, but an epoch has {batches} batches")
        self.cache.clear_if_asked()
        self.folder = new_run_folder(run, self.datamodule.folder_name)
        self.save_config_callback, self.save_config_kwargs = KeepConfig, {"folder": self.folder}
        checkpoint = self._get(self.config_init, "ckpt_path")
        resumed = None if checkpoint is None else Path(checkpoint)
        average: Average = self._get(self.config_init, "ema")
        last = LastCheckpoint(self.folder, run.save_every_steps, resumed, self._stop)
        self.translation = Translation(self.model.network)
        self.selection = Selection(
            self.folder, unfreeze, average, last, resumed, self.console, self.cache, self.translation
        )
        callbacks += [
            OneFolder(self.folder),
            History(self.folder, unfreeze),
            StepSeed(self._get(self.config_init, "seed_everything")),
            average,
            EpochLines(unfreeze, self.console),
            Boundary(unfreeze, self.cache, self.translation),
            Forecast(unfreeze, self.console),
            self.selection,
            last,
        ]
        changed: dict[str, Any] = {}
        if settings["default_root_dir"] is None:
            changed["default_root_dir"] = self.folder.path
        if settings["num_sanity_val_steps"] is None and unfreeze.fit_head:
            # The head's fit has seen every photo by then.
            changed["num_sanity_val_steps"] = 0
        if not any(isinstance(one, CheckpointIO) for one in _as_list(settings["plugins"])):
            changed["plugins"] = [*_as_list(settings["plugins"]), WholeFiles()]
        if settings["max_epochs"] is None:
            changed["max_epochs"] = self.schedule.epochs
        if settings["max_steps"] != -1:
            callbacks.append(StopAt(settings["max_steps"]))
            changed["max_steps"] = -1
        if settings["logger"] is None:
            changed["logger"] = make_loggers(run.loggers, self.folder.path, self.called)
        return changed

    def _run_subcommand(self, subcommand: str) -> None:
        """Run the verb.

        Raises:
            BatchTooLarge: memory ran out; it says how to go on.
            ConfigError: memory ran out, and there is no such way.
        """
        try:
            super()._run_subcommand(subcommand)
        except (RuntimeError, MemoryError) as error:
            if subcommand == "fit" and is_out_of_memory(error):
                raise self._too_large() from error
            if type(error).__module__.startswith(_COMPILERS):
                reason = next(iter(str(error).strip().splitlines()), "")
                raise ConfigError(f"model.compile: PyTorch cannot compile here ({reason}); leave it out") from error
            raise

    def _too_large(self) -> BatchTooLarge | ConfigError:
        """How to go on, if there is a way."""
        # What comes before the next attempt's first step is not worth waiting for.
        self._stop.waits = False
        trainer, data = self.config["fit"]["trainer"], self.config["fit"]["data"]
        counted = any(type(trainer[name]) is int for name in ("limit_train_batches", "val_check_interval"))
        # A number of batches would be of fewer photos then; and several processes would have to agree.
        alone = self.folder is not None and self.trainer.world_size == 1 and not counted
        last = self.folder.last if self.folder is not None and self.folder.last.is_file() else None
        return way_on(data["batch_size"], trainer["accumulate_grad_batches"], last, alone=alone)

    def before_fit(self) -> None:
        """Say what is about to happen."""
        if self.folder is None or not self.trainer.is_global_zero:
            return
        resumed = self._get(self.config_init, "ckpt_path")
        source = self.model.origin.source if resumed is None else resumed
        known = self.model.known if self.model.origin.ancestors else ()
        earlier = self.config["fit"]["data"]["earlier"]
        lines = [
            *self.datamodule.describe(),
            f"{self.model.backbone_name} from {source} at "
            f"{self.model.preprocessing.framing.width} × {self.model.preprocessing.framing.height} pixels",
            *(describe_going_on(known, self.model.classes, earlier) if known else []),
            *(
                ["first: head, to its optimum on the frozen backbone"]
                if self.unfreeze.fit_head and resumed is None
                else []
            ),
            *self.schedule.describe(),
            f"run folder: {self.folder.path}",
        ]
        for line in lines:
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)
        self.datamodule.manifest.write(self.folder.manifest)
        self.datamodule.write_sides(self.folder.sides)
        describe_run(self.trainer, self.flat_settings())


def _spelt_out(args: Sequence[str]) -> list[str]:
    """``--cache.clear`` alone means that it is true; the parser would take the next word for its value."""
    words = list(args)
    for place, word in enumerate(words):
        if word == "--cache.clear" and words[place + 1 : place + 2] not in (["true"], ["false"]):
            words[place] = "--cache.clear=true"
    return words


def _as_list(plugins: Any) -> list[Any]:
    if plugins is None:
        return []
    return list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
