"""The command line as a user or a script runs it: a process of its own, JSON out, an exit code."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fleet.hosts import ENVIRONMENT


@dataclass(frozen=True)
class Answer:
    rc: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        assert self.stdout.startswith("{"), f"exit {self.rc}, no JSON: {self.stdout}{self.stderr[-3000:]}"
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def hosts(self) -> dict[str, dict[str, Any]]:
        return {host["host"]: host for host in self.document["hosts"]}

    def states(self) -> dict[str, str]:
        return {name: host["state"] for name, host in self.hosts.items()}

    def changed(self) -> dict[str, list[str]]:
        return {name: host["changed"] for name, host in self.hosts.items() if host["changed"]}


def argv(inventory: Path, verb: str, *words: str) -> list[str]:
    return [sys.executable, "-m", "reaper_ops", *verb.split(), "-i", str(inventory), "-o", "json", *words]


def reaper(inventory: Path, verb: str, *words: str, timeout: float = 1200) -> Answer:
    command = argv(inventory, verb, *words)
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=timeout, env=ENVIRONMENT, stdin=subprocess.DEVNULL
    )
    return Answer(done.returncode, done.stdout, done.stderr)
