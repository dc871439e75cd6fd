"""compose_project in the place of a container of others, and a first start that fails: nothing half-done is left."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

MODULE = "compose_project"
FAKE = '''#!{python}
"""A docker with containers by name; `ours` is what Compose makes, `broken` is why it cannot."""
import json, os, sys
place = {place!r}
state = json.load(open(place))
words = sys.argv[1:]
if words[0] == "cp":  # two of them run at once
    with open(place + ".copied", "a") as log:
        log.write(sys.stdin.read() + " into " + words[-1] if words[1] == "-" else "")
    sys.stdout.write("" if words[1] == "-" else "what is in " + words[1])
    sys.exit(0)
state["calls"].append(" ".join(words))
boxes = state["containers"]


def end(rc=0, text=""):
    json.dump(state, open(place, "w"))
    sys.stdout.write(text)
    sys.exit(rc)


if words[0] == "version" or words[:2] == ["compose", "version"]:
    end(0, "26.1")
if words[:2] == ["container", "inspect"]:
    end(0 if words[-1] in boxes else 1)
if words[:2] == ["image", "inspect"]:
    end(0, "sha256:image")
if words[0] == "update":
    boxes[words[-1]]["restart"] = words[2]
    end()
if words[0] in ("stop", "start"):
    boxes[words[-1]]["state"] = {{"stop": "exited", "start": "running"}}[words[0]]
    end()
if words[0] == "rename":
    if words[2] in boxes:
        end(1, "the name is in use")
    boxes[words[2]] = boxes.pop(words[1])
    end()
if words[0] == "ps":
    rows = [["ollama", "c-" + name, "hash", "", box["state"]] for name, box in boxes.items() if box.get("ours")]
    end(0, "".join("\\t".join(row) + "\\n" for row in rows))
if words[:2] == ["volume", "ls"]:
    end(0, "\\n".join(state["volumes"]))
if words[:2] == ["volume", "rm"]:
    state["volumes"].remove(words[2])
    end()
words = words[words.index("-f") + 2 :]
if words[:2] == ["config", "--format"]:
    end(0, json.dumps({{"services": {{"ollama": {{"image": "ollama/ollama:1"}}}}}}))
if words[:2] == ["config", "--hash"]:
    end(0, "ollama hash\\n")
if words[0] in ("up", "create"):
    state["volumes"] = sorted(set(state["volumes"]) | {{"ollama"}})
    state["networks"] = ["reaper_ops_default"]
    if state.get("broken"):
        end(1, state["broken"])
    begun = "running" if words[0] == "up" else "created"
    boxes["ollama"] = {{"ours": True, "state": begun, "restart": "unless-stopped"}}
if words[0] == "down":
    state["containers"] = {{name: box for name, box in boxes.items() if not box.get("ours")}}
    state["networks"] = []
end()
'''
THEIRS = {"state": "running", "restart": "always"}
RECORD = {"kept": "ollama-before-reaper_ops", "restart": "always", "running": True, "copy": ""}


class Docker:
    def __init__(self, tmp_path: Path) -> None:
        self.place, self.file = tmp_path / "docker.json", tmp_path / "compose.yaml"
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "docker").write_text(FAKE.format(python=sys.executable, place=str(self.place)))
        (folder / "docker").chmod(0o755)
        self.env = {"PATH": f"{folder}:{os.environ['PATH']}"}
        self.file.write_text("{}")
        self.set(containers={"ollama": THEIRS}, volumes=[], networks=[], calls=[])

    def set(self, **values: Any) -> None:
        now = json.loads(self.place.read_text()) if self.place.exists() else {}
        self.place.write_text(json.dumps({**now, **values}))

    def get(self, key: str) -> Any:
        return json.loads(self.place.read_text())[key]

    def args(self, **more: Any) -> dict[str, Any]:
        return {"project": "reaper_ops", "file": str(self.file), "env": self.env, **more}

    def instead(self, url: str, **record: Any) -> dict[str, Any]:
        return self.args(replaces="ollama", record={**RECORD, **record}, url=url, timeout=1)


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


@pytest.fixture
def url() -> Iterator[str]:
    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            return

    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/api/version"
    server.shutdown()
    server.server_close()


def test_takes_the_place_and_keeps_the_other_stopped(module: Any, docker: Docker, url: str) -> None:
    assert module(check=True, **docker.instead(url))["changed"]
    assert docker.get("containers") == {"ollama": THEIRS}
    assert module(**docker.instead(url))["changed"]
    assert docker.get("containers") == {
        "ollama-before-reaper_ops": {"state": "exited", "restart": "no"},
        "ollama": {"ours": True, "state": "running", "restart": "unless-stopped"},
    }


@pytest.mark.parametrize("broken", ["port is already allocated", ""])
def test_gives_back_when_ours_does_not_run_or_answer(module: Any, docker: Docker, broken: str) -> None:
    docker.set(broken=broken)
    said = module.fails(**docker.instead("http://127.0.0.1:9/api/version"))
    assert broken in said
    assert "container ollama was restored" in said
    assert docker.get("containers") == {"ollama": THEIRS}
    assert (docker.get("volumes"), docker.get("networks")) == ([], [])


def test_goes_on_where_an_earlier_run_was_cut_short(module: Any, docker: Docker, url: str) -> None:
    docker.set(containers={"ollama-before-reaper_ops": {"state": "exited", "restart": "no"}})
    module(**docker.instead(url))
    assert docker.get("containers")["ollama"]["ours"]


def test_what_is_in_the_container_itself_is_copied_before_ours_starts(module: Any, docker: Docker, url: str) -> None:
    module(**docker.instead(url, copy="/root/.ollama"))
    copied = docker.place.with_suffix(".json.copied").read_text()
    assert copied == "what is in ollama-before-reaper_ops:/root/.ollama/. into c-ollama:/root/.ollama"
    begun = [
        call.split()[-1] if call.endswith("create") else "up"
        for call in docker.get("calls")
        if "create" in call or " up " in call
    ]
    assert begun == ["create", "up"]


def test_a_second_container_under_the_kept_name_is_not_touched(module: Any, docker: Docker, url: str) -> None:
    both = {"ollama": THEIRS, "ollama-before-reaper_ops": {"state": "exited", "restart": "no"}}
    docker.set(containers=both)
    assert "already exists" in module.fails(**docker.instead(url))
    assert docker.get("containers") == both


def test_a_first_start_that_fails_leaves_no_project(module: Any, docker: Docker) -> None:
    docker.set(containers={}, broken='Conflict. The container name "/ollama" is already in use')
    assert "already in use" in module.fails(**docker.args())
    assert (docker.get("containers"), docker.get("networks"), docker.get("volumes")) == ({}, [], [])


def test_a_later_start_that_fails_takes_nothing_away(module: Any, docker: Docker) -> None:
    docker.set(
        containers={"ollama": {"ours": True, "state": "exited", "restart": "unless-stopped"}},
        volumes=["ollama"],
        broken="no space left on device",
    )
    module.fails(**docker.args())
    assert docker.get("volumes") == ["ollama"]
    assert "ollama" in docker.get("containers")
