"""The tracker of a swarm, asked by friends and by strangers over its own socket."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote_from_bytes

import pytest

from reaper_ops import assets

PLAYBOOKS = assets.collection()
HASH, OTHER = b"\x00+ %&;=~ABC\xff\x0a\x0dxyz12", b"o" * 20
SERVE = """
import sys
sys.path.append(sys.argv[1])
from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_tracker import serve
serve(sys.argv[2], "127.0.0.1", int(sys.argv[3]))
"""
UNKNOWN = b"d14:failure reason24:no torrent of this swarme"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def started(hashes: Path, port: int) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", SERVE, str(assets.collections()), str(hashes), str(port)]
    return subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    hashes, port = tmp_path_factory.mktemp("tracker") / "whitelist", free_port()
    hashes.write_text(f"{HASH.hex()}\n{OTHER.hex()}\n")
    process = started(hashes, port)
    for _ in range(200):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.05)
    yield port
    assert process.poll() is None, "nothing that was asked has ended it"
    process.kill()
    assert process.communicate()[1] == ""


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    return answer.status, answer.read()


def announce(tracker: int, peer: int | str, hash_: bytes = HASH, **more: str) -> bytes:
    rest = "".join(f"&{key}={value}" for key, value in more.items())
    status, body = get(tracker, f"/announce?info_hash={quote_from_bytes(hash_, safe='')}&port={peer}&compact=1{rest}")
    assert status == 200
    return body


def peer(port: int) -> bytes:
    return bytes([127, 0, 0, 1]) + port.to_bytes(2, "big")


def test_peers_learn_of_each_other_and_of_nobody_who_left(tracker: int) -> None:
    assert announce(tracker, 7001, left="0") == b"d8:completei1e10:incompletei0e8:intervali30e5:peers0:e"
    found = announce(tracker, 7002, left="5")
    assert found == b"d8:completei1e10:incompletei1e8:intervali30e5:peers6:" + peer(7001) + b"e"
    assert peer(7002) in announce(tracker, 7001, left="0")
    assert peer(7001) not in announce(tracker, 7003, OTHER, left="5"), "each torrent has peers of its own"
    announce(tracker, 7002, left="5", event="stopped")
    assert peer(7002) not in announce(tracker, 7001, left="0")
    assert announce(tracker, 7001, left="0").endswith(b"5:peers0:e"), "nobody is told of himself"


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/scrape", "/scrape?", f"/scrape?info_hash={quote_from_bytes(HASH, safe='')}", "/stats", "/announce/"),
        *(
            "/stats?mode=tpbs",
            "/stats?mode=everything",
            "/stats?mode=torr",
            "/whitelist",
            "/../whitelist",
            "//announce",
        ),
    ],
)
def test_nobody_is_told_a_hash(tracker: int, path: str) -> None:
    """opentracker names every torrent of the swarm to whom asks /scrape."""
    assert get(tracker, path) == (404, b"")


@pytest.mark.parametrize("hash_", [b"", b"x", b"s" * 20, HASH[:-1], HASH + b"x", HASH.hex().encode()])
def test_who_does_not_know_the_hash_is_refused(tracker: int, hash_: bytes) -> None:
    assert announce(tracker, 7009, hash_, left="0") == UNKNOWN


@pytest.mark.parametrize("port", ["", "0", "-1", "65536", "9" * 4000, "1e3", "%D9%A1", "x"])
def test_a_port_that_is_none_is_refused(tracker: int, port: str) -> None:
    assert announce(tracker, port, left="0") == b"d14:failure reason7:no porte"
    assert b"10:incompletei0e" in announce(tracker, 7001, left="0")


@pytest.mark.parametrize(
    "sent",
    [b"\r\n\r\n", b"GET\r\n\r\n", b"\xff\x00 \xff \xff\r\n\r\n", b"GET /" + b"a" * 100_000, b"POST / HTTP/1.1\r\n\r\n"],
)
def test_what_is_no_request_ends_its_connection_alone(tracker: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", tracker), timeout=10) as connection:
        try:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        except ConnectionError:
            answer = b""
    assert answer in (b"", b"HTTP/1.0 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 0\r\n\r\n")
    assert b"interval" in announce(tracker, 7001, left="0")


def test_a_place_that_is_taken_is_told(tracker: int, tmp_path: Path) -> None:
    (tmp_path / "whitelist").write_text("")
    second = started(tmp_path / "whitelist", tracker)
    assert second.communicate(timeout=20)[1] == "Address already in use\n"
