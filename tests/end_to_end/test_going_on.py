"""Going on from our own bundles, as more photos and other classes come in."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest
from PIL import Image

import vision_ft
from tests.conftest import Command


def fit(place: Path, name: str, *more: str) -> list[str]:
    return [
        "fit", "--data.root", name, "--run.name", name, "--model.image_size", "40", "--data.batch_size", "8",
        "--data.num_workers", "0", "--unfreeze.phases", "[]", "--trainer.accelerator", "cpu", *more,
    ]  # fmt: skip


def sides(run: Path) -> dict[str, str]:
    with (run / "manifest.csv").open() as file:
        return {row["sha256"]: row["split"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def generations(place: Path, drawings: Path, command: Command) -> tuple[Path, Path, Path, str]:
    """Cats and dogs; then rabbits too, more photos, and cats under another name; then that once more."""
    for kind, photos in (("cat", 20), ("dog", 20)):
        (place / "first" / kind).mkdir(parents=True)
        for index in range(photos):
            shutil.copy(drawings / f"{kind}/{kind}.{index}.jpg", place / "first" / kind)
    command(*fit(place, "first"), cwd=place)
    for kind, of in (("kitty", "cat"), ("dog", "dog")):
        shutil.copytree(drawings / of, place / "second" / kind)
    # Nobody looks: what counts is that they are photos of a class of their own.
    rabbits = place / "second/a rabbit"
    rabbits.mkdir()
    for index in range(12):
        path = place / f"second/dog/dog.{39 - index}.jpg"
        path.rename(rabbits / path.name)
    first, second, third = (place / "runs" / name / "latest" for name in ("first", "second", "third"))
    done = command(
        *fit(place, "second", "--model.weights", f"bundle:{first / 'bundle'}", "--model.renamed", '{"cat": "kitty"}'),
        cwd=place,
    )
    shutil.copytree(second / "bundle", place / "alone")
    shutil.copytree(place / "second", place / "third")
    command(*fit(place, "third", "--model.weights", "bundle:alone"), cwd=place)
    return first, second, third, done.stderr


def test_the_head_goes_on_with_what_it_knows(generations: tuple[Path, Path, Path, str]) -> None:
    _, second, _, said = generations
    assert "head: goes on with dog, kitty; a rabbit begins anew" in said
    assert vision_ft.load(second / "bundle").spec.classes == ("a rabbit", "dog", "kitty")


def test_what_was_learnt_from_is_never_measured_on(generations: tuple[Path, Path, Path, str]) -> None:
    first, second, _, said = generations
    before, after = sides(first), sides(second)
    assert len(before) == 40
    assert {digest: after[digest] for digest in before} == before
    assert f"40 of them keep the side that they had in {first.resolve() / 'sides.csv'}" in said
    assert set(after.values()) == {"train", "val", "test"}


def test_the_third_knows_what_the_first_learnt(
    generations: tuple[Path, Path, Path, str], place: Path, command: Command, drawings: Path
) -> None:
    """Also where the second has seen none of it, and by the settings of the second, which name the first."""
    _, second, _, _ = generations
    for kind, of in (("kitty", "cat"), ("dog", "dog"), ("a rabbit", "dog")):
        (place / "others" / kind).mkdir(parents=True)
        for index in range(20, 28):
            path = place / "others" / kind / f"{index}.jpg"
            with Image.open(drawings / f"{of}/{of}.{index}.jpg") as image:
                image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(path)
    command(*fit(place, "others", "--model.weights", f"bundle:{second / 'bundle'}"), cwd=place)
    others = place / "runs/others/latest"
    done = command(
        "fit", "--config", others / "config.yaml", "--data.root", "second", "--run.name", "all", "--model.weights",
        f"bundle:{others / 'bundle'}", cwd=place,
    )  # fmt: skip
    before, after = sides(second), sides(place / "runs/all/latest")
    assert after == before
    assert f"80 of them keep the side that they had in {others.resolve() / 'sides.csv'}" in done.stderr

    # Moved away, what came before is not needed any more.
    moved = place / "archive"
    (place / "runs/all").rename(moved)
    run = moved / "latest"
    args = ["--config", run / "config.yaml", "--ckpt_path", run / "checkpoints/best.ckpt"]
    (place / "runs/others").rename(place / "gone")
    command("test", *args, cwd=place)
    (place / "gone").rename(place / "runs/others")


def test_sides_that_the_data_gives_hold_and_what_that_spoils_is_counted(
    generations: tuple[Path, Path, Path, str], place: Path, command: Command
) -> None:
    first, _, _, _ = generations
    with (first / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    swapped = {"train": "test", "test": "train", "val": "val"}
    for row in rows:
        path = place / "sided" / swapped[row["split"]] / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(place / "first" / row["path"], path)
    done = command(*fit(place, "sided", "--model.weights", f"bundle:{first / 'bundle'}"), cwd=place)
    learnt = sum(row["split"] == "train" for row in rows)
    same = sum(row["split"] == "val" for row in rows)
    assert f"{same} of them keep the side" in done.stderr
    assert f"{learnt} that were learnt from before are for validation or test here" in done.stderr


def test_a_bundle_without_its_run_says_what_that_means(
    generations: tuple[Path, Path, Path, str], place: Path, command: Command
) -> None:
    first, _, _, _ = generations
    stray = ["--model.weights", "bundle:alone", "--trainer.fast_dev_run", "1"]
    assert "some may be among those held out" in command(*fit(place, "third", *stray), cwd=place).stderr
    named = command(*fit(place, "third", *stray, "--data.earlier", str(first / "manifest.csv")), cwd=place).stderr
    assert "some may be among those held out" not in named
    assert "40 of them keep the side" in named


def test_the_card_names_the_ancestors(generations: tuple[Path, Path, Path, str]) -> None:
    first, second, third, _ = generations
    specs = [vision_ft.load(run / "bundle").spec for run in (first, second, third)]
    assert [len(spec.weights.ancestors) for spec in specs] == [0, 1, 2]
    for ancestor, spec in zip(specs[2].weights.ancestors, specs, strict=False):
        assert ancestor.sha256 == spec.files["weights.safetensors"]
        assert ancestor.data == spec.data
        assert ancestor.classes == spec.classes
    cards = [(run / "bundle/README.md").read_text() for run in (first, third)]
    assert "Lineage" not in cards[0]
    for number, spec in enumerate(specs[:2], 1):
        (line,) = [line for line in cards[1].splitlines() if line.startswith(f"{number}. {spec.created}")]
        assert spec.data["fingerprint"] in line
        assert spec.files["weights.safetensors"] in line
    record = json.loads((third / "bundle/spec.json").read_text())
    assert record["weights"]["ancestors"][0]["source"] == "builtin:"
