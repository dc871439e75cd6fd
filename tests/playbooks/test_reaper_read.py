"""The module as it runs on a host: every kind of question, bounds of time and size, secrets."""

from __future__ import annotations

import ast
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from ending import ends

from reaper_ops import assets
from reaper_ops.adapters import reader
from reaper_ops.core import facts
from reaper_ops.core.inventory.settings import Settings

PLAYBOOKS = assets.collection()
Read = Callable[..., dict[str, Any]]


@pytest.fixture
def read(module: Callable[..., Any]) -> Read:
    """Answers one ask."""

    def one(root: str | None = None, budget: float = 10, **ask: Any) -> dict[str, Any]:
        result = module(asks=[{"id": "it", **ask}], root=root, budget=budget)
        assert result["changed"] is False, result
        answer: dict[str, Any] = result["answers"]["it"]
        return answer

    return one


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_identity(read: Read) -> None:
    answer = read(kind="identity")
    assert answer["uid"] == os.getuid()
    assert answer["arch"] == os.uname().machine
    status = Path("/proc/self/status").read_text()
    assert f"{answer['caps']:016x}" in status
    assert answer["own_namespace"] is (Path("/proc/self/uid_map").read_text().split() != ["0", "0", "4294967295"])


def test_a_place_that_is_read_only_is_told(read: Read, tmp_path: Path) -> None:
    rows = read(kind="statvfs", paths=[str(tmp_path / "later"), "/sys/kernel"])["paths"]
    assert rows[str(tmp_path / "later")]["readonly"] is False
    flags = next(line.split()[3] for line in Path("/proc/mounts").read_text().splitlines() if " /sys sysfs " in line)
    assert rows["/sys/kernel"]["readonly"] is ("ro" in flags.split(","))


def test_a_file_has_content_mode_and_hash(read: Read, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("one\n")
    (tmp_path / "f").chmod(0o640)
    answer = read(kind="file", path=str(tmp_path / "f"))
    assert (answer["content"], answer["mode"], answer["exists"]) == ("one\n", "0640", True)
    assert answer["sha256"] == "2c8b08da5ce60398e1f19af0e5dccc744df274b826abe585eaba68c525434806"


@pytest.mark.parametrize("path", ["/no/such/file", "/etc/passwd/under-a-file"])
def test_an_absent_file_is_no_error(read: Read, path: str) -> None:
    assert read(kind="file", path=path) == {"path": path, "exists": False}


def test_a_device_is_described_but_not_opened(read: Read, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert read(kind="file", path="/dev/null")["kind"] == "char"
    assert "content" not in read(kind="file", path=str(tmp_path / "pipe"))


def test_a_link_is_named_and_followed(read: Read, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("f")
    (tmp_path / "dangling").symlink_to("nowhere")
    assert (
        read(kind="file", path=str(tmp_path / "l"))["link"],
        read(kind="file", path=str(tmp_path / "l"))["content"],
    ) == ("f", "x")
    assert read(kind="file", path=str(tmp_path / "dangling"))["link"] == "nowhere"


def test_a_long_file_is_cut_at_either_end(read: Read, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("a" * 50 + "b" * 50)
    head = read(kind="file", path=str(tmp_path / "f"), max_bytes=10)
    tail = read(kind="file", path=str(tmp_path / "f"), max_bytes=10, tail=True)
    assert (head["content"], head["truncated"], "sha256" in head) == ("a" * 10, True, False)
    assert (tail["content"], tail["truncated"]) == ("b" * 10, True)


def test_lines_are_chosen_on_the_host(read: Read, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("start here\n" + "".join(f"line {n}\n" for n in range(100)))
    answer = read(kind="file", path=str(tmp_path / "log"), lines=2, also="^start")
    assert answer["content"] == "start here\nline 98\nline 99\n"
    assert read(kind="file", path=str(tmp_path / "log"), grep="9$", lines=1)["content"] == "line 99\n"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("HTTPS_PROXY=http://me:pass@word@proxy:3128/", "HTTPS_PROXY=http://me:***@proxy:3128/"),
        ("https://ghp_abc@host/x", "https://***@host/x"),
        ('{"Env":["HF_TOKEN=hf_abc","A=b"]}', '{"Env":["HF_TOKEN=***","A=b"]}'),
        ("OLLAMA_API_KEY=abc def", "OLLAMA_API_KEY=*** def"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("map[Authorization:[Bearer abc] A:[b]]", "map[Authorization:[Bearer ***] A:[b]]"),
        ("authorization: token abc", "authorization: token ***"),
        ("X-Api-Key: abc def", "X-Api-Key: *** def"),
        (
            '{"HF_TOKEN": "a b", "auths": {"x": {"auth": "abc="}}}',
            '{"HF_TOKEN": "***", "auths": {"x": {"auth": "***"}}}',
        ),
        (
            "https://x/y?access_token=abc&n=1&X-Amz-Signature=abc",
            "https://x/y?access_token=***&n=1&X-Amz-Signature=***",
        ),
        ("hf_token=abc OPENAI_APIKEY=abc", "hf_token=*** OPENAI_APIKEY=***"),
        ("--api-key abc --port 1 --hf-token=abc", "--api-key *** --port 1 --hf-token=***"),
        ("password='a b' x", "password='***' x"),
        ("download with hf_abcdefghijklmnopqrstuv: 401", "download with hf_***: 401"),
        ("http://me:pa/ss@proxy:3128 x@y", "http://me:***@proxy:3128 x@y"),
        ("http://me@corp:pass@proxy:3128", "http://***@corp:***@proxy:3128"),
        ("https_proxy=me:pass@proxy:3128", "https_proxy=me:***@proxy:3128"),
        ("http://host:5000/a@sha256:1 http://[::1]:11434/a@b", "http://host:5000/a@sha256:1 http://[::1]:11434/a@b"),
        ("EOS token = 2, n_tokens=5: token expired", "EOS token = 2, n_tokens=5: token expired"),
        ("//nas/m /m cifs username=me,pass=abc,ro", "//nas/m /m cifs username=me,pass=***,ro"),
        ("DB_PASS=abc S3_KEY=abc key=OLLAMA_X bypass=1", "DB_PASS=*** S3_KEY=*** key=OLLAMA_X bypass=1"),
        ("invalid token: unexpected EOF", "invalid token: unexpected EOF"),
        ('{"prompt_tokens": 12}', '{"prompt_tokens": 12}'),
        ("http://127.0.0.1:11434/ a@b", "http://127.0.0.1:11434/ a@b"),
    ],
)
def test_secrets_stay_on_the_host(read: Read, tmp_path: Path, text: str, safe: str) -> None:
    (tmp_path / "f").write_text(text)
    assert read(kind="file", path=str(tmp_path / "f"))["content"] == safe


def test_secrets_are_replaced_in_linear_time(read: Read, tmp_path: Path) -> None:
    for part in ("a", "-", "a.", "://", "://a:", "token", "bearer ", '"token":', " "):
        (tmp_path / "f").write_text(part * (200_000 // len(part)))
        with ends():
            read(kind="file", path=str(tmp_path / "f"))


def test_glob_matches_content_and_reads_beside(read: Read, tmp_path: Path) -> None:
    for name, class_ in (("a", "0x030000"), ("b", "0x020000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "class").write_text(class_)
        (tmp_path / name / "vendor").write_text("0x10de")
    answer = read(
        kind="glob", patterns=[f"{tmp_path}/*/class"], content=True, match="^0x03", beside=["vendor", "absent"]
    )
    assert [row["path"] for row in answer["matches"]] == [f"{tmp_path}/a/class"]
    assert answer["matches"][0]["beside"] == {"vendor": "0x10de", "absent": None}


def test_a_command_answers_with_its_streams(read: Read) -> None:
    answer = read(kind="command", argv=["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert answer == {"rc": 3, "stdout": "out\n", "stderr": "err\n", "truncated": False, "timed_out": False}


def test_a_command_runs_in_the_c_locale(read: Read) -> None:
    assert read(kind="command", argv=["sh", "-c", "echo $LC_ALL"])["stdout"] == "C\n"


def test_a_missing_program_is_said(read: Read) -> None:
    assert read(kind="command", argv=["no-such-program-here"]) == {"missing": True}


def test_a_command_that_hangs_is_ended_with_its_children(read: Read, tmp_path: Path) -> None:
    script = program(tmp_path / "hang", f"#!/bin/sh\nsleep 300 &\necho $! > {tmp_path}/child\nwait\n")
    answer = read(kind="command", argv=[str(script)], timeout=1)
    assert answer["timed_out"] is True
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


def test_endless_output_is_bounded(read: Read) -> None:
    answer = read(kind="command", argv=["yes"], timeout=0.5, max_bytes=100)
    assert (len(answer["stdout"]), answer["truncated"]) == (100, True)


def test_the_last_output_is_kept_when_asked(read: Read) -> None:
    answer = read(kind="command", argv=["seq", "100000"], tail=True, max_bytes=14)
    assert answer["stdout"] == "\n99999\n100000\n"


def test_statvfs_of_the_nearest_parent(read: Read, tmp_path: Path) -> None:
    row = read(kind="statvfs", paths=[f"{tmp_path}/not/yet"])["paths"][f"{tmp_path}/not/yet"]
    assert row["existing"] == str(tmp_path)
    assert 0 < row["free"] <= row["total"]
    assert row["fstype"]


def test_listdir_and_user_and_which(read: Read, tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert read(kind="listdir", path=str(tmp_path))["names"] == ["a", "b"]
    assert read(kind="listdir", path=f"{tmp_path}/none")["exists"] is False
    assert read(kind="user", name="root")["uid"] == 0
    assert read(kind="user", name="no_such_user_x") == {"exists": False}
    assert read(kind="which", names=["sh", "no-such-program-here"])["names"]["no-such-program-here"] is None


def test_the_server_by_its_pid_file(read: Read, tmp_path: Path) -> None:
    script = program(tmp_path / "bin" / "ollama", "#!/bin/sh\nwhile :; do sleep 1; done\n")
    env = {**os.environ, "OLLAMA_HOST": "h", "HTTPS_PROXY": "http://u:p@x:1", "MY_PASSWORD": "no", "OLLAMA_KEY": "k"}
    server = subprocess.Popen([str(script), "serve"], env=env)
    try:
        (tmp_path / "pid").write_text(f"{server.pid}\n")
        answer = read(kind="process", pid_file=str(tmp_path / "pid"), name="ollama")
        stranger = read(kind="process", pid_file=str(tmp_path / "pid"), name="other")
    finally:
        server.kill()
        server.wait()
    assert answer["pid"] == server.pid
    assert answer["argv"][-1] == "serve"
    assert answer["environ"]["OLLAMA_HOST"] == "h"
    assert answer["environ"]["HTTPS_PROXY"] == "http://u:***@x:1"
    assert "MY_PASSWORD" not in answer["environ"]
    assert stranger["found"] is False
    gone = read(kind="process", pid_file=str(tmp_path / "pid"), name="ollama")
    assert gone == {"found": False}


def test_a_server_did_not_start_before_the_file_that_it_was_started_from(read: Read, tmp_path: Path) -> None:
    """By the clock of files: the time of the boot that the kernel tells has no parts of a second."""
    for pause in (0.0, 0.3, 0.3, 0.3):
        time.sleep(pause)
        (tmp_path / "compose.yaml").write_text("services: {}\n")
        with subprocess.Popen(["sleep", "60"]) as server:
            (tmp_path / "pid").write_text(f"{server.pid}\n")
            answer = read(kind="process", pid_file=str(tmp_path / "pid"), name="sleep")
            server.kill()
        written = (tmp_path / "compose.yaml").stat().st_mtime
        assert int(written) <= answer["started"] <= time.time()


@pytest.mark.parametrize("content", ["", "not a number", "99999999999999", "-1", "é"])
def test_a_broken_pid_file_finds_nothing(read: Read, tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    assert read(kind="process", pid_file=str(tmp_path / "pid"), name="ollama")["found"] is False


def test_stand_ins_come_first_under_a_root(read: Read, tmp_path: Path) -> None:
    program(tmp_path / "bin" / "nvidia-smi", "#!/bin/sh\necho stand-in\n")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 1 kB\n")
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0").mkdir(parents=True)
    (tmp_path / "sys/bus/pci/devices/0000:01:00.0/class").write_text("0x030000\n")
    root = str(tmp_path)
    assert read(root, kind="command", argv=["nvidia-smi"])["stdout"] == "stand-in\n"
    assert read(root, kind="file", path="/proc/meminfo")["content"] == "MemTotal: 1 kB\n"
    assert read(root, kind="file", path="/proc/version")["content"].startswith("Linux")
    matches = read(root, kind="glob", patterns=["/sys/bus/pci/devices/*/class"])["matches"]
    assert [row["path"] for row in matches] == ["/sys/bus/pci/devices/0000:01:00.0/class"]


def test_what_hangs_is_not_read_and_the_rest_is(module: Callable[..., Any]) -> None:
    asks = [
        {"id": "slow", "kind": "command", "argv": ["sleep", "60"], "timeout": 60},
        {"id": "fast", "kind": "identity"},
    ]
    answers = module(asks=asks, budget=3)["answers"]
    assert answers["fast"]["uid"] == os.getuid()
    assert answers["slow"].get("timed_out") or answers["slow"]["error"] == "no answer in time"


def test_the_whole_answer_is_bounded(module: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 900_000)
    ask = {"kind": "file", "path": str(tmp_path / "big"), "max_bytes": 1_000_000}
    answers = module(asks=[{"id": str(n), **ask} for n in range(4)])["answers"]
    assert [("content" in answers[str(n)]) for n in range(4)] == [True, True, False, False]
    assert "2 MiB" in answers["3"]["error"]


@pytest.mark.parametrize("line", [b"p" * 9000, bytes(range(128, 256)) * 70])
def test_long_lines_leave_room_for_the_rest(module: Callable[..., Any], tmp_path: Path, line: bytes) -> None:
    (tmp_path / "log").write_bytes((line + b"\n") * 500 + b"the last\n")
    ask = {"kind": "file", "path": str(tmp_path / "log"), "max_bytes": 8 << 20, "lines": 300}
    answers = module(asks=[*({"id": str(n), **ask} for n in range(3)), {"id": "who", "kind": "identity"}])["answers"]
    assert answers["0"]["content"].endswith("\nthe last\n")
    assert all("error" not in answer for answer in answers.values())


def test_what_is_too_large_does_not_displace_what_is_not(module: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "big").write_text("x" * 3_000_000)
    ask = {"id": "big", "kind": "file", "path": str(tmp_path / "big"), "max_bytes": 4 << 20}
    answers = module(asks=[ask, {"id": "who", "kind": "identity"}])["answers"]
    assert ("error" in answers["big"], "error" in answers["who"]) == (True, False)


@pytest.mark.parametrize("ask", [{"kind": "nonsense"}, {}, {"kind": "file"}, {"kind": "command", "argv": []}])
def test_a_bad_question_is_an_answer_with_an_error(read: Read, ask: dict[str, Any]) -> None:
    assert read(**ask)["error"]


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become somebody else")
def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    for parent in (tmp_path, *tmp_path.parents):
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
    code = (
        "import sys, os\n"
        "sys.path.append(sys.argv[1])\n"
        "from ansible_collections.reaper_ops.ollama.plugins.module_utils import reaper_host as h, reaper_paths as p\n"
        "os.setuid(65534)\n"
        "try:\n p.read_file(h.Host(None, 1e12), {'path': sys.argv[2]})\n"
        "except OSError as e:\n print(h.reason(e))"
    )
    argv = [sys.executable, "-c", code, str(assets.collections()), str(secret)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.stdout == "Permission denied\n", done.stderr


class Server(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"version":"0.35.1"}' if self.path == "/api/version" else b"no"
        self.send_response(200 if self.path == "/api/version" else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}"
        http.shutdown()


def raw_server(answer: bytes | None) -> tuple[socket.socket, str]:
    """Accepts one connection, sends `answer` and closes; None keeps it open and silent."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        connection, _ = listener.accept()
        connection.recv(65536)
        if answer is not None:
            connection.sendall(answer)
            connection.close()
        else:
            connection.recv(1)
            connection.close()

    threading.Thread(target=serve, daemon=True).start()
    return listener, f"http://127.0.0.1:{listener.getsockname()[1]}"


def test_http_requests_stop_at_the_first_that_is_not_ok(read: Read, server: str) -> None:
    requests = [{"path": "/api/version"}, {"path": "/none"}, {"path": "/api/ps"}, {"path": "/", "on": "odd"}]
    exchanges = read(kind="http", base_url=server, requests=requests)["exchanges"]
    assert [(e["path"], e["status"], e["phase"]) for e in exchanges] == [
        ("/api/version", 200, "done"),
        ("/none", 404, "done"),
        ("/", 404, "done"),
    ]
    assert exchanges[0]["body"] == '{"version":"0.35.1"}'


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n",
    ],
)
def test_http_bodies_of_every_framing(read: Read, head: bytes) -> None:
    listener, url = raw_server(head + (b"{}\r\n0\r\n\r\n" if b"chunked" in head else b"{}"))
    with listener:
        exchange = read(kind="http", base_url=url, requests=[{"path": "/"}])["exchanges"][0]
    assert (exchange["phase"], exchange["error"], exchange["status"], exchange["body"]) == ("done", "", 200, "{}")


@pytest.mark.parametrize(
    ("number", "error"),
    [(111, "refused"), (113, "unreachable"), (101, "unreachable"), (110, "timeout"), (104, "reset"), (9, "protocol")],
)
def test_errno_decides_the_class(number: int, error: str) -> None:
    code = (
        "import sys\n"
        "sys.path.append(sys.argv[1])\n"
        "from ansible_collections.reaper_ops.ollama.plugins.module_utils.reaper_http import error_class\n"
        "print(error_class(OSError(int(sys.argv[2]), 'x')))"
    )
    argv = [sys.executable, "-c", code, str(assets.collections()), str(number)]
    assert subprocess.run(argv, capture_output=True, text=True, check=True).stdout == f"{error}\n"


@pytest.mark.parametrize("name", [*reader.PARTS, "reaper_read"])
def test_old_hosts_can_read_the_code(name: str) -> None:
    path = next(PLAYBOOKS.rglob(f"{name}.py"))
    assert ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 6)).body


def test_http_ignores_proxies_of_the_environment(module: Callable[..., Any], server: str) -> None:
    ask = {"id": "it", "kind": "http", "base_url": server, "requests": [{"path": "/api/version"}]}
    answer = module(asks=[ask], env={"http_proxy": "http://127.0.0.1:9"})["answers"]["it"]
    assert answer["exchanges"][0]["status"] == 200


def test_http_refused(read: Read) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    exchange = read(kind="http", base_url=f"http://127.0.0.1:{port}", requests=[{"path": "/"}])["exchanges"][0]
    assert (exchange["phase"], exchange["error"], exchange["errno"]) == ("connect", "refused", 111)


def test_http_unknown_name(read: Read) -> None:
    answer = read(kind="http", base_url="http://no-such-host.invalid:1", requests=[{"path": "/"}])
    assert (answer["exchanges"][0]["phase"], answer["exchanges"][0]["error"]) == ("resolve", "dns")


def test_http_connect_timeout_is_told_from_read_timeout(read: Read) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for client in waiting:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        exchange = read(kind="http", base_url=url, connect_timeout=0.3, requests=[{"path": "/"}])["exchanges"][0]
        for client in waiting:
            client.close()
    assert (exchange["phase"], exchange["error"]) == ("connect", "timeout")


@pytest.mark.parametrize(
    ("answer", "phase", "error"),
    [
        (None, "read", "timeout"),
        (b"", "read", "closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "read", "protocol"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf", "read", "closed"),
    ],
)
def test_http_broken_servers(read: Read, answer: bytes | None, phase: str, error: str) -> None:
    listener, url = raw_server(answer)
    with listener:
        request = {"path": "/", "timeout": 0.5}
        exchange = read(kind="http", base_url=url, requests=[request, request])["exchanges"]
    assert [(e["phase"], e["error"]) for e in exchange] == [(phase, error)]
    if answer and answer.endswith(b"half"):
        assert (exchange[0]["status"], exchange[0]["body"]) == (200, "half")


def test_http_to_a_plain_port_by_tls(read: Read, server: str) -> None:
    answer = read(kind="http", base_url=server.replace("http:", "https:"), requests=[{"path": "/"}])
    assert (answer["exchanges"][0]["phase"], answer["exchanges"][0]["error"]) == ("tls", "tls")


def test_all_questions_of_a_host_are_answered_in_one_pass(module: Callable[..., Any], tmp_path: Path) -> None:
    settings = Settings(ollama_runtime="process", ollama_home=str(tmp_path), ollama_port=1)
    asks = facts.asks(settings)
    answers = module(asks=asks, budget=60)["answers"]
    assert set(answers) == {ask["id"] for ask in asks}
    found = facts.parse("here", settings, answers)
    assert found.system.arch == os.uname().machine
    assert found.memory is not None
    assert found.memory.total > 0
    assert found.exchanges[0].error == "refused"


def test_through_ansible_itself(tmp_path: Path) -> None:
    asks = [{"id": "me", "kind": "identity"}, {"id": "f", "kind": "file", "path": "/proc/self/comm"}]
    argv = [sys.executable, "-m", "ansible", "adhoc", "localhost", "-m", "reaper_ops.ollama.reaper_read"]
    env = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(assets.collections()),
        "ANSIBLE_LOCAL_TEMP": str(tmp_path),
    }
    done = subprocess.run(
        [*argv, "--check", "-a", json.dumps({"asks": asks})], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers = json.loads(done.stdout[done.stdout.index("{") :])["answers"]
    assert answers["me"]["uid"] == os.getuid()
