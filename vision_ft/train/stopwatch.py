"""Rates: how many photos a second a piece of work does, alone and as a part of something."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

# Repetitions of what is quick, and of what takes longer than it is given.
_REPETITIONS, _FEWEST = 5, 3


@dataclass(frozen=True)
class Rate:
    """What a piece of work does.

    Attributes:
        name: of the work.
        photos_per_second: the median of the repetitions.
        lowest: of the repetitions.
        highest: of the repetitions.
        repetitions: how many there were.
        made_of: names of the parts, where it is made of several.
    """

    name: str
    photos_per_second: float
    lowest: float
    highest: float
    repetitions: int
    made_of: tuple[str, ...] = ()


class Stopwatch:
    """Times pieces of work, one after the other.

    Attributes:
        rates: what was found, by name, in the order of the work.
    """

    def __init__(self, seconds: float, settle: Callable[[], None], doing: Callable[[str], None]) -> None:
        """Time nothing yet.

        Args:
            seconds: for each piece of work, about; one that is slow takes as long as three repetitions do.
            settle: waits until the device is done with what it was given.
            doing: is told the name of what is timed now.
        """
        self._seconds = seconds
        self._settle = settle
        self._doing = doing
        self.rates: dict[str, Rate] = {}

    def time(self, name: str, work: Callable[[], int], made_of: tuple[str, ...] = (), warm: int = 1) -> None:
        """Time a piece of work.

        Args:
            name: of the work.
            work: does it, and returns the number of photos.
            made_of: names of its parts.
            warm: how often it is done before the clock is read: the first time is not like those that follow.
        """
        self._doing(name)
        for _ in range(warm):
            work()
        self._settle()
        first, took = self._repeat(work, 1)
        calls = int(self._seconds / _REPETITIONS / took)
        # What takes a moment is done several times between two looks at the clock.
        found = [self._repeat(work, calls)[0] for _ in range(_REPETITIONS)] if calls > 1 else [first]
        while len(found) < _FEWEST:
            found.append(self._repeat(work, 1)[0])
        self.rates[name] = Rate(name, statistics.median(found), min(found), max(found), len(found), made_of)

    def limit(self, rate: Rate) -> Rate:
        """The slowest single part of what is made of several, when it runs alone."""
        return min((self.rates[name] for name in rate.made_of), key=lambda part: part.photos_per_second)

    def in_turn(self, rate: Rate) -> float:
        """Photos a second of the parts one after the other: all there is to be had where they share their cores."""
        return 1 / sum(1 / self.rates[name].photos_per_second for name in rate.made_of)

    def _repeat(self, work: Callable[[], int], calls: int) -> tuple[float, float]:
        """Photos a second, and the seconds that it took."""
        started = time.perf_counter()
        photos = sum(work() for _ in range(calls))
        self._settle()
        seconds = time.perf_counter() - started
        return photos / seconds, seconds
