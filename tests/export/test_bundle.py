from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
import safetensors.torch
import torch

import vision_ft
from vision_ft.cli import main
from vision_ft.commands.handover import hand_over
from vision_ft.errors import BundleError, CheckpointError, DataError, ExportMismatch
from vision_ft.export import bundle as bundling
from vision_ft.export.gate import Gate
from vision_ft.export.graph import Exported, core_of
from vision_ft.export.tail import finished
from vision_ft.imaging import read
from vision_ft.model.backbone import build
from vision_ft.model.checkpoint import load_network
from vision_ft.model.exporters import OPSET
from vision_ft.model.network import Network
from vision_ft.runtime.engine import Answers, OnnxRuntime

from .conftest import CheckpointOf

BACKBONES = ("tf_efficientnet_lite0", "resnet18", "convnext_atto", "vit_tiny_patch16_224")
FILES = ["README.md", "golden.json", "golden.png", "model.onnx", "spec.json", "weights.safetensors"]


@pytest.fixture(scope="session")
def bundle(checkpoint_of: CheckpointOf, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("bundle") / "bundle"
    hand_over(checkpoint_of("resnet18"), out, None)
    return out


@pytest.mark.parametrize("backbone", BACKBONES)
def test_any_backbone_is_exported_and_predicts_what_the_network_says(
    backbone: str, checkpoint_of: CheckpointOf, drawings: Path, tmp_path: Path
) -> None:
    checkpoint = checkpoint_of(backbone)
    out = tmp_path / "bundle"
    handed = hand_over(checkpoint, out, None)
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert handed.gate["photos"] == 64
    assert handed.gate["batches"] == [1, 3, 16]
    assert 0 <= float(str(handed.gate["largest_difference"])) <= 1e-4
    network, record = load_network(checkpoint)
    paths = sorted(drawings.rglob("*.jpg"))[::3]
    pixels = np.stack([read(path, network.preprocessing.framing) for path in paths])
    with torch.inference_mode():
        expected = Exported(network)(torch.from_numpy(pixels))[0].numpy()
    predictions = vision_ft.load(out).predict(paths)
    got = np.array([list((one.probabilities or {}).values()) for one in predictions])
    assert np.abs(got - expected).max() < 1e-4
    assert expected.std(axis=0).max() > 1e-3, "the network says the same of every photo: nothing was compared"
    assert [one.path for one in predictions] == list(map(str, paths))
    assert record.classes == ("cat", "dog")


def test_the_graph_is_complete_and_of_the_opset_named(bundle: Path) -> None:
    graph = onnx.load(bundle / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert [one.version for one in graph.opset_import if one.domain in ("", "ai.onnx")] == [OPSET]
    (pixels,) = graph.graph.input
    shape = [axis.dim_param or axis.dim_value for axis in pixels.type.tensor_type.shape.dim]
    assert isinstance(shape[0], str)
    assert shape[1:] == [32, 32, 3]
    assert pixels.type.tensor_type.elem_type == onnx.TensorProto.UINT8


def test_the_weights_go_on_to_timm_and_to_the_next_run(bundle: Path, checkpoint_of: CheckpointOf) -> None:
    import timm

    state = safetensors.torch.load_file(bundle / "weights.safetensors")
    timm.create_model("resnet18", num_classes=2).load_state_dict(state)
    again = build("resnet18", f"bundle:{bundle}", ("bird", "dog", "cat")).module.state_dict()
    for name, tensor in state.items():
        if not name.startswith("fc."):
            assert torch.equal(again[name], tensor)
    # The rows of known classes are kept, wherever the class stands now; a new class starts from zero.
    assert torch.equal(again["fc.weight"][2], state["fc.weight"][0])
    assert torch.equal(again["fc.weight"][1], state["fc.weight"][1])
    assert not again["fc.weight"][0].any()


def test_a_renamed_class_keeps_its_row(bundle: Path) -> None:
    state = safetensors.torch.load_file(bundle / "weights.safetensors")
    built = build("resnet18", f"bundle:{bundle}", ("dog", "kitty"), renamed={"cat": "kitty"})
    assert built.known == ("dog", "kitty")
    assert torch.equal(built.module.state_dict()["fc.weight"], state["fc.weight"].flip(0))


@pytest.mark.parametrize(
    ("renamed", "source", "words"),
    [
        ({"cot": "kitty"}, None, r"no class 'cot' \(did you mean 'cat'\?\)"),
        ({"cat": "kity"}, None, r"the data has no class 'kity' \(did you mean 'kitty'\?\)"),
        ({"cat": "dog"}, None, "two classes would have one name: dog, dog"),
        ({"cat": "kitty"}, "random:", "random: has none"),
    ],
)
def test_names_that_do_not_fit(renamed: dict[str, str], source: str | None, words: str, bundle: Path) -> None:
    from vision_ft.errors import ConfigError

    with pytest.raises(ConfigError, match=words):
        build("resnet18", source or f"bundle:{bundle}", ("dog", "kitty"), renamed=renamed)


def test_a_bundle_of_another_backbone_is_refused(bundle: Path) -> None:
    from vision_ft.errors import WeightsError

    with pytest.raises(WeightsError, match=r"set model\.backbone resnet18"):
        build("resnet34", f"bundle:{bundle}", ("cat", "dog"))


def test_nothing_in_a_bundle_is_a_pickle(bundle: Path) -> None:
    assert not [path for path in bundle.iterdir() if path.read_bytes()[:2] in (b"\x80\x02", b"PK")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_one_changed_byte_is_found(
    name: str, place: float, bundle: Path, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    data = bytearray((copy / name).read_bytes())
    data[int(len(data) * place)] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        vision_ft.load(copy)
    assert main(["predict", str(copy), str(drawings)]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_found(name: str, bundle: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    (copy / name).unlink()
    with pytest.raises(BundleError, match=name.replace(".", r"\.")):
        vision_ft.load(copy)


def test_a_file_outside_the_bundle_is_never_read(bundle: Path, tmp_path: Path) -> None:
    import dataclasses

    from vision_ft.spec import ModelSpec

    copy = tmp_path / "copy"
    shutil.copytree(bundle, copy)
    spec = ModelSpec.from_json((copy / "spec.json").read_bytes(), "spec")
    files = {**spec.files, "../secret": "0" * 64}
    (tmp_path / "secret").write_text("x")
    (copy / "spec.json").write_text(dataclasses.replace(spec, files=files).to_json())
    with pytest.raises(BundleError, match="secret"):
        vision_ft.load(copy)


def test_the_gate_refuses_what_differs(checkpoint_of: CheckpointOf, drawings: Path) -> None:
    network, _ = load_network(checkpoint_of("resnet18"))
    exported = Exported(network).eval()
    photos = [read(path, network.preprocessing.framing) for path in sorted(drawings.rglob("*.jpg"))[:40]]

    def engine(off: float, from_batch: int = 1):  # type: ignore[no-untyped-def]
        def run(pixels: np.ndarray) -> Answers:
            with torch.inference_mode():
                found = exported(torch.from_numpy(pixels))[0].numpy()
            if len(pixels) >= from_batch:
                found[-1] += off
            return Answers(found)

        return run

    gate = Gate(exported, photos)
    assert gate.compare(engine(0.0)).record["largest_difference"] == pytest.approx(0, abs=1e-5)
    gate.compare(engine(5e-5))
    for off in (2e-4, -2e-4, float("nan")):
        with pytest.raises(ExportMismatch, match="at batch 1,"):
            gate.compare(engine(off))
    # Wrong in large batches alone, as exports through dynamo have been.
    with pytest.raises(ExportMismatch, match="at batch 16,"):
        gate.compare(engine(2e-4, from_batch=16))


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_the_temperature_is_in_the_graph(temperature: float, checkpoint_of: CheckpointOf, drawings: Path) -> None:
    network, _ = load_network(checkpoint_of("resnet18"))
    pixels = np.stack([read(path, network.preprocessing.framing) for path in sorted(drawings.rglob("*.jpg"))[:8]])
    graph = finished(core_of(network), temperature, None, 1.0)
    with torch.no_grad():
        wanted = torch.softmax(network(torch.from_numpy(pixels)) / temperature, dim=-1).numpy()
    assert OnnxRuntime(graph).run(pixels).probabilities == pytest.approx(wanted, abs=1e-5)


def test_a_graph_that_disagrees_is_not_written(
    checkpoint_of: CheckpointOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The graph is made of a network whose head was changed, the comparison of the true one."""
    real = bundling.core_of

    def other(network: Network, translation: None) -> onnx.ModelProto:
        graph = real(network, translation)
        for tensor in graph.graph.initializer:
            if tensor.name.endswith("fc.bias"):
                tensor.CopyFrom(onnx.numpy_helper.from_array(np.array([0.1, 0], np.float32), tensor.name))
        return graph

    monkeypatch.setattr(bundling, "core_of", other)
    with pytest.raises(ExportMismatch, match="not written"):
        hand_over(checkpoint_of("resnet18"), tmp_path / "bundle", None)
    assert list(tmp_path.iterdir()) == []


def test_photos_that_are_gone_stop_the_export(
    checkpoint_of: CheckpointOf, drawings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = tmp_path / "moved.ckpt"
    content = torch.load(checkpoint_of("resnet18"), weights_only=True)
    content["PhotoData"]["golden"] = [str(tmp_path / f"gone{index}.jpg") for index in range(64)]
    torch.save(content, checkpoint)
    with pytest.raises(DataError, match="name a folder of photos with --photos"):
        hand_over(checkpoint, tmp_path / "bundle", None)
    assert main(["export", str(checkpoint), "--photos", str(drawings)]) == 0
    assert "next: vision-ft predict" in capsys.readouterr().out
    assert vision_ft.load(tmp_path / "moved.bundle").spec.gate["photos"] == 64


def test_a_checkpoint_that_is_not_ours(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.ckpt"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "epoch": 1}, foreign)
    with pytest.raises(CheckpointError, match="not a checkpoint of vision-ft"):
        load_network(foreign)
    for content in (b"", b"text", b"PK\x03\x04"):
        foreign.write_bytes(content)
        with pytest.raises(CheckpointError, match="damaged or not a checkpoint"):
            load_network(foreign)


def test_the_spec_says_where_the_model_comes_from(bundle: Path) -> None:
    spec = json.loads((bundle / "spec.json").read_text())
    assert spec["classes"] == ["cat", "dog"]
    assert spec["backbone"] == "resnet18"
    assert spec["weights"] == {
        "source": "random:",
        "sha256": None,
        "digest_of": "file",
        "licence": None,
        "ancestors": [],
    }
    assert spec["data"]["photos"] == {"train": 56, "val": 12, "test": 12}
    assert len(spec["data"]["fingerprint"]) == 64
    assert {"torch", "timm", "onnx", "onnxruntime", "vision-ft", "python"} <= set(spec["versions"])
    assert "/" not in json.dumps(spec["data"]), "paths of the machine that trained it have no place in a bundle"


def test_the_card_is_a_card(bundle: Path) -> None:
    text = (bundle / "README.md").read_text()
    assert text.startswith("---\n")
    assert "pipeline_tag: image-classification" in text
    assert "cat, dog" in text
