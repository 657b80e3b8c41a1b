"""A process that decodes: photos come in on a socket, pixels go out through memory that both sides see.

It imports what decoding needs and nothing more: an engine would take it a quarter of a second and 100 MB.
"""

from __future__ import annotations

import json
import mmap
import os
import signal
import socket
import struct
import sys

from vision_ft.framing import Framing
from vision_ft.runtime.photos import framed

# What follows it, and how many bytes.
HEADER = struct.Struct("<BQ")
PATH, CONTENT = 1, 2
PIXELS, REASON = 3, 4
# More than its parent's patience, which ends first: only a process whose parent is gone comes to this.
SPARE_SECONDS = 5


def main() -> None:
    """Answer requests until there are no more."""
    link, memory, timeout = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    framing = Framing(**json.loads(sys.argv[4]))
    # Whoever types Ctrl-C means the process that this one works for.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=link) as connection, connection.makefile("rb") as requests:
        pixels = mmap.mmap(memory, framing.height * framing.width * 3)
        connection.sendall(HEADER.pack(PIXELS, 0))  # ready
        while len(header := requests.read(HEADER.size)) == HEADER.size:
            kind, length = HEADER.unpack(header)
            content = requests.read(length)
            if len(content) < length:
                return
            if timeout:
                # The kernel's clock ends the process wherever it is, in a library's loop too.
                signal.setitimer(signal.ITIMER_REAL, timeout + SPARE_SECONDS)
            result = framed(os.fsdecode(content) if kind == PATH else content, framing)
            signal.setitimer(signal.ITIMER_REAL, 0)
            if isinstance(result, str):
                reason = result.encode("utf-8", "surrogatepass")
                connection.sendall(HEADER.pack(REASON, len(reason)) + reason)
            else:
                pixels[:] = result.data.cast("B")
                connection.sendall(HEADER.pack(PIXELS, 0))
