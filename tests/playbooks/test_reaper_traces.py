"""What a diagnosis reads of this very machine: sockets, processes, stores, containers, drift; bounds and secrets."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest

from reaper_ops.adapters import reader
from reaper_ops.core import facts
from reaper_ops.core.facts import containers, holdings, network, running
from reaper_ops.core.facts import store as facts_of_store
from reaper_ops.core.facts.answers import Answers
from reaper_ops.core.inventory.settings import Settings
from tests import modern_store


def read(*asks: dict[str, Any], root: str = "", env: dict[str, str] | None = None) -> dict[str, Any]:
    numbered = [{"id": str(number), **ask} for number, ask in enumerate(asks)]
    done = subprocess.run(
        ["sh", "-c", reader.command(sys.executable)],
        input=reader.program(numbered, root),
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **(env or {})},
    )
    found = reader.answers(done.stdout)
    assert found is not None, done.stderr
    return found


def one(root: str = "", env: dict[str, str] | None = None, **ask: Any) -> dict[str, Any]:
    answer: dict[str, Any] = read(ask, root=root, env=env)["0"]
    return answer


def tool(directory: Path, name: str, text: str) -> None:
    path = directory / "bin" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_listening_socket_has_its_owner(port: int) -> None:
    found = network.listeners(one(kind="sockets")["stdout"]) or ()
    (mine,) = [row for row in found if row.port == port]
    assert (mine.address, mine.pid) == ("127.0.0.1", os.getpid())


def test_a_process_that_looks_like_ollama_and_none_of_the_reader_itself(tmp_path: Path) -> None:
    program = tmp_path / "llama-server"
    program.symlink_to("/bin/sleep")
    with subprocess.Popen([str(program), "60"]) as process:
        found = {row.pid: row for row in running.processes(one(kind="processes")["stdout"]) or ()}
        process.kill()
    mine = found[process.pid]
    assert (mine.parent, mine.command) == (os.getpid(), f"{program} 60")
    assert mine.rss is not None
    assert not [row for row in found.values() if " -ES -" in row.command and row.parent == os.getpid()]


def test_the_shell_that_started_the_reader_is_no_large_process() -> None:
    shell = ["sh", "-c", f"{reader.command(sys.executable)}; exit $?", "starter-of-the-reader"]
    program = reader.program([{"id": "a", "kind": "processes", "largest": 100_000}], "")
    done = subprocess.run(shell, input=program, capture_output=True, text=True, check=True)
    answer = (reader.answers(done.stdout) or {})["a"]["stdout"]
    assert f"\n{os.getpid()} " in answer
    assert "starter-of-the-reader" not in answer


def test_limits_and_cgroup_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "pid").write_text(f"{os.getpid()}\n")
    where = {"kind": "server", "pid_file": str(tmp_path / "pid")}
    found = read({"what": "limits", **where}, {"what": "cgroup", **where})
    assert "Max open files" in (running.limits(found["0"]["stdout"]) or {})
    assert found["1"]["rc"] == 0


def test_no_server_has_no_limits(tmp_path: Path) -> None:
    assert one(kind="server", what="limits", pid_file=str(tmp_path / "pid")) == {"found": False}


def test_small_tools_in_turn(tmp_path: Path) -> None:
    tool(tmp_path, "nft", "echo 'table ip x {}'")
    tool(tmp_path, "ufw", "echo 'You need to be root' >&2; exit 1")
    answer = one(str(tmp_path), kind="commands", commands={"nft": ["nft"], "ufw": ["ufw"], "none": ["no-such-tool"]})
    assert network.firewall(answer["stdout"]) == {"nft": "table ip x {}"}
    assert Answers({"firewall": answer}).unread() == {"firewall": "ufw: You need to be root"}


def test_names_are_resolved_and_the_unknown_say_why() -> None:
    good, bad = network.resolved(one(kind="resolve", names=["localhost", "no.such.invalid"])["stdout"]) or ()
    assert {"127.0.0.1", "::1"} & set(good.addresses)
    assert (bad.addresses, bool(bad.error)) == ((), True)


def store(top: Path) -> Path:
    manifest = top / "manifests/registry.ollama.ai/library/m/1"
    manifest.parent.mkdir(parents=True)
    layers = [{"digest": "sha256:aa", "size": 3}]
    manifest.write_text(json.dumps({"layers": layers, "config": {"digest": "sha256:bb", "size": 2}}))
    manifest.with_name("2").write_text("\0\0")
    (top / "blobs").mkdir()
    (top / "blobs/sha256-aa").write_text("abc")
    return top


def test_stores_with_what_their_manifests_name(tmp_path: Path) -> None:
    own, other = store(tmp_path / "own"), store(tmp_path / "other")
    text = one(kind="stores", path=str(own), others=[str(tmp_path / "*")])["stdout"]
    first, second = holdings.stores(text, time.time()) or ()
    assert (first.path, second.path) == (str(own), str(other))
    assert {m.name: (dict(m.layers), m.error) for m in first.manifests} == {
        "m:1": ({"sha256-aa": 3, "sha256-bb": 2}, ""),
        "m:2": ({}, "is no manifest"),
    }
    assert [(blob.name, blob.size) for blob in first.blobs or ()] == [("sha256-aa", 3)]
    assert [step.path for step in holdings.path_steps(text) or ()][-1] == str(own)


def test_a_store_of_0_40_has_each_model_once_with_the_blobs_of_all_its_engines(tmp_path: Path) -> None:
    made = modern_store.migrated(tmp_path / "own")
    text = one(kind="stores", path=str(tmp_path / "own"), others=[])["stdout"]
    (found,) = holdings.stores(text, time.time()) or ()
    (model,) = found.manifests
    assert (model.name, model.path, model.error) == ("tiny:latest", str(made.entry), "")
    assert set(model.layers) == {blob.name for blob in found.blobs or ()}


def test_what_a_migration_left_of_a_removed_model_is_kept_for_an_older_server(tmp_path: Path) -> None:
    made = modern_store.migrated(tmp_path / "own")
    made.entry.unlink()
    (tmp_path / "own/manifests/registry.ollama.ai/library/tiny/latest").unlink()
    text = one(kind="stores", path=str(tmp_path / "own"), others=[])["stdout"]
    (found,) = holdings.stores(text, time.time()) or ()
    assert found.manifests == ()
    assert made.weights.replace(":", "-") in found.kept
    assert made.listed.replace(":", "-") not in found.kept


def test_other_digests_of_a_migrated_model_are_read(tmp_path: Path) -> None:
    made = modern_store.migrated(tmp_path)
    answer = one(kind="identities", path=str(tmp_path))
    found = facts_of_store.parse_identities(Answers({"identities": answer}))
    bare = {digest.removeprefix("sha256:") for digest in (made.old, made.new, made.published)}
    assert bare <= found[made.listed.removeprefix("sha256:")]
    nothing = Answers({"identities": one(kind="identities", path=str(tmp_path / "none"))})
    assert facts_of_store.parse_identities(nothing) == {}


def test_a_link_that_leaves_the_store_is_told_and_its_target_is_not_read(tmp_path: Path) -> None:
    secret = tmp_path / f"sha256-{'a' * 64}"
    secret.write_text(json.dumps({"layers": [{"digest": "sha256:secret", "size": 1}]}))
    entry = tmp_path / "own/manifests-v2/ollama.com/library/tiny/latest"
    entry.parent.mkdir(parents=True)
    entry.symlink_to(secret)
    text = one(kind="stores", path=str(tmp_path / "own"), others=[])["stdout"]
    (found,) = holdings.stores(text, time.time()) or ()
    assert [(m.name, m.error, dict(m.layers)) for m in found.manifests] == [
        ("tiny:latest", "is a link to no blob of its store", {})
    ]
    assert "secret" not in text


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    (found,) = holdings.stores(one(kind="stores", path=str(tmp_path / "no"), others=[])["stdout"], 1.0) or ()
    assert (found.mode, found.blobs, found.manifests) == ("", (), ())


@pytest.mark.skipif(os.getuid() != 0, reason="only root can try as another user")
def test_what_the_servers_user_may_not_do(tmp_path: Path) -> None:
    own = store(tmp_path / "own")
    for path in (*own.rglob("*"), *own.parents):
        if str(path).startswith(str(tmp_path)) and path.is_dir():
            path.chmod(0o755)
    own.chmod(0o700)
    found = holdings.denied(one(kind="access", path=str(own), user="nobody")["stdout"]) or ()
    assert ("enter", str(own), "EACCES") in {(row.need, row.path, row.error) for row in found}


def test_drift_of_our_own_files(tmp_path: Path) -> None:
    for name in ("same", "edited"):
        (tmp_path / name).write_text("x")
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "edited").write_text("y")
    (tmp_path / "link").symlink_to("elsewhere")
    files = {str(tmp_path / name): digest for name in ("same", "edited", "gone")} | {str(tmp_path / "log"): None}
    manifest = tmp_path / "manifest.json"
    manifest.write_text(json.dumps({"files": files, "links": {str(tmp_path / "link"): "same"}}))
    found = holdings.drift(one(kind="drift", path=str(manifest))["stdout"]) or ()
    assert {(Path(row.path).name, row.problem) for row in found} == {
        ("edited", "changed"),
        ("gone", "missing"),
        ("link", "changed"),
    }
    manifest.write_text(json.dumps({"files": files, "snapshot": []}))
    assert one(kind="drift", path=str(manifest)) == {"found": False}


def test_programs_say_their_own_version(tmp_path: Path) -> None:
    tool(tmp_path, "ollama", 'echo "Warning: client version is 0.9.9 $OLLAMA_HOST"')
    (found,) = holdings.binaries(one(str(tmp_path), kind="binaries", name="ollama")["stdout"]) or ()
    assert (found.path, found.version) == (str(tmp_path / "bin/ollama"), "0.9.9")


ROWS = [
    {
        "Id": "a",
        "Name": "/ollama",
        "Args": ["serve", "--api-key", "geheim"],
        "Config": {
            "Image": "ollama/ollama:1.0.0",
            "Env": ["OLLAMA_API_KEY=geheim", "OLLAMA_HOST=0.0.0.0", "OTHER=1"],
            "Cmd": ["serve", "--api-key", "geheim"],
            "Entrypoint": None,
            "Healthcheck": {"Test": ["CMD-SHELL", "curl -H 'Authorization: Bearer geheim' http://localhost"]},
        },
        "State": {"Status": "running"},
    },
    {"Id": "b", "Name": "/db", "Config": {"Image": "postgres", "Env": ["POSTGRES_PASSWORD=x"]}, "State": {}},
]


def test_containers_of_ollama_without_secrets_and_without_the_others(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    tool(tmp_path, "docker", f'case "$1" in ps) printf "a\\nb\\n";; inspect) cat {tmp_path}/rows.json;; esac')
    answer = one(str(tmp_path), kind="containers")
    assert "geheim" not in json.dumps(answer)
    (found,) = containers.containers(Answers({"containers": answer})) or ()
    assert (found.name, found.environ) == ("ollama", {"OLLAMA_API_KEY": "***", "OLLAMA_HOST": "0.0.0.0"})


def test_an_engine_that_refuses_is_not_read(tmp_path: Path) -> None:
    tool(tmp_path, "docker", "echo 'permission denied while trying to connect to the Docker daemon socket' >&2; exit 1")
    answers = Answers({"containers": one(str(tmp_path), kind="containers")})
    assert containers.containers(answers) is None
    assert "permission denied" in answers.unread()["containers"]


def test_a_second_read_comes_later_and_beside_the_others() -> None:
    uptime = {"kind": "file", "path": "/proc/uptime"}
    found = read(uptime, {**uptime, "after": 0.4})
    first, again = (float(found[id_]["content"].split()[0]) for id_ in ("0", "1"))
    assert again - first >= 0.3


def test_headers_that_tell_who_answered() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        ask = {
            "id": "0",
            "kind": "http",
            "base_url": url,
            "requests": [{"path": "/", "headers": {"Origin": "http://x"}}],
        }
        command = ["sh", "-c", reader.command(sys.executable)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            process.stdin.write(reader.program([ask], ""))
            process.stdin.close()
            link, _ = server.accept()
            asked = link.recv(4096)
            link.sendall(b"HTTP/1.1 200 OK\r\nServer: nginx\r\nX-Other: 1\r\nContent-Length: 0\r\n\r\n")
            link.close()
            assert process.stdout is not None
            found = reader.answers(process.stdout.read())
    assert b"Origin: http://x" in asked
    assert found is not None
    assert found["0"]["exchanges"][0]["headers"] == {"server": "nginx"}


def test_file_systems_count_their_inodes() -> None:
    row = one(kind="statvfs", paths=["/"])["paths"]["/"]
    assert row["inodes_free"] >= 0
    assert isinstance(row["inodes_total"], int)


def test_one_tool_that_hangs_holds_nothing_but_itself(tmp_path: Path) -> None:
    tool(tmp_path, "nvidia-smi", "sleep 60")
    tool(tmp_path, "docker", "sleep 60")
    asks = facts.asks(Settings.model_validate({"ollama_runtime": "docker"}), traces=True)
    done = subprocess.run(
        ["sh", "-c", reader.command(sys.executable)],
        input=reader.program(asks, str(tmp_path)),
        capture_output=True,
        text=True,
        check=True,
        timeout=25,
    )
    answers = reader.answers(done.stdout) or {}
    found = facts.parse("h", Settings.model_validate({"ollama_runtime": "docker"}), {**answers, "controller": {}})
    assert found.memory is not None
    assert found.traces is not None
    assert found.traces.listeners is not None
    assert {"nvidia-smi", "containers"} <= set(found.unread)
    assert len(done.stdout) < 2 << 20


class Registry(BaseHTTPRequestHandler):
    """Lists one model, and knows another as a registry."""

    asked: ClassVar[list[tuple[str, str]]] = []

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers.get("User-Agent", "")))
        body = b'{"models":[{"name":"here:1"}]}' if self.path == "/api/tags" else b'{"errors":[]}'
        self.send_response(200 if self.path == "/api/tags" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_the_registry_is_asked_for_what_the_server_lacks_and_nothing_else() -> None:
    Registry.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        rows = [
            {"name": f"{name}:1", "path": "r/library/m/1", "url": f"{url}/v2/library/{name}/manifests/1"}
            for name in ("here", "gone")
        ]
        where = {"base_url": url, "path": "/none", "server": {"pid_file": "/none"}, "version": "0.35.1"}
        answer = one(kind="upstream", models=rows, **where)
        server.shutdown()
    (found,) = answer["exchanges"]
    assert (found["path"], found["status"], found["body"]) == ("/v2/library/gone/manifests/1", 404, '{"errors":[]}')
    assert Registry.asked == [("/api/tags", ""), ("/v2/library/gone/manifests/1", "ollama/0.35.1")]


def test_a_model_whose_entry_lies_in_manifests_v2_is_not_missing(tmp_path: Path) -> None:
    modern_store.migrated(tmp_path)
    where = {"base_url": "http://127.0.0.1:9", "path": str(tmp_path), "version": "1", "server": {"pid_file": "/none"}}
    url = "http://127.0.0.1:9/v2/library/tiny/manifests/latest"
    row = {"name": "tiny:latest", "path": "registry.ollama.ai/library/tiny/latest", "url": url}
    assert one(kind="upstream", models=[row], **where)["exchanges"] == []
    made = tmp_path / "manifests-v2/ollama.com/library/tiny/latest"
    made.unlink()
    (tmp_path / "manifests/registry.ollama.ai/library/tiny/latest").unlink()
    assert len(one(kind="upstream", models=[row], **where)["exchanges"]) == 1


def test_the_registry_is_asked_through_the_servers_own_proxy(tmp_path: Path) -> None:
    Registry.asked.clear()
    (tmp_path / "manifests").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), Registry) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        env = {**os.environ, "HTTP_PROXY": f"http://u:geheim@127.0.0.1:{server.server_port}"}
        with subprocess.Popen(["sleep", "60"], env=env) as process:
            (tmp_path / "pid").write_text(str(process.pid))
            row = {"name": "m:1", "path": "r/library/m/1", "url": "http://r.invalid/v2/m/manifests/1"}
            where = {"base_url": "http://127.0.0.1:9", "path": str(tmp_path), "version": "1"}
            answer = one(kind="upstream", models=[row], server={"pid_file": str(tmp_path / "pid")}, **where)
            process.kill()
        server.shutdown()
    assert Registry.asked == [("http://r.invalid/v2/m/manifests/1", "ollama/1")]
    assert "geheim" not in json.dumps(answer)
