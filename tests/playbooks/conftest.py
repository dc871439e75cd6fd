"""Runs our Ansible modules as they run on a host: a process of its own, JSON in, JSON out."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from reaper_ops import assets

PLAYBOOKS = assets.collection()

_RUNNER = """
import json, os, runpy, sys
from ansible.module_utils import basic
sys.path.append(sys.argv[2])
args = json.loads(sys.stdin.read())
basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": args}).encode()
basic._ANSIBLE_PROFILE = "legacy"
sys.argv = [sys.argv[1]]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass(frozen=True)
class Started:
    """A module that is still at work; `end` waits for its answer."""

    process: subprocess.Popen[str]

    def end(self) -> dict[str, Any]:
        out, err = self.process.communicate(timeout=120)
        assert out.strip(), f"no answer, exit {self.process.returncode}: {err}"
        answer: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        return answer


@dataclass(frozen=True)
class Module:
    name: str

    def start(
        self, *, check: bool = False, env: Mapping[str, str] | None = None, under: Sequence[str] = (), **args: Any
    ) -> Started:
        """`under`: a command that runs another one, such as `unshare --net`."""
        given = {**args, "_ansible_check_mode": check, "_ansible_diff": True}
        path = PLAYBOOKS / "plugins/modules" / f"{self.name}.py"
        process = subprocess.Popen(
            [*under, sys.executable, "-c", _RUNNER, str(path), str(assets.collections())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(env or {})},
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(given))
        process.stdin.close()
        process.stdin = None
        return Started(process)

    def __call__(self, *, check: bool = False, env: Mapping[str, str] | None = None, **args: Any) -> dict[str, Any]:
        return self.start(check=check, env=env, **args).end()

    def fails(self, **args: Any) -> str:
        answer = self(**args)
        assert answer.get("failed"), answer
        return str(answer["msg"])

    def predicted(self, **args: Any) -> dict[str, Any]:
        """Applies; check mode said the same before, and says that nothing is left to do after."""
        before = self(check=True, **args)
        applied = self(**args)
        assert not applied.get("failed"), applied
        assert before["changed"] == applied["changed"], (before, applied)
        assert before.get("diff") == applied.get("diff"), (before, applied)
        again = self(check=True, **args)
        assert again["changed"] is False, again
        return applied


@pytest.fixture
def module(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The module that the test file names in MODULE or by its own name: test_swapfile.py -> swapfile."""
    return Module(getattr(request.module, "MODULE", request.path.stem.removeprefix("test_")))
