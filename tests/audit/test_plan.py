from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from vision_ft.audit import known, plan
from vision_ft.audit.earlier import kept_parts, other_labels, parts_before
from vision_ft.audit.findings import Found, table_of
from vision_ft.audit.known import SCHEMA as KNOWN
from vision_ft.audit.known import known_findings
from vision_ft.audit.plan import apart, leave_out, mend, reason_of
from vision_ft.data.manifest import SCHEMA, Manifest


def manifest_of(*rows: tuple[str, str, str | None], classes: tuple[str, ...] = ("cat", "dog")) -> Manifest:
    """Rows of path, label and side; a photo's SHA-256 is its file's name."""
    table = [
        {"path": path, "label": label, "split": side, "group": path, "sha256": Path(path).name}
        for path, label, side in rows
    ]
    return Manifest(Path("/photos"), classes, pl.DataFrame(table, schema=SCHEMA))


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> None:
    table = pl.DataFrame(
        [("mislabelled", "x", "Dog", "a dog"), ("nothing", "x", None, "a chair")], schema=KNOWN, orient="row"
    )
    for module in (known, plan):
        monkeypatch.setattr(module, "known_faults", lambda: table)


def problems(manifest: Manifest) -> dict[str, str | None]:
    return dict(manifest.table.select("path", "problem").iter_rows())


@pytest.mark.usefixtures("faults")
def test_a_known_fault_gets_its_label_and_is_not_left_out_for_the_old_one() -> None:
    manifest = manifest_of(("a/mislabelled", "cat", None), ("a/nothing", "cat", None), ("b/3", "dog", None))
    found = [*known_findings(manifest), Found("suspect", 0, "looks like 'dog'"), Found("suspect", 2)]
    findings = table_of(found, manifest.table)
    mended = mend(manifest, findings, ["known", "suspect"])
    assert mended.table["label"].to_list() == ["dog", "cat", "dog"]
    assert problems(mended) == {
        "a/mislabelled": None, "a/nothing": "left out: known: a chair", "b/3": "left out: suspect"
    }  # fmt: skip
    assert problems(mend(manifest, findings, ["suspect"]))["a/mislabelled"] == "left out: suspect: looks like 'dog'"


@pytest.mark.usefixtures("faults")
def test_a_known_label_says_nothing_where_classes_are_others() -> None:
    breeds = manifest_of(("a/mislabelled", "beagle", None), ("b/nothing", "pug", None), classes=("beagle", "pug"))
    assert [found.row for found in known_findings(breeds)] == [1]
    right = manifest_of(("a/mislabelled", "dog", None), ("b/3", "cat", None))
    assert list(known_findings(right)) == []


def test_of_a_pair_that_disagrees_both_go_and_of_another_one() -> None:
    manifest = manifest_of(("a/1", "cat", None), ("b/2", "dog", None), ("a/3", "cat", None), ("a/4", "cat", None))
    findings = table_of([Found("near_label_conflict", 0, other=1), Found("copy", 2, other=3)], manifest.table)
    left = {
        path for path, problem in problems(mend(manifest, findings, ["near_label_conflict", "copy"])).items() if problem
    }
    assert left == {"a/1", "b/2", "a/3"}


def test_parts_are_found_again_by_contents_and_by_place() -> None:
    before = parts_before([manifest_of(("a/1", "cat", "test"), ("a/2", "cat", "val"), ("a/3", "cat", "train"))])
    now = manifest_of(("b/1", "cat", None), ("a/2", "cat", None), ("a/9", "cat", None))
    edited = now.table.with_columns(sha256=pl.Series(["1", "edited", "9"]))
    assert kept_parts(Manifest(now.root, now.classes, edited), before) == {"b/1": "test", "a/2": "val"}


def test_parts_of_folds() -> None:
    folds = [
        manifest_of(("a/1", "cat", "val"), ("a/2", "cat", "train"), ("a/3", "cat", "test")),
        manifest_of(("a/1", "cat", "train"), ("a/2", "cat", "val"), ("a/3", "cat", "test")),
    ]
    kept = kept_parts(folds[0], parts_before(folds))
    assert kept == {"a/1": "fold 0", "a/2": "fold 1", "a/3": "test"}


def test_photos_that_are_bound_together_only_now_are_named() -> None:
    manifest = manifest_of(("a", "cat", "train"), ("b", "cat", "test"), ("c", "cat", "val"), ("d", "cat", "train"))
    bound = Manifest(manifest.root, manifest.classes, manifest.table.with_columns(group=pl.Series(list("gggd"))))
    assert apart(bound) == [0, 2]
    left = leave_out(bound, apart(bound), "near_leak", "why")
    assert problems(left) == {"a": "left out: near_leak: why", "b": None, "c": "left out: near_leak: why", "d": None}
    assert reason_of("left out: near_leak: why") == "near_leak"
    assert reason_of("left out: copy") == "copy"
    assert reason_of("the file is empty") is None


def test_a_photo_that_was_there_twice_is_found_where_it_lay() -> None:
    before = parts_before([manifest_of(("a/1", "cat", "train"), ("b/1", "cat", "test"), ("c/1", "cat", "val"))])
    now = manifest_of(("a/1", "cat", None), ("b/1", "cat", None), ("c/1", "cat", None), ("d/1", "cat", None))
    assert kept_parts(now, before) == {"a/1": "train", "b/1": "test", "c/1": "val", "d/1": "test"}


@pytest.mark.usefixtures("faults")
def test_a_pair_agrees_once_a_label_is_right() -> None:
    manifest = manifest_of(("a/mislabelled", "cat", None), ("b/2", "dog", None))
    pair = Found("near_label_conflict", 0, other=1)
    findings = table_of([*known_findings(manifest), pair, Found("too_small", 0)], manifest.table)
    assert set(problems(mend(manifest, findings, ["known", "near_label_conflict"])).values()) == {None}
    assert problems(mend(manifest, findings, ["known", "too_small"]))["a/mislabelled"] == "left out: too_small"


def test_labels_that_were_mended_by_hand_are_told() -> None:
    before = parts_before([manifest_of(("a/1", "dog", "train"), ("a/2", "cat", "train"))])
    assert other_labels(manifest_of(("a/1", "cat", None), ("a/2", "cat", None)), before) == ["a/1"]
