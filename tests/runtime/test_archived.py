from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.harm import saved
from vision_ft.runtime import archived
from vision_ft.runtime.archived import photos_in
from vision_ft.runtime.photos import Named
from vision_ft.runtime.sources import photo_paths

PHOTO = saved(Image.new("RGB", (30, 20), "teal"), "JPEG")
Maker = Callable[[Path, dict[str, bytes]], Path]


def tarred(place: Path, files: dict[str, bytes], name: str = "a.tar") -> Path:
    path = place / name
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as tar:
        for member, content in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def packed_tar(place: Path, files: dict[str, bytes]) -> Path:
    return tarred(place, files, "a.tar.gz")


def zipped(place: Path, files: dict[str, bytes]) -> Path:
    path = place / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path


MAKERS = [tarred, packed_tar, zipped]


@pytest.mark.parametrize("make", MAKERS)
def test_the_photos_of_an_archive_by_suffix_and_not_hidden(make: Maker, tmp_path: Path) -> None:
    files = dict.fromkeys(
        ("b/2.jpg", "a.PNG", "notes.txt", ".hidden/1.jpg", "__MACOSX/1.jpg", "b/.1.jpg", "./c.jpg", "b/é 1.jpg"), PHOTO
    )
    path = make(tmp_path, files)
    assert list(photos_in(str(path))) == [
        Named(f"{path}/{name}", PHOTO) for name in ("b/2.jpg", "a.PNG", "./c.jpg", "b/é 1.jpg")
    ]
    # Named on the command line, and in a list.
    assert len(list(photo_paths([str(path), "-"], [f"{path}\n", "b.zip\n"]))) == 9


@pytest.mark.parametrize("make", MAKERS)
def test_a_name_that_leads_elsewhere_has_a_reason(make: Maker, tmp_path: Path) -> None:
    names = {"../x.jpg": "outside", "/x.jpg": "absolute", "a\\x.jpg": "backslash", "a\nx.jpg": "control character"}
    path = make(tmp_path, {**dict.fromkeys(names, PHOTO), "good.jpg": PHOTO})
    *bad, good = photos_in(str(path))
    assert good.content == PHOTO
    for (name, reason), found in zip(names.items(), bad, strict=True):
        assert found.path == f"{path}/{name}"
        assert reason in str(found.content)


def test_a_link_has_a_reason(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE):
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            info = tarfile.TarInfo("x.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        (found,) = photos_in(str(tmp_path / "a.tar"))
        assert found.content == "it is a link, a device or the like"
    info = zipfile.ZipInfo("x.jpg")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    (found,) = photos_in(str(tmp_path / "a.zip"))
    assert found.content == "it is a link, a device or the like"


def test_an_encrypted_member_has_a_reason_and_the_others_are_read(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"secret.jpg": PHOTO, "open.jpg": PHOTO})
    content = bytearray(path.read_bytes())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(content)
    secret, other = photos_in(str(path))
    assert secret.content == "it is encrypted"
    assert other.content == PHOTO


def test_a_member_that_is_damaged_costs_a_zip_no_other(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"a.jpg": PHOTO, "b.jpg": PHOTO})
    content = bytearray(path.read_bytes())
    content[60] ^= 0xFF
    path.write_bytes(content)
    first, second = photos_in(str(path))
    assert "damaged" in str(first.content)
    assert second.content == PHOTO


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("damage", ["cut", "text", "empty"])
def test_a_damaged_archive_is_a_line_after_what_could_be_read(make: Maker, damage: str, tmp_path: Path) -> None:
    path = make(tmp_path, {f"{number}.jpg": PHOTO * (number + 1) for number in range(40)})
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) * 2 // 3], "text": b"<html>" * 100, "empty": b""}[damage])
    *read, last = photos_in(str(path))
    assert last.path == str(path)
    assert str(last.content).startswith("the archive: it ")
    assert "\n" not in str(last.content)
    if damage == "cut" and make is not zipped:
        assert len(read) > 5
        assert read[0].content == PHOTO


def test_one_that_cannot_be_opened_is_a_line(tmp_path: Path) -> None:
    assert list(photo_paths(["-"], [f"{tmp_path}/none.zip\n"])) == [f"{tmp_path}/none.zip"]
    loop = tmp_path / "loop.zip"
    loop.symlink_to(loop)
    assert list(photo_paths([str(loop)], [])) == [str(loop)]


@pytest.mark.parametrize("make", [packed_tar, zipped])
def test_a_bomb_ends_the_archive_and_fills_no_memory(
    make: Maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archived, "_AT_LEAST", 1 << 20)
    files = {f"{number}.jpg": bytes(3_000_000) for number in range(40)}
    path = make(tmp_path, files)
    *read, last = photos_in(str(path))
    assert "it unpacks to too much" in str(last.content)
    assert len(read) < 10


def test_a_member_larger_than_a_photo_may_be_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archived, "MAX_MEMBER", 1 << 20)
    path = zipped(tmp_path, {"large.jpg": bytes(30 << 20), "good.jpg": PHOTO})
    tracemalloc.start()
    large, good = photos_in(str(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "more than the" in str(large.content)
    assert good.content == PHOTO
    assert peak < 8 << 20


def test_a_zip_whose_table_would_fill_memory_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path, {"a.jpg": PHOTO})
    content = path.read_bytes()
    start = content.index(b"PK\x01\x02")
    table = content[start : content.index(b"PK\x05\x06")]
    end = bytearray(content[-22:])
    size = 40 << 20
    end[12:16] = size.to_bytes(4, "little")
    path.write_bytes(content[:start] + table.ljust(size, b"\0") + end)
    (found,) = photos_in(str(path))
    assert "its table is 41.9 MB long" in str(found.content)


def test_a_long_tar_is_read_without_holding_what_was_passed(tmp_path: Path) -> None:
    path = tmp_path / "long.tar.gz"
    header = tarfile.TarInfo("x.jpg")
    block = header.tobuf()
    with gzip.open(path, "wb", compresslevel=1) as file:
        for _ in range(20_000):
            file.write(block)
        file.write(bytes(1024))
    tracemalloc.start()
    count = sum(1 for _ in photos_in(str(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 20_000
    assert peak < 6 << 20
