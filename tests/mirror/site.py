"""A site on loopback: the real nginx and Distribution of Debian, a simulated upstream that counts, a DNS server."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import socket
import socketserver
import struct
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from servers import free_port

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.mirror import desired_state
from reaper_ops.lab.registry import MANIFEST_TYPE, LabRegistry

PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"
SLICE = 1 << 20


def why_not() -> str:
    """Why the real mirror cannot run here; empty when it can."""
    missing = [name for name in ("nginx", "docker-registry") if shutil.which(name, path=PATH) is None]
    return f"not installed: {', '.join(missing)} (Debian: nginx, docker-registry)" if missing else ""


class Metered(Counter[str]):
    """Counts what is sent. The sender that reaches `halt` bytes waits there, in the middle of a piece."""

    halt = 0

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.released = threading.Event(), threading.Event()

    def __setitem__(self, key: str, value: int) -> None:
        super().__setitem__(key, value)
        if 0 < self.halt <= sum(self.values()):
            self.reached.set()
            self.released.wait(60)


class Upstream(LabRegistry):
    """The simulated registry; its sockets can be cut, and what it sent is counted over its deaths."""

    def __init__(self, root: Path, port: int = 0, sent: Metered | None = None, host: str = "127.0.0.1") -> None:
        self.links: set[socket.socket] = set()
        super().__init__(root, host, port)
        self.sent: Metered = Metered() if sent is None else sent

    def process_request(self, request: Any, client_address: Any) -> None:
        self.links.add(request)
        super().process_request(request, client_address)

    def kill(self) -> None:
        """As a kill -9 would leave it: every connection is cut where it is, and none lives on."""
        self._cut()
        self.stop()
        self._cut()

    def _cut(self) -> None:
        for link in list(self.links):
            with contextlib.suppress(OSError):
                link.shutdown(socket.SHUT_RDWR)
        self.links.clear()

    def again(self) -> Upstream:
        fresh = Upstream(self.root, int(self.server_address[1]), self.sent)
        fresh.requests = self.requests
        fresh.start()
        return fresh


class _Dns(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        data, sock = self.request
        end = data.index(b"\0", 12) + 5
        answer = b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1")
        sock.sendto(data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + data[12:end] + answer, self.client_address)


@contextlib.contextmanager
def dns() -> Iterator[str]:
    """Every name is this machine."""
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), _Dns) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def publish(root: Path, name: str, size: int, spaced: bool = True) -> str:
    """A model of one large layer, with a manifest that no program would write so again; its digest."""
    weights = random.Random(name).randbytes(size)
    rows = [(weights, "application/vnd.ollama.image.model"), (b'{"stop":[]}', "application/vnd.ollama.image.params")]
    layers = [_blob(root, data, kind) for data, kind in rows]
    config = {"model_format": "gguf", "model_family": "llama", "model_type": "1M", "file_type": "F16"}
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": _blob(root, json.dumps(config).encode(), "application/vnd.docker.container.image.v1+json"),
        "layers": layers,
    }
    data = json.dumps(manifest, indent=3 if spaced else None).encode()
    path, _, tag = name.partition(":")
    target = root / "manifests" / path / tag
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def _blob(root: Path, data: bytes, kind: str) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    (root / "blobs").mkdir(parents=True, exist_ok=True)
    (root / "blobs" / f"sha256-{digest}").write_bytes(data)
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def settings(directory: Path, upstream: str, resolver: str, **more: Any) -> Settings:
    wanted = {
        "mirror_runtime": "process",
        "mirror_bind": "127.0.0.1",
        "mirror_port": free_port(),
        "mirror_dir": str(directory),
        "mirror_upstream": upstream,
        "mirror_resolvers": [resolver],
        "mirror_slice": "1M",
        "mirror_min_free": "1M",
        "mirror_cache_size": "4G",
        **more,
    }
    return Settings(**wanted)


@contextlib.contextmanager
def running(wanted: Settings) -> Iterator[str]:
    """The mirror as its role lays it out, without Ansible; gives its host:port."""
    mirror = desired_state.of(wanted)
    lay_out(mirror)
    process = spawn(mirror)
    try:
        wait(mirror.context["local_url"] + "/reaper_ops/own", process, Path(mirror.paths["log"]) / "mirror.log")
        yield f"127.0.0.1:{wanted.mirror_port}"
    finally:
        process.terminate()
        process.wait(timeout=20)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def lay_out(mirror: desired_state.MirrorState) -> None:
    for name in ("conf", "log", "tmp", "cache", "own", "sockets", "run"):
        Path(mirror.paths[name]).mkdir(parents=True, exist_ok=True)
    for file in mirror.files:
        Path(file.path).write_text(file.text)


def spawn(mirror: desired_state.MirrorState, before: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """In a session of its own, by a command in front where one is given."""
    spec = json.loads(Path(mirror.paths["spec"]).read_text())
    with (Path(mirror.paths["log"]) / "mirror.log").open("ab") as output:
        return subprocess.Popen([*before, *spec["argv"]], stdout=output, stderr=output, start_new_session=True)


def wait(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(300):
        assert process.poll() is None, log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5) as answer:
            assert answer.status == 200
            return
        time.sleep(0.05)
    raise AssertionError("the mirror does not answer\n" + log.read_text())


def get(url: str, method: str = "GET", source: str = "", **headers: str) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    bound = (source, 0) if source else None
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30, source_address=bound)
    with contextlib.closing(link):
        link.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), headers=headers)
        answer = link.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read()


def put(url: str, data: bytes, kind: str) -> int:
    parts = urlsplit(url)
    link = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
    with contextlib.closing(link):
        link.request("PUT", f"{parts.path}?{parts.query}", data, {"Content-Type": kind})
        return link.getresponse().status


def wait_port(port: int) -> None:
    for _ in range(200):
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        time.sleep(0.02)
    raise AssertionError(f"nobody listens at {port}")


def tls_front(folder: Path, port: int, plain: int) -> str:
    """nginx before the simulated upstream: TLS, and redirects to cdn.test over TLS but for the namespace r302."""
    user = "user root;" if os.geteuid() == 0 else ""
    places = " ".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""{user} daemon off; pid {folder}/pid; error_log stderr crit;
events {{ }}
http {{ access_log off; {places}
  server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {folder}/ca.pem; ssl_certificate_key {folder}/key.pem;
    proxy_set_header Host localhost:{plain};
    proxy_redirect http://127.0.0.1:{plain}/cdn/r302/ http://cdn.test:{plain}/cdn/r302/;
    proxy_redirect http://127.0.0.1:{plain}/ https://cdn.test:{port}/;
    location / {{ proxy_pass http://127.0.0.1:{plain}; }} }} }}
"""
