"""Registries and proxies that mean harm: bounded in bytes, time, depth and where they send us."""

from __future__ import annotations

import gzip
import hashlib
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hostile_answers import DEEP, DIGITS, http
from servers import Server, http_server, raw_server

from reaper_ops import assets
from reaper_ops.adapters import ollama, registry, web
from reaper_ops.adapters.registry import Registry, RegistryError
from reaper_ops.core.facts.exchanges import Request
from reaper_ops.core.models import names
from reaper_ops.core.models.lock import from_manifest
from reaper_ops.errors import ReaperError
from reaper_ops.flows.models import lock as models_lock

NAME = names.split("x.y/library/tiny:1m")
PATH = "/v2/library/tiny/manifests/1m"
RULES = assets.shared("reaper_redirects")


def digest(number: int) -> str:
    return f"sha256:{number:064x}"


def manifest(**changes: Any) -> dict[str, Any]:
    config = {"digest": digest(0), "size": 5, "mediaType": "application/vnd.docker.container.image.v1+json"}
    layers = [{"digest": digest(1), "size": 7, "mediaType": "application/vnd.ollama.image.model"}]
    return {"schemaVersion": 2, "config": config, "layers": layers, **changes}


def layer(**changes: Any) -> str:
    return json.dumps(manifest(layers=[{"digest": digest(1), "size": 7, "mediaType": "a/b", **changes}]))


BAD = {
    "nested deeply": DEEP,
    "nested in a layer": json.dumps(manifest())[:-2] + DEEP,
    "no JSON": "<html>",
    "a list": "[]",
    "no configuration": json.dumps(manifest(config=None)),
    "configuration is text": json.dumps(manifest(config="x")),
    "layers are text": json.dumps(manifest(layers="x")),
    "a layer is text": json.dumps(manifest(layers=["x"])),
    "negative size": layer(size=-7),
    "fractional size": layer(size=7.5),
    "size is a text": layer(size="7"),
    "size is true": layer(size=True),
    "size is missing": layer(size=None),
    "size beyond 64 bits": layer(size=1 << 63),
    "size of 4000 digits": layer(size=0).replace('"size": 0', f'"size": {DIGITS}'),
    "size is NaN": layer(size=0).replace('"size": 0', '"size": NaN'),
    "sum beyond 64 bits": json.dumps(
        manifest(layers=[{"digest": digest(n), "size": (1 << 63) - 1, "mediaType": "a/b"} for n in (1, 2)])
    ),
    "digest is a number": layer(digest=7),
    "digest is short": layer(digest="sha256:ab"),
    "digest of two lines": layer(digest=digest(1) + "\n"),
    "digest is a path": layer(digest="sha256:../../../../etc/shadow"),
    "media type is a number": layer(mediaType=7),
    "media type with escapes": layer(mediaType="a/\x1b[2J"),
    "its media type is a list": json.dumps(manifest(mediaType=["a"])),
    "30000 layers": json.dumps(manifest(layers=[{"digest": digest(n), "size": 1} for n in range(1, 30_001)])),
    "a layer twice": json.dumps(manifest(layers=[{"digest": digest(1), "size": 1}] * 2)),
    "a layer of two sizes": json.dumps(manifest(layers=[{"digest": digest(1), "size": n} for n in (1, 2)])),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_manifest_is_never_locked(kind: str) -> None:
    with pytest.raises(ReaperError, match=r"does not answer with a manifest|gives a manifest that") as caught:
        from_manifest("x.y/library/tiny:1m", BAD[kind].encode(), digest(9), "https://x.y", "")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_manifest_is_locked_as_it_is() -> None:
    found = from_manifest("tiny:1m", json.dumps(manifest()).encode(), digest(9), "https://x.y", "")
    assert [(one.digest, one.size) for one in found.layers] == [(digest(0), 5), (digest(1), 7)]
    tensors = [{"digest": digest(1), "size": 7, "mediaType": "a/b", "name": name} for name in ("a", "b")]
    same = from_manifest("tiny:1m", json.dumps(manifest(layers=tensors)).encode(), digest(9), "https://x.y", "")
    assert same.size == 12


@contextmanager
def answering(data: bytes, path: str = PATH) -> Iterator[Server]:
    with http_server({path: lambda handler: handler.wfile.write(data)}) as server:
        yield server


def asked(server: Server) -> registry.RegistryManifest:
    with Registry(server.url) as one:
        return one.manifest(NAME)


PLAIN = json.dumps(manifest()).encode()
ODD = {
    "compressed": (http(gzip.compress(PLAIN), b"Content-Encoding: gzip"), "compressed"),
    "compressed twice": (http(gzip.compress(gzip.compress(PLAIN)), b"Content-Encoding: gzip, gzip"), "compressed"),
    "too large": (http(b" " * (9 << 20)), "sends more than 8388608 bytes"),
    "metadata": (http(b"", b"Location: http://169.254.169.254/x", status=b"302 Found"), "which is another host"),
    "another host": (http(b"", b"Location: http://evil.example/x", status=b"307 x"), "which is another host"),
    "a private host": (http(b"", b"Location: http://10.0.0.1/x", status=b"301 x"), "which is another host"),
    "a file": (http(b"", b"Location: file:///etc/passwd", status=b"302 x"), "which is not an HTTP URL"),
    "credentials": (http(b"", b"Location: http://a:b@127.0.0.1/x", status=b"302 x"), "which contains credentials"),
    "a broken place": (http(b"", b"Location: http://[::bad/x", status=b"302 x"), "sends no complete answer|no address"),
    "itself for ever": (http(b"", b"Location: " + PATH.encode(), status=b"302 x"), "sends us on more than 5 times"),
    "http of 1991": (b"hello", "sends no complete answer"),
    "chunks that are none": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "sends no complete answer",
    ),
    "headers for ever": (http(PLAIN, *[b"x: " + b"y" * 1000] * 1000), "sends no complete answer"),
    "a challenge to nowhere": (
        http(b"", b'WWW-Authenticate: Bearer realm="http://[::bad"', status=b"401 x"),
        "answers 401",
    ),
    "a challenge to another host": (
        http(b"", b'WWW-Authenticate: Bearer realm="http://169.254.169.254/token"', status=b"401 x"),
        "answers 401",
    ),
}


@pytest.mark.parametrize("kind", ODD)
def test_an_answer_that_is_not_trusted_is_an_error_of_that_registry(kind: str) -> None:
    data, words = ODD[kind]
    with answering(data) as server, pytest.raises(RegistryError, match=words):
        asked(server)


@pytest.mark.parametrize("kind", ODD)
def test_the_other_models_are_locked(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = "/v2/library/good/manifests/1m"
    with http_server({PATH: lambda handler: handler.wfile.write(ODD[kind][0]), good: PLAIN.decode()}) as server:
        host = server.url.removeprefix("http://")
        wanted = [f"{host}/library/tiny:1m", f"{host}/library/good:1m"]
        found, problems = models_lock.resolve(wanted, frozenset({host}))
    assert list(found) == wanted[1:]
    assert list(problems) == wanted[:1]


def test_what_is_asked_for_is_asked_for_plain() -> None:
    seen: list[str] = []

    def take(handler: Any) -> None:
        seen.append(handler.headers.get("Accept-Encoding"))
        handler.wfile.write(http(PLAIN))

    with http_server({PATH: take}) as server:
        assert asked(server).digest == f"sha256:{hashlib.sha256(PLAIN).hexdigest()}"
    assert seen == ["identity"]


def test_a_token_is_for_the_host_that_gave_it() -> None:
    """The registry sends on, within the same machine, and the other door sees no token."""
    seen: list[str | None] = []

    def take(handler: Any) -> None:
        seen.append(handler.headers.get("Authorization"))
        handler.wfile.write(http(PLAIN))

    with http_server({"/there": take}, "127.0.0.2") as other:
        there = f"http://127.0.0.2:{other.server_address[1]}/there"

        def challenge(handler: Any) -> None:
            if handler.headers.get("Authorization") != "Bearer secret":
                realm = f'WWW-Authenticate: Bearer realm="{handler.server.url}/token",service="s"'
                handler.wfile.write(http(b"", realm.encode(), status=b"401 x"))
                return
            handler.wfile.write(http(b"", b"Location: " + there.encode(), status=b"307 x"))

        with http_server({PATH: challenge, "/token?service=s": {"token": "secret"}}) as server:
            assert asked(server).data == PLAIN
    assert seen == [None]


@pytest.mark.parametrize("token", ['"a\\r\\nX: y"', "7", "null", '"' + "x" * 20_000 + '"', DEEP])
def test_a_token_that_is_none_is_not_sent(token: str) -> None:
    seen: list[str | None] = []

    def challenge(handler: Any) -> None:
        seen.append(handler.headers.get("Authorization"))
        realm = f'WWW-Authenticate: Bearer realm="{handler.server.url}/token"'
        handler.wfile.write(http(b"", realm.encode(), status=b"401 x"))

    with (
        http_server({PATH: challenge, "/token": f'{{"token": {token}}}'}) as server,
        pytest.raises(RegistryError, match="answers 401"),
    ):
        asked(server)
    assert seen == [None]


@pytest.mark.parametrize(
    ("source", "target", "stores", "refused"),
    [
        ("https://registry.ollama.ai/v2/x", "https://registry.ollama.ai/v2/y", False, False),
        ("https://registry.ollama.ai/v2/x", "https://cdn.ollama.ai/y", False, False),
        ("https://registry.ollama.ai/v2/x", "https://registry.ollama.com/y", False, False),
        ("https://hf.co/v2/x", "https://huggingface.co/v2/x", False, False),
        ("https://hf.co/v2/x", "https://cas-bridge.xethub.hf.co/x", True, False),
        ("https://registry.ollama.ai/x", "https://a.r2.cloudflarestorage.com/x", True, False),
        ("https://registry.ollama.ai/x", "https://a.r2.cloudflarestorage.com/x", False, True),
        ("https://github.com/x", "https://release-assets.githubusercontent.com/x", True, False),
        ("https://registry.ollama.ai/x", "http://registry.ollama.ai/x", False, True),
        ("https://registry.ollama.ai/x", "https://evil.ai/x", True, True),
        ("https://registry.ollama.ai/x", "https://ollama.ai.evil.net/x", True, True),
        ("https://registry.ollama.ai/x", "https://evilollama.ai/x", True, True),
        ("https://registry.example.co.uk/x", "https://other.co.uk/x", False, True),
        ("https://registry.example.co.uk/x", "https://cdn.example.co.uk/x", False, False),
        ("http://registry/x", "http://localhost/x", True, True),
        ("http://127.0.0.1:5000/x", "http://localhost:5000/x", False, False),
        ("http://10.0.0.5:5000/x", "http://10.0.0.5:5001/x", False, False),
        ("http://10.0.0.5:5000/x", "http://10.0.0.6:5000/x", True, True),
        ("https://registry.ollama.ai/x", "http://[::ffff:169.254.169.254]/x", True, True),
        ("https://registry.ollama.ai/x", "https://a:b@registry.ollama.ai/x", False, True),
        ("https://registry.ollama.ai/x", "gopher://registry.ollama.ai/x", False, True),
    ],
)
def test_where_an_answer_may_send_us(source: str, target: str, stores: bool, refused: bool) -> None:
    assert bool(RULES.refusal(source, target, stores)) is refused


@pytest.mark.parametrize(
    ("peer", "first", "refused"),
    [
        ("169.254.169.254", "10.0.0.1", True),
        ("::ffff:169.254.169.254", "1.1.1.1", True),
        ("fd00:ec2::254", "fd00::1", True),
        ("168.63.129.16", "1.1.1.1", True),
        ("100.100.100.200", "100.64.0.1", True),
        ("127.0.0.1", "1.1.1.1", True),
        ("10.0.0.1", "1.1.1.1", True),
        ("::1", "2606:4700::1", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("10.0.0.2", "10.0.0.1", False),
        ("1.0.0.1", "1.1.1.1", False),
        ("127.0.0.1", "127.0.0.1", False),
    ],
)
def test_no_name_of_ours_leads_into_a_private_net(peer: str, first: str, refused: bool) -> None:
    """A name of the same owner may lead to any address: that is looked at before a byte is sent."""
    assert bool(RULES.address_refusal(peer, first)) is refused


def test_a_connection_to_such_an_address_sends_nothing() -> None:
    guard = web.Guard(None, "https://cdn.ollama.ai/x", "1.1.1.1")

    class Stream:
        closed = False

        def get_extra_info(self, name: str) -> Any:
            return ("169.254.169.254", 443) if name == "server_addr" else None

        def close(self) -> None:
            self.closed = True

    stream = Stream()
    guard.trace("connection.connect_tcp.started", {"host": "cdn.ollama.ai"})
    with pytest.raises(web.Distrusted, match=r"leads to 169\.254\.169\.254"):
        guard.trace("connection.connect_tcp.complete", {"return_value": stream})
    assert stream.closed


@pytest.mark.parametrize("data", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"H"])
def test_what_never_ends_is_ended(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interim answers, a body and a status line without end; each byte is in time, the whole never is."""
    monkeypatch.setattr(web, "DEADLINE", 0.2)

    def drip(peer: Any) -> None:
        peer.settimeout(5)
        try:
            peer.recv(4096)
            peer.sendall(data)
            while True:
                peer.sendall(data if data.startswith(b"HTTP/1.1 1") else b"x")
                peer.settimeout(0.01)
                try:
                    if not peer.recv(1):
                        return
                except TimeoutError:
                    continue
        except OSError:
            return

    with raw_server(drip) as url, Registry(url) as one, pytest.raises(RegistryError):
        one.manifest(NAME)


HUNGRY = """
import resource, sys, zlib
sys.path[:0] = sys.argv[1:]
from servers import http_server
from reaper_ops.adapters import ollama, sweep
from reaper_ops.adapters.registry import Registry, RegistryError
from reaper_ops.core.health import probe
from reaper_ops.core.models import names
from reaper_ops.core.facts.exchanges import Request

def endless(handler):
    handler.wfile.write(b"HTTP/1.1 200 OK\\r\\n\\r\\n")
    try:
        for _ in range(1000):
            handler.wfile.write(bytes(1 << 20))
    except OSError:
        pass

def squeezed(parts):
    made = zlib.compressobj(6, zlib.DEFLATED, 31)
    return b"".join([*map(made.compress, parts), made.flush()])

bomb = squeezed([squeezed(bytes(1 << 20) for _ in range(256))])
def packed(handler):
    head = b"HTTP/1.1 200 OK\\r\\nContent-Encoding: gzip, gzip\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(bomb)
    handler.wfile.write(head + bomb)

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for behave in (endless, packed):
    paths = ("/v2/library/tiny/manifests/1m", "/api/version", "/token")
    with http_server(dict.fromkeys(paths, behave)) as server:
        with Registry(server.url) as one:
            try:
                one.manifest(names.split("x.y/library/tiny:1m"))
            except RegistryError as error:
                print(error)
        assert ollama.ask(server.url, Request("/api/version")).error == "protocol"
        print(sweep.sweep({"h": server.url}, probe.ladder())["h"][0].error)
print("grown", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_memory_does_not_grow_with_what_comes() -> None:
    """A gigabyte without end, and 256 MiB in some hundred bytes, within 96 MiB."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    places = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[2])]
    run = subprocess.run(
        [sys.executable, "-c", HUNGRY, *places], capture_output=True, text=True, check=False, preexec_fn=limit
    )
    assert run.returncode == 0, run.stderr
    *said, grown = run.stdout.splitlines()
    assert "sends more than 8388608 bytes" in said[0]
    assert any("compressed" in line for line in said)
    assert int(grown.split()[1]) < 96 << 10


def test_a_single_server_is_bounded_too() -> None:
    long = b"x" * (5 << 20)
    with (
        http_server({"/api/pull": lambda handler: handler.wfile.write(http(long))}) as server,
        pytest.raises(ollama.Unanswered) as caught,
    ):
        list(ollama.stream(server.url, Request("/api/pull", "POST", {})))
    assert "a line is longer" in caught.value.exchange.detail
