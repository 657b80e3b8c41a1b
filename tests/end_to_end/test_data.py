"""``data check``, ``data prepare`` and a fit on what they wrote, as a user runs them."""

from __future__ import annotations

import csv
import hashlib
import html.parser
import os
import pty
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.audit.conftest import spoil
from tests.conftest import Command, environment, fails_with
from vision_ft.data.manifest import Manifest
from vision_ft.supply.draw import draw_set


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    root = tmp_path / "my pets"
    draw_set(root, count=30, size=96)
    spoil(root)
    return root


def contents(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "src":
                self.sources.append(value or "")
            if name == "href":
                self.links.append(value or "")


def test_a_check_finds_and_touches_nothing(pets: Path, tmp_path: Path, command: Command) -> None:
    before = contents(pets)
    done = command("data", "check", pets, cwd=tmp_path, code=3)
    assert contents(pets) == before
    assert "3 things to mend before training" in done.stdout
    out = tmp_path / "checks" / "my pets"
    kinds = Counter(row["kind"] for row in rows(out / "findings.csv"))
    assert kinds["empty"] == 1
    assert kinds["unreadable"] == 2
    labels = rows(out / "labels.csv")
    assert float(labels[0]["margin"]) <= float(labels[-1]["margin"])
    assert float(labels[0]["p(cat)"]) + float(labels[0]["p(dog)"]) == pytest.approx(1, abs=1e-4)
    page = _Page()
    page.feed((out / "check.html").read_text(encoding="utf-8"))
    assert len(page.sources) > 20
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    assert all(link.startswith("#") for link in page.links)
    assert done.stdout.splitlines()[-1] == f"next: vision-ft data prepare '{pets}' --out 'prepared/my pets'"


def test_a_clean_folder_is_clean(drawings: Path, tmp_path: Path, command: Command) -> None:
    done = command("data", "check", drawings, "--no-suspects", cwd=tmp_path, code=0)
    assert "Nothing was found" in done.stdout
    assert not (tmp_path / "checks/pets/labels.csv").exists()


def test_what_counts_as_a_finding_is_a_choice(tmp_path: Path, command: Command, drawings: Path) -> None:
    root = tmp_path / "pets"
    shutil.copytree(drawings, root)
    (root / "cat/cat.0.jpg").rename(root / "cat/cat.0.png")
    for least, code in (("note", 3), ("recommended", 0), ("necessary", 0)):
        command("data", "check", root, "--no-suspects", "--fail-on", least, cwd=tmp_path, code=code)
    (root / "dog/empty.jpg").write_bytes(b"")
    command("data", "check", root, "--no-suspects", "--fail-on", "necessary", cwd=tmp_path, code=3)


def prepared(command: Command, pets: Path, tmp_path: Path, *more: str, out: str = "ready") -> list[dict[str, str]]:
    command("data", "prepare", pets, "--no-suspects", "--out", tmp_path / out, *more, cwd=tmp_path)
    return rows(tmp_path / out / "manifest.csv")


def left_out(table: list[dict[str, str]]) -> set[str]:
    return {Path(row["path"]).name for row in table if row["problem"]}


NECESSARY = {"empty.jpg", "half.jpg", "text.jpg", "conflict.jpg"}


def test_what_is_necessary_is_done_and_what_is_recommended_is_left(
    pets: Path, tmp_path: Path, command: Command
) -> None:
    before = contents(pets)
    done = command("data", "prepare", pets, "--no-suspects", "--out", "ready", cwd=tmp_path)
    assert contents(pets) == before
    table = rows(tmp_path / "ready/manifest.csv")
    assert left_out(table) - NECESSARY == {name for name in left_out(table) if name.startswith("cat.")}
    assert len(left_out(table)) == 5  # the last one is the cat of which dog/conflict.jpg is a copy
    assert "necessary, done: 1 empty files (empty): leaves it out" in done.stdout
    assert "recommended, left as it is: 1 photos that are nearly blank; --fix near_blank leaves it out" in done.stdout
    assert done.stdout.splitlines()[-1] == "next: vision-ft fit --data.root ready/manifest.csv"


def test_all_by_yes_and_each_by_name(pets: Path, tmp_path: Path, command: Command) -> None:
    by_yes = left_out(prepared(command, pets, tmp_path, "--yes", "--leave", "too-small", out="yes"))
    assert {"blank.png", "copy.jpg", "near_conflict.jpg", "long.png"} <= by_yes
    assert "small.png" not in by_yes
    by_name = left_out(prepared(command, pets, tmp_path, "--fix", "near_blank,too_small", out="name"))
    assert {"blank.png", "small.png"} <= by_name
    assert "copy.jpg" not in by_name


def test_twice_gives_the_same_bytes(pets: Path, tmp_path: Path, command: Command) -> None:
    prepared(command, pets, tmp_path, "--yes")
    first = contents(tmp_path / "ready")
    prepared(command, pets, tmp_path, "--yes")
    assert contents(tmp_path / "ready") == first


def test_new_photos_are_dealt_and_old_ones_stay(pets: Path, tmp_path: Path, command: Command) -> None:
    before = {row["sha256"]: row["split"] for row in prepared(command, pets, tmp_path) if not row["problem"]}
    first = (tmp_path / "ready/manifest.csv").read_bytes()
    draw_set(tmp_path / "more", count=20, size=96, seed=7)
    for path in (tmp_path / "more").rglob("*.jpg"):
        path.rename(pets / path.parent.name / f"new-{path.name}")
    (pets / "cat/cat.5.jpg").rename(pets / "cat/under another name.jpg")
    after = prepared(command, pets, tmp_path, "--split-seed", "5")
    now = {row["sha256"]: row["split"] for row in after if not row["problem"]}
    assert {digest: now[digest] for digest in before} == before
    new = Counter(row["split"] for row in after if "new-" in row["path"])
    assert sum(new.values()) == 40
    assert new["train"] > new["val"] > 0
    assert (tmp_path / "ready/manifest.before-1.csv").read_bytes() == first


def test_folds_and_fixed_numbers(drawings: Path, tmp_path: Path, command: Command) -> None:
    command("data", "prepare", drawings, "--no-suspects", "--out", "ready", "--folds", "3", cwd=tmp_path)
    sides = [[row["split"] for row in rows(tmp_path / f"ready/manifest.fold-{fold}.csv")] for fold in range(3)]
    assert all(
        sorted(photo) in (["test"] * 3, ["train", "train", "val"]) for photo in map(list, zip(*sides, strict=True))
    )
    command(
        "data",
        "prepare",
        drawings,
        "--no-suspects",
        "--out",
        "ready",
        "--folds",
        "3",
        "--split-seed",
        "9",
        cwd=tmp_path,
    )
    again = [[row["split"] for row in rows(tmp_path / f"ready/manifest.fold-{fold}.csv")] for fold in range(3)]
    assert again == sides
    few = ["--train-per-class", "5", "--val-per-class", "10", "--test-per-class", "0"]
    command("data", "prepare", drawings, "--no-suspects", "--out", "few", *few, "--format", "parquet", cwd=tmp_path)
    done = command("data", "prepare", "few/manifest.parquet", "--no-suspects", "--out", "again", cwd=tmp_path)
    assert "train" in done.stdout


def test_few_shots_stay_few_in_a_fit(drawings: Path, tmp_path: Path, command: Command) -> None:
    few = ["--train-per-class", "6", "--val-per-class", "4", "--test-per-class", "4"]
    command("data", "prepare", drawings, "--no-suspects", "--out", "few", *few, cwd=tmp_path)
    brief = ["--trainer.max_epochs", "1", "--unfreeze.gradual.until", "1", "--data.num_workers", "0"]
    done = command("fit", "--data.root", "few/manifest.csv", *brief, "--model.image_size", "64", cwd=tmp_path)
    assert "28 photos of 2 classes (cat, dog): 12 train, 8 val, 8 test" in done.stderr


def test_files_of_the_users_are_never_written_over(drawings: Path, tmp_path: Path, command: Command) -> None:
    table = "path,label\n" + "".join(f"{path},{path.parent.name}\n" for path in sorted(drawings.rglob("*.jpg")))
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("labels.csv", "findings.csv", "check.html", "manifest.csv"):
        (mine / name).write_text(table)
        for verb in ("check", "prepare"):
            if verb == "check" and name == "manifest.csv":
                continue
            fails_with(command("data", verb, mine / name, "--no-suspects", "--out", mine, cwd=tmp_path, code=2), name)
        assert [path.name for path in mine.iterdir()] == [name]
        assert (mine / name).read_text() == table
        (mine / name).unlink()
    (mine / "list.csv").write_text(table)
    done = command("data", "check", mine / "list.csv", "--no-suspects", "--out", drawings / "cat", cwd=tmp_path, code=2)
    fails_with(done, "photos lie in")


def test_sides_are_not_lost_to_another_format_or_folds(drawings: Path, tmp_path: Path, command: Command) -> None:
    prepare = ["data", "prepare", drawings, "--no-suspects", "--out", "ready"]
    command(*prepare, cwd=tmp_path)
    for more in (["--format", "parquet"], ["--folds", "3"]):
        fails_with(command(*prepare, *more, cwd=tmp_path, code=2), "made with another --format or --folds")
    command("data", "prepare", drawings, "--no-suspects", "--out", "other", "--format", "parquet",
            "--earlier", "ready/manifest.csv", "--split-seed", "3", cwd=tmp_path)  # fmt: skip
    assert manifest_sides(tmp_path / "other/manifest.parquet") == manifest_sides(tmp_path / "ready/manifest.csv")
    command("data", "prepare", drawings, "--no-suspects", "--out", "folds", "--folds", "3", cwd=tmp_path)
    done = command("data", "prepare", drawings, "--no-suspects", "--out", "folds", "--folds", "4", cwd=tmp_path, code=2)
    fails_with(done, "made with another --format or --folds")


def manifest_sides(path: Path) -> dict[str, str]:
    table = Manifest.read(path, path.parent, ()).table
    return dict(table.select("sha256", "split").iter_rows())


def test_a_label_that_was_mended_by_hand_is_told(drawings: Path, tmp_path: Path, command: Command) -> None:
    command("data", "prepare", drawings, "--no-suspects", "--out", "ready", cwd=tmp_path)
    file = tmp_path / "ready/manifest.csv"
    text = file.read_text().replace("cat.3.jpg,cat,", "cat.3.jpg,dog,")
    file.write_text(text)
    done = command("data", "prepare", drawings, "--no-suspects", "--out", "ready", cwd=tmp_path)
    assert "1 photos have another label in the earlier manifest" in done.stdout
    assert (tmp_path / "ready/manifest.before-1.csv").read_text() == text
    command("data", "prepare", "ready/manifest.before-1.csv", "--no-suspects", "--out", "mended", cwd=tmp_path)
    assert "cat.3.jpg,dog," in (tmp_path / "mended/manifest.csv").read_text()


def test_a_reader_that_goes_away_changes_nothing(pets: Path, tmp_path: Path) -> None:
    run = f"{shlex.quote(sys.executable)} -m vision_ft data"
    variables = environment()
    for verb, code in (("check", 3), ("prepare --out ready", 0)):
        line = f"{run} {verb} {shlex.quote(str(pets))} --no-suspects | true; exit ${{PIPESTATUS[0]}}"
        done = subprocess.run(["bash", "-c", line], cwd=tmp_path, env=variables, capture_output=True, timeout=120)
        assert done.returncode == code, done.stderr
    assert (tmp_path / "ready/manifest.csv").exists()
    assert (tmp_path / "checks/my pets/findings.csv").exists()


def test_the_next_command_looks_in_the_same_way(pets: Path, tmp_path: Path, command: Command) -> None:
    done = command(
        "data", "check", pets, "--no-suspects", "--min-side", "30", "--layout", "folders", cwd=tmp_path, code=3
    )
    assert "--layout folders --min-side 30 --no-suspects --out" in done.stdout.splitlines()[-1]


@pytest.mark.parametrize("place", ["a" * 300, "~nosuch/x", "loop", "nowhere/x", "file/x", os.fsdecode(b"\xff")])
def test_places_that_cannot_be(place: str, drawings: Path, tmp_path: Path, command: Command) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "nowhere").symlink_to("missing/further")
    (tmp_path / "file").write_text("x")
    before = sorted(tmp_path.iterdir())
    for args in (["check", drawings, "--out", place], ["prepare", drawings, "--out", place], ["check", place]):
        done = command("data", *args, "--no-suspects", cwd=tmp_path, code=2)
        fails_with(done)
        assert len(done.stderr.splitlines()) == 1
        for made in set(tmp_path.iterdir()) - set(before):
            shutil.rmtree(made)


def test_answers_on_a_terminal(pets: Path, tmp_path: Path) -> None:
    """Asked kind by kind; an answer that is none is asked for again."""
    main, other = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "vision_ft", "data", "prepare", str(pets), "--no-suspects", "--out", "ready"],
        cwd=tmp_path,
        env=environment(),
        stdin=other,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    # near_label_conflict, copy, near_blank, too_small, extreme_shape
    os.write(main, b"n\nwhat?\ny\ny\nn\nn\n")
    _, said = process.communicate(timeout=120)
    os.close(main)
    os.close(other)
    assert process.returncode == 0, said
    assert said.count("do it? [y/n]") == 6
    names = left_out(rows(tmp_path / "ready/manifest.csv"))
    assert {"copy.jpg", "blank.png"} <= names
    assert not {"small.png", "long.png", "near_conflict.jpg"} & names


def test_a_manifest_trains_as_a_folder_does(pets: Path, tmp_path: Path, command: Command) -> None:
    command("data", "prepare", pets, "--no-suspects", "--out", "ready", "--yes", cwd=tmp_path)
    brief = ["--trainer.max_epochs", "1", "--unfreeze.gradual.until", "1", "--data.num_workers", "0"]
    done = command("fit", "--data.root", "ready/manifest.csv", *brief, cwd=tmp_path)
    assert "photos were left out when manifest.csv was prepared" in done.stderr
    assert "bundle: runs/ready/" in done.stdout
    # One photo goes, one changes: both are named, left out, and the exit code says so.
    table = rows(tmp_path / "ready/manifest.csv")
    used = [row for row in table if row["split"] == "train"]
    gone, changed = (tmp_path / "ready" / row["path"] for row in used[:2])
    gone.unlink()
    changed.write_bytes((tmp_path / "ready" / used[2]["path"]).read_bytes())
    done = command("fit", "--data.root", "ready/manifest.csv", *brief, cwd=tmp_path, code=3)
    assert f"{used[0]['path']}: No such file or directory" in done.stderr
    assert f"{used[1]['path']}: it is not the photo that the manifest was made with" in done.stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["data", "check", "nowhere"], ["no folder 'nowhere'"]),
        (["data", "check", "pets", "--out", "pets/check"], ["--out", "where nothing is written"]),
        (["data", "check", "pets", "--layout", "kagle"], ["--layout", "invalid choice"]),
        (["data", "check", "pets", "--backbone", "resnet500"], ["timm has no 'resnet500'"]),
        (["data", "check", "pets", "--weights", "magic"], ["'magic' names no source"]),
        (["data", "check", "pets", "--min-side", "0"], ["--min-side and --max-shape must be 1 or more"]),
        (["data", "prepare", "pets"], ["--out"]),
        (["data", "prepare", "pets", "--out", "x", "--yes", "--no"], ["both asked for and not"]),
        (
            ["data", "prepare", "pets", "--out", "x", "--fix", "copy", "--leave", "copy"],
            ["copy: both asked for and not"],
        ),
        (["data", "prepare", "pets", "--out", "x", "--fix", "coppy"], ["did you mean 'copy'"]),
        (["data", "prepare", "pets", "--out", "x", "--fix", "empty"], ["is done in any case"]),
        (["data", "prepare", "pets", "--out", "x", "--train", "0.9"], ["must add up to 1"]),
        (["data", "prepare", "pets", "--out", "x", "--folds", "1"], ["folds is 1"]),
        (["data", "prepare", "pets", "--out", "pets"], ["where nothing is written"]),
        (["data", "prepare", "pets", "--out", "x", "--earlier", "none.csv"], ["none.csv"]),
    ],
)
def test_wrong_turns_get_one_line(
    args: list[str], words: list[str], drawings: Path, tmp_path: Path, command: Command
) -> None:
    (tmp_path / "pets").symlink_to(drawings, target_is_directory=True)
    done = command(*args, cwd=tmp_path, code=None)
    fails_with(done, *words)
    assert len(done.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pets"]
