"""compose_project: against a fake docker for every corner, and against a real engine where one answers."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FAKE = '''#!{python}
"""A docker that keeps its containers in a JSON file; the hash of a service is its image."""
import json, os, sys
place = {place!r}
state = json.load(open(place))
words = sys.argv[1:]
state["calls"].append(" ".join(words))


def end(rc=0, text=""):
    json.dump(state, open(place, "w"))
    sys.stdout.write(text)
    sys.exit(rc)


if state.get("engine") == "down" and words[0] != "compose":
    end(1, "Cannot connect to the Docker daemon")
if words[:1] == ["version"]:
    end(0, "26.1")
if words[:2] == ["compose", "version"]:
    end(0 if state.get("compose", True) else 1)
if words[0] == "ps":
    rows = [[c["service"], c["id"], c["hash"], c["image"], c["state"]] for c in state["containers"]]
    end(0, "".join("\\t".join(row) + "\\n" for row in rows))
if words[:2] == ["image", "inspect"]:
    end(*((0, "sha256:" + words[-1]) if words[-1] in state["images"] else (1, "No such image")))
if words[:2] in (["network", "ls"], ["volume", "ls"]):
    end(0, "\\n".join(state[words[0] + "s"]))
text = open(words[words.index("-f") + 1]).read()
services = json.loads(text)["services"] if text.startswith("{{") else None
words = words[words.index("-f") + 2 :]
if words[0] == "config":
    if services is None:
        end(15, "yaml: line 1: did not find expected node content")
    if words[1] == "--format":
        end(0, json.dumps({{"services": services}}))
    if words[1] == "--hash":
        end(0, "".join(name + " hash-" + row["image"] + "\\n" for name, row in services.items()))
if words[0] == "up":
    if state.get("broken"):
        end(1, state["broken"])
    state["images"] = sorted(set(state["images"]) | {{row["image"] for row in services.values()}})
    good = {{name: "hash-" + row["image"] for name, row in services.items()}}
    kept = [c for c in state["containers"] if good.get(c["service"]) == c["hash"]]
    for name, row in services.items():
        if name not in [c["service"] for c in kept]:
            state["count"] += 1
            kept.append({{"service": name, "id": "c%d" % state["count"], "hash": "hash-" + row["image"],
                          "image": "sha256:" + row["image"], "state": "running"}})
    for c in kept:
        c["state"] = state.get("fate", "running")
    state["containers"] = kept
if words[0] == "down":
    state["containers"], state["networks"] = [], []
    state["volumes"] = [] if "--volumes" in words else state["volumes"]
end(0, "done\\n")
'''


class Docker:
    def __init__(self, tmp_path: Path) -> None:
        self.place, self.file = tmp_path / "docker.json", tmp_path / "compose.yaml"
        self.folder = tmp_path / "bin"
        self.folder.mkdir()
        (self.folder / "docker").write_text(FAKE.format(python=sys.executable, place=str(self.place)))
        (self.folder / "docker").chmod(0o755)
        self.env = {"PATH": f"{self.folder}:{os.environ['PATH']}"}
        self.set(containers=[], images=[], networks=["n"], volumes=["v"], calls=[], count=0)
        self.want(ollama="ollama/ollama:1")

    def set(self, **values: Any) -> None:
        now = json.loads(self.place.read_text()) if self.place.exists() else {}
        self.place.write_text(json.dumps({**now, **values}))

    def get(self, key: str) -> Any:
        return json.loads(self.place.read_text())[key]

    def want(self, **images: str) -> None:
        self.file.write_text(json.dumps({"services": {name: {"image": image} for name, image in images.items()}}))

    def args(self, **more: Any) -> dict[str, Any]:
        return {"project": "reaper_ops", "file": str(self.file), "env": self.env, **more}


@pytest.fixture
def docker(tmp_path: Path) -> Docker:
    return Docker(tmp_path)


def test_starts_once_and_names_the_image_it_pulled(module: Any, docker: Docker) -> None:
    done = module.predicted(**docker.args())
    assert done["changed"]
    assert done["pulled"] == ["ollama/ollama:1"]
    assert done["services"]["ollama"][0]["state"] == "running"
    docker.set(calls=[])
    assert not module(**docker.args())["changed"]
    assert not any(" up " in call for call in docker.get("calls"))


def test_changed_file_recreates_and_orphans_go(module: Any, docker: Docker) -> None:
    docker.want(ollama="ollama/ollama:1", old="old:1")
    module(**docker.args())
    docker.want(ollama="ollama/ollama:2")
    done = module.predicted(**docker.args())
    assert done["changed"]
    assert [row["service"] for row in docker.get("containers")] == ["ollama"]
    assert done["services"]["ollama"][0]["id"] == "c3"


@pytest.mark.parametrize("change", [{"state": "exited"}, {"hash": "other"}, {"image": "sha256:old"}])
def test_container_that_differs_is_a_change(module: Any, docker: Docker, change: dict[str, str]) -> None:
    module(**docker.args())
    docker.set(containers=[{**docker.get("containers")[0], **change}])
    assert module(check=True, **docker.args())["changed"]


def test_restarted_restarts_without_recreating(module: Any, docker: Docker) -> None:
    first = module(**docker.args())["services"]["ollama"][0]["id"]
    done = module(**docker.args(state="restarted"))
    assert done["changed"]
    assert done["services"]["ollama"][0]["id"] == first
    assert any(call.endswith(" restart") for call in docker.get("calls"))


def test_absent_keeps_volumes_unless_asked(module: Any, docker: Docker) -> None:
    module(**docker.args())
    assert module.predicted(**docker.args(state="absent"))["changed"]
    assert docker.get("volumes") == ["v"]
    docker.set(networks=[])
    assert not module(**docker.args(state="absent"))["changed"]
    assert module(**docker.args(state="absent", volumes=True))["changed"]
    assert docker.get("volumes") == []


def test_broken_file_is_refused_before_anything_runs(module: Any, docker: Docker) -> None:
    docker.file.write_text("services: [")
    assert "did not find expected node" in module.fails(**docker.args())
    assert not any(" up " in call for call in docker.get("calls"))


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("Error response from daemon: manifest unknown: manifest unknown", "ollama_version"),
        ("Bind for 127.0.0.1:11434 failed: port is already allocated", "ollama_port"),
        ('could not select device driver "nvidia" with capabilities: [[gpu]]', "toolkit"),
        ("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=all", "nvidia-ctk cdi generate"),
    ],
)
def test_failure_names_the_next_step(module: Any, docker: Docker, text: str, step: str) -> None:
    docker.set(broken=text)
    said = module.fails(**docker.args())
    assert text in said
    assert step in said


def test_container_that_ends_at_once_is_a_failure(module: Any, docker: Docker) -> None:
    docker.set(fate="exited")
    assert "ollama exited at once" in module.fails(**docker.args())


def test_check_mode_before_docker_is_there(module: Any, docker: Docker) -> None:
    for hurdle in ({"engine": "down"}, {"compose": False}):
        docker.set(**{"engine": "up", "compose": True, **hurdle})
        said = module(check=True, **docker.args())
        assert said["changed"]
        assert said["notes"]
        assert module.fails(**docker.args()) == said["notes"][0]
    docker.set(engine="up", compose=True)
    docker.file.unlink()
    assert module(check=True, **docker.args())["changed"]
    bare = {"PATH": str(docker.folder / "none")}
    assert "program not found" in module(check=True, **docker.args(env=bare))["notes"][0]
    assert not module(**docker.args(env=bare, state="absent"))["changed"]


def engine() -> str:
    """Why there is no real engine to test with; empty when there is."""
    if os.getuid() != 0 or not shutil.which("docker"):
        return "needs root and docker"
    for words in (["version"], ["compose", "version"]):
        if subprocess.run(["docker", *words], capture_output=True, check=False).returncode != 0:
            return f"`docker {' '.join(words)}` fails"
    return ""


@pytest.fixture
def image() -> Iterator[str]:
    """A real image without a registry: /bin/sleep with the libraries it needs."""
    why = engine()
    if why:
        pytest.skip(f"no real Docker engine: {why}")
    out = io.BytesIO()
    libraries = subprocess.run(["ldd", "/bin/sleep"], capture_output=True, text=True, check=True).stdout
    with tarfile.open(fileobj=out, mode="w", dereference=True) as archive:
        for path in ["/bin/sleep", *re.findall(r"(/\S+) \(", libraries)]:
            archive.add(path)
    name = f"reaper-ops-test:{os.getpid()}"
    subprocess.run(["docker", "import", "-", name], input=out.getvalue(), check=True, capture_output=True)
    yield name
    subprocess.run(["docker", "image", "rm", "-f", name], capture_output=True, check=False)


@pytest.mark.fleet
def test_real_engine(module: Any, tmp_path: Path, image: str) -> None:
    file = tmp_path / "compose.yaml"
    text = (
        "services:\n  one:\n    image: {}\n    command: [sleep, '{}']\n    volumes: [data:/data]\nvolumes:\n  data:\n"
    )
    file.write_text(text.format(image, 1000))
    args = {"project": f"reaperopstest{os.getpid()}", "file": str(file)}
    try:
        first = module.predicted(**args)
        assert first["services"]["one"][0]["state"] == "running"
        file.write_text(text.format(image, 1001))
        second = module.predicted(**args)
        assert second["services"]["one"][0]["id"] != first["services"]["one"][0]["id"]
        subprocess.run(["docker", "kill", second["services"]["one"][0]["id"]], check=True, capture_output=True)
        assert module.predicted(**args)["changed"]
        module.predicted(**args, state="absent")
        volume = f"{args['project']}_data"
        assert subprocess.run(["docker", "volume", "inspect", volume], capture_output=True, check=False).returncode == 0
    finally:
        gone = module(**args, state="absent", volumes=True)
    assert gone["changed"]
