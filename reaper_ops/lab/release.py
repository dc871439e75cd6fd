"""Packs the simulated server as a release archive, and serves a directory of releases with ranges."""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from reaper_ops.lab.ollama import VERSION

ARCHITECTURES = ("amd64", "arm64")
_PACKAGE = Path(__file__).resolve().parent
_EPOCH = (2026, 1, 1, 0, 0, 0)
_MTIME = 1767225600


def program(version: str = VERSION) -> bytes:
    """``bin/ollama``: one executable file that needs Python 3.9 or later and nothing else."""
    start = f"import sys\nfrom reaper_ops.lab.ollama.program import main\nsys.exit(main(sys.argv[1:], {version!r}))\n"
    files = {"__main__.py": start, "reaper_ops/__init__.py": "", "reaper_ops/lab/__init__.py": ""}
    for path in sorted((_PACKAGE / "ollama").glob("*.py")):
        files[f"reaper_ops/lab/ollama/{path.name}"] = path.read_text(encoding="utf-8")
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), text)
    return b"#!/usr/bin/env python3\n" + held.getvalue()


def runner() -> bytes:
    """``lib/ollama/llama-server``."""
    return (_PACKAGE / "ollama" / "llama_server.py").read_bytes()


def contents(version: str = VERSION, flavour: str = "") -> dict[str, bytes]:
    """What a release archive holds; a flavour such as ``rocm`` is an add-on with libraries only."""
    note = f"Simulated Ollama {version} of the reaper_ops lab. No inference happens here.\n".encode()
    if flavour:
        directory = {"rocm": "rocm_v7_2", "jetpack5": "cuda_jetpack5", "jetpack6": "cuda_jetpack6"}[flavour]
        return {f"lib/ollama/{directory}/libggml-simulated.so": note}
    return {
        "bin/ollama": program(version),
        "lib/ollama/SIMULATED": note,
        "lib/ollama/llama-server": runner(),
    }


def lay_out(directory: Path, version: str = VERSION) -> Path:
    """The unpacked tree, for tests and containers; the path of its ``bin/ollama``."""
    for name, data in contents(version).items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        path.chmod(0o755)
    return directory / "bin" / "ollama"


def _tar(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for name, data in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(data), 0o755, _MTIME
            archive.addfile(member, io.BytesIO(data))
    return held.getvalue()


def pack(directory: Path, version: str, arch: str, kind: str = "tar.zst", flavour: str = "") -> Path:
    """Writes ``<directory>/v<version>/ollama-linux-<arch>[-flavour].<kind>`` and its line in ``sha256sum.txt``."""
    data = _tar(contents(version, flavour))
    if kind == "tgz":
        data = gzip.compress(data, mtime=0)
    else:
        import zstandard

        data = zstandard.ZstdCompressor(level=3).compress(data)
    target = directory / f"v{version}" / f"ollama-linux-{arch}{'-' + flavour if flavour else ''}.{kind}"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(data)
    archives = sorted(path for path in target.parent.iterdir() if path.name.startswith("ollama-"))
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  ./{path.name}\n" for path in archives]
    (target.parent / "sha256sum.txt").write_text("".join(sums), encoding="ascii")
    return target


class ReleaseServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, root: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        self.root = root.resolve()
        super().__init__((host, port), _ReleaseHandler)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}"

    def start(self) -> ReleaseServer:
        """Serves in the background of this process."""
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


class _ReleaseHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ReleaseServer

    def do_GET(self) -> None:
        path = (self.server.root / unquote(urlsplit(self.path).path).lstrip("/")).resolve()
        if not path.is_relative_to(self.server.root) or not path.is_file():
            self._send(404, b"not found\n")
            return
        data, wanted = path.read_bytes(), self.headers.get("Range", "")
        if not wanted.startswith("bytes="):
            self._send(200, data)
            return
        start, _, end = wanted[6:].partition("-")
        first, last = int(start or 0), min(int(end or len(data)), len(data) - 1)
        if first > last:
            self._send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
            return
        self._send(206, data[first : last + 1], {"Content-Range": f"bytes {first}-{last}/{len(data)}"})

    do_HEAD = do_GET

    def _send(self, status: int, body: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Accept-Ranges", "bytes")
        for key, value in (more or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """No access log: downloads are logged by who makes them."""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="release", description="pack releases of the simulated server, serve them")
    parser.add_argument("root", type=Path)
    parser.add_argument("--version", default=VERSION)
    parser.add_argument("--arch", choices=ARCHITECTURES, action="append")
    parser.add_argument("--kind", choices=("tar.zst", "tgz"), default="tar.zst")
    parser.add_argument("--pack", action="store_true", help="write the archives and end")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=18501)
    wanted = parser.parse_args(argv)
    if wanted.pack:
        for arch in wanted.arch or ARCHITECTURES:
            print(pack(wanted.root, wanted.version, arch, wanted.kind))
        return 0
    ReleaseServer(wanted.root, wanted.host, wanted.port).serve_forever()
    return 0
