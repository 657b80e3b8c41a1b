from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from vision_ft.errors import BundleError
from vision_ft.export.staging import staged, write


def old_bundle(folder: Path) -> Path:
    out = folder / "bundle"
    out.mkdir()
    (out / "spec.json").write_text("old")
    (out / "model.onnx").write_text("old")
    return out


OLD = {"bundle/model.onnx": "old", "bundle/spec.json": "old"}


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_new_bundle_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    out = old_bundle(tmp_path)
    with staged(out) as folder:
        write(folder / "spec.json", b"new")
        assert content(out) == {"spec.json": "old", "model.onnx": "old"}
    assert content(tmp_path) == {"bundle/spec.json": "new"}


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), BundleError("x")])
def test_whatever_goes_wrong_the_old_one_stays(error: BaseException, tmp_path: Path) -> None:
    out = old_bundle(tmp_path)

    def fail() -> None:
        with staged(out) as folder:
            write(folder / "spec.json", b"new")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert content(tmp_path) == OLD


def test_a_swap_that_fails_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = old_bundle(tmp_path)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target == out and ".new-" in self.name:
            raise OSError(errno.EIO, "input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(BundleError, match="unharmed"), staged(out) as folder:
        write(folder / "spec.json", b"new")
    assert content(tmp_path) == OLD


@pytest.mark.parametrize("beside", [["spec.json"], ["spec.json", "model.onnx"]], ids=["spec", "bundle"])
def test_what_lies_beside_a_bundle_is_never_lost(beside: list[str], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in [*beside, "thesis.txt"]:
        (mine / name).write_text("years of work")
    with pytest.raises(BundleError, match="nothing was written"), staged(mine):
        pass
    assert content(mine) == dict.fromkeys([*beside, "thesis.txt"], "years of work")


def test_a_swap_that_cannot_be_undone_keeps_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = old_bundle(tmp_path)
    real = Path.rename

    def rename(self: Path, target: Path) -> Path:
        if target == out:
            raise OSError(errno.EIO, "input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(BundleError), staged(out) as folder:
        write(folder / "spec.json", b"new")
    assert "old" in content(tmp_path).values()


def test_what_is_no_bundle_is_never_replaced(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    for place in (mine, mine / "thesis.txt"):
        with pytest.raises(BundleError, match="nothing was written"), staged(place):
            pass
    assert content(tmp_path) == {"mine/thesis.txt": "years of work"}


FILL = """
import sys
from pathlib import Path
from vision_ft.errors import BundleError
from vision_ft.export.staging import staged, write
out = Path(sys.argv[1])
try:
    with staged(out) as folder:
        write(folder / "spec.json", b"new")
        write(folder / "model.onnx", bytes(4_000_000))
except BundleError as error:
    print(error)
    sys.exit(2)
"""


def fill(out: Path, before: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", before + FILL, out], capture_output=True, text=True, check=False)


def test_a_full_disk_leaves_the_old_bundle(tmp_path: Path) -> None:
    """A real file system of one megabyte, where the machine lets us mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"cannot mount a small file system here: {mounted.stderr.strip()}")
    try:
        out = old_bundle(disk)
        done = fill(out)
        assert done.returncode == 2, done.stderr
        assert "the disk is full" in done.stdout
        assert "the bundle that was there is unharmed" in done.stdout
        assert content(disk) == OLD
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_limit_on_file_size_is_a_full_disk_too(tmp_path: Path) -> None:
    limit = (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
    )
    out = old_bundle(tmp_path)
    done = fill(out, limit)
    assert done.returncode == 2, done.stderr
    assert "the disk is full" in done.stdout
    assert content(tmp_path) == OLD
