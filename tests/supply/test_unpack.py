from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from vision_ft.archives import Limits
from vision_ft.errors import DataError
from vision_ft.supply.unpack import unpack


def tar_of(path: Path, *members: tuple[tarfile.TarInfo, bytes], format: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w:gz", format=format) as tar:
        for info, content in members:
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def entry(name: str, content: bytes = b"photo", *, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o644):
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, to, mode
    return info, content if kind == tarfile.REGTYPE else b""


def zip_of(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as packed:
        for name, content in members:
            packed.writestr(name, content, compress_type=method)
    return path


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A folder for what comes out, with a folder around it in which nothing else may appear."""
    out = tmp_path / "around" / "out"
    out.mkdir(parents=True)
    return out


def refuses(archive: Path, out: Path, message: str, limits: Limits | None = None) -> None:
    with pytest.raises(DataError, match=message) as caught:
        unpack(archive, out, limits=limits)
    assert "\n" not in str(caught.value)
    assert repr(archive.name) in str(caught.value)
    around = list(out.parent.rglob("*"))
    assert not [path for path in around if path.is_symlink()]
    assert [path for path in out.parent.iterdir() if path != out] == [], "something lies outside"


TREE = {"images": None, "images/a b.jpg": b"cat", "images/empty": None, "images/é.jpg": b"", "list.txt": b"1"}


def test_a_tar_comes_out_as_it_went_in(tmp_path: Path, out: Path) -> None:
    archive = tar_of(
        tmp_path / "a.tar.gz",
        entry("./", kind=tarfile.DIRTYPE),
        entry("./images/", kind=tarfile.DIRTYPE),
        entry("./images/a b.jpg", b"cat"),
        entry("./images/é.jpg", b""),
        entry("./images/empty", kind=tarfile.DIRTYPE),
        entry("list.txt", b"1"),
    )
    assert unpack(archive, out) == 3
    assert tree(out) == TREE


def test_a_zip_comes_out_as_it_went_in(tmp_path: Path, out: Path) -> None:
    archive = zip_of(
        tmp_path / "a.zip",
        ("images/a b.jpg", b"cat"),
        ("images/é.jpg", b""),
        ("images/empty/", b""),
        ("list.txt", b"1"),
    )
    told: list[tuple[int, int]] = []
    assert unpack(archive, out, progress=lambda done, total: told.append((done, total))) == 3
    assert tree(out) == TREE
    assert {total for _, total in told} == {archive.stat().st_size}


def test_modes_are_not_taken_over(tmp_path: Path, out: Path) -> None:
    unpack(tar_of(tmp_path / "a.tar.gz", entry("run", mode=0o6777)), out)
    info = zipfile.ZipInfo("run too")
    info.external_attr = 0o106777 << 16
    unpack(zip_of(tmp_path / "a.zip", (info, b"photo")), out)
    assert [path.stat().st_mode & 0o7111 for path in sorted(out.iterdir())] == [0, 0]


NAMES = {
    "../evil": "outside",
    "images/../../evil": "outside",
    "images/..": "outside",
    "/tmp/evil": "absolute",
    "C:/evil": "absolute",
    "c:evil": "absolute",
    "..\\evil": "backslash",
    "images\\evil": "backslash",
    "a\x1b[31mred": "control character",
    "a\nb": "control character",
    "/".join("a" * 40): "too deep",
    "a" * 300: "no name here",
    ".": "there already",
}


@pytest.mark.parametrize(("name", "message"), NAMES.items(), ids=[name[:20].encode().hex() for name in NAMES])
def test_a_name_cannot_lead_outside(tmp_path: Path, out: Path, name: str, message: str) -> None:
    refuses(tar_of(tmp_path / "a.tar.gz", entry("fine"), entry(name)), out, message)
    (out / "fine").unlink()
    refuses(zip_of(tmp_path / "a.zip", ("fine", b""), (name, b"evil")), out, message)
    assert tree(out) == {"fine": b""}


@pytest.mark.parametrize("to", ["/etc/passwd", "..", "fine"])
@pytest.mark.parametrize(
    "kind",
    [
        tarfile.SYMTYPE,
        tarfile.LNKTYPE,
        tarfile.CHRTYPE,
        tarfile.BLKTYPE,
        tarfile.FIFOTYPE,
        tarfile.CONTTYPE,
        tarfile.GNUTYPE_SPARSE,
    ],
)
def test_a_tar_holds_nothing_but_files_and_folders(tmp_path: Path, out: Path, kind: bytes, to: str) -> None:
    format = tarfile.GNU_FORMAT if kind == tarfile.GNUTYPE_SPARSE else tarfile.PAX_FORMAT
    refuses(
        tar_of(tmp_path / "a.tar.gz", entry("fine"), entry("link", kind=kind, to=to), format=format),
        out,
        "'link' in it is a link, a device or the like",
    )
    assert tree(out) == {"fine": b"photo"}


def test_a_file_below_a_link_lands_nowhere(tmp_path: Path, out: Path) -> None:
    members = entry("link", kind=tarfile.SYMTYPE, to=".."), entry("link/evil")
    refuses(tar_of(tmp_path / "a.tar.gz", *members), out, "link")
    assert tree(out) == {}


@pytest.mark.parametrize("kind", [0o120777, 0o020666, 0o060666, 0o010666, 0o140666])
def test_a_zip_holds_nothing_but_files_and_folders(tmp_path: Path, out: Path, kind: int) -> None:
    info = zipfile.ZipInfo("link")
    info.external_attr = kind << 16
    refuses(zip_of(tmp_path / "a.zip", (info, b"/etc/passwd")), out, "'link' in it is a link")
    assert tree(out) == {}


def test_a_file_with_holes_is_refused(tmp_path: Path, out: Path) -> None:
    info, _ = entry("holes")
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    refuses(tar_of(tmp_path / "a.tar.gz", (info, b"0\n".ljust(512, b"\0"))), out, "'holes' in it is a link")
    assert tree(out) == {}


def test_a_name_that_zipfile_would_mend_is_refused(tmp_path: Path, out: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("fine_evil", b""))
    archive.write_bytes(archive.read_bytes().replace(b"fine_evil", b"fine\0evil"))
    refuses(archive, out, "control character")


def test_an_encrypted_file_is_refused(tmp_path: Path, out: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("secret", b"photo"))
    content = bytearray(archive.read_bytes())
    # The flag stands in the header of the file and once more in the table at the end.
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    archive.write_bytes(content)
    refuses(archive, out, "'secret' in it is encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_method_that_unpacks_without_bounds_is_refused(tmp_path: Path, out: Path, method: int) -> None:
    refuses(zip_of(tmp_path / "a.zip", ("a", b"a" * 1000), method=method), out, "method that is not read")


Maker = Callable[..., Path]


def tarred(path: Path, **files: bytes) -> Path:
    return tar_of(path.with_name("a.tar.gz"), *(entry(name, content) for name, content in files.items()))


def zipped(path: Path, **files: bytes) -> Path:
    return zip_of(path.with_name("a.zip"), *files.items())


@pytest.mark.parametrize("make", [tarred, zipped])
def test_the_bytes_that_come_out_are_limited(tmp_path: Path, out: Path, make: Maker) -> None:
    archive = make(tmp_path / "a", one=b"\0" * 600_000, two=b"\0" * 600_000)
    assert archive.stat().st_size < 10_000
    refuses(archive, out, "too much, as seen at 'two'", Limits(total=1_000_000))
    assert sum(path.stat().st_size for path in out.iterdir()) <= 1_000_000
    for path in out.iterdir():
        path.unlink()
    refuses(archive, out, "too much, as seen at 'one'", Limits(member=599_999))
    (out / "one").unlink()
    assert unpack(archive, out, limits=Limits(member=600_000, total=1_200_000, entries=2)) == 2


@pytest.mark.parametrize("make", [tarred, zipped])
def test_the_files_that_come_out_are_limited(tmp_path: Path, out: Path, make: Maker) -> None:
    archive = make(tmp_path / "a", **{f"f{index}": b"" for index in range(30)})
    refuses(archive, out, "more than 20 files", Limits(entries=20))
    assert len(list(out.iterdir())) == 20


def test_a_zip_that_belittles_its_sizes_is_not_believed(tmp_path: Path, out: Path) -> None:
    archive = zip_of(tmp_path / "a.zip", ("bomb", b"\0" * 5_000_000))
    content = archive.read_bytes().replace(struct.pack("<L", 5_000_000), struct.pack("<L", 5_000))
    archive.write_bytes(content)
    refuses(archive, out, "damaged", Limits(total=10_000))
    assert (out / "bomb").stat().st_size <= 10_000


def test_a_header_that_asks_for_all_memory_is_refused(tmp_path: Path, out: Path) -> None:
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 6 << 30
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    refuses(tmp_path / "a.tar.gz", out, r"a header in it is 6\.4 GB long")


def test_a_size_beyond_all_bounds_is_refused(tmp_path: Path, out: Path) -> None:
    info = tarfile.TarInfo("folder")
    # A kind that Python skips over, as far as its header says.
    info.type, info.size = b"Z", 1 << 50
    (tmp_path / "a.tar.gz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)))
    refuses(tmp_path / "a.tar.gz", out, "link, a device or the like|too much")


def test_what_follows_the_end_of_a_tar_is_limited_too(tmp_path: Path, out: Path) -> None:
    archive = tarred(tmp_path / "a", photo=b"photo")
    archive.write_bytes(archive.read_bytes() + gzip.compress(bytes(1_000_000)))
    assert unpack(archive, out) == 1
    (out / "photo").unlink()
    refuses(archive, out, "too much", Limits(total=1000, entries=1))


@pytest.mark.parametrize("make", [tar_of, zip_of])
def test_nothing_is_written_twice_or_over(tmp_path: Path, out: Path, make: Maker) -> None:
    tar = make is tar_of
    name = "a.tar.gz" if tar else "a.zip"

    def file(name: str, content: bytes):
        return entry(name, content) if tar else (name, content)

    for first, second in (("a", "a"), ("a", "./a"), ("a", "a/b"), ("a/b", "a")):
        if tar or first != second:
            refuses(make(tmp_path / name, file(first, b"first"), file(second, b"second")), out, "there already")
            assert b"second" not in tree(out).values()
        for path in sorted(out.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    (out / "mine").write_text("mine")
    refuses(make(tmp_path / name, file("mine", b"theirs")), out, "there already")
    assert tree(out) == {"mine": b"mine"}


@pytest.mark.parametrize("make", [tarred, zipped])
@pytest.mark.parametrize("damage", ["cut", "flip", "text", "empty"])
def test_a_damaged_archive_is_named(tmp_path: Path, out: Path, make: Maker, damage: str) -> None:
    archive = make(tmp_path / "a", photo=bytes(range(256)) * 40)
    content = bytearray(archive.read_bytes())
    if damage == "flip":
        content[len(content) // 3] ^= 0xFF
    changed = {"cut": content[: len(content) // 2], "flip": content, "text": b"<html></html>", "empty": b""}[damage]
    archive.write_bytes(changed)
    refuses(archive, out, "damaged|cannot be read")


def test_another_kind_of_archive_is_refused(tmp_path: Path, out: Path) -> None:
    (tmp_path / "a.rar").write_bytes(b"Rar!")
    refuses(tmp_path / "a.rar", out, r"neither a \.tar, a \.tar\.gz nor a \.zip")
