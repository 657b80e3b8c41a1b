"""Finding what is wrong with settings, before and after the parser does, in words for people."""

from __future__ import annotations

import dataclasses
import re
from argparse import ArgumentError
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from vision_ft.errors import ConfigError, nearest
from vision_ft.train.schedule import Gradual, Phase

# Settings that the parser takes whole, and what may stand in them.
_INSIDE: dict[str, frozenset[str]] = {
    "unfreeze.gradual": frozenset(field.name for field in dataclasses.fields(Gradual)),
    "unfreeze.phases": frozenset(field.name for field in dataclasses.fields(Phase)),
}

_SHAPES = {
    "unfreeze.phases": "each phase needs epochs (a whole number), stages (names, a number or all) and lr (a number); "
    "see docs/unfreezing.md",
    "run.loggers": "takes a list, as in '[csv, mlflow]'",
    "export.engines": "takes a list, as in '[onnx, int8]'",
    "unfreeze.gradual": "whole numbers for epochs and counts, numbers for rates; see docs/unfreezing.md",
}


def check_files(args: Sequence[str], known: Iterable[str]) -> None:
    """Look for unknown keys in the YAML files of a command line, and name all of them at once.

    The parser stops at the first one, and does not say in which file it stands.

    Args:
        args: the command line.
        known: the dotted names of all settings.

    Raises:
        ConfigError: a file is missing, is no YAML, or has a key that there is not.
    """
    settings = frozenset(known)
    faults = [fault for path in _config_files(args) for fault in _faults_of(Path(path), settings)]
    if faults:
        raise ConfigError("; ".join(faults))


def explain(error: ArgumentError, known: Sequence[str]) -> ConfigError:
    """One line for a person out of the parser's own message."""
    text = " ".join((error.message or str(error)).split())
    if match := re.search(r"[Uu]nrecognized arguments?: --([\w.]+)", text):
        hint = nearest(match[1], known).replace("'", "--", 1).replace("'", "")
        return ConfigError(f"no setting --{match[1]}{hint}")
    if match := re.search(r"arguments are required: (?:\w+\.)?data\.root", text):
        return ConfigError("data.root is not set; name the folder of photos with --data.root FOLDER")
    if match := re.search(r"does not accept option '([\w.]+)'", text):
        return ConfigError(f"no setting {match[1]!r}{nearest(match[1], known)}")
    if match := re.search(r'^Parser key "([\w.]+)": .*Union subtypes.* Given value: (.*)$', text):
        choices = dict.fromkeys(re.findall(r"'([\w-]+)'", " ".join(re.findall(r"Literal\[([^\]]*)\]", text))))
        kinds = [] if match[1] in _INSIDE else re.findall(r"<class '(\w+)'>", text.partition("Errors:")[0])
        takes = f"; it takes {', '.join([*choices, *kinds])}".replace("NoneType", "null") if choices or kinds else ""
        return ConfigError(f"{match[1]}: {_SHAPES.get(match[1], match[2] + ' does not fit' + takes)}")
    if match := re.search(r'^Parser key "([\w.]+)": Expected a typing.Literal\[(.*)\]. Got value: (.*)$', text):
        return ConfigError(f"{match[1]}: {match[3]} does not fit; it takes {match[2].replace(chr(39), '')}")
    if (match := re.search(r'^Parser key "([\w.]+)": Expected a <class \'list\'>', text)) and match[1] in _SHAPES:
        return ConfigError(f"{match[1]}: {_SHAPES[match[1]]}")
    return ConfigError(re.sub(r'^Parser key "([\w.]+)": ', r"\1: ", text))


def _config_files(args: Sequence[str]) -> Iterator[str]:
    for place, arg in enumerate(args):
        if arg in ("-c", "--config") and place + 1 < len(args):
            yield args[place + 1]
        elif arg.startswith("--config="):
            yield arg.partition("=")[2]


def _faults_of(path: Path, settings: frozenset[str]) -> Iterator[str]:
    if not path.expanduser().is_file():
        yield f"--config: no file {str(path)!r}"
        return
    try:
        content = yaml.safe_load(path.expanduser().read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f" near line {mark.line + 1}" if mark is not None else ""
        yield f"{path}: not valid YAML{line}: {getattr(error, 'problem', None) or error}"
        return
    if content is not None and not isinstance(content, Mapping):
        yield f"{path}: holds no settings, but a {type(content).__name__}"
        return
    for key, kind in _no_sections(content or {}, settings):
        yield f"{path}: {key} must have settings below it, not {kind}; fill it or take it out"
    for key in _unknown(content or {}, "", settings):
        inside = key.rpartition(".")
        options = _INSIDE.get(re.sub(r"\[\d+\]$", "", inside[0]))
        hint = nearest(inside[2], options) if options else nearest(key, settings)
        yield f"{path}: no setting {key!r}{hint}"


def _unknown(content: Mapping[Any, Any], above: str, settings: frozenset[str]) -> Iterator[str]:
    for name, value in content.items():
        key = f"{above}{name}"
        if key in _INSIDE:
            yield from _unknown_inside(key, value)
        elif any(setting.startswith(f"{key}.") for setting in settings):
            if isinstance(value, Mapping):
                yield from _unknown(value, f"{key}.", settings)
        elif key not in settings:
            yield key


def _no_sections(content: Mapping[Any, Any], settings: frozenset[str]) -> Iterator[tuple[str, str]]:
    """The sections that hold no settings but a value, which the parser would take and break on later."""
    for name, value in content.items():
        if any(setting.startswith(f"{name}.") for setting in settings) and not isinstance(value, Mapping):
            yield name, "nothing" if value is None else repr(value)


def _unknown_inside(key: str, value: Any) -> Iterator[str]:
    rows = {f"{key}[{place}]": row for place, row in enumerate(value)} if isinstance(value, list) else {key: value}
    for where, row in rows.items():
        if isinstance(row, Mapping):
            yield from (f"{where}.{name}" for name in row if name not in _INSIDE[key])


def flat(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Settings by their dotted names; lists stay whole."""
    for name, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value
