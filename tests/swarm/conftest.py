"""Peers in namespaces with limited links, each with a simulated Ollama; aria2 is the real one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from mirror import site as mirror_site
from subject import simulated
from swarm import net

from reaper_ops import assets

PLAYBOOKS = assets.collection()
MODULE = """
import json, runpy, sys
from ansible.module_utils import basic
sys.path.append(sys.argv[2])
basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": json.loads(sys.stdin.read())}).encode()
basic._ANSIBLE_PROFILE = "legacy"
sys.argv = [sys.argv[1]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
REGISTRY = [sys.executable, "-m", "reaper_ops.lab", "registry"]
ASK = """
import sys, urllib.request
print(urllib.request.urlopen("http://127.0.0.1:11434" + sys.argv[1], timeout=5).read().decode())
"""
NAME = "registry.test/library/big:1"


@dataclass
class Fleet:
    """Host 0 has the registry and is the seed; hosts 1 and on have a server each."""

    root: Path
    site: net.Site
    program: list[str]
    digest: str = ""
    started: list[subprocess.Popen[Any]] = field(default_factory=list)

    def store(self, at: int) -> Path:
        return self.root / f"host{at}" / "models"

    def start(self, at: int, argv: list[str], **more: Any) -> subprocess.Popen[Any]:
        self.started.append(subprocess.Popen(self.site.inside(at, argv), start_new_session=True, **more))
        return self.started[-1]

    def serve(self, at: int) -> None:
        home = self.root / f"host{at}"
        home.mkdir()
        env = {**os.environ, "HOME": str(home), "OLLAMA_HOST": "127.0.0.1:11434", "OLLAMA_MODELS": str(self.store(at))}
        with (home / "log").open("wb") as log:
            self.start(at, [*self.program, "serve"], env=env, stdout=log, stderr=log)

    def ask(self, at: int, path: str) -> Any:
        return json.loads(net.run(*self.site.inside(at, [sys.executable, "-c", ASK, path])))

    def ready(self, at: int) -> None:
        for _ in range(200):
            with contextlib.suppress(OSError, ValueError):
                self.ask(at, "/api/version")
                return
            time.sleep(0.1)
        raise AssertionError((self.root / f"host{at}" / "log").read_text())

    def listed(self, at: int) -> dict[str, str]:
        return {row["name"]: row["digest"] for row in self.ask(at, "/api/tags")["models"]}

    def module(self, at: int, name: str, **args: Any) -> subprocess.Popen[Any]:
        argv = [
            sys.executable,
            "-c",
            MODULE,
            str(PLAYBOOKS / "plugins/modules" / f"{name}.py"),
            str(assets.collections()),
        ]
        found = self.start(at, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert found.stdin
        found.stdin.write(json.dumps({"owner": "test", **args}))
        found.stdin.close()
        found.stdin = None
        return found

    def seed(self, **more: Any) -> dict[str, Any]:
        base = "http://127.0.0.1:5000/v2/library/big"
        where = {NAME: {"manifest": f"{base}/manifests/1", "blob": f"{base}/blobs/"}}
        args = {"models": where, "dir": str(self.root / "seed"), "address": self.site.address(0), "min_free": 1, **more}
        return answer(self.module(0, "ollama_seed", **args))

    def pull(self, at: int, swarm: dict[str, Any], **more: Any) -> subprocess.Popen[Any]:
        args = {"models": [NAME], "models_dir": str(self.store(at)), "swarm": swarm, "min_free": 1, **more}
        return self.module(at, "ollama_swarm", **args)

    def end(self, at: int) -> dict[str, Any]:
        return answer(self.module(at, "ollama_swarm", state="ended", models_dir=str(self.store(at))))


def answer(module: subprocess.Popen[Any]) -> dict[str, Any]:
    out, err = module.communicate(timeout=200)
    assert out.strip(), f"no answer, exit {module.returncode}: {err}"
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return simulated(tmp_path_factory.mktemp("release"))


@contextlib.contextmanager
def fleet(program: list[str], peers: int, size: int, rate: str) -> Iterator[Fleet]:
    root = Path(tempfile.mkdtemp(prefix="reaper-swarm-"))
    root.chmod(0o755)
    try:
        with net.site(peers, rate) as site:
            found = Fleet(root, site, program)
            found.digest = mirror_site.publish(root / "registry", "library/big:1", size)
            found.start(0, [*REGISTRY, str(root / "registry"), "--port", "5000"])
            try:
                for at in range(1, peers + 1):
                    found.serve(at)
                for at in range(1, peers + 1):
                    found.ready(at)
                yield found
            finally:
                for one in found.started:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(one.pid, signal.SIGKILL)
                    one.communicate()
    finally:
        shutil.rmtree(root, ignore_errors=True)


@pytest.fixture
def hosts(program: list[str]) -> Iterator[Callable[..., Fleet]]:
    """Makes a fleet of so many peers; skipped, and says why, where there can be none."""
    reason = net.why_not("aria2c")
    if reason:
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        yield lambda peers, size, rate="50mbit": stack.enter_context(fleet(program, peers, size, rate))
