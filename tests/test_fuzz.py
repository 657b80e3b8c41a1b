"""No file, harmed by chance or made with intent, brings down who reads it: an image, or a reason in one line.

A case of the first test is made again from the seed, the kind and the number that its failure names; the file itself
is kept beside. ``VISION_FT_FUZZ_SEED`` and ``VISION_FT_FUZZ_CASES`` choose other cases, and more of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

if sys.platform != "linux":
    pytest.skip("time and memory are bounded with what Linux offers", allow_module_level=True)

from tests.conftest import SHARED
from tests.fuzzing import LARGE_SECONDS, Outcome, Room
from tests.harm import HEIC, KINDS, harmed, originals
from tests.hostile import HOSTILE, LARGEST

SEED = int(os.environ.get("VISION_FT_FUZZ_SEED", "1"))
CASES = int(os.environ.get("VISION_FT_FUZZ_CASES", "2200"))
READERS = ("decode", "examine")
SIDES = (100, 160, 300)
# Enough to see what is wrong; each may have taken its full time.
FAULTS_SHOWN = 10


@pytest.fixture(scope="module")
def rooms() -> Iterator[dict[str, Room]]:
    """For each of the two ways to read a photo, a room to read it in."""
    with Room("vision_ft.imaging:decode") as one, Room("vision_ft.imaging:examine") as two:
        yield {"decode": one, "examine": two}


@pytest.fixture(scope="module")
def photos(request: pytest.FixtureRequest) -> list[Image.Image]:
    """Real photos of 100 to 300 pixels; drawn ones where there are none."""
    folder: Path = request.getfixturevalue("cats_dogs" if (SHARED / "cats_dogs").is_dir() else "drawings")
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    chosen = [paths[index * len(paths) // len(SIDES)] for index in range(len(SIDES))]
    small = []
    for path, side in zip(chosen, SIDES, strict=True):
        with Image.open(path) as image:
            small.append(image.convert("RGB").resize((side, side * image.height // image.width)))
    return small


@pytest.fixture(scope="module")
def sound(photos: list[Image.Image]) -> dict[str, list[bytes]]:
    return {kind: originals(kind, photos) for kind in KINDS}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_harmed_photo_is_read_or_named_as_unreadable(
    kind: str, reader: str, rooms: dict[str, Room], sound: dict[str, list[bytes]], tmp_path: Path
) -> None:
    faults = []
    outcomes: list[Outcome] = []
    print(f"VISION_FT_FUZZ_SEED={SEED} VISION_FT_FUZZ_CASES={CASES}, {reader} {kind}")
    # The readers take turns.
    for number in range(READERS.index(reader), max(len(READERS), -(-CASES // len(KINDS))), len(READERS)):
        data = harmed(sound[kind], SEED, kind, number)
        outcomes.append(rooms[reader].decode(data))
        if fault := outcomes[-1].fault:
            kept = tmp_path / f"seed-{SEED}-{kind}-{number}"
            kept.write_bytes(data)
            faults.append(f"seed {SEED}, {kind}, case {number}: {reader} {fault}; see {kept}")
        if len(faults) == FAULTS_SHOWN:
            break
    _tell(outcomes)
    assert not faults, "\n".join(faults)
    assert len({outcome.read for outcome in outcomes}) == 2 or CASES < 1000, "the harm is too great or too small"


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_photo_is_read_whole_and_cut_short_is_read_or_named(
    kind: str, reader: str, rooms: dict[str, Room], sound: dict[str, list[bytes]]
) -> None:
    for data in sound[kind]:
        outcome = rooms[reader].decode(data)
        assert outcome.fault is None
        assert outcome.read, outcome.said
    data = sound[kind][0]
    for part in range(50):
        outcome = rooms[reader].decode(data[: len(data) * part // 50])
        assert outcome.fault is None, f"the first {part} of 50 parts"


def test_a_harmed_heic_is_read_or_named_as_unreadable(rooms: dict[str, Room]) -> None:
    pytest.importorskip("pi_heif")
    outcomes = [rooms["decode"].decode(harmed([HEIC], SEED, "heic", number)) for number in range(CASES // len(KINDS))]
    outcomes += [rooms["decode"].decode(HEIC[: len(HEIC) * part // 50]) for part in range(50)]
    assert not [outcome.fault for outcome in outcomes if outcome.fault]
    assert {outcome.read for outcome in outcomes} == {True, False}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_read_or_named_as_unreadable(name: str, reader: str, rooms: dict[str, Room]) -> None:
    outcome = rooms[reader].decode(HOSTILE[name]())
    _tell([outcome])
    assert outcome.fault is None
    if "beyond" in name:
        assert not outcome.read


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_photo_of_few_bytes_is_read_within_its_bounds(name: str, rooms: dict[str, Room]) -> None:
    # Examining is decoding, and then looking at the pixels once more.
    outcome = rooms["examine"].decode(LARGEST[name](), LARGE_SECONDS)
    _tell([outcome])
    assert outcome.fault is None
    assert outcome.read or "bomb" in name, outcome.said


def test_what_is_no_photo_on_the_disk_is_unreadable(rooms: dict[str, Room], tmp_path: Path) -> None:
    huge, pipe = tmp_path / "huge.jpg", tmp_path / "pipe.jpg"
    with huge.open("wb") as file:
        file.truncate(64 << 30)  # takes no room: no byte of it is written
    os.mkfifo(pipe)
    for path in (huge, Path("/dev/zero"), tmp_path, pipe):
        outcome = rooms["decode"].decode(path)
        assert outcome.fault is None, path
        assert not outcome.read


def _tell(outcomes: list[Outcome]) -> None:
    slowest, largest = (max(getattr(outcome, name) for outcome in outcomes) for name in ("seconds", "memory"))
    read = sum(outcome.read for outcome in outcomes)
    print(f"{len(outcomes)} cases, {read} read, at most {slowest:.3f} s and {largest >> 20} MiB; {outcomes[-1].said}")


@pytest.mark.parametrize(
    ("decoder", "fault"),
    [
        ("crash", "died of SIGSEGV"),
        ("spin", "took more than 0.2 s"),
        ("flood", "took more than 1280 MiB"),
        ("stray", "raised KeyError: 'not an UnreadablePhoto'"),
        ("mumble", "let out 'UserWarning: a warning'"),
        ("log", "let out 'a log record'"),
        ("grey", "gave L 8 × 8"),
        ("leave", "ended with exit code 3"),
        ("wordless", "not one line"),
    ],
)
def test_what_no_photo_may_do_is_seen(decoder: str, fault: str) -> None:
    with Room(f"tests.fuzzing:{decoder}") as room:
        for _ in range(2):  # and the next photo is decoded all the same
            assert fault in str(room.decode(b"", 0.2 if decoder == "spin" else LARGE_SECONDS).fault)
