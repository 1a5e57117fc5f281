"""Loopback addresses for emulators, which share fixed ports and so cannot share an address."""

from __future__ import annotations

import random
import socket

PORTS = (3306, 4406, 5005)
"""MySQL, RonDB REST and Flight: the client lets none of them be chosen."""

_TRIES = 50


def free_address() -> str:
    """An address of 127.0.0.0/8 where nobody listens on the fixed ports. OSError if none can be bound.

    Linux answers on all of them; elsewhere only 127.0.0.1 may be there, and then one emulator can run at a time.
    """
    chosen = random.SystemRandom()
    candidates = [
        f"127.{chosen.randint(1, 250)}.{chosen.randint(0, 250)}.{chosen.randint(2, 250)}" for _ in range(_TRIES)
    ]
    for host in (*candidates, "127.0.0.1"):
        if _free(host):
            return host
    raise OSError(f"ports {', '.join(map(str, PORTS))} are taken on every loopback address that was tried")


def _free(host: str) -> bool:
    for port in PORTS:
        try:
            socket.create_server((host, port)).close()
        except OSError:
            return False
    return True
