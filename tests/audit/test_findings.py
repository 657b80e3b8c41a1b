from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from tests.audit.conftest import save
from vision_ft.audit.check import audit
from vision_ft.audit.files import Limits
from vision_ft.audit.findings import counts
from vision_ft.audit.kinds import KINDS, NECESSARY, RECOMMENDED, Level
from vision_ft.audit.known import known_faults
from vision_ft.data.layout import list_photos
from vision_ft.data.survey import survey

Spoilt = tuple[Path, dict[str, str]]


def found_in(root: Path, limits: Limits | None = None) -> pl.DataFrame:
    return audit(survey(list_photos(root)), limits or Limits(), None).findings


def test_every_fault_is_found_where_it_is(spoilt: Spoilt) -> None:
    root, where = spoilt
    findings = found_in(root)
    for kind, path in where.items():
        assert path in findings.filter(pl.col("kind") == kind)["path"].to_list(), kind


def test_nothing_else_is_found(spoilt: Spoilt) -> None:
    root, where = spoilt
    findings = found_in(root).filter(pl.col("row").is_not_null())
    # Drawings that were added for one fault may show another as well; those that were drawn show none.
    drawn = pl.col("path").str.contains(r"/(cat|dog)\.\d+\.jpg$")
    assert findings.filter(drawn)["path"].to_list() == []
    assert set(findings["kind"]) == set(where)


def test_a_truncated_file_is_told_from_an_empty_one_and_a_text(spoilt: Spoilt) -> None:
    details = dict(found_in(spoilt[0]).filter(pl.col("level") == "necessary").select("path", "detail").iter_rows())
    assert "truncated" in details["cat/half.jpg"]
    assert details["cat/empty.jpg"] == "the file is empty"
    assert "not one of the formats" in details["cat/text.jpg"]


def test_sixteen_bits_are_seen_in_colour_too(spoilt: Spoilt) -> None:
    deep = found_in(spoilt[0]).filter(pl.col("kind") == "deep")["path"].to_list()
    assert deep == ["cat/deep.png", "cat/deep_colour.png"]


def test_findings_come_by_kind_and_the_surest_first(spoilt: Spoilt) -> None:
    findings = found_in(spoilt[0])
    order = [list(KINDS).index(kind) for kind in findings["kind"]]
    assert order == sorted(order)


def test_clean_photos_have_no_findings(drawings: Path) -> None:
    assert found_in(drawings).height == 0


def test_a_conflict_of_three_copies_names_all(tmp_path: Path, drawings: Path) -> None:
    data = (drawings / "cat/cat.0.jpg").read_bytes()
    for path in ("a/1.jpg", "a/2.jpg", "b/1.jpg"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    findings = found_in(tmp_path).filter(pl.col("kind") == "label_conflict")
    assert {*findings["path"], *findings["other"]} == {"a/1.jpg", "a/2.jpg", "b/1.jpg"}
    assert counts(findings) == {"label_conflict": 3}


def across(tmp_path: Path, drawings: Path) -> Path:
    root = tmp_path / "split"
    for place, source in {
        "train/a/1.jpg": "cat/cat.0.jpg",
        "train/a/2.jpg": "cat/cat.1.jpg",
        "train/b/1.jpg": "dog/dog.0.jpg",
        "val/a/1.jpg": "cat/cat.2.jpg",
        "test/a/1.jpg": "cat/cat.0.jpg",
        "test/b/1.jpg": "dog/dog.1.jpg",
    }.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes((drawings / source).read_bytes())
    save(Image.open(drawings / "cat/cat.2.jpg").resize((100, 100)), root / "train/a/near.jpg", "JPEG", quality=70)
    return root


def test_leaks_across_the_sides_of_a_split_keep_what_is_measured_on(tmp_path: Path, drawings: Path) -> None:
    findings = found_in(across(tmp_path, drawings)).filter(pl.col("kind").is_in(["leak", "near_leak"]))
    assert findings.select("kind", "path", "split", "other").rows() == [
        ("leak", "train/a/1.jpg", "train", "test/a/1.jpg"),
        ("near_leak", "train/a/near.jpg", "train", "val/a/1.jpg"),
    ]


def test_sizes_of_classes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, count in {"many": 61, "some": 20, "rare": 3}.items():
        for index in range(count):
            pixels = rng.integers(0, 255, (70, 70, 3), dtype=np.uint8)
            save(Image.fromarray(pixels), tmp_path / name / f"{index}.png", "PNG")
    findings = found_in(tmp_path).filter(pl.col("row").is_null())
    assert findings.select("kind", "label").rows() == [("imbalance", "rare"), ("imbalance", "some"), ("few", "rare")]


@pytest.mark.parametrize(
    ("size", "kinds"), [((64, 192), []), ((63, 100), ["too_small"]), ((64, 193), ["extreme_shape"])]
)
def test_the_limits_are_limits(tmp_path: Path, size: tuple[int, int], kinds: list[str]) -> None:
    rng = np.random.default_rng(0)
    for place, shape in (("a/1.png", size), ("b/1.png", (100, 100))):
        save(Image.fromarray(rng.integers(0, 255, (*shape, 3), dtype=np.uint8)), tmp_path / place, "PNG")
    assert found_in(tmp_path).filter(pl.col("row").is_not_null())["kind"].to_list() == kinds


def test_a_known_fault_is_found_by_its_contents(cats_dogs: Path, tmp_path: Path, drawings: Path) -> None:
    fault = (cats_dogs / "cat/cat.724.jpg").read_bytes()
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/another_name.jpg").write_bytes(fault)
    (tmp_path / "dog").mkdir()
    (tmp_path / "dog/1.jpg").write_bytes((drawings / "dog/dog.0.jpg").read_bytes())
    findings = found_in(tmp_path).filter(pl.col("kind") == "known")
    assert findings["path"].to_list() == ["cat/another_name.jpg"]
    assert "kitten" in findings["detail"][0]


def test_the_tables_of_known_faults_are_well_formed() -> None:
    faults = known_faults()
    assert faults["sha256"].str.contains(r"^[0-9a-f]{64}$").all()
    assert faults["sha256"].is_unique().all()
    assert faults["note"].null_count() == 0


def test_every_kind_says_why_and_what_is_done() -> None:
    assert set(NECESSARY) | set(RECOMMENDED) == {name for name, kind in KINDS.items() if kind.fix}
    assert all(kind.why and kind.title for kind in KINDS.values())
    assert {KINDS[name].level for name in NECESSARY} == {Level.NECESSARY}


def test_all_that_hang_together_are_judged_and_not_only_pairs(tmp_path: Path, drawings: Path) -> None:
    photo = Image.open(drawings / "cat/cat.0.jpg").convert("RGB")
    for place, quality in {"train/a/1": 95, "train/a/2": 90, "test/a/3": 92, "train/b/x": 80}.items():
        if place == "train/b/x":
            save(Image.open(drawings / "dog/dog.0.jpg").convert("RGB"), tmp_path / f"{place}.jpg", "JPEG")
        else:
            save(photo, tmp_path / f"{place}.jpg", "JPEG", quality=quality)
    shutil.copy(tmp_path / "train/a/2.jpg", tmp_path / "train/a/2-copy.jpg")
    findings = found_in(tmp_path)
    leaks = findings.filter(pl.col("kind") == "near_leak")
    assert set(leaks["path"]) == {"train/a/1.jpg", "train/a/2.jpg", "train/a/2-copy.jpg"}
    assert set(leaks["other"]) == {"test/a/3.jpg"}
    (tmp_path / "test/b").mkdir()
    (tmp_path / "test/a/3.jpg").rename(tmp_path / "test/b/3.jpg")
    conflict = found_in(tmp_path).filter(pl.col("kind") == "near_label_conflict")
    assert {*conflict["path"], *conflict["other"]} == {
        "train/a/1.jpg", "train/a/2.jpg", "train/a/2-copy.jpg", "test/b/3.jpg"
    }  # fmt: skip
