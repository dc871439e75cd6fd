"""The program's own words, its settings, its archive, and that it starts quickly on an old Python's syntax."""

from __future__ import annotations

import ast
import hashlib
import math
import os
import subprocess
import tarfile
import urllib.request
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from subject import Starter

from reaper_ops.lab import release
from reaper_ops.lab.ollama import config, gguf, names
from reaper_ops.lab.registry import LabRegistry

SOURCES = sorted((Path(release.__file__).parent / "ollama").glob("*.py"))
ADDRESSES = {
    "": ("127.0.0.1", 11434),
    "0.0.0.0": ("0.0.0.0", 11434),
    "0.0.0.0:1234": ("0.0.0.0", 1234),
    ":8080": ("127.0.0.1", 8080),
    "http://gpu1": ("gpu1", 80),
    "https://gpu1/ollama": ("gpu1", 443),
    "[::1]:11500": ("::1", 11500),
    "[::1]": ("::1", 11434),
    "127.0.0.1:99999": ("127.0.0.1", 11434),
}
DURATIONS = {"5m": 300.0, "1h30m": 5400.0, "90": 90.0, "-1": math.inf, "-1m": math.inf, "0": 0.0, "250ms": 0.25}
VALID = ["tiny", "tiny:1m", "ns/tiny:1m", "127.0.0.1:5000/ns/tiny:1m", "registry.local/ns/tiny"]
INVALID = ["", "a b", "127.0.0.1:5000/tiny:1m", "a/b/c/d", "n.s/tiny", "tiny:", "bad/na me::x"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_the_program_keeps_to_python_3_9_and_the_standard_library(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert not [
        name for name in imported if name and name.split(".")[0] in {"reaper_ops", "httpx", "pydantic", "click"}
    ]


@pytest.mark.parametrize("text", ADDRESSES)
def test_address(text: str) -> None:
    assert config.address(text) == ADDRESSES[text]


@pytest.mark.parametrize("text", DURATIONS)
def test_duration(text: str) -> None:
    assert config.seconds(text) == DURATIONS[text]


@pytest.mark.parametrize("text", VALID)
def test_valid_name(text: str) -> None:
    found = names.parse(text)
    assert found is not None
    assert names.parse(found.full) == found
    assert names.parse(found.short) == found


@pytest.mark.parametrize("text", INVALID)
def test_invalid_name(text: str) -> None:
    assert names.parse(text) is None


@given(st.text())
def test_no_text_breaks_the_parsers(text: str) -> None:
    found = names.parse(text)
    assert found is None or names.parse(found.full) == found
    assert names.hex_digest(text) is None or len(text) == 71
    host, port = config.address(text.replace("\0", ""))
    assert host
    assert 0 <= port <= 65535
    with suppress(ValueError):
        assert config.seconds(text) >= 0


@settings(max_examples=30)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader_of_weights(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("gguf") / "weights"
    for content in (data, gguf.MAGIC + data, gguf.build(gguf.Shape("x", words=1))[: len(data)]):
        path.write_bytes(content)
        with pytest.raises(gguf.BadFile):
            gguf.read(str(path))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    shape = gguf.Shape("x")
    (tmp_path / "weights").write_bytes(gguf.build(shape))
    header = gguf.read(str(tmp_path / "weights"))
    assert header.values["llama.context_length"] == 2048
    assert [name for name, _ in header.tensors] == [name for name, _ in shape.tensors()]


@pytest.mark.parametrize("kind", ["tar.zst", "tgz"])
def test_archive(tmp_path: Path, kind: str) -> None:
    path = release.pack(tmp_path, "0.35.1-lab.1", "amd64", kind)
    data = path.read_bytes()
    again = release.pack(tmp_path / "again", "0.35.1-lab.1", "amd64", kind)
    assert again.read_bytes() == data
    assert path == tmp_path / "v0.35.1-lab.1" / f"ollama-linux-amd64.{kind}"
    line = f"{hashlib.sha256(data).hexdigest()}  ./{path.name}\n"
    assert (path.parent / "sha256sum.txt").read_text() == line
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(data) if kind == "tar.zst" else data
    with tarfile.open(fileobj=BytesIO(plain)) as archive:
        rows = {member.name: member for member in archive.getmembers()}
    assert set(rows) == {"bin/ollama", "lib/ollama/llama-server", "lib/ollama/SIMULATED"}
    assert all((member.uid, member.gid, member.mode) == (0, 0, 0o755) for member in rows.values())


def test_add_on_archive(tmp_path: Path) -> None:
    release.pack(tmp_path, "0.35.1-lab.1", "amd64")
    path = release.pack(tmp_path, "0.35.1-lab.1", "amd64", flavour="rocm")
    assert path.name == "ollama-linux-amd64-rocm.tar.zst"
    assert len((path.parent / "sha256sum.txt").read_text().splitlines()) == 2


def test_release_server_answers_ranges(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(100)))
    server = release.ReleaseServer(tmp_path).start()
    try:
        request = urllib.request.Request(f"{server.url}/file", headers={"Range": "bytes=10-19"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 206
            assert answer.headers["Content-Range"] == "bytes 10-19/100"
            assert answer.read() == bytes(range(10, 20))
        with urllib.request.urlopen(f"{server.url}/file", timeout=10) as answer:
            assert answer.read() == bytes(range(100))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{server.url}/../../etc/passwd", timeout=10)
    finally:
        server.stop()


def run(program: list[str], *words: str, host: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OLLAMA_HOST": host}
    return subprocess.run([*program, *words], env=env, capture_output=True, text=True, timeout=60, check=False)


def test_words_with_a_server(starter: Starter, program: list[str], registry: LabRegistry) -> None:
    host = starter.start().wait_ready().url
    name = f"{registry.name}/library/tiny:latest"
    pulled = run(program, "pull", "--insecure", name, host=host)
    assert (pulled.returncode, pulled.stderr.splitlines()[-1]) == (0, "success")
    assert run(program, "--version", host=host).stdout == "ollama version is 0.35.1-lab.1\n"
    head, row = run(program, "list", host=host).stdout.splitlines()
    assert head.split() == ["NAME", "ID", "SIZE", "MODIFIED"]
    assert row.split()[0] == name
    assert run(program, "ps", host=host).stdout.split() == ["NAME", "ID", "SIZE", "PROCESSOR", "CONTEXT", "UNTIL"]
    failed = run(program, "pull", "--insecure", f"{registry.name}/err404/x:latest", host=host)
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "Error: pull model manifest: file does not exist")


def test_words_without_a_server(program: list[str]) -> None:
    version = run(program, "-v", host="127.0.0.1:1")
    assert version.returncode == 0
    assert version.stdout.splitlines()[-1] == "Warning: client version is 0.35.1-lab.1"
    listed = run(program, "list", host="127.0.0.1:1")
    text = "Error: could not connect to ollama server, run 'ollama serve' to start it\n"
    assert (listed.returncode, listed.stderr) == (1, text)


def test_a_packed_version_is_the_one_it_was_packed_as(tmp_path: Path, program: list[str]) -> None:
    other = release.lay_out(tmp_path / "other", "0.33.1-lab.2")
    assert "0.33.1-lab.2" in run([program[0], str(other)], "--version", host="127.0.0.1:1").stdout
