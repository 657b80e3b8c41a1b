from __future__ import annotations

import json
import random

import pytest

from vision_ft.errors import BundleError
from vision_ft.framing import Framing
from vision_ft.spec import ModelSpec, Preprocessing, Thresholds, WeightsOrigin


def a_spec() -> ModelSpec:
    return ModelSpec(
        classes=("cat", "dög"),
        preprocessing=Preprocessing(Framing(224, 160, 0.875, "bicubic"), (0.5, 0.4, 0.3), (0.5, 0.6, 0.7)),
        backbone="resnet18",
        weights=WeightsOrigin("builtin:", "ab" * 32, licence="apache-2.0"),
        temperature=1.25,
        thresholds=Thresholds(unsure=0.6),
        metrics={"val": {"accuracy": 0.5}},
        files={"model.onnx": "cd" * 32},
    )


def test_what_is_written_is_read() -> None:
    spec = a_spec()
    assert ModelSpec.from_json(spec.to_json().encode(), "spec.json") == spec


def test_any_changed_byte_is_found() -> None:
    text = a_spec().to_json().encode()
    rng = random.Random(0)
    for place in range(len(text)):
        changed = bytearray(text)
        changed[place] ^= 1 << rng.randrange(8)
        with pytest.raises(BundleError, match=r"spec\.json: "):
            ModelSpec.from_json(bytes(changed), "spec.json")


def test_another_schema_is_refused_by_its_number() -> None:
    import hashlib

    text = a_spec().to_json().replace('"schema": 2', '"schema": 99')
    digest = json.loads(text)["sha256"]
    blank = text.replace(digest, "0" * 64)
    text = blank.replace("0" * 64, hashlib.sha256(blank.encode()).hexdigest())
    with pytest.raises(BundleError, match="schema 99, this version reads 1 and 2"):
        ModelSpec.from_json(text.encode(), "spec.json")


def test_a_bundle_of_schema_1_is_read_and_has_no_novelty() -> None:
    import hashlib

    record = json.loads(a_spec().to_json())
    record["schema"] = 1
    for name in ("calibration", "engines"):
        del record[name]
    record["sha256"] = "0" * 64
    blank = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    text = blank.replace("0" * 64, hashlib.sha256(blank.encode()).hexdigest())
    spec = ModelSpec.from_json(text.encode(), "spec.json")
    assert spec.classes == ("cat", "dög")
    assert (spec.calibration, spec.engines) == ({}, {})


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b"null", b"\xff\xfe", b'{"sha256": 1, "schema": 1}', b'{"sha256": "", "schema": 1}']
)
def test_what_is_no_spec_is_refused(data: bytes) -> None:
    with pytest.raises(BundleError):
        ModelSpec.from_json(data, "spec.json")
