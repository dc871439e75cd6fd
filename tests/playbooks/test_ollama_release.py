"""ollama_release against a small HTTP server: verified, resumable, atomic, safe against hostile archives."""

from __future__ import annotations

import base64
import gzip
import hashlib
import http.server
import io
import json
import os
import signal
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard
from servers import http_server

PROGRAM = b"#!/bin/sh\necho ollama\n"


def tar(members: list[tuple[str, bytes | str | None, str]]) -> bytes:
    """An archive of (name, content or link target, kind); kind is file, link, hard, dir or fifo."""
    kinds = {
        "link": tarfile.SYMTYPE,
        "hard": tarfile.LNKTYPE,
        "dir": tarfile.DIRTYPE,
        "fifo": tarfile.FIFOTYPE,
    }
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.mode, info.uid, info.uname = 0o4777 if kind == "file" else 0o755, 1234, "builder"
            if kind == "file":
                assert isinstance(content, bytes)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
                continue
            info.type = kinds[kind]
            info.linkname = str(content or "")
            archive.addfile(info)
    return out.getvalue()


def base(version: str = "1", padding: int = 0) -> bytes:
    return tar(
        [
            ("bin/ollama", PROGRAM + version.encode(), "file"),
            ("lib/ollama/libggml.so.1", os.urandom(padding), "file"),
            ("lib/ollama/libggml.so", "libggml.so.1", "link"),
        ]
    )


def zst(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


@dataclass
class Server:
    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: list[str | None] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    errors: list[int] = field(default_factory=list)
    slow: bool = False

    def put(self, name: str, data: bytes) -> dict[str, Any]:
        self.files["/" + name] = data
        return {"url": f"{self.url}/{name}", "sha256": hashlib.sha256(data).hexdigest()}


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            state.ranges.append(asked)
            data = state.files.get(self.path)
            if state.errors or data is None:
                self.send_error(state.errors.pop(0) if state.errors else 404)
                return
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
            if start >= len(data) > 0:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(data)}")
                self.end_headers()
                return
            self.send_response(206 if asked else 200)
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            body = data[start:]
            if state.cut_after:
                body = body[: state.cut_after.pop(0)]
            self.send(body)

        def send(self, body: bytes) -> None:
            try:
                for at in range(0, len(body), 65536):
                    self.wfile.write(body[at : at + 65536])
                    if state.slow:
                        time.sleep(0.05)
            except OSError:
                state.slow = False

        def log_message(self, *_: object) -> None:
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{httpd.server_port}"
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield state
    httpd.shutdown()
    thread.join()
    httpd.server_close()


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    return tmp_path / "opt" / "ollama"


def left_over(dest: Path) -> list[str]:
    return sorted(name for name in os.listdir(dest) if name.startswith("."))


def test_installs_verified_and_is_idempotent(module: Any, server: Server, dest: Path) -> None:
    archive = server.put("ollama-linux-amd64.tar.zst", zst(base()))
    done = module.predicted(version="0.35.1", archives=[archive], dest=str(dest))
    assert done["changed"]
    assert done["verified_by"] == "table"
    assert os.readlink(dest / "current") == "0.35.1"
    program = dest / "current" / "bin" / "ollama"
    assert program.read_bytes() == PROGRAM + b"1"
    assert oct(program.stat().st_mode & 0o7777) == "0o755"
    assert program.stat().st_uid == os.getuid()
    assert os.readlink(dest / "0.35.1/lib/ollama/libggml.so") == "libggml.so.1"
    marker = json.loads((dest / "0.35.1" / ".reaper_ops.json").read_text())
    assert marker["archives"] == {"ollama-linux-amd64.tar.zst": archive["sha256"]}
    assert left_over(dest) == []
    asked = len(server.ranges)
    again = module(version="0.35.1", archives=[archive], dest=str(dest))
    assert not again["changed"]
    assert len(server.ranges) == asked


def test_addon_is_unpacked_over_the_base_and_tgz_is_read(module: Any, server: Server, dest: Path) -> None:
    main = server.put("ollama-linux-arm64.tgz", gzip.compress(base()))
    addon = server.put(
        "ollama-linux-arm64-jetpack6.tar.zst", zst(tar([("lib/ollama/cuda_jetpack6/x.so", b"x", "file")]))
    )
    module.predicted(version="0.35.1", archives=[main], dest=str(dest))
    done = module.predicted(version="0.35.1", archives=[main, addon], dest=str(dest))
    assert done["changed"]
    assert (dest / "current/lib/ollama/cuda_jetpack6/x.so").read_bytes() == b"x"
    assert (dest / "current/bin/ollama").exists()
    assert left_over(dest) == []


def test_release_file_with_dot_slash_names_is_the_weakest_witness(module: Any, server: Server, dest: Path) -> None:
    known = server.put("ollama-linux-amd64.tar.zst", zst(base()))
    addon = server.put("ollama-linux-amd64-rocm.tar.zst", zst(tar([("lib/ollama/rocm/x", b"x", "file")])))
    listing = f"{addon['sha256']}  ./ollama-linux-amd64-rocm.tar.zst\n{'0' * 64}  ./install.sh\n"
    server.put("sha256sum.txt", listing.encode())
    archives = [known, {"url": addon["url"], "checksum_url": f"{server.url}/sha256sum.txt"}]
    done = module.predicted(version="0.35.1", archives=archives, dest=str(dest))
    assert done["verified_by"] == "release-file"


@pytest.mark.parametrize("witness", ["table", "user"])
def test_wrong_checksum_unpacks_nothing(module: Any, server: Server, dest: Path, witness: str) -> None:
    archive = server.put("a.tar.zst", zst(base())) | {"sha256": "0" * 64, "proof": witness}
    said = module.fails(version="1.0.0", archives=[archive], dest=str(dest))
    assert "SHA-256 is" in said
    assert witness in said
    assert os.listdir(dest) == []


@pytest.mark.parametrize(
    ("witness", "step"),
    [("user", "if the setting is wrong, correct it"), ("table", "is not what Ollama published"), (None, "disagree")],
)
def test_a_wrong_checksum_says_what_helps_by_who_expected_it(
    module: Any, server: Server, dest: Path, witness: str | None, step: str
) -> None:
    archive = server.put("a.tar.zst", zst(base())) | {"sha256": "0" * 64, "proof": witness}
    if witness is None:
        server.put("sha256sum.txt", f"{'0' * 64}  a.tar.zst\n".encode())
        archive = {"url": archive["url"], "checksum_url": f"{server.url}/sha256sum.txt"}
    answer = module(version="1.0.0", archives=[archive], dest=str(dest))
    assert answer["failed"]
    assert step in answer["next_step"]
    assert archive["url"] in answer["next_step"]


def test_archive_without_any_checksum_is_refused(module: Any, server: Server, dest: Path) -> None:
    url = server.put("a.tar.zst", zst(base()))["url"]
    said = module.fails(version="1.0.0", archives=[{"url": url}], dest=str(dest))
    assert "no checksum is known; set ollama_release_sha256" in said


def test_broken_connection_is_resumed(module: Any, server: Server, dest: Path) -> None:
    archive = server.put("a.tar.zst", zst(base(padding=300_000)))
    server.cut_after, server.errors = [100_000], [503]
    module.predicted(version="1.0.0", archives=[archive], dest=str(dest))
    assert server.ranges == [None, None, "bytes=100000-"]


def test_stale_part_of_another_file_is_thrown_away(module: Any, server: Server, dest: Path) -> None:
    archive = server.put("a.tar.zst", zst(base(padding=300_000)))
    dest.mkdir(parents=True)
    (dest / ".1.0.0-a.tar.zst.part").write_bytes(b"x" * 1000)
    module.predicted(version="1.0.0", archives=[archive], dest=str(dest))
    assert server.ranges == ["bytes=1000-", None]


def test_missing_release_names_the_settings(module: Any, server: Server, dest: Path) -> None:
    archive = {"url": f"{server.url}/v9/none.tar.zst", "sha256": "0" * 64}
    said = module.fails(version="9.0.0", archives=[archive], dest=str(dest))
    assert "404" in said
    assert "ollama_release_url" in said


def test_a_password_in_the_url_goes_to_that_host_alone_and_is_not_told(module: Any, dest: Path) -> None:
    data, seen = gzip.compress(base()), []

    def answered(handler: Any, status: int, *headers: tuple[str, str], body: bytes = b"") -> None:
        seen.append((handler.path, handler.headers.get("Authorization")))
        handler.send_response(status)
        for header in (("Content-Length", str(len(body))), *headers):
            handler.send_header(*header)
        handler.end_headers()
        handler.wfile.write(body)

    with http_server({"/a.tgz": lambda handler: answered(handler, 200, body=data)}) as behind:
        onward = ("Location", f"{behind.url}/a.tgz")
        with http_server({"/a.tgz": lambda handler: answered(handler, 302, onward)}) as front:
            url = front.url.replace("//", "//me:secret%40word@") + "/a.tgz"
            digest = hashlib.sha256(data).hexdigest()
            proxy = {"no_proxy": "127.0.0.1", "http_proxy": "http://127.0.0.1:9"}
            found = module(version="1", archives=[{"url": url, "sha256": digest}], dest=str(dest), env=proxy)
            missing = url.replace("a.tgz", "b.tgz")
            failed = module(version="2", archives=[{"url": missing, "sha256": digest}], dest=str(dest), env=proxy)
    encoded = base64.b64encode(b"me:secret@word").decode()
    assert seen == [("/a.tgz", f"Basic {encoded}"), ("/a.tgz", None)]
    assert found["changed"], found
    assert "the server answers 404" in failed["msg"], failed
    assert "secret" not in json.dumps([found, failed])


def test_archive_on_the_host_needs_no_network(module: Any, tmp_path: Path, dest: Path) -> None:
    path = tmp_path / "ollama-linux-amd64.tgz"
    path.write_bytes(gzip.compress(base()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    archives = [{"path": str(path), "sha256": digest, "proof": "user"}]
    done = module.predicted(version="0.5.0", archives=archives, dest=str(dest))
    assert done["verified_by"] == "user"
    assert path.exists()


HOSTILE = {
    "absolute": [("/etc/evil", b"x", "file")],
    "dots": [("../evil", b"x", "file")],
    "link out": [("lib/out", "../../evil", "link")],
    "absolute link": [("lib/out", "/etc", "link")],
    "write through a link": [("lib/out", "/tmp", "link"), ("lib/out/evil", b"x", "file")],
    "two links": [("d/y", "../x/..", "link"), ("x", ".", "link"), ("d/y/evil", b"x", "file")],
    "hard link out": [("passwd", "../../../etc/passwd", "hard")],
    "fifo": [("pipe", None, "fifo")],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_archive_installs_nothing(module: Any, server: Server, dest: Path, case: str) -> None:
    data = tar([("bin/ollama", PROGRAM, "file"), *HOSTILE[case]])
    archive = server.put("a.tgz", gzip.compress(data))
    said = module.fails(version="1.0.0", archives=[archive], dest=str(dest))
    assert "nothing was installed" in said
    assert [name for name in os.listdir(dest) if not name.endswith(".part")] == []
    assert not list(dest.parent.rglob("evil"))


def test_garbage_with_a_right_checksum_is_named(module: Any, server: Server, dest: Path) -> None:
    archive = server.put("a.tar.zst", zst(base(padding=200_000))[:1000])
    said = module.fails(version="1.0.0", archives=[archive], dest=str(dest))
    assert "not a readable archive" in said or "zstd says" in said


def test_upgrade_keeps_the_previous_and_prunes_the_rest(module: Any, server: Server, dest: Path) -> None:
    for number in range(4):
        archive = server.put(f"a{number}.tgz", gzip.compress(base(str(number))))
        done = module.predicted(version=f"1.0.{number}", archives=[archive], dest=str(dest), keep=2)
    assert done["previous"] == "1.0.2"
    assert done["pruned"] == ["1.0.0"]
    assert sorted(os.listdir(dest)) == ["1.0.1", "1.0.2", "1.0.3", "current"]
    back = server.put("a1.tgz", server.files["/a1.tgz"])
    rolled = module.predicted(version="1.0.1", archives=[back], dest=str(dest), keep=0)
    assert rolled["previous"] == "1.0.3"
    assert rolled["bytes"] == 0
    assert sorted(os.listdir(dest)) == ["1.0.1", "1.0.3", "current"]


def test_foreign_directory_is_left_alone(module: Any, server: Server, dest: Path) -> None:
    (dest / "1.0.0").mkdir(parents=True)
    (dest / "1.0.0" / "mine").write_text("x")
    archive = server.put("a.tgz", gzip.compress(base()))
    said = module.fails(version="1.0.0", archives=[archive], dest=str(dest))
    assert "not written by reaper_ops" in said
    assert (dest / "1.0.0" / "mine").exists()


def test_absent_removes_ours_only(module: Any, server: Server, dest: Path) -> None:
    archive = server.put("a.tgz", gzip.compress(base()))
    link = dest.parent / "in-use"
    module.predicted(version="1.0.0", archives=[archive], dest=str(dest), link=str(link))
    assert os.readlink(link) == "ollama/1.0.0"
    (dest / "notes").write_text("mine")
    gone = module.predicted(state="absent", dest=str(dest), link=str(link))
    assert gone["changed"]
    assert sorted(os.listdir(dest)) == ["notes"]
    assert not os.path.lexists(link)
    (dest / "notes").unlink()
    module.predicted(version="1.0.0", archives=[archive], dest=str(dest), link=str(link))
    module.predicted(state="absent", dest=str(dest), link=str(link))
    assert os.listdir(dest.parent) == []


def test_check_mode_touches_nothing(module: Any, server: Server, dest: Path) -> None:
    archive = server.put("a.tgz", gzip.compress(base()))
    said = module(check=True, version="1.0.0", archives=[archive], dest=str(dest))
    assert said["changed"]
    assert not dest.parent.exists()
    assert server.ranges == []


@pytest.mark.parametrize("moment", ["downloading", "unpacking"])
def test_killed_run_is_completed_by_the_next(module: Any, server: Server, dest: Path, moment: str) -> None:
    archive = server.put("a.tar.zst", zst(base(padding=60_000_000 if moment == "unpacking" else 4_000_000)))
    server.slow = moment == "downloading"
    started = module.start(version="1.0.0", archives=[archive], dest=str(dest))
    pattern = ".*.part" if moment == "downloading" else ".*.tmp-*/lib/ollama/*"
    while not list(dest.glob(pattern)):
        assert started.process.poll() is None
        time.sleep(0.005)
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.communicate()
    assert not (dest / "current").exists()
    assert not (dest / "1.0.0").exists()
    server.slow = False
    done = module.predicted(version="1.0.0", archives=[archive], dest=str(dest))
    assert done["changed"]
    assert (dest / "current/bin/ollama").exists()
    assert left_over(dest) == []
