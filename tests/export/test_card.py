"""The model card, read by the hub's own library."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from huggingface_hub import ModelCard

from tests.evaluate.test_metrics import random_scores
from vision_ft.evaluate.metrics import score
from vision_ft.export.card import OTHERS, model_card
from vision_ft.framing import Framing
from vision_ft.spec import ModelSpec, Preprocessing, Thresholds, WeightsOrigin


def spec_of(classes: tuple[str, ...] = ("cat", "dog"), licence: str | None = "apache-2.0") -> ModelSpec:
    probabilities, labels = random_scores(60, len(classes))
    scores = {part: score(probabilities, labels, classes).as_record() for part in ("val", "test")}
    return ModelSpec(
        classes=classes,
        preprocessing=Preprocessing(Framing(224, 224, 0.875, "bicubic"), (0.5,) * 3, (0.5,) * 3),
        backbone="tf_efficientnet_lite0",
        weights=WeightsOrigin("builtin:", "a" * 64, licence=licence),
        data={"fingerprint": "f" * 64, "photos": {"train": 100, "val": 60, "test": 60}},
        metrics=dict(scores),
        versions={"vision-ft": "0.1.0"},
        created="2026-01-01T00:00:00+00:00",
    )


def test_the_hub_reads_it() -> None:
    spec = spec_of()
    card = ModelCard(model_card(spec))
    data = card.data
    assert (data.license, data.library_name, data.pipeline_tag) == ("apache-2.0", "vision-ft", "image-classification")
    assert {"vision-ft", "image-classification"} <= set(data.tags)
    assert data.model_name == "cat or dog"
    found = {(one.dataset_split, one.metric_type): one.metric_value for one in data.eval_results}
    for part in ("val", "test"):
        assert found[part, "accuracy"] == pytest.approx(spec.metrics[part]["accuracy"], rel=1e-5)
        assert found[part, "log_loss"] == pytest.approx(spec.metrics[part]["log_loss"], rel=1e-5)
        assert found[part, "roc_auc"] == pytest.approx(spec.metrics[part]["auroc"], rel=1e-5)
    assert len(found) == 10


def test_it_says_what_a_person_should_know() -> None:
    text = model_card(spec_of())
    for heading in ("How to use it", "Intended use", "Figures", "Limits seen", "Data", "Training", "Licence"):
        assert f"## {heading}" in text
    low, high = spec_of().metrics["test"]["accuracy_interval"]
    assert f"({low:.2%} to {high:.2%})" in text
    assert "uncalibrated" in text
    assert "Every picture is given one of the classes" in text
    assert "was not measured" in text


def test_limits_are_those_of_the_model() -> None:
    others = {
        "folder": "not_pets", "photos": 110, "refused": 99, "refused_interval": [0.83, 0.94], "unsure": 9,
        "neither": 90, "surer_than_90": 4, "novelty_auroc": 0.99,
    }  # fmt: skip
    spec = spec_of()
    spec = dataclasses.replace(
        spec, temperature=1.5, thresholds=Thresholds(unsure=0.8, neither=0.4), metrics={**spec.metrics, OTHERS: others}
    )
    text = model_card(spec)
    assert "Of 110 pictures of none of its classes (`not_pets`), 99 (90.0%" in text
    assert "temperature 1.500" in text
    assert "*unsure* below a probability of 0.8" in text
    assert "*neither* above a novelty of 0.4" in text
    assert len(ModelCard(text).data.eval_results) == 10, "what is said of other pictures is no part of the data"


@pytest.mark.parametrize(
    "classes",
    [('a "quoted" one', "b: c", "#d"), ("yes", "no"), ("ünï", "10|20"), tuple(f"class {n}" for n in range(120))],
    ids=["signs of YAML", "words of YAML", "not ASCII", "many"],
)
def test_any_name_of_a_class_is_well(classes: tuple[str, ...]) -> None:
    card = ModelCard(model_card(spec_of(classes)))
    assert card.data.eval_results
    expected = " or ".join(classes) if len(classes) <= 4 else f"{len(classes)} classes"
    assert card.data.model_name == expected


def test_without_figures_and_licence_it_is_a_card_too() -> None:
    spec = dataclasses.replace(spec_of(licence=None), metrics={})
    card = ModelCard(model_card(spec))
    assert card.data.license == "unknown"
    assert card.data.eval_results is None
    assert "states no licence" in card.text


def test_a_class_without_photos_has_no_figures() -> None:
    probabilities, _ = random_scores(20, 3)
    scores = score(probabilities, np.zeros(20, np.int64), ("a", "b", "c")).as_record()
    text = model_card(dataclasses.replace(spec_of(("a", "b", "c")), metrics={"test": scores}))
    assert "| b | " in text
    assert "roc_auc" not in text.partition("metrics:\n")[2]
