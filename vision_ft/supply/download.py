"""Fetching one file over HTTP: goes on where it stopped, in this call and in a later one."""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import requests
from rich.filesize import decimal

from vision_ft.errors import DataError
from vision_ft.supply import network
from vision_ft.supply.network import cause, host_of, name_of, no_answer, phrase, public

# Seconds before each further try. The count begins anew whenever a try got further than all before it.
WAITS = (1.0, 2.0, 4.0)
_CHUNK = 1 << 16
_TRY_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})

Say = Callable[[str], None]
# Told the bytes so far and, if known, all of them.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Part:
    """What has come of a file so far, with what the server said of it in a note beside it."""

    path: Path

    @property
    def held(self) -> int:
        """The bytes that are here."""
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def _note(self) -> Path:
        return self.path.with_name(self.path.name + ".json")

    def note(self) -> dict[str, Any]:
        """What was written down when the file was begun; empty if that is lost."""
        try:
            note = json.loads(self._note.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}
        return note if isinstance(note, dict) and isinstance(note.get("total"), int | None) else {}

    def begin(self, url: str, total: int | None, headers: requests.structures.CaseInsensitiveDict[str]) -> None:
        """Start afresh."""
        self.path.write_bytes(b"")
        etag = headers.get("ETag", "")
        # A weak tag says that two files mean the same, not that their bytes are the same.
        validator = headers.get("Last-Modified") if not etag or etag.startswith("W/") else etag
        self._note.write_text(json.dumps({"url": public(url), "validator": validator, "total": total}))

    def discard(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)

    def become(self, path: Path) -> None:
        """Give a complete file its name."""
        self.path.replace(path)
        self._note.unlink(missing_ok=True)


def download(url: str, part: Part, *, size: int | None, say: Say, progress: Progress) -> None:
    """Fetch a file, or the rest of it. An interrupted call leaves what it got, and the next one goes on from there.

    Args:
        url: http or https.
        part: where the file goes.
        size: of the whole file in bytes, if it is known.
        say: told what went wrong before a further try.
        progress: told how far it is.

    Raises:
        DataError: the server cannot be reached, has no such file or another one, or there is no room for it.
        OSError: the file cannot be written; the disk may be full after all.
    """
    furthest, failures = part.held, 0
    while True:
        known = size if size is not None else part.note().get("total")
        if known is not None and part.held == known:
            return
        fault = _attempt(url, part, size, say, progress)
        if fault is None:
            return
        if part.held > furthest:
            furthest, failures = part.held, 0
        if failures == len(WAITS):
            resumed = f"it goes on after {decimal(part.held)}" if part.held else "nothing came so far"
            raise DataError(
                f"{name_of(url)} could not be fetched from {host_of(url)}: {fault}; run the command again when the "
                f"network is well ({resumed}), or name a mirror with --mirror URL"
            )
        say(f"{host_of(url)}: {fault}; trying again in {WAITS[failures]:g} s")
        time.sleep(WAITS[failures])
        failures += 1


def check_room(folder: Path, need: int, what: str) -> None:
    """Refuse to begin what cannot end.

    Raises:
        DataError: fewer than ``need`` bytes are free.
    """
    free = shutil.disk_usage(folder).free
    if free < need:
        raise DataError(
            f"{what} needs {decimal(need)}, {str(folder)!r} has {decimal(free)} free; make room, or name another FOLDER"
        )


def _attempt(url: str, part: Part, size: int | None, say: Say, progress: Progress) -> str | None:
    """Ask once. Returns why to ask again, or None when the file is complete."""
    # With any other encoding a range would count other bytes than the file's.
    headers = {"Accept-Encoding": "identity", "User-Agent": "vision-ft"}
    held, note = part.held, part.note()
    if held:
        headers["Range"] = f"bytes={held}-"
        # Another server's tag says nothing here; the checksum of the whole is the judge then.
        if note.get("validator") and note.get("url") == public(url):
            headers["If-Range"] = str(note["validator"])
    with requests.Session() as session:
        try:
            response = session.get(url, headers=headers, stream=True, timeout=(network.CONNECT, network.SILENCE))
        except requests.RequestException as error:
            return no_answer(error, url)
        with response:
            status = response.status_code
            if status in _TRY_LATER:
                return f"it answered {phrase(status)}"
            if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
                raise DataError(
                    f"{host_of(url)} answered {phrase(status)} to {public(url)}; name a mirror with --mirror URL"
                )
            start, total = _extent(response)
            if size is not None and total not in (None, size):
                raise _another_file(url, f"{total:,}", size)
            if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and total == held:
                return None
            noted = note.get("total")
            if start not in (0, held) or (start and None not in (total, noted) and total != noted):
                part.discard()
                return "the file there changed"
            total = size if total is None else total
            if total is not None:
                check_room(part.path.parent, total - held, name_of(url))
            if start == 0:
                if held:
                    say(f"{host_of(url)} has a newer file, or cannot send the rest of one: beginning anew")
                part.begin(url, total, response.headers)
            return _receive(response, part, url, total, progress)


def _extent(response: requests.Response) -> tuple[int | None, int | None]:
    """The first byte of an answer, and the length of the whole file; None for what is not said."""
    if response.status_code == HTTPStatus.OK:
        length = re.fullmatch(r"\d{1,18}", response.headers.get("Content-Length", ""), re.ASCII)
        return 0, None if length is None else int(length[0])
    said = response.headers.get("Content-Range", "")
    found = re.fullmatch(r"bytes (?:(\d{1,18})-\d+|\*)/(?:(\d{1,18})|\*)", said, re.ASCII)
    start, total = found.groups() if found else (None, None)
    return None if start is None else int(start), None if total is None else int(total)


def _receive(response: requests.Response, part: Part, url: str, total: int | None, progress: Progress) -> str | None:
    # Some servers call the gzip of a .tar.gz an encoding of theirs; undone, it would be another file.
    response.raw.headers.pop("Content-Encoding", None)
    done = part.held
    progress(done, total)
    with part.path.open("ab") as file:
        try:
            for chunk in response.iter_content(_CHUNK):
                done += len(chunk)
                if total is not None and done > total:
                    break
                file.write(chunk)
                progress(done, total)
        except requests.RequestException as error:
            return cause(error)
    if total is not None and done > total:
        part.discard()
        raise _another_file(url, "more", total)
    return None if total in (None, done) else "the connection dropped"


def _another_file(url: str, came: str, size: int) -> DataError:
    return DataError(
        f"{name_of(url)} of {host_of(url)} is another file: its bytes are {came} and not {size:,}; name a mirror with "
        "--mirror URL"
    )
