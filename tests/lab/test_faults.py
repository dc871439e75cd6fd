"""Each fault shows what it says, is switched on and off without a restart, and leaves no other mark."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from subject import Started, Starter, Subject, opened

from reaper_ops.lab.ollama.faults import FAULTS, Faults
from reaper_ops.lab.registry import LabRegistry

KILLED = "llama-server process has terminated: signal: killed"


class Host:
    """A server with one model, and its fault file."""

    def __init__(self, started: Started, faults: Path, model: str) -> None:
        self.started = started
        self.subject: Subject = started.subject
        self.model = model
        self._faults = faults

    def switch(self, **faults: dict[str, Any]) -> None:
        temporary = self._faults.with_suffix(".new")
        temporary.write_text(json.dumps({name.replace("_", "-"): options for name, options in faults.items()}))
        temporary.replace(self._faults)

    def until(self, text: str) -> str:
        """The log, once it has that text."""
        for _ in range(500):
            if text in self.started.log:
                return self.started.log
            time.sleep(0.02)
        raise AssertionError(f"{text!r} is not in\n{self.started.log}")


def host_of(starter: Starter, registry: LabRegistry, tmp_path: Path, **variables: str) -> Host:
    faults = tmp_path / "faults.json"
    started = starter.start(REAPER_OPS_LAB_FAULTS=str(faults), **variables)
    model = f"{registry.name}/library/tiny:latest"
    assert started.wait_ready().pull(model).lines()[-1] == {"status": "success"}
    return Host(started, faults, model)


@pytest.fixture
def host(starter: Starter, registry: LabRegistry, tmp_path: Path) -> Host:
    return host_of(starter, registry, tmp_path)


def refused(subject: Subject) -> bool:
    """Whether the port refuses, at last; what was in its queue when it closed is reset."""
    for _ in range(500):
        try:
            subject.ask("GET", "/api/version", timeout=5)
        except ConnectionRefusedError:
            return True
        except OSError:
            continue
        time.sleep(0.02)
    return False


def test_every_fault_says_what_it_shows() -> None:
    assert all(len(text) > 20 for text in FAULTS.values())
    wanted = {"refuse", "drop", "hang", "slow-start", "503", "stream-error", "oom", "oom-old", "oom-malloc", "oom-kill"}
    assert wanted | {"disk-full", "digest-mismatch", "stall", "cpu-fallback"} <= set(FAULTS)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nosuch": {}}', "\x00"])
def test_a_fault_file_that_is_none_counts_as_no_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "faults.json"
    path.write_text(text)
    assert Faults(str(path)).current() == {}
    assert Faults("").current() == {}


def test_refuse_closes_and_opens_the_port(host: Host) -> None:
    host.switch(refuse={})
    assert refused(host.subject)
    assert host.started.process.poll() is None
    host.switch()
    assert host.started.wait_ready().ask("GET", "/api/version").status == 200


def test_refuse_from_the_start(starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('{"refuse": {}}')
    started = starter.start(REAPER_OPS_LAB_FAULTS=str(tmp_path / "faults.json"))
    while "vram-based default context" not in started.log:
        time.sleep(0.02)
    assert 'msg="simulated fault refuse: the port stays closed"' in started.log
    assert "Listening on" not in started.log
    with pytest.raises(ConnectionRefusedError):
        started.subject.ask("GET", "/")


def test_drop_accepts_and_sends_nothing(host: Host) -> None:
    host.switch(drop={})
    with pytest.raises(TimeoutError):
        host.subject.ask("GET", "/api/version", timeout=0.5)
    host.switch()
    assert host.subject.ask("GET", "/api/version").status == 200


def test_hang_leaves_the_cheap_questions_alone(host: Host) -> None:
    host.switch(hang={})
    with pytest.raises(TimeoutError):
        host.subject.ask("POST", "/api/generate", {"model": host.model, "prompt": "x"}, timeout=1)
    assert host.subject.ask("GET", "/api/ps").status == 200


def test_slow_start_listens_before_it_answers(starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('{"slow-start": {"seconds": 2}}')
    started = starter.start(REAPER_OPS_LAB_FAULTS=str(tmp_path / "faults.json"))
    while "Listening on" not in started.log:
        time.sleep(0.02)
    with pytest.raises(TimeoutError):
        started.subject.ask("GET", "/api/version", timeout=0.3)
    assert started.wait_ready().ask("GET", "/").text == "Ollama is running"


def test_not_ollama(host: Host) -> None:
    host.switch(not_ollama={})
    answer = host.subject.ask("GET", "/api/version")
    assert (answer.status, answer.kind) == (404, "text/html")


def test_queue_full(host: Host) -> None:
    host.switch(**{"503": {}})
    answer = host.subject.generate(host.model, prompt="x")
    assert (answer.status, answer.error()) == (503, "server busy, please try again.  maximum pending requests exceeded")
    assert host.subject.ask("GET", "/api/version").status == 200


def test_a_queue_of_one_is_full_while_a_model_loads(starter: Starter, registry: LabRegistry, tmp_path: Path) -> None:
    """One loads, one waits, the others are turned away; once it is loaded nobody is."""
    host = host_of(starter, registry, tmp_path, OLLAMA_MAX_QUEUE="1")
    host.switch(memory={"bytes": 1 << 30})
    assert set(eight_at_once(host)) == {200, 503}
    assert set(eight_at_once(host)) == {200}


def eight_at_once(host: Host) -> list[int]:
    found: list[int] = []
    request: dict[str, Any] = {"prompt": "x", "stream": False, "options": {"num_predict": 2}}
    threads = [
        threading.Thread(target=lambda: found.append(host.subject.generate(host.model, **request).status))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    return found


def test_error_inside_a_stream(host: Host) -> None:
    host.switch(stream_error={"after": 2})
    answer = host.subject.generate(host.model, prompt="x")
    assert answer.status == 200
    assert len(answer.lines()) == 3
    assert answer.error().startswith("an error was encountered while running the model: ")


def test_oom_is_a_child_that_was_killed(host: Host) -> None:
    host.switch(oom={})
    answer = host.subject.generate(host.model, prompt="x", stream=False)
    assert (answer.status, answer.error()) == (500, KILLED)
    assert f'msg="Load failed" model={host.started.models}/blobs/sha256-' in host.started.log
    assert host.subject.ask("GET", "/api/ps").json() == {"models": []}
    host.switch()
    assert host.subject.generate(host.model, prompt="x", stream=False).status == 200


def test_a_start_short_of_memory_tries_one_load(starter: Starter, registry: LabRegistry, tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('{"oom": {}}')
    host = host_of(starter, registry, tmp_path)
    log = host.until("Load failed")
    assert f'error="{KILLED}"' in log


def test_oom_of_the_old_engine(host: Host) -> None:
    host.switch(oom_old={})
    answer = host.subject.generate(host.model, prompt="x", stream=False)
    assert answer.status == 500
    assert answer.error().startswith("model requires more system memory (")
    assert ") than is available (" in answer.error()


def test_oom_of_a_real_allocation(host: Host) -> None:
    """The child has an address-space limit, its allocation fails for real, and it exits by itself."""
    host.switch(oom_malloc={})
    answer = host.subject.generate(host.model, prompt="x", stream=False)
    text = "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory (attempted"
    assert answer.status == 500
    assert answer.error().startswith(text)
    assert answer.error().count("\n") == 3


def test_oom_in_mid_answer(host: Host) -> None:
    host.switch(oom_kill={"after": 3})
    answer = host.subject.generate(host.model, prompt="x")
    assert len(answer.lines()) == 4
    assert answer.error() == "an error was encountered while running the model: unexpected EOF"
    assert len(host.subject.ask("GET", "/api/ps").json()["models"]) == 1
    host.switch()
    assert host.subject.generate(host.model, prompt="x", stream=False).status == 200
    assert 'msg="llama-server process no longer running" sys=9 string="signal: killed"' in host.started.log


def test_memory_is_taken_for_real(host: Host) -> None:
    host.switch(memory={"bytes": 120 << 20})
    assert host.subject.generate(host.model).status == 200
    (runner,) = host.started.runners()
    resident = next(line for line in Path(f"/proc/{runner}/status").read_text().splitlines() if "VmRSS" in line)
    assert int(resident.split()[1]) > 120 << 10
    assert Path(f"/proc/{runner}/comm").read_text() == "llama-server\n"


def test_a_presented_gpu_and_the_fall_back_to_the_cpu(starter: Starter, registry: LabRegistry, tmp_path: Path) -> None:
    host = host_of(starter, registry, tmp_path, REAPER_OPS_LAB_GPU="nvidia:24G")
    assert 'library=CUDA compute=8.9 name=CUDA0 description="Simulated NVIDIA GPU"' in host.started.log
    assert 'total_vram="24.0 GiB" default_num_ctx=32768' in host.started.log
    host.subject.generate(host.model)
    rows = {}
    for name in ("", "partial_offload", "cpu_fallback"):
        host.switch(**({name: {}} if name else {}))
        rows[name] = host.subject.ask("GET", "/api/ps").json()["models"][0]
    assert rows[""]["size_vram"] == rows[""]["size"] > 0
    assert 0 < rows["partial_offload"]["size_vram"] < rows["partial_offload"]["size"]
    assert rows["cpu_fallback"]["size_vram"] == 0


def test_a_start_that_falls_back_to_the_cpu(starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('{"cpu-fallback": {}}')
    started = starter.start(REAPER_OPS_LAB_GPU="nvidia:24G", REAPER_OPS_LAB_FAULTS=str(tmp_path / "faults.json"))
    started.wait_ready()
    assert 'msg="failure during llama-server GPU discovery"' in started.log
    assert "library=cpu" in started.log


def test_a_full_disk_costs_the_part_in_flight_and_the_next_pull_completes(host: Host, registry: LabRegistry) -> None:
    name = f"{registry.name}/library/small:latest"
    host.switch(disk_full={"after_bytes": 1 << 20})
    answer = host.subject.pull(name)
    assert answer.error().startswith(f"write {host.started.models}/blobs/sha256-")
    assert answer.error().endswith("-partial: no space left on device")
    partial = next(path for path in (host.started.models / "blobs").iterdir() if path.name.endswith("-partial"))
    assert json.loads(Path(f"{partial}-0").read_text())["Completed"] == 0
    host.switch()
    assert host.subject.pull(name).lines()[-1] == {"status": "success"}
    assert not partial.exists()


def test_damaged_bytes(host: Host, registry: LabRegistry) -> None:
    host.switch(digest_mismatch={})
    answer = host.subject.pull(f"{registry.name}/library/small:latest")
    assert answer.error().startswith("digest mismatch, file must be downloaded again: want sha256:")


def test_stall_repeats_its_last_line(host: Host, registry: LabRegistry) -> None:
    host.switch(stall={"after_bytes": 1 << 20})
    request = {"model": f"{registry.name}/library/small:latest", "insecure": True}
    with opened(host.subject.url, "POST", "/api/pull", request) as response:
        lines = [json.loads(response.readline()) for _ in range(12)]
        assert len({line.get("completed") for line in lines[-5:]}) == 1
        host.switch()
        assert json.loads(list(response)[-1]) == {"status": "success"}


def test_crash(starter: Starter, tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('{"crash": {}}')
    started = starter.start(REAPER_OPS_LAB_FAULTS=str(tmp_path / "faults.json"))
    assert started.process.wait(timeout=20) == 1
    assert started.log.splitlines()[-1] == "Error: simulated crash at the start"


def test_a_client_that_leaves_while_a_model_loads_stops_the_load(host: Host) -> None:
    host.switch(memory={"bytes": 1 << 30})
    with socket.create_connection(host.subject.url.removeprefix("http://").split(":")) as connection:
        body = json.dumps({"model": host.model}).encode()
        connection.sendall(
            b"POST /api/generate HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        host.until("waiting for llama-server to become available")
    host.until("timed out waiting for llama-server to start: context canceled")
    with pytest.raises((OSError, http.client.HTTPException, AssertionError)):
        assert host.subject.ask("GET", "/api/ps").json()["models"]
