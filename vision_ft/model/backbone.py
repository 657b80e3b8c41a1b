"""A timm classifier with the weights asked for and the preprocessing that belongs to them."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlparse
from urllib.request import getproxies

import huggingface_hub
import timm
import torch
from torch import nn

from vision_ft.errors import ConfigError, WeightsError, nearest
from vision_ft.model import imagenet
from vision_ft.model import weights as reading
from vision_ft.model.stages import stages_of
from vision_ft.model.transfer import clear_head, fit_in
from vision_ft.model.weights import Loaded, Source
from vision_ft.spec import Preprocessing, WeightsOrigin, preprocessing_from

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CROP = 0.875
_FILTERS = ("nearest", "bilinear", "bicubic", "lanczos")


@dataclass(frozen=True)
class Backbone:
    """What :func:`build` gives.

    Attributes:
        module: timm's network; float (photos, 3, height, width) in, logits (photos, classes) out.
        preprocessing: as the weights were trained.
        origin: which weights were loaded.
        known: the classes whose rows of the head came along with them.
    """

    module: nn.Module
    preprocessing: Preprocessing
    origin: WeightsOrigin
    known: tuple[str, ...] = ()


def build(
    name: str,
    source: str,
    classes: Sequence[str],
    image_size: int | None = None,
    *,
    keep_head: bool = True,
    renamed: Mapping[str, str] | None = None,
    **settings: float,
) -> Backbone:
    """Build a backbone with a head for some classes.

    The head's rows of classes that the weights know by name are kept: a bundle's own, and ImageNet's where every class
    is one of those or some of them together. The others start from zero.

    Args:
        name: timm's name, with or without a tag (``resnet50.a1_in1k``).
        source: where the weights come from, see :mod:`vision_ft.model.weights`.
        classes: names in the order of the logits.
        image_size: height and width of the network's input; the weights' own if not given.
        keep_head: whether rows of the head are kept at all.
        renamed: the names that classes of a bundle have among these, by those that they had.
        settings: timm's own arguments for the network, such as ``drop_rate``.

    Raises:
        ConfigError: timm has no such backbone, it does not take that size or that setting, or ``renamed`` does not fit.
        WeightsError: the weights cannot be had or do not fit.
    """
    parsed = reading.parse_source(source)
    check_name(name)
    if image_size is not None and image_size < 1:
        raise ConfigError(f"model.image_size is {image_size}, must be 1 or more")
    loaded = _download(name, image_size) if parsed.kind == "timm" else None
    module = create(name, len(classes), image_size, **settings)
    if image_size is not None:
        _try_size(name, module, image_size)
    clear_head(module)
    loaded = loaded or _read(parsed, name)
    if loaded is None and renamed:
        raise ConfigError("model.renamed is for the classes of a bundle, and random: has none")
    if loaded is None:
        return Backbone(module, preprocessing_of(module, image_size), WeightsOrigin(str(parsed), None))
    if renamed:
        loaded = loaded.renamed(renamed, classes)
    rows = loaded.rows_for(classes) if keep_head else {}
    fit_in(module, loaded.state, rows, parsed)
    known = tuple(classes[row] for row in rows)
    return Backbone(module, preprocessing_of(module, image_size), loaded.origin, known)


def check_name(name: str) -> None:
    """Refuse a name that timm does not know, with the nearest that it does."""
    if not timm.is_model(name):
        raise ConfigError(
            f"model.backbone: timm has no {name!r}{nearest(name.partition('.')[0], timm.list_models(), count=3)}; "
            "timm.list_models() lists them all"
        )
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        raise ConfigError(f"model.backbone: {name!r}: {error}") from error


def stage_names(name: str) -> tuple[str, ...]:
    """The stages of a backbone, from the bottom to the head, without the cost of building it.

    Raises:
        ConfigError: it has no head that can be swapped.
    """
    with torch.device("meta"):
        return stages_of(create(name, classes=2)).names


def takes(name: str, **settings: Any) -> bool:
    """Whether a backbone can be built with timm's own arguments, such as ``drop_path_rate``."""
    try:
        with torch.device("meta"):
            create(name, classes=2, **settings)
    except ConfigError:
        return False
    return True


def create(name: str, classes: int, image_size: int | None = None, **settings: Any) -> nn.Module:
    """A timm network with a head for that many classes, its weights random.

    Raises:
        ConfigError: it does not take that image size, or has no head that can be swapped.
    """
    if image_size is not None:
        config = timm.get_pretrained_cfg(name)
        if config is not None and config.fixed_input_size:
            settings["img_size"] = image_size
    try:
        module: nn.Module = timm.create_model(name, num_classes=classes, **settings)
    except (AssertionError, ValueError, TypeError) as error:
        size = f" at model.image_size {image_size}" if image_size is not None else ""
        raise ConfigError(f"model.backbone: {name} cannot be built{size}: {error}") from error
    if not hasattr(module, "get_classifier"):
        raise ConfigError(f"model.backbone: {name} has no head that can be swapped; choose a classifier")
    return module


def preprocessing_of(module: Any, image_size: int | None = None) -> Preprocessing:
    """The preprocessing that timm gives for a network's weights."""
    config = module.pretrained_cfg
    _, height, width = config.get("input_size", (3, 224, 224))
    if image_size is not None:
        height = width = image_size
    interpolation = config.get("interpolation", "bicubic")
    framing = {
        "height": height,
        "width": width,
        "crop": float(config.get("crop_pct") or _CROP),
        "interpolation": interpolation if interpolation in _FILTERS else "bicubic",
        "resize": "squash" if config.get("crop_mode") == "squash" else "shorter",
    }
    mean, std = config.get("mean", _IMAGENET_MEAN), config.get("std", _IMAGENET_STD)
    return preprocessing_from({"framing": framing, "mean": map(float, mean), "std": map(float, std)})


def _try_size(name: str, module: nn.Module, size: int) -> None:
    """Pass nothing through a network once: most backbones take a size they cannot work with until they see it.

    Raises:
        ConfigError: it cannot work with that size.
    """
    training = module.training
    try:
        with torch.inference_mode():
            module.eval()(torch.zeros(1, 3, size, size))
    except (RuntimeError, ValueError, AssertionError, IndexError) as error:
        reason = " ".join(str(error).split())[:160]
        raise ConfigError(f"model.image_size: {name} cannot work at {size} pixels: {reason}") from error
    finally:
        module.train(training)


def _read(source: Source, name: str) -> Loaded | None:
    if source.kind == "random":
        return None
    if source.kind == "file":
        return reading.read_file(source)
    if source.kind == "bundle":
        return reading.read_bundle(source, name)
    loaded = reading.read_builtin(name)
    state = reading.rename_in_order(loaded.state, create(name, imagenet.CLASSES).state_dict())
    return Loaded(state, loaded.origin, imagenet=True)


def _download(name: str, image_size: int | None) -> Loaded:
    config = timm.get_pretrained_cfg(name)
    if config is None or not config.has_weights:
        raise WeightsError(
            f"model.weights: timm: has no pretrained weights for {name!r}; choose another backbone, or another source"
        )
    try:
        # With the classifier that belongs to the weights; what fits of it is taken over afterwards.
        module = create(name, config.num_classes, image_size, pretrained=True, **_from_cache_if_offline(config))
    except (OSError, RuntimeError, KeyError) as error:
        # The hub's client raises its own kinds, all below OSError or RuntimeError, some of them pages long.
        raise WeightsError(
            f"model.weights: timm: could not get the weights of {name!r} ({type(error).__name__}); connect to the "
            "network once, point HF_HOME to a cache that has them, or use file:PATH or builtin:"
        ) from error
    state = module.state_dict()
    tag = f"timm:{name.partition('.')[0]}.{config.tag}" if config.tag else f"timm:{name}"
    origin = WeightsOrigin(tag, reading.sha256_of_tensors(state), digest_of="tensors", licence=config.license)
    known = config.num_classes == imagenet.CLASSES and (config.tag or "").endswith("in1k")
    return Loaded(state, origin, imagenet=known)


def _from_cache_if_offline(config: Any) -> dict[str, Any]:
    """Where the hub's name cannot even be looked up, take what was downloaded before, at once.

    Left to itself the hub's client tries for most of a minute, with a page of warnings, before it looks there.

    Raises:
        OSError: there is no network, and nothing was downloaded before.
    """
    if not config.hf_hub_id or getproxies():
        return {}
    try:
        socket.getaddrinfo(urlparse(huggingface_hub.constants.ENDPOINT).hostname, None)
    except OSError:
        cached = huggingface_hub.try_to_load_from_cache(config.hf_hub_id, "model.safetensors")
        if not isinstance(cached, str):
            raise
        return {"pretrained_cfg_overlay": {"file": cached}}
    return {}
