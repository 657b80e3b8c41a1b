"""The exceptions of the package and the exit codes of its commands.

VisionError
├── InputError              the user's input or settings; one clear message, exit code 2
│   ├── UsageError          a wrong command line
│   ├── ConfigError         a wrong setting or YAML key
│   ├── DataError           a folder of photos that cannot be used
│   ├── WeightsError        pretrained weights that cannot be had or do not fit
│   ├── CheckpointError     a checkpoint that is not ours or does not fit
│   └── BundleError         an exported model that is damaged, or cannot be written
├── UnreadablePhoto         one photo that cannot be decoded; named and passed over
├── UnreadableArchive       an archive that is damaged, or holds more than it may
└── ExportMismatch          the exported model disagrees with its source; never written
"""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable
from enum import IntEnum

# What the system says when there is no room for more: on the disk, in a quota, in a limit on one file's size.
NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class ExitCode(IntEnum):
    """What a command tells the shell."""

    DONE = 0
    DEFECT = 1
    INPUT = 2
    SOME_UNREADABLE = 3
    FINDINGS = 3
    INTERRUPTED = 130
    TERMINATED = 143


class VisionError(Exception):
    """The root of every error that this package raises on purpose."""


class InputError(VisionError):
    """The user's input or settings are at fault: says what, where, and how to mend it."""


class UsageError(InputError):
    """The command line cannot be understood."""


class ConfigError(InputError):
    """A setting has a wrong name or value."""


class DataError(InputError):
    """A folder of photos cannot be used."""


class WeightsError(InputError):
    """Pretrained weights cannot be had, or do not fit the backbone."""


class CheckpointError(InputError):
    """A checkpoint is not one of ours, or does not fit the settings."""


class BundleError(InputError):
    """An exported model is damaged, is no bundle, or cannot be written."""


class UnreadablePhoto(VisionError):  # noqa: N818 - named for what it is: one photo, not a failed command
    """One photo cannot be decoded; the message is the reason alone, without the path."""


class UnreadableArchive(VisionError):  # noqa: N818 - as above
    """An archive is damaged or out of all bounds; the message is the reason alone, without the path."""


class ExportMismatch(VisionError):  # noqa: N818 - reads as the finding that it is
    """The exported model's probabilities differ from its source's by more than allowed."""


def nearest(name: str, known: Iterable[str], *, count: int = 1) -> str:
    """A hint naming the known names nearest to a wrong one, or nothing.

    Args:
        name: what the user wrote.
        known: the names that would have been right.
        count: how many names to offer at most.

    Returns:
        ``" (did you mean 'x'?)"``, or the empty string when nothing is near.
    """
    matches = difflib.get_close_matches(name, list(known), n=count, cutoff=0.5)
    return f" (did you mean {' or '.join(repr(match) for match in matches)}?)" if matches else ""
