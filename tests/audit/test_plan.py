from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from vision_ft.audit import known, plan
from vision_ft.audit.earlier import kept_parts, parts_before
from vision_ft.audit.findings import Found, table_of
from vision_ft.audit.known import SCHEMA as KNOWN
from vision_ft.audit.known import known_findings
from vision_ft.audit.plan import mend
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
