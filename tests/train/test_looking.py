"""A frozen backbone looks at a photo once: what is kept, when it is used again, and when it must not be."""

from __future__ import annotations

import csv
import functools
import re
import shutil
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vision_ft.cli import main
from vision_ft.commands import handover
from vision_ft.model.backbone import create, preprocessing_of
from vision_ft.model.network import Network
from vision_ft.model.translate import FEATURES
from vision_ft.train import eyes, head_first, looking
from vision_ft.train.cli import VisionCLI
from vision_ft.train.eyes import ByOnnxRuntime, ByOpenVino, ByTorch, fastest
from vision_ft.train.looking import Cache, Looker
from vision_ft.train.regularise import Features
from vision_ft.train.run import forget_run


@pytest.fixture
def photos(drawings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Drawings that may be changed, and a cache of their own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VISION_FT_CACHE", str(tmp_path / "cache"))
    return Path(shutil.copytree(drawings, tmp_path / "photos"))


def fit(photos: Path, *more: str) -> list[str]:
    return [
        "fit", "--data.root", str(photos), "--run.name", "run", "--model.image_size", "32", "--data.batch_size", "16",
        "--data.num_workers", "0", "--unfreeze.phases", "[]", "--trainer.accelerator", "cpu", *more,
    ]  # fmt: skip


def whole(photos: Path) -> list[str]:
    """Without a test part, which nobody looks at."""
    return fit(photos, "--data.split.train", "0.85", "--data.split.test", "0")


def known(args: list[str], capsys: pytest.CaptureFixture[str], of: int = 68) -> int:
    """How many photos a run did not have to look at; without the export at its end."""
    VisionCLI(args)
    forget_run()
    said = re.search(rf"(\d+) of {of} photos were looked at before", capsys.readouterr().err)
    return int(said[1]) if said else 0


def scores() -> list[dict[str, str]]:
    with Path("runs/run/latest/candidates.csv").open() as file:
        return list(csv.DictReader(file))


def test_another_run_looks_at_nothing(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert known(fit(photos), capsys) == 0
    first = scores()
    # With another setting of the head's fit, and with other names for the same photos.
    assert known(fit(photos, "--model.label_smoothing", "0.1"), capsys) == 68
    assert known(fit(photos), capsys) == 68
    assert scores() == first
    photos.rename(photos.with_name("moved"))
    assert known(fit(photos.with_name("moved")), capsys) == 68


def test_the_head_may_be_fitted_to_random_views_too(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is looked at once: by another seed, or by other transforms, it is another view."""
    given: list[Features] = []
    real = head_first.fit_best

    def fit_best(train: Features, *more: Any) -> Any:
        given.append(train)
        return real(train, *more)

    monkeypatch.setattr(head_first, "fit_best", fit_best)
    assert known(fit(photos), capsys) == 0
    views = ["--unfreeze.head_views", "2"]
    whole, more = 68 + 2 * 56, 68 + 3 * 56
    assert known(fit(photos, *views), capsys, whole) == 68
    plain, several = given
    assert torch.equal(several.values[:56], plain.values)
    assert torch.equal(several.rows, plain.rows.repeat(3))
    assert torch.equal(several.labels, plain.labels.repeat(3))
    one, other = several.values[56:112], several.values[112:]
    assert all(not torch.equal(*pair) for pair in ((one, plain.values), (other, plain.values), (one, other)))
    assert known(fit(photos, *views), capsys, whole) == whole
    assert torch.equal(given[-1].values, several.values)
    assert known(fit(photos, "--unfreeze.head_views", "3"), capsys, more) == whole
    assert known(fit(photos, *views, "--seed_everything", "1"), capsys, whole) == 68
    assert known(fit(photos, *views, "--data.augment", "light"), capsys, whole) == 68


def test_a_bundle_takes_what_was_seen(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit of the head alone has seen all that novelty and calibration need; none of it is shown to its export."""
    taken: list[int] = []

    def counting(*given: Any) -> dict[int, tuple[Any, Any]]:
        found = looking.kept_features(*given)
        taken.append(len(found))
        return found

    monkeypatch.setattr(handover, "kept_features", counting)
    assert main(fit(photos)) == 0
    assert taken == [56, 12]


def test_what_changed_is_looked_at(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(whole(photos), capsys)
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with Path("runs/run/latest/manifest.csv").open() as file:
        changed = next(row["path"] for row in csv.DictReader(file) if row["split"] == "train")
    Image.fromarray(noise).save(photos / changed)
    VisionCLI(whole(photos))
    assert "79 of 80 photos were looked at before" in capsys.readouterr().err


@pytest.mark.parametrize(
    "more",
    [
        ["--model.image_size", "64"],
        ["--model.backbone", "tf_efficientnet_lite1"],
        ["--model.weights", "random:"],
        ["--trainer.precision", "64-true"],
    ],
    ids=" ".join,
)
def test_other_eyes_see_for_themselves(more: list[str], photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(fit(photos), capsys)
    assert known(fit(photos, *more), capsys) == 0


def test_cleared_and_switched_off(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(fit(photos, "--cache.gigabytes", "0"), capsys)
    assert not Path("cache").exists()
    known(fit(photos), capsys)
    assert known(fit(photos, "--cache.gigabytes", "0"), capsys) == 0
    assert known(fit(photos, "--cache.clear"), capsys) == 0
    assert known([*fit(photos), "--cache.clear", "false"], capsys) == 68
    # Somewhere else.
    assert known(fit(photos, "--cache.folder", "elsewhere"), capsys) == 0
    assert known(fit(photos, "--cache.folder", "elsewhere"), capsys) == 68


def test_harmed_rows_are_made_anew(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(fit(photos), capsys)
    first = scores()
    (rows,) = Path("cache").glob("vision-ft-features/*/rows.bin")
    data = bytearray(rows.read_bytes())
    size = len(data) // 68
    data[3 * size + 50] ^= 1
    # The last one half gone.
    rows.write_bytes(bytes(data[: -size // 2]))
    assert known(fit(photos), capsys) == 66
    assert known(fit(photos), capsys) == 68
    assert [row["weights"] for row in scores()] == [row["weights"] for row in first]
    for ours, before in zip(scores(), first, strict=True):
        assert float(ours["log_loss"]) == pytest.approx(float(before["log_loss"]), abs=1e-5)


def test_a_check_and_a_fit_share_what_they_saw(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # Distinct enough not to be each other's duplicates, and at the size of the weights.
    assert main(["data", "check", str(photos)]) in (0, 3)
    assert known([*fit(photos), "--model.image_size", "null"], capsys) == 68


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_byobnet"])
def test_engines_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyes, "_WORTH", 0)
    looker, trial = look_with(name)
    found = looker.eyes_for(1)
    assert isinstance(found, ByOnnxRuntime)
    pixels = torch.randint(0, 256, (5, *trial.shape[1:]), dtype=torch.uint8)
    torch.testing.assert_close(found(pixels), looker._torch(pixels), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit", "test_byobnet"])
def test_an_engine_that_rounds_is_near(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyes, "_WORTH", 0)
    looker, trial = look_with(name)
    graph = functools.partial(looker._translation.part, FEATURES, looker._network)
    found = fastest(looker._torch, graph, trial, 1, 1, rounded=True)
    assert isinstance(found, ByOpenVino)
    pixels = torch.randint(0, 256, (9, *trial.shape[1:]), dtype=torch.uint8)
    seen, wanted = found(pixels), looker._torch(pixels)
    assert (seen - wanted).norm() <= 0.05 * wanted.norm()
    # Bit for bit, whatever comes with it: a run that is resumed may see a photo among others.
    assert torch.equal(found(pixels[3:8]), seen[3:8])
    assert torch.equal(found(pixels[8:]), seen[8:])


def test_an_engine_that_fails_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eyes, "_WORTH", 0)
    looker, trial = look_with("test_resnet")
    graph = functools.partial(looker._translation.part, FEATURES, looker._network)

    # A processor that it does not know, a library that is missing, another package of its name.
    for error in (RuntimeError("no such processor"), ImportError("no such library"), AttributeError("no Core")):

        def broken(self: ByOpenVino, graph: bytes, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(ByOpenVino, "__init__", broken)
        assert isinstance(fastest(looker._torch, graph, trial, 1, 1, rounded=True), ByOnnxRuntime)
    monkeypatch.setattr(ByOpenVino, "__init__", lambda *_: None)
    monkeypatch.setattr(ByOpenVino, "__call__", lambda self, pixels: looker._torch(pixels) * 1.1)
    assert isinstance(fastest(looker._torch, graph, trial, 1, 1, rounded=True), ByOnnxRuntime)


def test_where_the_head_sees_something_else_pytorch_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two heads, each has a token of its own, and features are those of both."""
    monkeypatch.setattr(eyes, "_WORTH", 0)
    looker, _ = look_with("deit_tiny_distilled_patch16_224")
    assert isinstance(looker.eyes_for(1), ByTorch)


def test_for_a_few_photos_it_is_not_worth_a_translation() -> None:
    looker, _ = look_with("test_resnet")
    assert isinstance(looker.eyes_for(68), ByTorch)
    # A few that are new, and then many views of all.
    assert isinstance(looker.eyes_for(1 << 20), ByOnnxRuntime)
    assert isinstance(looker.eyes_for(68), ByOnnxRuntime)


def look_with(name: str) -> tuple[Looker, Any]:
    torch.manual_seed(0)
    module = create(name, 3)
    network = Network(module, preprocessing_of(module)).eval()
    looker = Looker(network, torch.device("cpu"), "32-true", nullcontext, Cache(gigabytes=0))
    return looker, looker._trial


def test_a_photo_that_changes_under_the_eyes_is_not_kept_under_its_old_name(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = looking.Looker.look
    first = next(iter(sorted(photos.glob("cat/*"))))

    def changed(self: Any, *args: Any) -> Any:
        Image.new("RGB", (64, 64), "red").save(first)
        return real(self, *args)

    with monkeypatch.context() as while_looking:
        while_looking.setattr(looking.Looker, "look", changed)
        known(whole(photos), capsys)
    assert main(["data", "check", str(photos), "--no-suspects"]) in (0, 3)
    capsys.readouterr()
    VisionCLI(whole(photos))
    # The red one was not looked at as what it had been, nor as what it is.
    assert "79 of 80 photos were looked at before" in capsys.readouterr().err


def test_where_nothing_can_be_kept_it_goes_on(
    photos: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Path("a file").write_text("")
    monkeypatch.setenv("VISION_FT_CACHE", str(Path("a file").resolve()))
    assert known(fit(photos), capsys) == 0
    assert "nothing is kept of what the backbone sees" in caplog.text
    # Somebody who names a place wants it to be used.
    assert main([*fit(photos), "--cache.folder", "a file"]) == 2
    assert "cache.folder: 'a file' cannot hold a cache" in capsys.readouterr().err
