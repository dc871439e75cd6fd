"""The door for scrapes: prometheus_client's server in a thread of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, start_http_server

from reaper_ops.errors import CommandError, ReaperError

LOOPBACK = "127.0.0.1"
FORM = re.compile(r"(?:(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[A-Za-z0-9._-]*)):)?(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Address:
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """`ADDR:PORT`; without an address it is loopback: the network sees metrics only where it is asked for."""
    found = FORM.fullmatch(text.strip())
    if not found or not 0 < int(found["port"]) < 65536:
        raise ReaperError("--metrics", f"{text!r} is no ADDR:PORT", "write it as 127.0.0.1:9434 or [::1]:9434")
    return Address(found["six"] or found["host"] or LOOPBACK, int(found["port"]))


@contextmanager
def served(where: Address, registry: CollectorRegistry) -> Iterator[None]:
    try:
        server, thread = start_http_server(where.port, where.host, registry)
    except OSError as exc:
        hint = "another program may hold it; choose another with --metrics ADDR:PORT"
        raise CommandError(f"--metrics {where}", f"cannot listen there: {exc.strerror or exc}", hint) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
