"""The machine and the versions: what every figure of speed has to stand beside."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What computes.

    Attributes:
        cpu: the processor's name.
        cores: that this process may use.
        memory: in bytes; ``None`` where the system does not say.
    """

    cpu: str
    cores: int
    memory: int | None


def this_machine() -> Machine:
    """The one this runs on."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    return Machine(name, usable_cores(), _memory())


def usable_cores() -> int:
    """How many cores this process may use, which may be fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Of vision-ft, Python and packages; those that are not installed are left out."""
    found = {"python": platform.python_version()}
    for package in ("vision-ft", *packages):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def describe(packages: Sequence[str]) -> str:
    """One line: processor, cores, memory and versions."""
    machine = this_machine()
    memory = "" if machine.memory is None else f", {machine.memory / 2**30:.0f} GiB"
    named = ", ".join(f"{name} {version}" for name, version in versions(packages).items())
    return f"{machine.cpu}, {machine.cores} {'core' if machine.cores == 1 else 'cores'}{memory}, {named}"


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
