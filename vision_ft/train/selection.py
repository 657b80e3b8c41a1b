"""Unfreezing must earn its place: of all the weights that a run came by, those with the lowest validation log-loss."""

from __future__ import annotations

import functools
import logging
import time
from pathlib import Path
from typing import Any, cast

import pytorch_lightning as pl
import torch
from rich.console import Console

from vision_ft.data.listing import VAL
from vision_ft.model.checkpoint import network_weights, read_checkpoint
from vision_ft.model.classifier import Classifier, Judged
from vision_ft.model.stages import linear_heads
from vision_ft.model.translate import Translation
from vision_ft.train.baselines import Baseline, write_baselines
from vision_ft.train.callbacks import console_of
from vision_ft.train.candidates import Candidates, figures
from vision_ft.train.checkpoints import LastCheckpoint, copy_whole
from vision_ft.train.head_first import fit_head
from vision_ft.train.judging import Scored, Tally, between, evaluate, wearing
from vision_ft.train.looking import Cache
from vision_ft.train.run import RunFolder
from vision_ft.train.steps import Average
from vision_ft.train.unfreeze import Unfreeze

_log = logging.getLogger(__name__)

HEAD = "head alone"
START = "pretrained head"
# How far from the head alone to the fine-tuned weights.
_SHARES = (0.25, 0.5, 0.75)


class Selection(pl.Callback):
    """Keeps the best weights: the head alone, each epoch, averages, and what lies between.

    The head alone is the first to be scored. Others take its place in ``best.ckpt`` only with a lower log-loss on the
    validation part, so what is handed over is never worse there.
    """

    def __init__(
        self,
        folder: RunFolder,
        unfreeze: Unfreeze,
        average: Average,
        last: LastCheckpoint,
        resumed: Path | None,
        console: Console,
        cache: Cache,
        translation: Translation,
    ) -> None:
        """Keep what a run comes by.

        Args:
            folder: of the run.
            unfreeze: says when a phase ends, and hears the losses.
            average: the weights' average.
            last: writes a checkpoint where the run is told to stop in the middle of judging.
            resumed: the checkpoint that the run goes on from.
            console: to print to.
            cache: of what the frozen backbone saw before.
            translation: of the network.
        """
        self._folder = folder
        self._unfreeze = unfreeze
        self._average = average
        self._last = last
        self._resumed = resumed
        self._console = console
        self._cache = cache
        self._translation = translation
        self._candidates = Candidates()
        self._judged_phases: list[int] = []
        self._judged_step = 0
        self._head: dict[str, torch.Tensor] | None = None
        self._tally: Tally | None = None

    def state_dict(self) -> dict[str, Any]:
        """The scores; the weights lie beside the checkpoint."""
        return {**self._candidates.state_dict(), "phases": list(self._judged_phases), "step": self._judged_step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the scores of the run that is resumed."""
        self._candidates.load_state_dict(state_dict)
        self._judged_phases, self._judged_step = list(state_dict["phases"]), state_dict["step"]

    def verdict(self) -> str:
        """What is handed over, in a sentence."""
        return self._candidates.verdict()

    @property
    def trained(self) -> Scored | None:
        """How the best of the weights does that were trained in some epoch; ``None`` where there are none."""
        return self._candidates.trained()

    @property
    def before(self) -> Scored | None:
        """How what the training began with does."""
        return self._candidates.before

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Train the head and score it; or take over what the resumed run has."""
        model = cast(Classifier, pl_module)
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if self._resumed is not None:
            self._take_over(trainer, model, self._resumed)
            return
        started = time.monotonic()
        fitted = None
        if self._unfreeze.fit_head:
            pause = functools.partial(self._last.pause, trainer)
            data, views = self._data(trainer), self._unfreeze.head_views
            fitted = fit_head(trainer, model, data, pause, self._console, self._cache, self._translation, views)
        baselines: dict[str, Baseline] = {}
        if fitted is not None:
            if fitted.start is not None:
                baselines[START] = Baseline(fitted.start, fitted.start_probabilities)
                self._candidates.scores[START] = fitted.start
                self._say(trainer, f"{START}, before any training: {figures(fitted.start)}")
            self._candidates.baseline = HEAD
            baselines[HEAD] = Baseline(fitted.head, fitted.head_probabilities)
            self._offer(trainer, model, HEAD, fitted.head)
            seconds = time.monotonic() - started
            if fitted.known:
                self._say(trainer, f"{fitted.known} of {fitted.photos} photos were looked at before (cache)")
            self._say(trainer, f"{HEAD}, {fitted.chosen}: {figures(fitted.head)}  ({seconds:.0f} s)")
        elif any(
            bool(parameter.any()) for one in linear_heads(model.network.backbone) for parameter in one.parameters()
        ):
            self._candidates.baseline = START
            self._offer(trainer, model, START, self._evaluate(trainer, model))
            baselines[START] = Baseline(self._candidates.scores[START])
            self._say(trainer, f"{START}, before any training: {figures(self._candidates.scores[START])}")
        else:
            # A head of zeros says nothing: there is nothing to be measured against, and nothing to go back to.
            return
        if trainer.is_global_zero:
            copy_whole(self._folder.best, self._folder.head)
            photos = self._data(trainer).manifest.part(VAL)
            write_baselines(self._folder.baselines, photos, model.classes, baselines)
        self._head = {name: tensor.clone() for name, tensor in model.network.plain_state().items()}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge an epoch whose steps were all done when the run was stopped, and which was not judged any more."""
        self._catch_up(trainer, cast(Classifier, pl_module))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """What was judged before this step is no more what the network is."""
        self._tally = None

    def on_validation_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gather anew."""
        photos = len(self._loader(trainer).dataset)
        self._tally = Tally(photos, trainer.strategy.root_device)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        """Take in what Lightning's loop judges."""
        if self._tally is not None and isinstance(outputs, Judged):
            self._tally.add(batch.rows, outputs)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge the epoch, and the phase if it ends here."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        tally, self._tally = self._tally, None
        self._judge(trainer, cast(Classifier, pl_module), trainer.current_epoch, tally)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge what was trained since the last judgement, where the training was cut short, and its phase."""
        self._complete(trainer, cast(Classifier, pl_module))

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """The same for a run that was resumed after its last step, and write all scores down."""
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        model = cast(Classifier, pl_module)
        # Lightning has moved it away from the device by now.
        model.to(trainer.strategy.root_device)
        self._complete(trainer, model)
        if trainer.is_global_zero and self._candidates.scores:
            self._candidates.write(self._folder.candidates)
        if (best := self._candidates.handed_over) is not None:
            figures_of_it = {"handed_over/loss": best.log_loss, "handed_over/accuracy": best.accuracy}
            for logger in trainer.loggers:
                logger.log_metrics(figures_of_it, trainer.global_step)

    def _complete(self, trainer: pl.Trainer, model: Classifier) -> None:
        if trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if trainer.global_step > self._judged_step:
            self._judge(trainer, model, len(self._unfreeze.losses), None)
        done = len(self._unfreeze.losses)
        if done and done not in self._judged_phases:
            self._judge_phase(trainer, model, done - 1)

    def _catch_up(self, trainer: pl.Trainer, model: Classifier) -> None:
        if not trainer.fast_dev_run and trainer.current_epoch == len(self._unfreeze.losses) + 1:  # type: ignore[attr-defined]
            self._judge(trainer, model, trainer.current_epoch - 1, None)

    def _judge(self, trainer: pl.Trainer, model: Classifier, epoch: int, tally: Tally | None) -> None:
        scored = tally.scored(trainer) if tally is not None else None
        if scored is None or not self._candidates.comparable(scored):
            scored = self._evaluate(trainer, model)
        self._offer(trainer, model, f"epoch {epoch + 1}", scored)
        losses = [*self._unfreeze.losses, scored.log_loss]
        begins = self._unfreeze.schedule(model.network.stages).begins(losses)
        if epoch + 1 in begins or epoch + 1 == trainer.max_epochs:
            self._judge_phase(trainer, model, epoch)
        # Said last: until here, a run that is stopped judges the epoch anew.
        self._unfreeze.hear(epoch, scored.log_loss)
        self._judged_step = trainer.global_step

    def _judge_phase(self, trainer: pl.Trainer, model: Classifier, epoch: int) -> None:
        now = {name: tensor.clone() for name, tensor in model.network.plain_state().items()}
        ends = {f"epoch {epoch + 1}": now}
        if self._average.weights is not None:
            name = f"average at epoch {epoch + 1}"
            ends[name] = self._average.weights
            self._try(trainer, model, name, self._average.weights)
        best = min(ends, key=lambda name: self._candidates.scores[name].log_loss)
        if self._head is not None:
            for share in _SHARES:
                weights = between(self._head, ends[best], share)
                self._try(
                    trainer,
                    model,
                    f"{share:.0%} of the way from the {self._candidates.baseline} to the {best}",
                    weights,
                )
        self._judged_phases.append(epoch + 1)

    def _try(self, trainer: pl.Trainer, model: Classifier, name: str, weights: dict[str, torch.Tensor]) -> None:
        with wearing(model, weights):
            scored = self._evaluate(trainer, model)
            self._offer(trainer, model, name, scored)
        self._say(trainer, f"{name}: {figures(scored)}")

    def _offer(self, trainer: pl.Trainer, model: Classifier, name: str, scored: Scored) -> None:
        """Keep the weights that the network has now, if they are the best so far."""
        if not self._candidates.offer(name, scored):
            return
        model.chosen = {"name": name, "log_loss": scored.log_loss, "accuracy": scored.accuracy}
        trainer.save_checkpoint(self._folder.best, weights_only=True)
        model.chosen = None

    def _evaluate(self, trainer: pl.Trainer, model: Classifier) -> Scored:
        return evaluate(trainer, model, self._loader(trainer), lambda: self._last.pause(trainer))

    def _data(self, trainer: pl.Trainer) -> Any:
        return trainer.datamodule  # type: ignore[attr-defined]

    def _loader(self, trainer: pl.Trainer) -> Any:
        """Of the validation part; Lightning's own once it has one, as its processes are running."""
        return trainer.val_dataloaders or self._data(trainer).val_dataloader()

    def _take_over(self, trainer: pl.Trainer, model: Classifier, resumed: Path) -> None:
        """Bring along what the resumed run kept beside its checkpoint."""
        before = RunFolder(resumed.parent.parent)
        if trainer.is_global_zero:
            ours = self._folder
            kept = ((before.best, ours.best), (before.head, ours.head), (before.baselines, ours.baselines))
            for source, target in kept:
                if source.is_file():
                    copy_whole(source, target)
        trainer.strategy.barrier()
        if self._candidates.best is None:
            return
        if not self._folder.best.is_file():
            _log.warning("the best checkpoint of the resumed run is gone; the best is sought among what follows")
            self._candidates.best = None
        elif (name := str(read_checkpoint(self._folder.best)[0].chosen.get("name"))) != self._candidates.best:
            # It was killed after a better one was found and before that was written down.
            with wearing(model, network_weights(self._folder.best)):
                self._candidates.scores[name] = self._evaluate(trainer, model)
            self._candidates.best = name
        if self._candidates.baseline is not None and self._folder.head.is_file():
            self._head = network_weights(self._folder.head)
        elif self._candidates.baseline is not None:
            _log.warning("head.ckpt of the resumed run is gone; nothing between the head alone and the rest is tried")

    def _say(self, trainer: pl.Trainer, line: str) -> None:
        if trainer.is_global_zero:
            console_of(trainer, self._console).print(line, highlight=False, soft_wrap=True, markup=False)
