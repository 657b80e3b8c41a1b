from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import nn

from vision_ft.model.backbone import create, preprocessing_of
from vision_ft.model.convex import STRENGTHS, optima
from vision_ft.model.head import Linear, LinearHead
from vision_ft.model.imagenet import rows_of
from vision_ft.model.mixing import Mixing
from vision_ft.model.network import Network

# One linear layer; a 1×1 convolution; two layers; a norm within the head; two of those.
HEADS = (
    "tf_efficientnet_lite0",
    "resnetv2_50",
    "vit_tiny_patch16_224",
    "deit_tiny_distilled_patch16_224",
    "efficientformer_l1",
    "levit_128s",
    "convnext_atto",
    "swin_tiny_patch4_window7_224",
)


def network_of(name: str) -> tuple[Network, torch.Tensor]:
    torch.manual_seed(0)
    module = create(name, 3)
    network = Network(module, preprocessing_of(module)).eval()
    framing = network.preprocessing.framing
    return network, torch.randint(0, 256, (3, framing.height, framing.width, 3), dtype=torch.uint8)


@pytest.mark.parametrize("name", HEADS)
def test_what_is_written_to_the_head_is_what_the_network_says(name: str) -> None:
    network, pixels = network_of(name)
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    head = LinearHead.of(network, pixels)
    assert head is not None
    assert all(torch.equal(before[key], tensor) for key, tensor in network.state_dict().items())
    inputs = head.inputs(pixels)
    linear = Linear(torch.randn(3, inputs.shape[1], dtype=torch.float64), torch.randn(3, dtype=torch.float64))
    head.write(linear)
    with torch.no_grad():
        logits = network(pixels)
    torch.testing.assert_close(logits.double(), linear.logits(inputs), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(head.read().weight, linear.weight, rtol=1e-6, atol=1e-6)


def test_a_head_that_is_not_linear_is_none() -> None:
    network, pixels = network_of("resnet18")
    network.backbone.fc = nn.Sequential(nn.Linear(512, 8), nn.GELU(), nn.Linear(8, 3))
    network.backbone.get_classifier = lambda: network.backbone.fc  # type: ignore[operator]
    assert LinearHead.of(network, pixels) is None


@pytest.fixture
def problem() -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 300)
    values = rng.normal(size=(300, 20)) * rng.uniform(0.1, 9, 20) + 5 + np.eye(3, 20)[labels]
    values[:, 7] = 4.0  # the same in every photo
    return torch.from_numpy(values).float(), torch.from_numpy(labels)


def zeros(classes: int = 3, features: int = 20) -> Linear:
    return Linear(torch.zeros(classes, features, dtype=torch.float64), torch.zeros(classes, dtype=torch.float64))


def test_the_optimum_is_scikit_learns(problem: tuple[torch.Tensor, torch.Tensor]) -> None:
    values, labels = problem
    spread = values.double().std(0, correction=0)
    spread[7] = 1
    standard = ((values.double() - values.double().mean(0)) / spread).numpy()
    found = dict(optima(values, labels, zeros()))
    assert tuple(found) == STRENGTHS
    for strength in (1.0, 0.01, 1e-4):
        theirs = LogisticRegression(C=1 / (strength * len(labels)), tol=1e-10, max_iter=10_000)
        theirs.fit(standard, labels.numpy())
        ours = found[strength].logits(values).softmax(1).numpy()
        np.testing.assert_allclose(ours, theirs.predict_proba(standard), atol=2e-5)


def test_it_is_the_same_wherever_the_search_begins(problem: tuple[torch.Tensor, torch.Tensor]) -> None:
    values, labels = problem
    (_, alone), *_ = optima(values, labels, zeros(), strengths=(0.01,))
    *_, (_, behind) = optima(values, labels, zeros(), strengths=(3.0, 1e-4, 0.01))
    torch.testing.assert_close(alone.logits(values), behind.logits(values), rtol=1e-4, atol=1e-4)


def test_a_prior_is_what_it_is_held_near(problem: tuple[torch.Tensor, torch.Tensor]) -> None:
    values, labels = problem
    prior = Linear(torch.randn(3, 20, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))
    (_, held), (_, free) = optima(values, labels, prior, strengths=(1e6, 1e-4))
    kept = torch.arange(20) != 7
    torch.testing.assert_close(held.weight[:, kept], prior.weight[:, kept], rtol=1e-4, atol=1e-4)
    (_, other), *_ = optima(values, labels, zeros(), strengths=(1e-4,))
    assert (free.weight - other.weight).abs().max() < (held.weight - other.weight).abs().max()


def test_label_smoothing_makes_it_less_sure(problem: tuple[torch.Tensor, torch.Tensor]) -> None:
    values, labels = problem
    sure, less = (
        next(optima(values, labels, zeros(), strengths=(1e-4,), label_smoothing=share))[1].logits(values).softmax(1)
        for share in (0.0, 0.3)
    )
    # The best that can be said of a label of which 0.3 is spread over three classes is 0.8.
    assert less.max(1).values.mean() < sure.max(1).values.mean() - 0.1
    assert less.max() < 0.95 < sure.max()


@pytest.mark.parametrize(
    ("names", "rows"),
    [
        (["cat", "dog"], [5, 118]),
        (["Cats", "DOGS"], [5, 118]),
        (["golden_retriever", "tabby"], [1, 1]),
        (["n02099601", "Egyptian-cat"], [1, 1]),
        (["goldfish", "Persian cat", "pugs"], [1, 1, 1]),
        (["cat", "unheard of"], None),
        (["crane", "dog"], [2, 118]),
    ],
)
def test_names_of_imagenet(names: list[str], rows: list[int] | None) -> None:
    found = rows_of(names)
    assert (found and [len(one) for one in found]) == rows


def test_the_breeds_are_cats_and_dogs() -> None:
    from timm.data.imagenet_info import ImageNetInfo

    info = ImageNetInfo()
    cats, dogs = rows_of(["cat", "dog"]) or ([], [])
    assert [info.index_to_label_name(row) for row in (cats[0], cats[-1])] == ["n02123045", "n02124075"]
    assert [info.index_to_label_name(row) for row in (dogs[0], dogs[-1])] == ["n02085620", "n02113978"]


@pytest.mark.parametrize(("mixup", "cutmix"), [(0.4, 0.0), (0.0, 1.0), (0.4, 1.0)])
def test_what_is_mixed_is_in_proportion(mixup: float, cutmix: float) -> None:
    """Photos of one colour each: how much of each colour is in a mixed one is what its label says."""
    mixing = Mixing(4, mixup, cutmix)
    assert mixing
    colours = torch.tensor([0, 80, 160, 240], dtype=torch.uint8)
    pixels = colours[:, None, None, None].expand(4, 32, 32, 3).contiguous()
    torch.manual_seed(1)
    for _ in range(5):
        mixed, shares = mixing(pixels, torch.arange(4))
        assert mixed.shape == pixels.shape
        torch.testing.assert_close(shares.sum(1), torch.ones(4))
        torch.testing.assert_close(mixed.mean((1, 2, 3)), shares @ colours.float(), rtol=0, atol=0.5)


def test_nothing_is_mixed_unless_asked() -> None:
    assert not Mixing(2, 0.0, 0.0)


def test_mixing_hangs_on_the_seed_alone() -> None:
    mixing, pixels = Mixing(2, 0.2, 1.0), torch.randint(0, 256, (4, 16, 16, 3), dtype=torch.uint8)
    results = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        results.append(mixing(pixels, torch.tensor([0, 1, 0, 1]))[0])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])
