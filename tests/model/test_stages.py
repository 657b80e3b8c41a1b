from __future__ import annotations

import logging

import pytest
import timm

from vision_ft.model.stages import stages_of

BLOCKS = [f"blocks.{index}" for index in range(12)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tf_efficientnet_lite0", ["stem", *BLOCKS[:7], "head"]),
        ("resnet18", ["stem", "layer1", "layer2", "layer3", "layer4", "head"]),
        ("convnext_atto", ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]),
        ("vit_tiny_patch16_224", ["stem", *BLOCKS, "head"]),
        ("deit_tiny_distilled_patch16_224", ["stem", *BLOCKS, "head"]),
        ("swin_tiny_patch4_window7_224", ["stem", "layers.0", "layers.1", "layers.2", "layers.3", "head"]),
        ("regnetx_002", ["stem", "s1", "s2", "s3", "s4", "head"]),
        ("mobilenetv3_small_050", ["stem", *BLOCKS[:6], "head"]),
    ],
)
def test_stages_have_timms_names(name: str, expected: list[str]) -> None:
    backbone = timm.create_model(name, num_classes=3)
    stages = stages_of(backbone)
    assert list(stages.names) == expected
    tensors = [name for name, _ in (*backbone.named_parameters(), *backbone.named_buffers())]
    assert set(stages.of_tensor) == set(tensors)
    assert set(stages.of_tensor.values()) == set(expected)


@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_lite0", "resnet18", "convnext_atto", "swin_tiny_patch4_window7_224", "mobilenetv3_small_050"],
)
def test_the_head_is_the_classifier_alone(name: str) -> None:
    """A last norm or 1×1 convolution is pretrained: it stays frozen with the backbone while a new head trains."""
    backbone = timm.create_model(name, num_classes=3)
    head = [tensor for tensor, stage in stages_of(backbone).of_tensor.items() if stage == "head"]
    prefix = backbone.default_cfg["classifier"]
    assert sorted(head) == [f"{prefix}.bias", f"{prefix}.weight"]


def test_a_batch_norm_and_its_statistics_are_of_one_stage() -> None:
    stages = stages_of(timm.create_model("resnet18"))
    assert stages.of_tensor["layer3.0.bn1.running_mean"] == "layer3"
    assert stages.of_tensor["layer3.0.bn1.weight"] == "layer3"
    assert stages.of_module["layer3.0.bn1"] == "layer3"


def test_stochastic_depth_is_of_the_stage_it_lies_in() -> None:
    stages = stages_of(timm.create_model("convnext_atto", drop_path_rate=0.5))
    assert stages.of_module["stages.2.blocks.3.drop_path"] == "stages.2"


def test_a_backbone_that_cannot_be_split_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        stages = stages_of(timm.create_model("inception_v3", num_classes=3))
    assert stages.names == ("body", "head")
    assert "cannot be split" in caplog.text
