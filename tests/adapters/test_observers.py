"""Both ways of asking (libcurl for many, httpx for one) must see the same thing on real sockets."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import struct
import subprocess
from collections.abc import Callable, Iterator

import pytest
from servers import OLLAMA, free_port, http_server, raw_server

from reaper_ops.adapters import ollama
from reaper_ops.adapters.sweep import sweep
from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.health import probe

Ask = Callable[[str], Exchange]
NUMBERS = itertools.count()
QUICK = (Request("/api/version", timeout=0.4), Request("/api/tags"), Request("/api/ps"), Request("/", on="odd"))


def by_curl(url: str) -> Exchange:
    return sweep({"h": url}, probe.ladder(QUICK), connect_timeout=0.3)["h"][0]


def by_httpx(url: str) -> Exchange:
    return ollama.ask(url, QUICK[0], connect_timeout=0.3)


@pytest.fixture(params=[by_curl, by_httpx], ids=["curl", "httpx"])
def ask(request: pytest.FixtureRequest) -> Ask:
    found: Ask = request.param
    return found


def test_a_good_answer(ask: Ask) -> None:
    with http_server() as server:
        exchange = ask(server.url)
    assert (exchange.error, exchange.phase, exchange.status) == ("", "done", 200)
    assert exchange.body == '{"version": "0.35.1"}'
    assert exchange.address.startswith("127.0.0.1:")


def test_refused(ask: Ask) -> None:
    exchange = ask(f"http://127.0.0.1:{free_port()}")
    assert (exchange.error, exchange.phase, exchange.errno) == ("refused", "connect", 111)


def test_silence_after_the_connection(ask: Ask) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        exchange = ask(f"http://127.0.0.1:{listener.getsockname()[1]}")
    assert (exchange.error, exchange.phase) == ("timeout", "read")


def test_closed_without_an_answer(ask: Ask) -> None:
    def close(peer: socket.socket) -> None:
        peer.recv(4096)

    with raw_server(close) as url:
        assert ask(url).error == "closed"


def test_reset(ask: Ask) -> None:
    def reset(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with raw_server(reset) as url:
        assert ask(url).error == "reset"


def test_cut_in_the_middle(ask: Ask) -> None:
    def cut(peer: socket.socket) -> None:
        peer.recv(4096)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")

    with raw_server(cut) as url:
        assert ask(url).error == "closed"


def test_not_http(ask: Ask) -> None:
    def ssh(peer: socket.socket) -> None:
        peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        peer.recv(4096)

    with raw_server(ssh) as url:
        assert ask(url).error == "protocol"


def test_https_to_a_plain_port(ask: Ask) -> None:
    with http_server() as server:
        assert ask(server.url.replace("http://", "https://")).error == "tls"


def test_unknown_name(ask: Ask) -> None:
    assert ask("http://no-such-host.invalid:11434").error == "dns"


def test_an_endless_answer_is_cut_off(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reaper_ops.adapters.sweep.BODY_LIMIT", 1000)
    monkeypatch.setattr("reaper_ops.adapters.ollama.BODY_LIMIT", 1000)
    with http_server({"/api/version": (200, "x" * 5000)}) as server:
        exchange = ask(server.url)
    assert exchange.error == "protocol"
    assert len(exchange.body) <= 1000


def test_proxies_of_the_environment_are_ignored(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{free_port()}")
    with http_server() as server:
        assert ask(server.url).status == 200


@pytest.fixture
def namespace() -> Iterator[str]:
    """An address behind a firewall of its own: needs root, ip and iptables."""
    if os.geteuid() != 0 or not shutil.which("ip") or not shutil.which("iptables"):
        pytest.skip("needs root, ip and iptables")
    name = f"rp{os.getpid() % 100000}x{next(NUMBERS)}"
    made = [
        ["ip", "netns", "add", name],
        ["ip", "link", "add", f"v{name}", "type", "veth", "peer", "name", "eth0", "netns", name],
        ["ip", "addr", "add", "198.18.77.1/30", "dev", f"v{name}"],
        ["ip", "link", "set", f"v{name}", "up"],
        ["ip", "netns", "exec", name, "ip", "addr", "add", "198.18.77.2/30", "dev", "eth0"],
        ["ip", "netns", "exec", name, "ip", "link", "set", "eth0", "up"],
    ]
    try:
        for argv in made:
            done = subprocess.run(argv, capture_output=True, text=True)
            if done.returncode:
                pytest.skip(f"{' '.join(argv[:3])}: {done.stderr.strip()}")
        yield name
    finally:
        subprocess.run(["ip", "link", "del", f"v{name}"], capture_output=True)
        subprocess.run(["ip", "netns", "del", name], capture_output=True)


@pytest.mark.parametrize(
    ("target", "error", "phase", "errno"),
    [
        (["-j", "DROP"], "timeout", "connect", None),
        (["-j", "REJECT", "--reject-with", "tcp-reset"], "refused", "connect", 111),
        (["-j", "REJECT", "--reject-with", "icmp-host-prohibited"], "unreachable", "connect", 113),
        (["-j", "REJECT", "--reject-with", "icmp-net-unreachable"], "unreachable", "connect", 101),
    ],
    ids=lambda value: value[-1] if isinstance(value, list) else str(value),
)
def test_firewalls_are_told_apart(
    ask: Ask, namespace: str, target: list[str], error: str, phase: str, errno: int | None
) -> None:
    rule = ["ip", "netns", "exec", namespace, "iptables", "-A", "INPUT", "-p", "tcp", "--dport", "11434", *target]
    done = subprocess.run(rule, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(done.stderr.strip())
    exchange = ask("http://198.18.77.2:11434")
    assert (exchange.error, exchange.phase, exchange.errno) == (error, phase, errno)


def test_a_sweep_sees_every_host_and_stops_each_at_its_first_failure() -> None:
    with http_server() as server:
        port = server.server_address[1]
        dead = free_port()
        targets = {f"h{n}": f"http://127.0.0.1:{port if n % 5 else dead}" for n in range(300)}
        found = sweep(targets, probe.ladder(), concurrency=16)
    assert set(found) == set(targets)
    for name, url in targets.items():
        assert len(found[name]) == (3 if url.endswith(str(port)) else 1)
    assert len(server.seen) == 3 * 240


def test_a_sweep_of_silent_hosts_waits_for_them_together() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        seen: list[str] = []
        found = sweep({f"h{n}": url for n in range(40)}, probe.ladder(QUICK), on_host=lambda name, _: seen.append(name))
    assert {exchanges[0].error for exchanges in found.values()} == {"timeout"}
    longest = max(exchanges[0].elapsed_ms for exchanges in found.values())
    assert sum(exchanges[0].elapsed_ms for exchanges in found.values()) > 20 * longest
    assert sorted(seen) == sorted(found)


def test_deep_posts_one_token_to_the_resident_model() -> None:
    loaded = {"models": [{"name": "tiny:1m", "size": 9, "size_vram": 0}]}
    answers = {**OLLAMA, "/api/ps": loaded, "/api/generate": {"response": "a", "done": True}}
    with http_server(answers) as server:
        swept = sweep({"h": server.url}, probe.ladder(deep=True))["h"]
        walked = ollama.walk(server.url, probe.ladder(deep=True))
    assert [e.path for e in swept] == [e.path for e in walked] == [*OLLAMA, "/api/generate"]
    posts = [body for method, _, body in server.seen if method == "POST"]
    assert len(posts) == 2
    assert all(b'"num_predict":1' in body.replace(b" ", b"") for body in posts)


def test_an_empty_sweep() -> None:
    assert sweep({}, probe.ladder()) == {}
