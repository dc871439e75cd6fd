"""Walks a host of a shape from the first plan to the last `down`; every expectation that fails is a line."""

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from fleet.command import Answer, argv, reaper
from fleet.hosts import ENVIRONMENT
from fleet.shape import DownPart, InterruptPart, PlanPart, Shape, UpPart, read
from fleet.stage import ShapeHost, Stage
from fleet.state import differences, state

CUT = "iptables -I INPUT -i eth0 -j DROP; iptables -I OUTPUT -o eth0 -j DROP"
JOINED = "iptables -D INPUT -i eth0 -j DROP; iptables -D OUTPUT -o eth0 -j DROP"

SERVER_LOG = "/ollama.log "
"""A server without systemd writes a line for each request."""


@dataclass
class Story:
    host: ShapeHost
    shape: Shape
    problems: list[str] = field(default_factory=list)

    def tell(self) -> list[str]:
        before = self.state()
        for part in self.shape.variants:
            self.plan(part)
        if self.shape.plan:
            self.plan(self.shape.plan)
        if self.shape.variants or self.shape.plan:
            self.expect("plan changes nothing", [], differences(before, self.state()))
        if self.shape.interrupt:
            self.interrupted(self.shape.interrupt)
        if self.shape.up:
            self.up(self.shape.up)
        for verb, *words in self.shape.then:
            answer = self.reaper(verb, *words)
            self.expect(f"{verb} ends", 0, answer.rc, answer.stdout[-1500:] + answer.stderr[-1500:])
        self.commands("after", self.shape.after)
        if self.shape.again and self.shape.up:
            self.again(self.shape.up)
        if self.shape.down:
            self.down(self.shape.down)
            self.left(before)
            self.commands("after_down", self.shape.after_down)
        return self.problems

    def state(self) -> frozenset[str]:
        places = (*self.shape.host.volumes, *self.shape.host.tmpfs)
        return state(self.host.run, places, engine=self.shape.host.docker)

    def reaper(self, verb: str, *words: str, settings: dict[str, Any] | None = None) -> Answer:
        return reaper(self.host.inventory, verb, *words, *_given(settings), timeout=900)

    def expect(self, what: str, wanted: object, found: object, more: str = "") -> None:
        if wanted != found:
            self.problems.append(f"{what}: wanted {wanted!r}, found {_shown(found)}{more}")

    def matches(self, what: str, wanted: Iterable[str], lines: list[str]) -> None:
        for pattern in wanted:
            if not any(re.search(pattern, line) for line in lines):
                self.problems.append(f"{what}: no line matches {pattern!r}; there are {_shown(lines)}")

    def plan(self, part: PlanPart) -> None:
        answer = self.reaper("plan", "--no-diff", settings=part.settings)
        self.expect("plan ends", part.exit, answer.rc, answer.stdout[-1500:] + answer.stderr[-800:])
        if not answer.stdout.startswith("{"):
            return
        document = answer.document
        host: dict[str, Any] = next(iter(document["hosts"]), {})
        todo = host.get("todo", [])
        self.expect("plan lacks", [], [id_ for id_ in part.actions if id_ not in todo], f" of {todo}")
        self.expect("plan has", [], [id_ for id_ in part.absent if id_ in todo])
        if part.only is not None:
            self.expect("plan", list(part.only), todo)
        self.matches("blockers", part.blockers, host.get("blockers", []))
        if not part.blockers:
            self.expect("blockers", [], host.get("blockers", []))
        self.matches("warnings", part.warnings, host.get("warnings", []))
        rows = [f"{one['id']} {one['target']}: {one['reason']}" for one in host.get("actions", [])]
        self.matches("reasons", part.reasons, rows)
        self.matches("unread", part.unread, [one["problem"] for one in document["unread"]])

    def up(self, part: UpPart) -> None:
        answers: list[Answer] = []
        runs = [
            Thread(target=lambda: answers.append(self.reaper("up", "--yes", settings=part.settings)))
            for _ in range(self.shape.controllers)
        ]
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        for answer in answers:
            self.report("up", part, answer)

    def report(self, what: str, part: UpPart, answer: Answer) -> None:
        self.expect(f"{what} ends", part.exit, answer.rc, answer.stdout[-2500:] + answer.stderr[-1500:])
        if not answer.stdout.startswith("{"):
            self.problems.append(f"{what} printed no report: {answer.stdout[-500:]}{answer.stderr[-1500:]}")
            return
        host = answer.hosts[self.host.name]
        self.expect(f"{what} finds the host", part.state, host["state"])
        self.matches(f"{what} says", [part.problem] if part.problem else [], [host.get("problem") or ""])
        if not part.problem:
            self.expect(f"{what} has a problem", "", host.get("problem") or "")
        self.matches(f"{what} notes", part.notes, [*host.get("notes", []), host.get("cause") or ""])

    def again(self, part: UpPart) -> None:
        before = self.state()
        answer = self.reaper("up", "--yes", settings=part.settings)
        self.report("the second up", part, answer)
        if answer.stdout.startswith("{"):
            self.expect("the second up changes", {}, answer.changed())
        found = differences(before, self.state())
        self.expect("after the second up", [], [line for line in found if SERVER_LOG not in line])

    def commands(self, what: str, commands: Iterable[str]) -> None:
        for command in commands:
            code, out = self.host.answer(command, shell="bash")
            if code:
                self.problems.append(f"{what}: {command!r} ended with {code}: {out[-800:]}")

    def down(self, part: DownPart) -> None:
        answer = self.reaper("down", "--yes", *part.options)
        self.expect("down ends", part.exit, answer.rc, answer.stdout[-1500:] + answer.stderr[-1500:])
        if part.kept:
            hosts = answer.document["hosts"]
            self.matches("down keeps", part.kept, hosts.get(self.host.name, {}).get("kept", []))

    def left(self, before: frozenset[str]) -> None:
        found = differences(before, self.state())
        allowed = [re.compile(part.line) for part in self.shape.left]
        self.expect("left after down", [], [line for line in found if not any(one.search(line) for one in allowed)])
        for one in allowed:
            if not any(one.search(line) for line in found):
                self.problems.append(f"left: {one.pattern!r} allows what does not happen; take the line out")

    def interrupted(self, part: InterruptPart) -> None:
        """The first `up` meets with an accident while the action is at work."""
        command = [*argv(self.host.inventory, "up", "--yes"), *_given(part.settings)]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=ENVIRONMENT, start_new_session=True,
        ) as run:  # fmt: skip
            assert run.stderr is not None
            reached = next((line for line in run.stderr if f'"{part.at}"' in line), "")
            if not reached:
                self.problems.append(f"the first up ended before {part.at}")
            else:
                self.strike(part, run)
            run.communicate(timeout=900)

    def strike(self, part: InterruptPart, run: "subprocess.Popen[str]") -> None:
        if part.by == "ctrl-c":
            _signal_all(run.pid, signal.SIGINT)
        elif part.by == "kill":
            _signal_all(run.pid, signal.SIGKILL)
        else:
            self.host.container.pause() if part.by == "pause" else self.host.run(CUT)
            out, err = run.communicate(timeout=900)
            self.host.container.unpause() if part.by == "pause" else self.host.run(JOINED)
            answer = Answer(run.returncode, out, err)
            if answer.stdout.startswith("{"):
                self.expect("a host that is gone", "unreachable", answer.hosts[self.host.name]["state"])
            else:
                self.problems.append(f"up on a host that is gone printed no report: {out[-500:]}{err[-1500:]}")


def _given(settings: dict[str, Any] | None) -> list[str]:
    return ["-e", json.dumps(settings)] if settings else []


def _shown(found: object) -> str:
    return "\n  ".join(["", *map(str, found)]) if isinstance(found, list) else repr(found)


def _signal_all(pid: int, number: int) -> None:
    """To the command and all that it started, as a terminal does with Ctrl-C."""
    found = subprocess.run(["ps", "-eo", "pid=,sid="], capture_output=True, text=True, check=True).stdout
    for row in found.splitlines():
        one, session = map(int, row.split())
        if session == pid:
            subprocess.run(["kill", f"-{number}", str(one)], capture_output=True, check=False)


def tell(name: str, stage: Stage) -> tuple[list[str], float]:
    """What is wrong with a shape, and the seconds that it took."""
    begin, shape = time.monotonic(), read(name)
    with stage.host(name, shape) as host:
        problems = Story(host, shape).tell()
    seconds = time.monotonic() - begin
    print("\n".join([f"{name}: {seconds:.0f} s", *problems]), flush=True)
    return problems, seconds
