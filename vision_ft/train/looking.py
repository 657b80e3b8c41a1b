"""Showing photos to a frozen backbone, each once and for all."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from vision_ft.data.plain import DECODER, PlainPhotos
from vision_ft.errors import ConfigError
from vision_ft.model.head import LinearHead
from vision_ft.model.network import Network
from vision_ft.model.stages import linear_heads
from vision_ft.model.translate import FEATURES, Translation
from vision_ft.train.eyes import ByTorch, Eyes, fastest
from vision_ft.train.feature_store import FeatureStore, clear, default_root, key_of

_log = logging.getLogger(__name__)

# Of rows written at a time: what a killed run has to look at once more.
_CHUNK = 512
# Precisions whose features are kept, by Lightning's names. Others are float64, or smaller than what is kept.
_KEPT = {"32-true": "float32", "bf16-mixed": "bfloat16"}
_GIB = 1 << 30


@dataclass(frozen=True)
class Cache:
    """What is kept of what a frozen network makes of photos.

    Attributes:
        folder: holds it; VISION_FT_CACHE, or the system's folder for caches, if not given.
        gigabytes: that it may take, and what was not used for longest makes room; 0 keeps nothing.
        clear: removes what was kept before.
        boundary: whether what is frozen below the stages that train runs apart from them, and once for a view that
            comes again. Without, all of the network runs in every step.
    """

    folder: str | None = None
    gigabytes: float = 10.0
    clear: bool = False
    boundary: bool = True

    def __post_init__(self) -> None:
        """Refuse what cannot be."""
        if not 0 <= self.gigabytes < float("inf"):
            raise ConfigError(f"cache.gigabytes is {self.gigabytes:g}, must be 0 or more")

    @property
    def root(self) -> Path:
        """The folder."""
        return default_root() if self.folder is None else Path(self.folder).expanduser()

    @property
    def bytes(self) -> int:
        """That it may take."""
        return int(self.gigabytes * _GIB)

    def open(self, about: dict[str, Any], width: int) -> FeatureStore | None:
        """The store of what ``about`` says; ``None`` where nothing is to be kept."""
        if not self.gigabytes:
            return None
        try:
            return FeatureStore(self.root, about, width, self.bytes)
        except ConfigError as error:
            if self.folder is not None:
                raise
            # Nobody asked for it to be there.
            _log.warning("nothing is kept of what the backbone sees: %s", error)
            return None

    def clear_if_asked(self) -> None:
        """Remove what was kept, once."""
        if self.clear:
            clear(self.root)


@dataclass(frozen=True)
class Seen:
    """What a backbone made of photos.

    Attributes:
        rows: int64 (photos,), places among those that were to be looked at, rising; of those that could be read.
        values: float32 (photos, features).
        known: how many of them did not have to be looked at.
    """

    rows: torch.Tensor
    values: torch.Tensor
    known: int


class Looker:
    """A frozen backbone and what it has seen before.

    Attributes:
        head: of the network, which what it sees is for; ``None`` where it is no linear layer.
    """

    def __init__(
        self,
        network: Network,
        device: torch.device,
        precision: str,
        context: Callable[[], AbstractContextManager[Any]],
        cache: Cache,
        translation: Translation | None = None,
    ) -> None:
        """Look at nothing yet.

        Args:
            network: in eval mode, on the device.
            device: where it lies.
            precision: Lightning's name of it.
            context: in which that holds.
            cache: what is kept.
            translation: of the network, for those who need more of it later.
        """
        self._network = network
        self._translation = Translation(network) if translation is None else translation
        self._device = device
        # On a CPU the engine's float32 is faster than PyTorch's bfloat16, and exact.
        if device.type == "cpu" and precision == "bf16-mixed":
            precision, context = "32-true", nullcontext
        self._exact = precision == "32-true"
        self._trial = network.noise()
        with context():
            self.head = LinearHead.of(network, self._trial.to(device))
        self._eyes: Eyes | None = None
        self._chosen_for = 0
        self._torch = ByTorch(network.features if self.head is None else self.head.inputs, device, context)
        self._store: FeatureStore | None = None
        if self.head is not None and precision in _KEPT:
            about = {"precision": _KEPT[precision], **_identity(network)}
            self._store = cache.open(about, self.head.read().weight.shape[1])

    def look(
        self, photos: PlainPhotos, rows: Sequence[int], pause: Callable[[], None], console: Console, shown: bool
    ) -> Seen:
        """What the backbone makes of photos.

        Args:
            photos: of a part.
            rows: places in it.
            pause: called between batches.
            console: for the progress bar.
            shown: whether there is to be one.
        """
        keys = {row: key_of(photos.digests[row], photos.describe(row)) for row in rows}
        known = {} if self._store is None else self._store.get(list(keys.values()))
        values = {row: known[key] for row, key in keys.items() if key in known}
        missing = [row for row in rows if row not in values]
        fresh: dict[bytes, Any] = {}
        room = self._store is not None
        for batch in self._shown(photos, missing, console, shown):
            pause()
            if not len(batch.labels):
                continue
            found = self.eyes_for(len(missing))(batch.pixels).cpu().numpy()
            for row, one in zip(batch.rows.tolist(), found, strict=True):
                values[row] = fresh[keys[row]] = one
            if room and len(fresh) >= _CHUNK:
                room, fresh = self._keep(fresh), {}
        if room and fresh:
            self._keep(fresh)
        order = sorted(values)
        table = np.stack([values[row] for row in order]) if order else np.empty((0, 0), np.float32)
        return Seen(torch.tensor(order, dtype=torch.int64), torch.from_numpy(table), len(rows) - len(missing))

    def _keep(self, fresh: dict[bytes, Any]) -> bool:
        try:
            return self._store is not None and self._store.add(fresh)
        except OSError as error:
            _log.warning("no more is kept of what the backbone sees: %s", error.strerror)
            return False

    def eyes_for(self, photos: int) -> Eyes:
        """What looks at so many photos: what was chosen before, unless that was for too few to be worth an engine."""
        if self._eyes is None or (self._eyes is self._torch and photos > self._chosen_for):
            exact_here = self._exact and self._device.type == "cpu"
            self._eyes = self._fastest(photos) if exact_here else self._torch
            self._chosen_for = photos
        return self._eyes

    def _fastest(self, photos: int) -> Eyes:
        network = self._network
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return fastest(self._torch, lambda: self._translation.part(FEATURES, network), self._trial, photos, parameters)

    def _shown(self, photos: PlainPhotos, rows: Sequence[int], console: Console, shown: bool) -> Any:
        if not rows:
            return ()
        loader = photos.loader(rows)
        return track(
            loader,
            "the frozen backbone looks at each photo once",
            total=len(loader),
            console=console,
            transient=True,
            disable=not shown,
        )


def kept_features(network: Network, cache: Cache, digests: Sequence[str]) -> dict[int, tuple[Any, Any]]:
    """What a network says of photos, as far as its backbone has seen them before: nothing is looked at.

    Args:
        network: in eval mode, on the CPU.
        cache: of what was seen.
        digests: the SHA-256 of files, in hexadecimal.

    Returns:
        By places among them, float32 features (features,) and logits (classes,).
    """
    with torch.no_grad():
        head = LinearHead.of(network, network.noise())
    if head is None:
        return {}
    linear = head.read()
    store = cache.open({"precision": "float32", **_identity(network)}, linear.weight.shape[1])
    keys = [key_of(digest) for digest in digests]
    known = {} if store is None else store.get(keys)
    places = [place for place, key in enumerate(keys) if key in known]
    if not places:
        return {}
    features = np.stack([known[keys[place]] for place in places])
    logits = linear.logits(torch.from_numpy(features)).float().numpy()
    return dict(zip(places, zip(features, logits, strict=True), strict=True))


def _identity(network: Network) -> dict[str, Any]:
    """Everything that features hang on besides the photo and the precision."""
    heads = {id(tensor) for layer in linear_heads(network.backbone) for tensor in layer.parameters()}
    digest = hashlib.sha256()
    for name, tensor in network.backbone.state_dict(keep_vars=True).items():
        if id(tensor) not in heads:
            digest.update(f"{name} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    backbone: Any = network.backbone
    return {
        "backbone": f"{type(backbone).__name__} {getattr(backbone, 'pretrained_cfg', {}).get('architecture')}",
        "weights": digest.hexdigest(),
        "preprocessing": dataclasses.asdict(network.preprocessing),
        "decoder": DECODER,
    }
