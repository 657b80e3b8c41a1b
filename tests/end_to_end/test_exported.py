"""The exported model as users get it: its formats, thresholds and test of itself."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

import vision_ft
from tests.conftest import Command, lines
from vision_ft.cli import main
from vision_ft.errors import UsageError
from vision_ft.export import formats
from vision_ft.export.int8 import quantised
from vision_ft.imaging import read
from vision_ft.runtime.predictor import Predictor
from vision_ft.spec import ModelSpec

ENGINES = ("onnx", "int8", "openvino")


@pytest.fixture(scope="module")
def run(small_bundle: Path) -> Path:
    return small_bundle.parent


@pytest.fixture(scope="module")
def bundle(run: Path, place: Path) -> Path:
    out = place / "bundle"
    assert main(["export", str(run), "--out", str(out), "--engines", "onnx,int8,openvino,pt2"]) == 0
    return out


@pytest.fixture(scope="module")
def photos(drawings: Path) -> list[Path]:
    return sorted(drawings.rglob("*.jpg"))


def shares(predictor: Predictor, photos: list[Path]) -> np.ndarray:
    return np.array([list((one.probabilities or {}).values()) for one in predictor.predict(photos)])


def signed(bundle: Path, **changed: bytes) -> None:
    """Put other bytes into a bundle, and its name under them: as though it had been made so."""
    import dataclasses
    import hashlib

    spec = ModelSpec.from_json((bundle / "spec.json").read_bytes(), "spec")
    files = dict(spec.files)
    for name, data in changed.items():
        file = name.replace("_", ".")
        (bundle / file).write_bytes(data)
        files[file] = hashlib.sha256(data).hexdigest()
    (bundle / "spec.json").write_text(dataclasses.replace(spec, files=files).to_json())


def test_every_engine_is_let_through_and_on_record(bundle: Path, photos: list[Path]) -> None:
    spec = vision_ft.load(bundle).spec
    assert sorted(spec.engines) == ["int8", "onnx", "openvino", "pt2"]
    for name in ("onnx", "openvino", "pt2"):
        assert spec.engines[name]["largest_difference"] <= 1e-4
        assert spec.engines[name]["batches"] == [1, 3, 16]
    int8 = spec.engines["int8"]
    assert abs(int8["accuracy"] - int8["accuracy_of_float32"]) <= 0.005
    assert abs(int8["log_loss"] - int8["log_loss_of_float32"]) <= 0.01
    assert int8["photos"] == spec.metrics["val"]["photos"]
    wanted = shares(vision_ft.load(bundle), photos)
    assert np.abs(shares(vision_ft.load(bundle, "openvino"), photos) - wanted).max() <= 1e-4
    near = np.abs(shares(vision_ft.load(bundle, "int8"), photos) - wanted)
    # Other numbers than those of float32, and not far off.
    assert near.max() > 0
    assert near.mean() < 0.05


def test_int8_is_int8(bundle: Path) -> None:
    import onnx

    graph = onnx.load(bundle / "model.int8.onnx").graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("QuantizeLinear") >= kinds.count("Conv") > 3
    int8 = onnx.TensorProto.INT8
    assert sum(one.data_type == int8 and len(one.dims) == 4 for one in graph.initializer) == kinds.count("Conv")


def test_pt2_says_what_the_graph_says(bundle: Path, photos: list[Path]) -> None:
    program = torch.export.load(io.BytesIO((bundle / "model.pt2").read_bytes())).module()
    predictor = vision_ft.load(bundle)
    pixels = np.stack([read(path, predictor.spec.preprocessing.framing) for path in photos[:5]])
    with torch.inference_mode():
        probabilities, novelty = program(torch.from_numpy(pixels))
    found = predictor.predict(photos[:5])
    wanted = np.array([list((one.probabilities or {}).values()) for one in found])
    assert np.abs(probabilities.numpy() - wanted).max() <= 1e-4
    assert novelty.numpy() == pytest.approx([one.novelty for one in found], abs=5e-3)


def test_all_of_it_is_inside_the_graph(bundle: Path, photos: list[Path]) -> None:
    """Temperature and novelty need nothing but ONNX Runtime."""
    predictor = vision_ft.load(bundle)
    session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])
    assert {one.name for one in session.get_outputs()} == {"probabilities", "novelty", "places"}
    pixels = np.stack([read(path, predictor.spec.preprocessing.framing) for path in photos])
    probabilities, novelty, places = session.run(["probabilities", "novelty", "places"], {"pixels": pixels})
    assert probabilities.sum(axis=1) == pytest.approx(1)
    # test_resnet pools by averaging: the softmax of the mean over the places, cooled, is the answer.
    cooled = torch.softmax(torch.from_numpy(places).mean((1, 2)) / predictor.spec.temperature, dim=1)
    assert cooled.numpy() == pytest.approx(probabilities, abs=1e-4)
    val = [one.novelty for one in predictor.predict(photos)]
    assert novelty == pytest.approx(val, abs=1e-4)
    known = predictor.spec.calibration
    assert known["photos"] == predictor.spec.metrics["val"]["photos"]
    assert 0 <= known["ece_after"] < 1
    assert known["log_loss_after"] <= known["log_loss_before"]
    assert predictor.spec.metrics["val"]["log_loss"] == pytest.approx(known["log_loss_after"], abs=1e-4)


def test_thresholds_are_moved_and_switched_off(bundle: Path, photos: list[Path], command: Command) -> None:
    known = vision_ft.load(bundle).thresholds
    assert known.neither == 1

    def verdicts(**moved: float | None) -> set[str | None]:
        return {one.verdict for one in vision_ft.load(bundle, **moved).predict(photos)}  # type: ignore[arg-type]

    assert verdicts(neither=0.0) == {"neither"}
    assert verdicts(neither=None, unsure=1.0) == {"unsure"}
    assert verdicts(neither=None, unsure=None) == {"cat", "dog"}
    by_int8 = {one.label for one in vision_ft.load(bundle, "int8").predict([*photos[:3], photos[-1]])}
    for words, wanted in (
        (["--neither", "0"], {"neither"}),
        (["--neither", "off", "--unsure", "1"], {"unsure"}),
        (["--neither", "off", "--unsure", "off", "--engine", "int8"], by_int8),
    ):
        done = command("predict", bundle, *photos[:3], photos[-1], *words, cwd=bundle.parent)
        assert {json.loads(line)["verdict"] for line in lines(done)} == wanted


@pytest.mark.parametrize(
    ("words", "mends"),
    [
        (["--unsure", "2"], "unsure is 2, must be a probability from 0 to 1, or off"),
        (["--neither", "-1"], "neither is -1, must be 0 or more, or off"),
        (["--unsure", "high"], "high"),
        (["--engine", "tensorrt"], "tensorrt"),
    ],
)
def test_thresholds_that_cannot_be(
    words: list[str], mends: str, bundle: Path, photos: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(bundle), str(photos[0]), *words]) == 2
    assert mends in capsys.readouterr().err.strip().splitlines()[-1]


def test_an_engine_that_the_bundle_has_not(small_bundle: Path) -> None:
    with pytest.raises(UsageError, match=r"has no model\.int8\.onnx, .* --engines onnx,int8"):
        vision_ft.load(small_bundle, "int8")
    with pytest.raises(UsageError, match=r"no engine 'int9' \(did you mean 'int8'\?\)"):
        vision_ft.load(small_bundle, "int9")


@pytest.mark.parametrize(
    ("words", "mends"),
    [
        (["--engines", "onnx,in8"], "--engines: no engine 'in8' (did you mean 'int8'?)"),
        (["--unsure-error", "1.5"], "--unsure-error is 1.5, must be a share between 0 and 1"),
        (["--thumbnails", "-1"], "--thumbnails is -1, must be from 0 to 64"),
    ],
)
def test_exports_that_cannot_be(
    words: list[str], mends: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["export", str(run), "--out", str(tmp_path / "out"), *words]) == 2
    assert mends in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_tests_itself(bundle: Path, place: Path, command: Command) -> None:
    done = command("predict", "--self-test", bundle, cwd=place)
    assert [line.split(":")[0] for line in lines(done)] == [*ENGINES, "passed"]
    assert all("agrees" in line for line in lines(done)[:-1])


def test_a_machine_that_computes_otherwise_is_found_out(bundle: Path, tmp_path: Path, command: Command) -> None:
    """As though the graph's answers were others here than where it was made."""
    other = tmp_path / "other"
    shutil.copytree(bundle, other)
    golden = json.loads((other / "golden.json").read_text())
    golden["answers"]["source"]["probabilities"][0][0] += 2e-4
    signed(other, golden_json=json.dumps(golden).encode())
    done = command("predict", "--self-test", other, cwd=tmp_path, code=3)
    assert "onnx: differs by 0.0002 in probability at batch 1" in done.stdout
    assert lines(done)[-1].startswith("FAILED: onnx, openvino must not be used on this machine")
    golden["answers"]["source"]["probabilities"][0][0] -= 2e-4
    golden["answers"]["source"]["novelty"][1] += 0.02
    signed(other, golden_json=json.dumps(golden).encode())
    assert "in novelty" in command("predict", "--self-test", other, cwd=tmp_path, code=3).stdout


def test_no_thumbnails_no_test_of_itself(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "bare"
    assert main(["export", str(run), "--out", str(out), "--thumbnails", "0"]) == 0
    assert not (out / "golden.png").exists()
    assert "No photo is in this folder" in (out / "README.md").read_text()
    assert main(["predict", "--self-test", str(out)]) == 2
    assert "--thumbnails" in capsys.readouterr().err
    # Whoever has the photos can still compare with what was said of them.
    golden = json.loads((out / "golden.json").read_text())
    assert len(golden["photos"]) == len(golden["answers"]["source"]["probabilities"]) == 64


def test_int8_that_lost_too_much_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import onnx

    def worse(core: onnx.ModelProto, *rest: object) -> onnx.ModelProto:
        made = quantised(core, *rest)  # type: ignore[arg-type]
        for tensor in made.graph.initializer:
            if tensor.name.endswith("fc.bias"):
                values = onnx.numpy_helper.to_array(tensor) + np.array([3, -3], np.float32)
                tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
        return made

    monkeypatch.setattr(formats, "quantised", worse)
    out = tmp_path / "bundle"
    assert main(["export", str(run), "--out", str(out), "--engines", "onnx,int8"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "int8 is not in the bundle:" in said
    assert "4 ways of quantising were tried" in said
    assert not (out / "model.int8.onnx").exists()
    assert "int8" not in vision_ft.load(out).spec.engines


def test_a_heat_map(bundle: Path, photos: list[Path]) -> None:
    predictor = vision_ft.load(bundle)
    framing = predictor.spec.preprocessing.framing
    maps = {label: predictor.explain(photos[0], label) for label in ("cat", "dog")}
    for found in maps.values():
        assert found.shape == (framing.height, framing.width)
        assert 0 <= found.min() <= found.max() <= 1
    # What speaks for the one of two speaks against the other.
    assert not ((maps["cat"] > 0) & (maps["dog"] > 0)).all()
    with pytest.raises(UsageError, match=r"no class 'cta' \(did you mean 'cat'\?\)"):
        predictor.explain(photos[0], "cta")
