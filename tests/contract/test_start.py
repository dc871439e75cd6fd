"""What diagnosis relies on: how a server starts, fails to start, loses its runner and ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from subject import Started, Starter, Subject, opened

from reaper_ops.lab.registry import LabRegistry

LONG = {"num_predict": 800, "temperature": 0, "seed": 1}
DIED = "an error was encountered while running the model: unexpected EOF"
ORIGINS = {
    "example.com": "panic: bad origin: origins must contain '*' or include http://,https://,",
    "http://*.a.*": "panic: only one * is allowed",
    "https://a.example,": "panic: bad origin: origins must contain '*' or include http://,https://,",
}


@pytest.fixture
def started(starter: Starter) -> Started:
    found = starter.start()
    found.wait_ready()
    return found


@pytest.fixture
def model(started: Started, registry: LabRegistry) -> str:
    name = f"{registry.name}/library/tiny:latest"
    assert started.subject.pull(name).lines()[-1] == {"status": "success"}
    answer = started.subject.generate(name)
    if "binary not found" in answer.text:
        pytest.skip("this real server has no llama-server beside it")
    return name


def ended(started: Started) -> tuple[int, str]:
    return started.process.wait(timeout=20), started.log


def test_log_of_a_start(started: Started) -> None:
    log = started.log
    address = started.subject.url.removeprefix("http://")
    lines = ["server config", "Ollama cloud disabled: true", "total blobs: 0", f"Listening on {address} (version "]
    lines += ["discovering available GPUs...", "inference compute", "vram-based default context"]
    places = [log.index(f'msg="{line}') for line in lines]
    assert places == sorted(places)
    assert "OLLAMA_KEEP_ALIVE:5m0s" in log
    assert 'library=cpu compute="" name=cpu' in log


def test_access_line(started: Started) -> None:
    started.subject.ask("GET", "/api/nosuch")
    while "/api/nosuch" not in started.log:
        time.sleep(0.02)
    line = next(line for line in started.log.splitlines() if "/api/nosuch" in line)
    assert line.startswith("[GIN] 20")
    assert [part.strip() for part in line.split("|")][1] == "404"
    assert line.endswith('| GET      "/api/nosuch"')


def test_a_taken_port(starter: Starter) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        code, log = ended(starter.start(OLLAMA_HOST=address))
    assert code == 1
    assert log.splitlines()[-1] == f"Error: listen tcp {address}: bind: address already in use"


@pytest.mark.parametrize("origins", ORIGINS)
def test_origins_that_panic(starter: Starter, origins: str) -> None:
    code, log = ended(starter.start(OLLAMA_ORIGINS=origins))
    assert code == 2
    assert ORIGINS[origins] in log


def test_a_store_that_is_a_file(starter: Starter, tmp_path: Path) -> None:
    place = tmp_path / "models"
    place.write_text("a file")
    code, log = ended(starter.start(OLLAMA_MODELS=str(place)))
    assert code == 1
    assert log.splitlines()[-1] == f"Error: mkdir {place}: not a directory: ensure path elements are traversable"


def test_no_home(starter: Starter) -> None:
    code, log = ended(starter.start(HOME=""))
    assert code == 1
    assert log.splitlines()[-1] == "Error: $HOME is not defined"


def test_a_number_that_is_none_falls_back(starter: Starter) -> None:
    started = starter.start(OLLAMA_NUM_PARALLEL="four")
    started.wait_ready()
    text = 'msg="invalid environment variable, using default" key=OLLAMA_NUM_PARALLEL value=four default=1'
    assert text in started.log


def test_store_on_disk(started: Started, registry: LabRegistry) -> None:
    name = f"{registry.name}/library/tiny:latest"
    started.subject.pull(name)
    manifest = started.models / "manifests" / registry.name / "library/tiny/latest"
    found = json.loads(manifest.read_bytes())
    assert manifest.read_bytes() == (registry.root / "manifests/library/tiny/latest").read_bytes()
    for layer in (found["config"], *found["layers"]):
        assert (started.models / "blobs" / layer["digest"].replace(":", "-")).stat().st_size == layer["size"]


def test_partial_download_on_disk(started: Started, registry: LabRegistry) -> None:
    request = {"model": f"{registry.name}/slow/small:latest", "insecure": True}
    with opened(started.subject.url, "POST", "/api/pull", request) as response:
        for line in response:
            if json.loads(line).get("completed", 0) > 100_000:
                break
    data = next(path for path in (started.models / "blobs").iterdir() if path.name.endswith("-partial"))
    part = json.loads(Path(f"{data}-0").read_text())
    assert set(part) == {"N", "Offset", "Size", "Completed"}
    assert data.stat().st_size == part["Size"]
    assert not (started.models / "manifests" / registry.name / "slow").exists()


def test_sigterm_ends_with_0_and_takes_the_runner_along(started: Started, model: str) -> None:
    (runner,) = started.runners()
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(timeout=20) == 0
    with pytest.raises(ProcessLookupError):
        _until_gone(runner)


def _until_gone(pid: int) -> None:
    for _ in range(200):
        os.kill(pid, 0)
        time.sleep(0.02)


def test_a_runner_killed_in_mid_answer(started: Started, model: str) -> None:
    """A 200 whose last line is an error that names neither memory nor kill; the dead one stays in /api/ps."""
    subject = started.subject
    with opened(subject.url, "POST", "/api/generate", {"model": model, "prompt": "x", "options": LONG}) as response:
        lines = [json.loads(response.readline()) for _ in range(3)]
        os.kill(runner := started.runners()[0], signal.SIGKILL)
        lines += [json.loads(line) for line in response]
    assert lines[-1] == {"error": DIED}
    while runner in started.runners():
        time.sleep(0.01)
    assert [row["name"] for row in subject.ask("GET", "/api/ps").json()["models"]] == [model]
    assert subject.generate(model, prompt="x", stream=False, options={"num_predict": 1}).status == 200
    assert 'msg="llama-server process no longer running" sys=9 string="signal: killed"' in started.log


def test_a_runner_killed_without_a_stream(started: Started, model: str) -> None:
    found = []
    request = {"prompt": "x", "stream": False, "options": LONG}
    thread = threading.Thread(target=lambda: found.append(started.subject.generate(model, **request)))
    thread.start()
    _wait_busy(started)
    os.kill(started.runners()[0], signal.SIGKILL)
    thread.join()
    assert (found[0].status, found[0].json()) == (500, {"error": DIED})


def _wait_busy(started: Started) -> None:
    time.sleep(0.3)
    assert started.runners()


def test_openai_stream_hides_the_death(started: Started, model: str) -> None:
    request = {"model": model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 800, "stream": True}
    request |= {"seed": 1, "temperature": 0}
    with opened(started.subject.url, "POST", "/v1/chat/completions", request) as response:
        lines = [response.readline() for _ in range(3)]
        os.kill(started.runners()[0], signal.SIGKILL)
        lines += list(response)
    last = json.loads([line for line in lines if line.strip()][-1].removeprefix(b"data: "))
    assert (last["model"], last["choices"][0]["finish_reason"]) == ("", None)
    assert b"data: [DONE]" not in b"".join(lines)


def test_weights_that_are_gone(started: Started, registry: LabRegistry) -> None:
    """Listed, not usable; the refusal stays in this process even after a pull has brought the file back."""
    subject, name = started.subject, f"{registry.name}/library/fresh2:latest"
    subject.pull(name)
    weights = weights_of(started, name)
    weights.unlink()
    assert name in [row["name"] for row in subject.ask("GET", "/api/tags").json()["models"]]
    _refused(subject, name, 400, f'"{name}" does not support generate')
    assert subject.pull(name).lines()[-1] == {"status": "success"}
    assert weights.exists()
    _refused(subject, name, 400, f'"{name}" does not support generate')


def _refused(subject: Subject, name: str, status: int, text: str) -> None:
    answer = subject.generate(name, prompt="x", stream=False)
    assert (answer.status, answer.error()) == (status, text)


@pytest.mark.parametrize(("damage", "text"), [(b"", "EOF"), (b"\0" * 4096, "invalid file magic")])
def test_weights_that_are_damaged(
    started: Started, model: str, registry: LabRegistry, damage: bytes, text: str
) -> None:
    """A pull does not repair them: a file of that name is there. What is said depends on what was read before."""
    subject, fresh = started.subject, f"{registry.name}/library/fresh3:latest"
    subject.pull(fresh)
    subject.generate(model, keep_alive=0)
    for name in (model, fresh):
        weights_of(started, name).write_bytes(damage)
        assert subject.pull(name).lines()[-1] == {"status": "success"}
    _refused(subject, model, 500, text)
    _refused(subject, fresh, 400, f'"{fresh}" does not support generate')


def weights_of(started: Started, name: str) -> Path:
    manifest = json.loads((started.models / "manifests" / name.replace(":latest", "/latest")).read_bytes())
    return started.models / "blobs" / manifest["layers"][0]["digest"].replace(":", "-")


def test_a_manifest_that_is_cut(started: Started, registry: LabRegistry) -> None:
    name = f"{registry.name}/library/tiny:latest"
    started.subject.pull(name)
    path = started.models / "manifests" / registry.name / "library/tiny/latest"
    path.write_bytes(path.read_bytes()[:100])
    assert started.subject.ask("GET", "/api/tags").json()["models"] == []
    _refused(started.subject, name, 500, "unexpected EOF")


def test_no_llama_server(starter: Starter, registry: LabRegistry, tmp_path: Path) -> None:
    """Only the program was copied: it starts, lists and pulls, and cannot hold a model."""
    program = tmp_path / "bin" / "ollama"
    program.parent.mkdir()
    shutil.copy2(starter.argv[-1], program)
    started = starter.start([*starter.argv[:-1], str(program), "serve"])
    subject, name = started.wait_ready(), f"{registry.name}/library/tiny:latest"
    subject.pull(name)
    answer = subject.generate(name)
    assert answer.status == 500
    start = f"error starting llama-server: llama-server binary not found (checked: {program.parent}/llama-server, "
    assert answer.error().startswith(start)
