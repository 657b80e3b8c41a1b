"""The guard that the other tests rely on."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from tests.conftest import environment

REACH = "import socket; socket.create_connection(('93.184.216.34', 80), timeout=5)"
LOOK_UP = "import socket; socket.getaddrinfo('example.com', 443)"


@pytest.mark.network_refused
@pytest.mark.parametrize("code", [REACH, LOOK_UP])
def test_the_network_is_out_of_reach_here_and_in_processes(code: str) -> None:
    with pytest.raises(OSError, match="keep off the network"):
        exec(code)
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=False)
    assert "keep off the network" in done.stderr


@pytest.mark.network_refused
def test_loopback_is_for_tests_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(OSError, match="keep off the network"):
            socket.create_connection(server.getsockname())
        monkeypatch.setenv("VISION_FT_LOOPBACK", "1")
        socket.create_connection(server.getsockname()).close()
