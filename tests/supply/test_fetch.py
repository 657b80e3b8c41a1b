from __future__ import annotations

import errno
import hashlib
import io
import json
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import Command, environment, fails_with
from tests.supply.server import Server
from vision_ft import cli
from vision_ft.supply.catalogue import DATA_SETS, DataSet, RemoteFile
from vision_ft.supply.fetch import is_complete

PHOTO = np.random.default_rng(0).bytes(400_000)


def tar_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zip_of(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return out.getvalue()


ARCHIVES = {
    "images.tar.gz": tar_of({"images/Abyssinian_1.jpg": PHOTO, "images/beagle_1.jpg": b"a dog"}),
    "lists.zip": zip_of({"lists/list.txt": b"1"}),
}


def data_set_of(archives: dict[str, bytes], url: str) -> DataSet:
    return DataSet(
        name="tiny-pets",
        title="Tiny Pets",
        about="two pets",
        homepage="https://pets.invalid/",
        licence="CC BY-SA 4.0",
        citation="@misc{tiny}",
        files=tuple(
            RemoteFile(f"{url}/{name}", hashlib.sha256(content).hexdigest(), len(content))
            for name, content in archives.items()
        ),
        unpacks=("images", "lists"),
        photos="images",
    )


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def names(folder: str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.fixture
def pets(server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> DataSet:
    """A small data set in the catalogue and on the server, and a working folder of its own."""
    server.files |= {f"/{name}": content for name, content in ARCHIVES.items()}
    data_set = data_set_of(ARCHIVES, server.url)
    monkeypatch.setitem(DATA_SETS, data_set.name, data_set)
    monkeypatch.setitem(cli.VERBS, "data fetch", ("vision_ft.commands.fetch", "fetch a public data set"))
    monkeypatch.chdir(tmp_path)
    return data_set


Fetch = Callable[..., "tuple[int, str, str]"]


@pytest.fixture
def fetch(pets: DataSet, capsys: pytest.CaptureFixture[str]) -> Fetch:
    """Runs the command in this process; returns its exit code and what it wrote to stdout and stderr."""

    def run(*args: str | Path, name: str = "tiny-pets") -> tuple[int, str, str]:
        code = cli.main(["data", "fetch", name, *map(str, args)])
        return code, *capsys.readouterr()

    return run


def test_a_data_set_is_fetched_and_described(server: Server, pets: DataSet, fetch: Fetch) -> None:
    code, out, err = fetch()
    assert code == 0
    folder = Path("data/tiny-pets")
    got = tree(folder)
    notice, source = got.pop("LICENCE_AND_CITATION.txt"), got.pop("SOURCE.json")
    assert got == {
        "images": None,
        "images/Abyssinian_1.jpg": PHOTO,
        "images/beagle_1.jpg": b"a dog",
        "lists": None,
        "lists/list.txt": b"1",
    }
    for word in ("CC BY-SA 4.0", "@misc{tiny}", "https://pets.invalid/"):
        assert word in out
        assert word.encode() in (notice or b"")
    for file in pets.files:
        assert file.url.encode() in (notice or b"")
        assert file.sha256.encode() in (notice or b"")
    assert json.loads(source or b"")["files"] == [
        {"url": file.url, "sha256": file.sha256, "size": file.size} for file in pets.files
    ]
    assert "fetched 3 files into data/tiny-pets" in out
    assert out.endswith("next: vision-ft data check data/tiny-pets/images\n")
    # Where there is no terminal, a short download is one line and no bar.
    assert err.splitlines() == [
        f"fetching images.tar.gz from {server.host} ({len(ARCHIVES['images.tar.gz']) / 1000:.1f} kB)",
        "verifying images.tar.gz",
        f"fetching lists.zip from {server.host} ({len(ARCHIVES['lists.zip'])} bytes)",
        "verifying lists.zip",
        "unpacking images.tar.gz",
        "unpacking lists.zip",
    ]


def test_the_second_time_nothing_is_asked(server: Server, fetch: Fetch) -> None:
    fetch("my pets")
    before, asked = tree(Path("my pets")), len(server.asked)
    code, out, err = fetch("my pets")
    assert (code, err) == (0, "")
    assert "my pets holds tiny-pets already" in out
    assert out.endswith("next: vision-ft data check 'my pets/images'\n")
    assert (tree(Path("my pets")), len(server.asked)) == (before, asked)


def test_what_was_fetched_is_not_what_the_table_names_now(pets: DataSet, fetch: Fetch) -> None:
    fetch("here")
    folder = Path("here")
    assert is_complete(pets, folder)
    assert not is_complete(replace(pets, files=pets.files[:1]), folder)
    (folder / "lists/list.txt").unlink()
    (folder / "lists").rmdir()
    assert not is_complete(pets, folder)
    for damaged in ("", "[]", "{}", '{"files": 3}'):
        (folder / "SOURCE.json").write_text(damaged)
        assert not is_complete(pets, folder)
    code, _, err = fetch("here")
    assert code == 2
    assert "'here' holds 'images', 'SOURCE.json', 'LICENCE_AND_CITATION.txt' already" in err


def test_archives_are_kept_on_request_and_used_again(server: Server, fetch: Fetch) -> None:
    code, out, _ = fetch("here", "--keep-archives")
    assert code == 0
    assert f"archives kept in {Path('here/.download')}" in out
    assert tree(Path("here/.download")) == ARCHIVES
    for name in ("images", "lists"):
        Path("here", name).rename(f"old-{name}")
    Path("here/SOURCE.json").unlink()
    Path("here/LICENCE_AND_CITATION.txt").unlink()
    server.asked.clear()
    assert fetch("here")[0] == 0
    assert server.asked == []
    assert names("here") == ["LICENCE_AND_CITATION.txt", "SOURCE.json", "images", "lists"]


def test_an_interrupted_fetch_is_gone_on_with(server: Server, fetch: Fetch) -> None:
    server.cuts = [200_000, 0, 0, 0]
    code, out, err = fetch("here")
    assert (code, out) == (2, "")
    assert "goes on after" in err
    assert names("here") == [".download"]
    assert names("here/.download") == ["images.tar.gz.part", "images.tar.gz.part.json"]
    server.asked.clear()
    assert fetch("here")[0] == 0
    assert [(asked.path, bool(asked.range)) for asked in server.asked] == [
        ("/images.tar.gz", True),
        ("/lists.zip", False),
    ]
    assert server.sent < sum(map(len, ARCHIVES.values())) + (1 << 16)
    assert Path("here/images/Abyssinian_1.jpg").read_bytes() == PHOTO
    assert ".download" not in names("here")


PROGRAM = """
import signal
import sys
# A shell that runs the tests in the background has them ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
from vision_ft import cli
from vision_ft.supply.catalogue import DATA_SETS, DataSet, RemoteFile
url, sha256, size = sys.argv[1:4]
files = (RemoteFile(url, sha256, int(size)),)
DATA_SETS["tiny-pets"] = DataSet("tiny-pets", "", "", "", "", "", files, ("images",), "images")
cli.VERBS["data fetch"] = ("vision_ft.commands.fetch", "")
sys.exit(cli.main(["data", "fetch", "tiny-pets", "here"]))
"""


def test_ctrl_c_leaves_what_came(server: Server, pets: DataSet, fetch: Fetch) -> None:
    file = pets.files[0]
    server.stalls, server.cuts = True, [200_000]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, file.url, file.sha256, str(file.size)],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert server.cut.wait(60)
        part = Path("here/.download/images.tar.gz.part")
        while not (part.exists() and part.stat().st_size > 100_000):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "vision-ft: interrupted"
    assert "Traceback" not in err
    assert part.stat().st_size > 100_000
    assert fetch("here")[0] == 0
    assert server.asked[1].range is not None
    assert Path("here/images/Abyssinian_1.jpg").read_bytes() == PHOTO


@pytest.mark.parametrize("name", list(ARCHIVES))
@pytest.mark.parametrize("known", [True, False])
def test_a_wrong_checksum(
    server: Server, pets: DataSet, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, name: str, known: bool
) -> None:
    if not known:
        files = tuple(replace(file, size=None) for file in pets.files)
        monkeypatch.setitem(DATA_SETS, pets.name, replace(pets, files=files))
    wrong = bytearray(ARCHIVES[name])
    wrong[-1] ^= 1
    server.files[f"/{name}"] = bytes(wrong)
    code, out, err = fetch("here")
    assert (code, out) == (2, "")
    message = err.splitlines()[-1]
    assert name in message
    assert hashlib.sha256(wrong).hexdigest() in message
    assert hashlib.sha256(ARCHIVES[name]).hexdigest() in message
    assert "unpacking" not in err
    assert "--mirror" in message
    left = {str(path) for path in Path("here").rglob("*") if path.is_file()}
    assert left == ({"here/.download/images.tar.gz"} if name == "lists.zip" else set())
    server.files[f"/{name}"] = ARCHIVES[name]
    assert fetch("here")[0] == 0


def test_a_kept_archive_that_was_damaged_is_not_unpacked(server: Server, fetch: Fetch) -> None:
    Path("here/.download").mkdir(parents=True)
    Path("here/.download/lists.zip").write_bytes(zip_of({"lists/evil": b""}))
    code, _, err = fetch("here")
    assert code == 2
    assert "SHA-256" in err
    assert fetch("here")[0] == 0
    assert names("here/lists") == ["list.txt"]


def test_a_complete_part_is_verified_and_used(server: Server, fetch: Fetch) -> None:
    Path("here/.download").mkdir(parents=True)
    Path("here/.download/images.tar.gz.part").write_bytes(ARCHIVES["images.tar.gz"])
    assert fetch("here")[0] == 0
    assert [asked.path for asked in server.asked] == ["/lists.zip"]


@pytest.mark.parametrize("taken", ["images", "lists", "SOURCE.json", "LICENCE_AND_CITATION.txt"])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling"])
def test_nothing_of_the_users_is_touched(server: Server, fetch: Fetch, taken: str, kind: str) -> None:
    here = Path("here")
    here.mkdir()
    if kind == "file":
        (here / taken).write_text("mine")
    elif kind == "folder":
        (here / taken).mkdir()
    else:
        (here / taken).symlink_to("nowhere")
    before = tree(here)
    code, out, err = fetch("here")
    assert (code, out) == (2, "")
    assert err == (
        f"vision-ft: 'here' holds {taken!r} already; nothing of it was touched. Move it away, or name another FOLDER\n"
    )
    assert tree(here) == before
    assert server.asked == []


def test_what_appears_meanwhile_is_not_touched_either(server: Server, pets: DataSet, fetch: Fetch) -> None:
    # Something at the top of an archive that the table does not know of.
    archives = ARCHIVES | {"lists.zip": zip_of({"lists/list.txt": b"1", "notes.txt": b"theirs"})}
    server.files["/lists.zip"] = archives["lists.zip"]
    DATA_SETS[pets.name] = data_set_of(archives, server.url)
    Path("here").mkdir()
    Path("here/notes.txt").write_text("mine")
    code, _, err = fetch("here")
    assert code == 2
    assert "holds 'notes.txt' already" in err
    assert {name: got for name, got in tree(Path("here")).items() if ".download" not in name} == {"notes.txt": b"mine"}
    assert names("here/.download") == sorted(ARCHIVES)
    Path("here/notes.txt").rename("notes.txt")
    server.asked.clear()
    assert fetch("here")[0] == 0
    assert server.asked == []


def test_other_files_beside_are_left_alone(fetch: Fetch) -> None:
    Path("here").mkdir()
    Path("here/notes.txt").write_text("mine")
    assert fetch("here")[0] == 0
    assert Path("here/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("archive", [tar_of, zip_of])
def test_an_archive_that_must_not_be_unpacked_leaves_nothing(
    server: Server, pets: DataSet, fetch: Fetch, archive: Callable[[dict[str, bytes]], bytes]
) -> None:
    name = "lists.tar.gz" if archive is tar_of else "lists.zip"
    archives = {"images.tar.gz": ARCHIVES["images.tar.gz"], name: archive({"lists/a": b"", "../../evil": b"evil"})}
    server.files |= {f"/{name}": content for name, content in archives.items()}
    DATA_SETS[pets.name] = data_set_of(archives, server.url)
    code, out, err = fetch("here")
    assert (code, out) == (2, "")
    assert "'../../evil' in it would land outside of the folder" in err
    assert {str(path) for path in Path().rglob("*") if path.is_file()} == {f"here/.download/{key}" for key in archives}
    assert not list(Path("here/.download").glob("unpacked-*"))


def test_archives_without_the_photos_are_refused(server: Server, pets: DataSet, fetch: Fetch) -> None:
    DATA_SETS[pets.name] = replace(pets, photos="pictures")
    code, _, err = fetch("here")
    assert code == 2
    assert "hold no folder 'pictures'" in err
    assert names("here") == [".download"]


def test_a_move_that_fails_is_taken_back(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    rename, here = Path.rename, Path("here")

    def failing(self: Path, target: Path) -> Path:
        if target == here / "SOURCE.json":
            assert names("here") == [".download", "LICENCE_AND_CITATION.txt", "images", "lists"]
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    code, _, err = fetch("here")
    assert code == 2
    assert "the disk is full" in err
    assert names("here") == [".download"]
    monkeypatch.undo()


def test_what_a_killed_call_left_is_cleared(fetch: Fetch) -> None:
    stale = Path("here/.download/unpacked-abc/images")
    stale.mkdir(parents=True)
    (stale / "half.jpg").write_text("half")
    assert fetch("here")[0] == 0
    assert not Path("here/.download").exists()


def test_two_at_once_do_not_mix(fetch: Fetch) -> None:
    fcntl = pytest.importorskip("fcntl")
    Path("here/.download").mkdir(parents=True)
    with Path("here/.download/lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = fetch("here")
    assert code == 2
    assert "another command is fetching into 'here'" in err
    assert Path("here/.download/lock").exists()


MIRRORED = ["/base/tiny-pets/images.tar.gz", "/base/tiny-pets/lists.zip"]


@pytest.fixture
def mirrored(server: Server) -> Server:
    """The files are below /base/tiny-pets alone."""
    server.files = {f"/base/tiny-pets/{name}": content for name, content in ARCHIVES.items()}
    return server


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror_by_option(mirrored: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch, slash: str) -> None:
    monkeypatch.setenv("VISION_FT_MIRROR", "http://127.0.0.1:1/not-this")
    address = f"http://me:secret@{mirrored.host}/base{slash}"
    code, out, err = fetch("here", "--mirror", address)
    assert code == 0
    assert [asked.path for asked in mirrored.asked] == MIRRORED
    assert "secret" not in out + err
    assert not [name for name, got in tree(Path("here")).items() if b"secret" in (got or b"")]


def test_a_mirror_by_environment(mirrored: Server, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISION_FT_MIRROR", f"{mirrored.url}/base")
    assert fetch("here")[0] == 0
    assert [asked.path for asked in mirrored.asked] == MIRRORED


def test_a_mirror_is_not_trusted(mirrored: Server, fetch: Fetch) -> None:
    wrong = bytearray(ARCHIVES["images.tar.gz"])
    wrong[100] ^= 1
    mirrored.files[MIRRORED[0]] = bytes(wrong)
    code, _, err = fetch("here", "--mirror", f"{mirrored.url}/base")
    assert code == 2
    assert "SHA-256" in err


@pytest.mark.parametrize(
    "mirror",
    ["file:///data", "/data", "ftp://me:secret@host/x", "http://", "http://[bad", "https://host/?a=1", "http:"],
)
def test_what_is_no_mirror(server: Server, fetch: Fetch, mirror: str) -> None:
    code, out, err = fetch("here", "--mirror", mirror)
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "must be a http:// or https:// address" in err
    assert "secret" not in err
    assert not Path("here").exists()


def test_a_mirror_without_the_file(server: Server, fetch: Fetch) -> None:
    code, _, err = fetch("deep/here", "--mirror", f"http://me:secret@{server.host}/empty")
    assert code == 2
    assert f"answered 404 Not Found to {server.url}/empty/tiny-pets/images.tar.gz" in err
    assert not Path("deep/here").exists(), "an empty folder was left behind"


def test_a_folder_that_cannot_be_one(server: Server, fetch: Fetch) -> None:
    Path("here").write_text("mine")
    for folder in ("here", "here/below"):
        code, _, err = fetch(folder)
        assert code == 2
        assert "name another folder" in err.lower()
    assert Path("here").read_text() == "mine"
    assert server.asked == []


def test_no_room(server: Server, pets: DataSet, fetch: Fetch) -> None:
    DATA_SETS[pets.name] = replace(pets, files=tuple(replace(file, size=1 << 60) for file in pets.files))
    code, _, err = fetch("here")
    assert code == 2
    assert "make room" in err
    assert server.asked == []
    assert not Path("here").exists()


def test_the_shipped_table_is_sound() -> None:
    assert list(DATA_SETS) == ["oxford-pets", "cats-dogs"]
    for name, data_set in DATA_SETS.items():
        assert name == data_set.name
        assert data_set.photos in data_set.unpacks
        assert len({file.name for file in data_set.files}) == len(data_set.files)
        for file in data_set.files:
            assert file.url.startswith("https://")
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.name.endswith((".tar.gz", ".zip"))
        assert "@inproceedings" in data_set.citation


def test_the_command_as_a_user_runs_it(
    server: Server, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails_with(command("data", "fetch", "oxford-pet", cwd=tmp_path, code=2), "did you mean 'oxford-pets'?", "cats-dogs")
    fails_with(command("data", "fetch", cwd=tmp_path, code=2), "NAME")
    server.files["/cats-dogs/kagglecatsanddogs_5340.zip"] = ARCHIVES["lists.zip"]
    done = command("data", "fetch", "cats-dogs", "--mirror", server.url, cwd=tmp_path, code=2)
    fails_with(done, "SHA-256", "b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9")
    assert list(tmp_path.rglob("*.*")) == []
    monkeypatch.setenv("VISION_FT_MIRROR", server.url)
    server.files["/oxford-pets/images.tar.gz"] = ARCHIVES["images.tar.gz"]
    fails_with(command("data", "fetch", "oxford-pets", cwd=tmp_path, code=2), "and not 791,918,971")
    assert "37 breeds" in command("data", "fetch", "--help", cwd=tmp_path).stdout
