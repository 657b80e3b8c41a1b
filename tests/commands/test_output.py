from __future__ import annotations

import csv
import json
import os
import random
from pathlib import Path

import pytest

from vision_ft.commands.output import Output
from vision_ft.commands.records import COLUMNS, format_of
from vision_ft.errors import UsageError
from vision_ft.runtime.predictor import Prediction

CLASSES = ("cat", 'a "dog",\nbig')
# Names as a system allows them: ends of lines, quotes, commas, and bytes that are not UTF-8.
NAMES = [
    "a.jpg",
    "b\nc.jpg",
    'd",e\r\n".jpg',
    os.fsdecode(b"\xff\xfe.jpg"),
    "é ü.jpg",
    '"',
    "path",
    "f\rg.jpg",
    "a.jpg",
]


def prediction(path: str, *, failed: bool = False) -> Prediction:
    if failed:
        return Prediction(path, error='broken: "no"\n')
    return Prediction(path, "cat", "cat", 0.75, dict(zip(CLASSES, (0.75, 0.25), strict=True)), 1.5)


ALL = [prediction(name, failed=number % 4 == 3) for number, name in enumerate(NAMES)]


def written(path: Path, some: list[Prediction] = ALL, *, resume: bool = False) -> tuple[list[str], int]:
    """Write what is not there; gives what was written now, and how many failed before."""
    new = []
    with Output(path, CLASSES, resume=resume) as output:
        for one in some:
            if not output.done.take(str(one.path)):
                output.write(one)
                new.append(str(one.path))
        output.finish()
        return new, output.failed


def paths(path: Path) -> list[str]:
    if path.suffix == ".jsonl":
        return [json.loads(line)["path"] for line in path.read_bytes().splitlines()]
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [row["path"] for row in csv.DictReader(file)]


def test_a_row_of_csv_has_what_a_line_of_json_has(tmp_path: Path) -> None:
    for suffix in (".jsonl", ".csv"):
        written(tmp_path / f"a{suffix}")
        assert paths(tmp_path / f"a{suffix}") == NAMES
    with (tmp_path / "a.csv").open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_bytes().splitlines()]
    assert list(lines[0]) == ["path", "verdict", "label", "confidence", "probabilities", "novelty", "error"]
    assert list(rows[0]) == [*COLUMNS, *(f"probability:{name}" for name in CLASSES)]
    for row, line in zip(rows, lines, strict=True):
        for name in COLUMNS:
            assert row[name] == ("" if line[name] is None else str(line[name]))
        for name in CLASSES:
            shares = line["probabilities"]
            assert row[f"probability:{name}"] == ("" if shares is None else str(shares[name]))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_cut_anywhere_it_goes_on_to_the_same_bytes(suffix: str, tmp_path: Path) -> None:
    written(tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"cut{suffix}"
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        new, failed = written(path, resume=True)
        assert path.read_bytes() == whole, f"cut after {end} bytes"
        assert failed + sum(one.error is not None for one in ALL[len(ALL) - len(new) :]) == 2


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_in_another_order_nothing_is_lost_or_twice(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    chance = random.Random(0)
    for _ in range(20):
        path.unlink(missing_ok=True)
        written(path, chance.sample(ALL, 4))
        shuffled = chance.sample(ALL, len(ALL))
        new, _ = written(path, shuffled, resume=True)
        assert len(new) == len(ALL) - 4
        assert sorted(paths(path)) == sorted(NAMES)


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.csv", "a.parquet", "a.parquet.part"):
        path = tmp_path / name
        path.write_bytes(b"mine")
        with pytest.raises(UsageError, match="is there already and is not written over"):
            Output(tmp_path / name.removesuffix(".part"), CLASSES, resume=False)
        assert path.read_bytes() == b"mine"
        path.unlink()
    (tmp_path / "gone.jsonl").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is there already"):
        Output(tmp_path / "gone.jsonl", CLASSES, resume=False)


JSON_LINE = format_of(".jsonl", CLASSES).encode(ALL[0])
OTHER_CLASSES = format_of(".jsonl", ("x", "y")).encode(Prediction("a", "x", "x", 1.0, {"x": 1.0, "y": 0.0}))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"mine"),
        ("a.jsonl", b"mine\n"),
        ("a.jsonl", b"[]\n"),
        ("a.jsonl", b'{"path": "a"}\n'),
        ("a.jsonl", JSON_LINE + b"mine\n" + JSON_LINE),
        ("a.jsonl", OTHER_CLASSES),
        ("a.csv", b"mine"),
        ("a.csv", b"path,verdict\n"),
        ("a.csv", format_of(".csv", ("x", "y")).head()),
        ("a.csv", format_of(".csv", CLASSES).encode(ALL[0])),
        ("a.csv", format_of(".csv", CLASSES).head() * 2),
    ],
)
def test_what_is_not_ours_is_not_gone_on_with(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UsageError, match="--resume: ") as caught:
        Output(path, CLASSES, resume=True)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


def test_places_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    for path, words in (
        (tmp_path / "a.txt", "must end in .jsonl, .csv, .parquet"),
        (tmp_path / "none/a.csv", "there is no folder"),
        (tmp_path / "folder.csv", "is there already"),
    ):
        with pytest.raises(UsageError, match=words):
            Output(path, CLASSES, resume=False)
    with pytest.raises(UsageError, match="Is a directory"):
        Output(tmp_path / "folder.csv", CLASSES, resume=True)


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    with Output(tmp_path / "a.jsonl", CLASSES, resume=False) as output:
        output.write(ALL[0])
        with pytest.raises(UsageError, match="another process is writing"):
            Output(tmp_path / "a.jsonl", CLASSES, resume=True)


def test_parquet_is_there_when_it_is_whole(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    path = tmp_path / "a.parquet"
    with Output(path, CLASSES, resume=False) as output:
        for one in ALL[:3]:
            output.write(one)
    assert not path.exists()  # it was ended before it was through
    written(path, resume=True)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.parquet"]
    rows = pq.read_table(path).to_pylist()
    assert [row["path"] for row in rows] == [name.replace("\udcff\udcfe", "\\xff\\xfe") for name in NAMES]
    assert rows[0]["probability:cat"] == 0.75
    assert rows[3]["probability:cat"] is None
    assert rows[3]["error"] == ALL[3].error
    with pytest.raises(UsageError, match="is there already"):
        Output(path, CLASSES, resume=True)


def test_parquet_without_its_library_is_refused_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    with pytest.raises(UsageError, match=r"pip install 'vision-ft\[parquet\]'"):
        Output(tmp_path / "a.parquet", CLASSES, resume=False)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_takes_little_memory(tmp_path: Path) -> None:
    import tracemalloc

    from vision_ft.commands.resuming import go_on

    kind = format_of(".jsonl", CLASSES)
    path = tmp_path / "a.jsonl"
    path.write_bytes(
        b"".join(kind.encode(prediction(f"a folder with a name/{number}.jpg")) for number in range(20_000))
    )
    tracemalloc.start()
    with path.open("r+b") as file:
        done, _ = go_on(path, file, kind)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert done.take("a folder with a name/19999.jpg")
    assert not done.take("a folder with a name/19999.jpg")
    assert peak < 20_000 * 50
