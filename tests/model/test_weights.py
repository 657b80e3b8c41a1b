from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import timm
import torch
from timm.data import ImageNetInfo

from vision_ft.errors import ConfigError, InputError, WeightsError
from vision_ft.imaging import read
from vision_ft.model import weights
from vision_ft.model.backbone import build, create, preprocessing_of
from vision_ft.model.network import Network
from vision_ft.spec import Preprocessing

PETS = ("cat", "dog")
LITE = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")


def imagenet_network(name: str, preprocessing: Preprocessing | None = None) -> Network:
    """The backbone with the classifier it was pretrained with."""
    module = create(name, 1000)
    module.load_state_dict(weights.rename_in_order(weights.read_builtin(name).state, module.state_dict()))
    return Network(module, preprocessing or preprocessing_of(module)).eval()


def top1(network: Network, photos: Path) -> float:
    names = ImageNetInfo("imagenet-1k")
    paths = sorted(photos.glob("*.jpg"))
    pixels = torch.from_numpy(np.stack([read(path, network.preprocessing.framing) for path in paths]))
    with torch.inference_mode():
        found = torch.cat([network(part).argmax(1) for part in pixels.split(16)])
    synsets = [names.index_to_label_name(int(index)) for index in found]
    return float(np.mean([path.name.startswith(synset) for path, synset in zip(paths, synsets, strict=True)]))


@pytest.mark.parametrize("name", LITE)
def test_the_builtin_weights_know_imagenet(name: str, not_pets: Path) -> None:
    assert top1(imagenet_network(name), not_pets) >= 0.85


def test_with_imagenets_mean_and_std_they_know_it_less(not_pets: Path) -> None:
    """The weights' own mean and std are 0.5: normalisation comes from the weights, not from habit."""
    own = imagenet_network(LITE[0])
    assert own.preprocessing.mean == own.preprocessing.std == (0.5, 0.5, 0.5)
    usual = Preprocessing(own.preprocessing.framing, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert top1(own, not_pets) - top1(imagenet_network(LITE[0], usual), not_pets) > 0.05


def test_a_changed_builtin_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "changed_model"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    original = weights.BUILTIN[LITE[0]]
    real = Path(str(__import__(original.package).__file__)).parent / "models" / original.file
    data = bytearray(real.read_bytes())
    data[len(data) // 2] ^= 1
    (package / "models" / original.file).write_bytes(data)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(weights.BUILTIN, LITE[0], weights._Builtin("changed_model", original.file, original.sha256))
    with pytest.raises(WeightsError, match="SHA-256"):
        build(LITE[0], "builtin:", PETS)


def test_builtin_says_which_backbones_it_has() -> None:
    with pytest.raises(WeightsError, match="tf_efficientnet_lite2"):
        build("resnet18", "builtin:", PETS)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["bare", "wrapped"])
def test_file_reads_what_timm_writes(suffix: str, wrapped: bool, tmp_path: Path) -> None:
    if wrapped and suffix == ".safetensors":
        suffix = ".pth.tar"
    donor = timm.create_model("test_resnet", num_classes=7)
    path = tmp_path / f"donor{suffix}"
    if suffix == ".safetensors":
        safetensors.torch.save_file(donor.state_dict(), path)
    else:
        named = {f"module.{name}": tensor for name, tensor in donor.state_dict().items()}
        torch.save({"state_dict": named, "epoch": 3} if wrapped else donor.state_dict(), path)
    built = build("test_resnet", f"file:{path}", PETS)
    state = built.module.state_dict()
    for name, tensor in donor.state_dict().items():
        if not name.startswith("fc."):
            assert torch.equal(state[name], tensor)
    assert state["fc.weight"].shape == (2, 96)
    assert built.origin.source == f"file:{path}"
    assert built.origin.sha256 == weights.sha256_of(path)


def test_positions_are_fitted_to_another_image_size(tmp_path: Path) -> None:
    path = tmp_path / "small.safetensors"
    safetensors.torch.save_file(create("test_vit", 2, 64).state_dict(), path)
    state = build("test_vit", f"file:{path}", PETS, image_size=96).module.state_dict()
    assert state["pos_embed"].shape[1] == 1 + 6 * 6
    assert torch.equal(state["blocks.3.attn.qkv.weight"], safetensors.torch.load_file(path)["blocks.3.attn.qkv.weight"])


def test_a_pickle_is_not_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    path = tmp_path / "trap.pth"
    path.write_bytes(pickle.dumps({"state_dict": Trap()}))
    with pytest.raises(WeightsError, match="cannot be read as tensors"):
        build("test_resnet", f"file:{path}", PETS)
    assert not (tmp_path / "sprung").exists()


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "donor.safetensors"
    safetensors.torch.save_file(timm.create_model("test_vit").state_dict(), path)
    with pytest.raises(WeightsError, match=r"does not fit test_resnet: missing '.*' and \d+ more; unknown"):
        build("test_resnet", f"file:{path}", PETS)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("builtin", "names no source"),
        ("hub:x", "names no source"),
        ("file:", "needs a path"),
        ("bundle:", "needs a path"),
        ("random:7", "takes nothing behind the colon"),
        ("file:nothing.pth", "no file 'nothing.pth'"),
        ("bundle:nothing", "is no bundle"),
    ],
)
def test_a_wrong_source_is_refused(source: str, words: str) -> None:
    with pytest.raises(WeightsError) as caught:
        build(LITE[0], source, PETS)
    assert words in str(caught.value)


@pytest.mark.network_refused
def test_timm_without_a_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        build("resnet18", "timm:", PETS)
    message = str(caught.value)
    assert "\n" not in message
    assert "connect to the network once" in message
    assert "file:PATH" in message


def test_timm_says_where_it_has_no_weights() -> None:
    with pytest.raises(WeightsError, match="no pretrained weights"):
        build("botnet50ts_256", "timm:", PETS)


def test_random_loads_nothing() -> None:
    assert build("test_resnet", "random:", PETS).origin.sha256 is None


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("resnet5", None, "did you mean 'resnet50'"),
        ("", None, "timm has no ''"),
        ("test_resnet", 0, "image_size is 0"),
        ("vit_tiny_patch16_224", 8, "cannot work at 8 pixels"),
    ],
)
def test_a_backbone_that_cannot_be_built(name: str, size: int | None, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build(name, "random:", PETS, size)
    assert words in str(caught.value)


def test_a_new_head_starts_from_zero() -> None:
    for name in ("tf_efficientnet_lite0", "vit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"):
        module = build(name, "random:", PETS).module
        heads = module.get_classifier()
        for head in heads if isinstance(heads, tuple) else (heads,):
            assert not any(tensor.any() for tensor in head.state_dict().values())


def test_the_tensors_digest_is_of_values_and_names() -> None:
    state = {"a": torch.zeros(2), "b": torch.ones(2)}
    digests = {
        weights.sha256_of_tensors(one)
        for one in (state, {"a": torch.zeros(2), "c": torch.ones(2)}, {**state, "b": torch.zeros(2)})
    }
    assert len(digests) == 3


def test_every_refusal_is_the_users_to_mend() -> None:
    assert issubclass(WeightsError, InputError)
