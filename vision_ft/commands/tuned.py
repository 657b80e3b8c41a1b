"""What ``vision-ft tune`` says of its trials."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from vision_ft.commands.console import say
from vision_ft.errors import ConfigError
from vision_ft.train.search_folder import TABLE, WINNER
from vision_ft.train.study import Study, Tried
from vision_ft.train.trial import DIVERGED


def say_trial(console: Console, study: Study, trials: int) -> None:
    """A line on the trial that was the last."""
    done, best = study.tried[-1], study.best
    how = "cut short" if done.loss is None else "diverged" if done.loss >= DIVERGED else f"val loss {done.loss:.4f}"
    lowest = "" if best is None else f", lowest {best.loss:.4f}"
    what = _in_words(done)
    say(console, f"trial {done.number}/{trials}: {how}{lowest}  ({done.seconds:.0f} s)  {what}")


def _in_words(tried: Tried) -> str:
    if not tried.chosen:
        return "as given"
    words = []
    for name, value in tried.chosen.items():
        if name == "unfreeze.phases":
            words += [
                f"{phase['stages']} stages for {phase['epochs']} at {phase['lr']:g} × {phase['layer_decay']:g}"
                for phase in value
            ]
        elif value:
            words.append(f"{name.partition('.')[2]} {value}")
    return ", ".join(words)


def conclude(study: Study, out: Path, held_out: int) -> None:
    """Say what came of a search, and what to do with it.

    Raises:
        ConfigError: nothing did.
    """
    console = Console()
    tried, best = study.tried, study.best
    if not tried:
        raise ConfigError("no trial was begun in the time given; give more --minutes")
    if best is None:
        raise ConfigError(
            "no trial trained anything to a loss that is a number; let it train (trainer.max_epochs, "
            "trainer.max_steps), or lower the rates of unfreeze"
        )
    cut = sum(one.loss is None for one in tried)
    say(console, f"{len(tried)} trials, of which {cut} were cut short; all of them are in {out / TABLE}")
    say(console, f"lowest: trial {best.number}: val loss {best.loss:.4f}: {_in_words(best)}")
    for line in _comparisons(study, best):
        say(console, line)
    if len(tried) > 1:
        say(
            console,
            f"the lowest of {len(tried)} on the same {held_out} photos flatters itself; what it is worth, the "
            "test part of a fit says",
        )
    say(console, f"next: vision-ft fit --config {shlex.quote(str(out / WINNER))}")


def _comparisons(study: Study, best: Tried) -> Iterator[str]:
    """The best against the settings as given, and against what nothing was unfrozen for."""
    given = study.tried[0]
    first, scores = study.scores(given), study.scores(best)
    if best.number == given.number:
        yield "nothing that was tried did better than the settings as given"
    elif first is not None and scores is not None:
        mean, low, high = scores.gain(first)
        clear = "" if low > 0 else ": no clear difference"
        yield (
            f"{mean:.4f} below the settings as given, whose log-loss is {first.log_loss:.4f} (95 % interval of the "
            f"difference {low:.4f} to {high:.4f}{clear})"
        )
    if best.head is not None and best.loss is not None and best.head <= best.loss:
        yield (
            f"the head alone is not worse, at {best.head:.4f}: unfreezing earns nothing here, and a fit hands the head "
            "over"
        )
