"""Which address a name has, and which address of this machine another machine sees."""

from __future__ import annotations

import socket

from reaper_ops.errors import CommandError

STEP = "name the seed's address in the hosts' network by --seed-address"


def address_of(name: str) -> str:
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        raise CommandError(name, f"has no IPv4 address ({error.args[-1]})", STEP) from None
    return str(found[0][4][0])


def address_towards(name: str) -> str:
    """This machine's own address on its route to another; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((address_of(name), 9))
        except OSError as error:
            raise CommandError(name, f"there is no route to it ({error.strerror})", STEP) from None
        return str(probe.getsockname()[0])
