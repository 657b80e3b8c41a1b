from __future__ import annotations

import resource
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.supply.server import Asked, Server
from vision_ft.errors import NO_SPACE, DataError
from vision_ft.supply.download import Part, check_room, download

CONTENT = np.random.default_rng(0).bytes(1_000_000)
# The most that is lost of what came last when a connection drops.
CHUNK = 1 << 16

Fetch = Callable[..., list[str]]


@pytest.fixture
def part(tmp_path: Path) -> Part:
    return Part(tmp_path / "a.bin.part")


@pytest.fixture
def fetch(server: Server, part: Part) -> Fetch:
    """Fetches ``/a.bin`` and returns what was said meanwhile."""
    server.files["/a.bin"] = CONTENT

    def run(url: str | None = None, size: int | None = len(CONTENT)) -> list[str]:
        said: list[str] = []
        url = f"{server.url}/a.bin" if url is None else url
        download(url, part, size=size, say=said.append, progress=lambda *_: None)
        return said

    return run


def test_a_file_is_fetched_with_one_request(server: Server, part: Part, fetch: Fetch) -> None:
    assert fetch() == []
    assert part.path.read_bytes() == CONTENT
    assert server.asked == [Asked("/a.bin", None, None)]


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_a_dropped_connection_is_taken_up_again(server: Server, part: Part, fetch: Fetch, size: int | None) -> None:
    server.cuts = [600_000]
    (said,) = fetch(size=size)
    assert "the connection dropped; trying again" in said
    assert part.path.read_bytes() == CONTENT
    first, second = server.asked
    assert first.range is None
    held = int((second.range or "").removeprefix("bytes=").removesuffix("-"))
    assert 600_000 - CHUNK <= held <= 600_000
    assert second.if_range == '"one"'
    assert len(CONTENT) <= server.sent <= len(CONTENT) + CHUNK


def test_a_drop_is_noticed_by_the_known_size_alone(server: Server, part: Part, fetch: Fetch) -> None:
    server.length, server.cuts = False, [600_000]
    assert "the connection dropped" in fetch()[0]
    assert part.path.read_bytes() == CONTENT
    assert server.sent < len(CONTENT) + CHUNK


def test_any_number_of_drops_is_borne_while_there_is_progress(server: Server, part: Part, fetch: Fetch) -> None:
    server.cuts = [130_000] * 7
    assert len(fetch()) == 7
    assert part.path.read_bytes() == CONTENT


def test_without_progress_it_gives_up_and_a_later_call_goes_on(server: Server, part: Part, fetch: Fetch) -> None:
    server.cuts = [300_000, 0, 0, 0]
    with pytest.raises(DataError, match=r"goes on after \d+\.\d kB.*--mirror") as caught:
        fetch()
    assert server.host in str(caught.value)
    assert len(server.asked) == 4
    assert part.held >= 300_000 - CHUNK
    assert fetch() == []
    assert part.path.read_bytes() == CONTENT
    assert server.asked[-1].range is not None
    assert server.sent <= len(CONTENT) + CHUNK


def test_a_server_without_ranges_sends_it_all_again(server: Server, part: Part, fetch: Fetch) -> None:
    server.ranges, server.cuts = False, [600_000]
    assert "beginning anew" in fetch()[-1]
    assert part.path.read_bytes() == CONTENT
    assert server.sent == 600_000 + len(CONTENT)


def test_a_server_without_ranges_that_always_drops_is_given_up(server: Server, fetch: Fetch) -> None:
    server.ranges, server.cuts = False, [600_000] * 99
    with pytest.raises(DataError, match="the connection dropped"):
        fetch()
    assert len(server.asked) < 10


def interrupted(server: Server, fetch: Fetch, size: int | None) -> None:
    server.cuts = [600_000, 0, 0, 0, 0]
    with pytest.raises(DataError):
        fetch(size=size)
    server.asked.clear()
    server.cuts = []


def test_another_tag_means_another_file(server: Server, part: Part, fetch: Fetch) -> None:
    interrupted(server, fetch, size=len(CONTENT))
    server.etag, server.files["/a.bin"] = '"two"', CONTENT[::-1]
    assert "newer file" in fetch()[0]
    assert [asked.if_range for asked in server.asked] == ['"one"']
    assert part.path.read_bytes() == CONTENT[::-1]


def test_without_a_tag_the_length_tells_another_file(server: Server, part: Part, fetch: Fetch) -> None:
    server.etag = None
    interrupted(server, fetch, size=None)
    server.files["/a.bin"] = CONTENT[::-1] + b"more"
    assert "changed" in fetch(size=None)[0]
    assert [bool(asked.range) for asked in server.asked] == [True, False]
    assert part.path.read_bytes() == CONTENT[::-1] + b"more"


def test_a_weak_tag_is_no_proof_but_a_date_is(server: Server, fetch: Fetch) -> None:
    server.etag, server.modified = 'W/"one"', "Fri, 05 Feb 2021 10:00:00 GMT"
    interrupted(server, fetch, size=None)
    fetch(size=None)
    assert [asked.if_range for asked in server.asked] == [server.modified]


def test_another_servers_tag_is_not_asked_about(server: Server, part: Part, fetch: Fetch) -> None:
    interrupted(server, fetch, size=len(CONTENT))
    server.files["/mirror/a.bin"], server.etag = CONTENT, '"of the mirror"'
    fetch(f"{server.url}/mirror/a.bin")
    assert [(bool(asked.range), asked.if_range) for asked in server.asked] == [(True, None)]
    assert part.path.read_bytes() == CONTENT


def test_silence_ends(server: Server, part: Part, fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vision_ft.supply.network.SILENCE", 0.2)
    server.stalls, server.cuts = True, [300_000, 0, 0, 0, 0]
    began = time.monotonic()
    with pytest.raises(DataError, match=r"nothing came for 0\.2 s"):
        fetch()
    assert time.monotonic() - began < 10
    assert 300_000 - CHUNK <= part.held <= 300_000


@pytest.mark.parametrize(("status", "requests"), [(404, 1), (403, 1), (410, 1), (400, 1), (500, 4), (503, 4), (429, 4)])
def test_what_a_server_answers_instead(server: Server, fetch: Fetch, status: int, requests: int) -> None:
    server.statuses = [status] * 10
    with pytest.raises(DataError, match=rf"{status} [A-Z].*--mirror"):
        fetch()
    assert len(server.asked) == requests


def test_a_busy_server_is_asked_again(server: Server, part: Part, fetch: Fetch) -> None:
    server.statuses = [503, 502]
    assert ["503" in line or "502" in line for line in fetch()] == [True, True]
    assert part.path.read_bytes() == CONTENT


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_no_server(fetch: Fetch) -> None:
    host = f"127.0.0.1:{closed_port()}"
    with pytest.raises(DataError, match=rf"{host}: Connection refused.*--mirror") as caught:
        fetch(f"http://someone:secret@{host}/a.bin")
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_proxy(fetch: Fetch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    with pytest.raises(DataError, match=r"the proxy on the way to data\.invalid .*refused.*HTTP_PROXY"):
        fetch("http://data.invalid/a.bin")


def test_no_tls(server: Server, fetch: Fetch) -> None:
    with pytest.raises(DataError, match=f"{server.host} cannot be reached safely"):
        fetch(f"https://{server.host}/a.bin")


@pytest.mark.parametrize(
    ("target", "message"), [("/loop", "round in a circle"), ("file:///etc/passwd", "no address of the web")]
)
def test_redirects_that_lead_nowhere(server: Server, part: Part, fetch: Fetch, target: str, message: str) -> None:
    server.redirects["/loop"] = target
    with pytest.raises(DataError, match=message):
        fetch(f"{server.url}/loop")
    assert part.held == 0


def test_a_redirect_is_followed_when_going_on_too(server: Server, part: Part, fetch: Fetch) -> None:
    server.redirects["/moved"] = "/a.bin"
    server.cuts = [600_000]
    fetch(f"{server.url}/moved")
    assert [asked.if_range for asked in server.asked] == [None, None, '"one"', '"one"']
    assert part.path.read_bytes() == CONTENT


def test_a_file_of_another_length_is_not_even_begun(server: Server, part: Part, fetch: Fetch) -> None:
    server.files["/a.bin"] = b"<html>please log in</html>"
    with pytest.raises(DataError, match="its bytes are 26 and not 1,000,000"):
        fetch()
    assert not part.path.exists()


def test_a_file_without_end_is_stopped(server: Server, part: Part, fetch: Fetch) -> None:
    server.length, server.files["/a.bin"] = False, CONTENT * 2
    with pytest.raises(DataError, match="more and not 1,000,000"):
        fetch()
    assert not part.path.exists()
    assert len(server.asked) == 1


def test_a_label_of_an_encoding_does_not_change_the_bytes(server: Server, part: Part, fetch: Fetch) -> None:
    server.headers["Content-Encoding"] = "gzip"
    fetch()
    assert part.path.read_bytes() == CONTENT


def test_what_is_complete_is_not_asked_for(server: Server, part: Part, fetch: Fetch) -> None:
    part.path.write_bytes(CONTENT)
    fetch()
    assert server.asked == []


def test_what_is_complete_is_found_out_if_its_size_is_not_known(server: Server, part: Part, fetch: Fetch) -> None:
    part.path.write_bytes(CONTENT)
    fetch(size=None)
    assert [asked.range for asked in server.asked] == ["bytes=1000000-"]
    assert part.path.read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_what_is_too_long_is_fetched_anew(server: Server, part: Part, fetch: Fetch, size: int | None) -> None:
    part.path.write_bytes(CONTENT + b"more")
    fetch(size=size)
    assert part.path.read_bytes() == CONTENT


def test_a_damaged_note_costs_only_the_tag(server: Server, part: Part, fetch: Fetch) -> None:
    interrupted(server, fetch, size=len(CONTENT))
    part.path.with_name("a.bin.part.json").write_text('{"total": "much"}')
    fetch()
    assert [(bool(asked.range), asked.if_range) for asked in server.asked] == [(True, None)]
    assert part.path.read_bytes() == CONTENT


def test_no_room_is_said_before_anything_is_written(
    server: Server, part: Part, fetch: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"a\.bin needs .* free; make room"):
        check_room(part.path.parent, 1 << 60, "a.bin")
    usage = shutil.disk_usage(part.path.parent)._replace(free=len(CONTENT) - 1)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"a\.bin needs 1\.0 MB"):
        fetch()
    assert not part.path.exists()


def test_a_disk_that_fills_up_after_all_is_left_to_the_command(part: Part, fetch: Fetch) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            fetch()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.errno in NO_SPACE
    assert part.held <= 200_000
