"""Keeps a process off the network. Python imports a module of this name at its start, by itself.

Every process of the tests has this folder in its PYTHONPATH. What tries to reach out is told that there is no network,
and is written down, so that what does so and bears the answer in silence is found as well.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Any

LOG, LOOPBACK = "VISION_FT_NETWORK_LOG", "VISION_FT_LOOPBACK"
_CALLS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event in _CALLS:
        address = args[1]
    elif event in _LOOKUPS:
        address = (args[0],)
    else:
        return
    # Anything else is a path: a socket between processes of this machine.
    if not isinstance(address, tuple):
        return
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    here = not host or host in ("localhost", "::1", os.uname().nodename) or host.startswith("127.")
    if here and (event in _LOOKUPS or LOOPBACK in os.environ):
        return
    if LOG in os.environ:
        with open(os.environ[LOG], "a") as log:  # noqa: PTH123 - imported before anything else is
            log.write(f"{event} {host}\n")
    raise OSError(errno.ENETUNREACH, "the tests keep off the network")


sys.addaudithook(_hook)
