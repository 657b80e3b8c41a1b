"""The named stages of a backbone, from timm's own grouping of its parameters."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from timm.models import group_parameters
from torch import nn

HEAD, STEM, BODY = "head", "stem", "body"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages:
    """What can be frozen apart from the rest.

    Attributes:
        names: from the bottom (nearest the pixels) to the top; the last is always ``head``, the classifier alone.
        of_tensor: the stage of every parameter and buffer, by its name in the backbone.
        of_module: the stage that decides a module's train or eval mode, by the module's name. Modules that hold
            nothing and lie in no stage, such as the dropout before the head, are not in it.
    """

    names: tuple[str, ...]
    of_tensor: Mapping[str, str]
    of_module: Mapping[str, str]


def stages_of(backbone: nn.Module) -> Stages:
    """Name the stages of a timm classifier.

    The names are timm's own module paths (``blocks.3``, ``layer4``, ``stages.0``). What timm sorts behind the last
    block but is not the classifier (a last norm, a last 1×1 convolution) goes with the last block, as timm does itself
    for most families. A backbone that does not say how it is built has the stages ``body`` and ``head``, and the log
    says so.
    """
    classifiers = classifier_names(backbone)
    matcher = _matcher(backbone)
    grouped = _name_groups(backbone, matcher, classifiers) if matcher else {}
    if len(set(grouped.values())) < 2:
        _log.warning("%s cannot be split into stages; it trains as 'head' or 'body'", type(backbone).__name__)
        grouped = {name: BODY for name, _ in backbone.named_parameters() if not is_below(name, classifiers)}
    names = tuple(dict.fromkeys([*grouped.values(), HEAD]))
    of_tensor = {name: grouped.get(name, HEAD) for name, _ in backbone.named_parameters()}
    of_module = _modules(backbone, of_tensor, names)
    for name, _ in backbone.named_buffers():
        # With the parameters of its module; one that belongs to none (a table of positions) with the lowest stage.
        of_tensor[name] = of_module.get(name.rpartition(".")[0], names[0])
    return Stages(names=names, of_tensor=of_tensor, of_module=of_module)


def classifier_names(backbone: Any) -> tuple[str, ...]:
    """Where the classifier lies; a distilled model has two."""
    classifier = backbone.get_classifier()
    wanted = classifier if isinstance(classifier, (tuple, list)) else [classifier]
    return tuple(name for name, module in backbone.named_modules() if any(module is one for one in wanted))


def linear_heads(backbone: nn.Module) -> list[nn.Module]:
    """The linear layers of the classifier: one, or two for a distilled model; 1×1 convolutions are such layers too."""
    return [backbone.get_submodule(name) for name in linear_head_names(backbone)]


def linear_head_names(backbone: nn.Module) -> list[str]:
    """Where :func:`linear_heads` lie."""
    classifiers = classifier_names(backbone)
    return [
        name
        for name, module in backbone.named_modules()
        if is_below(name, classifiers)
        and (isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)))
    ]


def is_below(name: str, modules: Iterable[str]) -> bool:
    """Whether a module or tensor is one of some modules, or lies in one."""
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _matcher(backbone: Any) -> dict[str, Any] | None:
    try:
        matcher = backbone.group_matcher(coarse=True)
    except (AttributeError, TypeError, AssertionError, NotImplementedError):
        return None
    return matcher if isinstance(matcher, dict) else None


def _name_groups(backbone: nn.Module, matcher: dict[str, Any], classifiers: tuple[str, ...]) -> dict[str, str]:
    """Parameter → stage for all but the classifier's, those of lower stages first."""
    groups: dict[int, list[str]] = group_parameters(backbone, matcher)
    patterns = [re.compile(pattern) for pattern in _block_patterns(matcher)]
    named: dict[str, str] = {}
    last = BODY
    for number in sorted(groups):
        trunk = [name for name in groups[number] if not is_below(name, classifiers)]
        found = [match.group(0) for name in trunk for pattern in patterns if (match := pattern.match(name))]
        if found:
            last = found[0].rstrip(".")
        elif number == min(groups):
            last = STEM
        named.update(dict.fromkeys(trunk, last))
    return named


def _block_patterns(matcher: dict[str, Any]) -> list[str]:
    """The regular expressions that name blocks; those that only append to the block before are left out."""
    patterns: list[str] = []
    for group, entry in matcher.items():
        if group == STEM or entry is None:
            continue
        entries = [(entry, None)] if isinstance(entry, str) else list(entry)
        patterns += [pattern for pattern, suffix in entries if suffix is None]
    return patterns


def _modules(backbone: nn.Module, of_tensor: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    stages: dict[str, str] = {}
    for name, module in backbone.named_modules():
        own = {of_tensor[f"{name}.{own}" if name else own] for own, _ in module.named_parameters(recurse=False)}
        if name and len(own) == 1:
            stages[name] = own.pop()
        elif name:
            # Holds nothing itself (a stochastic depth, an activation): the stage whose path it lies on, if any.
            on_path = [stage for stage in names if is_below(name, [stage])]
            stages.update({name: on_path[-1]} if on_path else {})
    return stages
