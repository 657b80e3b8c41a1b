"""Pretrained tensors into a network with a new head."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from vision_ft.errors import WeightsError
from vision_ft.model.stages import classifier_names, is_below, linear_head_names, linear_heads
from vision_ft.model.weights import Source, State

_log = logging.getLogger(__name__)


def clear_head(module: Any) -> None:
    """Start a new head from zero: every class equally likely.

    The random start of some families (EfficientNet's grows as classes get fewer) begins with confident nonsense that
    takes epochs to unlearn; a linear head needs no randomness to begin from. A norm within the head keeps its own
    start: with zeros in both, neither would ever learn.
    """
    with torch.no_grad():
        for layer in linear_heads(module):
            for parameter in layer.parameters():
                parameter.zero_()


def fit_in(module: Any, tensors: State, rows: Mapping[int, Sequence[int]], source: Source) -> None:
    """Load tensors, all but the classifier's, and of the classifier's the rows of known classes.

    Args:
        module: timm's network; changed in place.
        tensors: what was read.
        rows: for rows of the network's classifier, those of the tensors' that say something of the same class.
        source: named in errors.

    Raises:
        WeightsError: tensors are missing, unknown or of another shape.
    """
    target: State = module.state_dict()
    head = {name for name in target if is_below(name, classifier_names(module))}
    state = _as_timm_shapes(module, tensors, head)
    missing = [name for name in target if name not in state and name not in head]
    wrong = [name for name in target if name in state and name not in head and state[name].shape != target[name].shape]
    unknown = [name for name in state if name not in target]
    if missing or wrong or unknown:
        raise WeightsError(
            f"model.weights: {source} does not fit {module.pretrained_cfg.get('architecture', 'the backbone')}: "
            f"{_named('missing', missing)}{_named('unknown', unknown)}{_named('of another shape', wrong)}"
            "name the backbone that the file was trained with"
        )
    kept = {name: state[name] for name in target if name in state and name not in head}
    if rows:
        linear = {f"{name}.{part}" for name in linear_head_names(module) for part in ("weight", "bias")}
        # A norm within the head belongs to the features and not to the classes: it comes along as it is.
        norms = (name for name in head - linear if name in state and state[name].shape == target[name].shape)
        kept.update({name: state[name] for name in norms})
        kept.update(_known_rows(target, state, head & linear, rows))
    module.load_state_dict({**target, **kept})


def _as_timm_shapes(module: Any, state: State, head: set[str]) -> State:
    """Where a file names its tensors otherwise, or has positions for another size, timm has the translation."""
    target = module.state_dict()
    fits = all(name in target and (name in head or target[name].shape == state[name].shape) for name in state)
    translate = getattr(sys.modules[type(module).__module__], "checkpoint_filter_fn", None)
    if fits or translate is None:
        return state
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            translated: State = translate(dict(state), module)
    except (KeyError, RuntimeError, AttributeError, ValueError, TypeError) as error:
        # Not a file that timm can translate; what does not fit is named by the caller.
        _log.debug("no translation by timm: %s", error)
        return state
    return translated


def _known_rows(
    target: State, state: State, head: set[str], rows: Mapping[int, Sequence[int]]
) -> Mapping[str, torch.Tensor]:
    """The classifier's tensors with the rows that are known; of several old rows for a new one, their mean."""
    filled: dict[str, torch.Tensor] = {}
    for name in head:
        if name in state and state[name].shape[1:] == target[name].shape[1:]:
            tensor = target[name].clone()
            for new, old in rows.items():
                tensor[new] = state[name][list(old)].mean(0)
            filled[name] = tensor
    return filled


def _named(what: str, names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{what} {names[0]!r}{more}; "
