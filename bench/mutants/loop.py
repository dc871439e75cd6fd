"""Collect once, then one forked process for each mutant of a function: its code is replaced and its tests run."""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import pickle
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FunctionType

import pytest
from _pytest.runner import runtestprotocol

from bench.mutants.covered import Watch
from bench.mutants.points import Point, mutated

FLOOR, FACTOR = 30.0, 10.0
"""A mutant is given ten times what its tests take, and half a minute: what takes longer loops forever."""
KILLED, SURVIVED, NOT_ENTERED = "killed", "survived", "survived, and no test enters it"


@dataclass
class Loop:
    """A pytest plugin in the place of its own loop. `judged` has every point's outcome at the end."""

    wanted: Sequence[Point]
    jobs: int
    kept: Path | None = None
    watch: Watch = field(default_factory=Watch)
    judged: dict[Point, str] = field(default_factory=dict)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        self.watch = watch = self.known(session)
        gc.collect()
        functions = living()
        running: dict[int, tuple[Point, float]] = {}
        for point in self.wanted:
            tests = [test for test in watch.tests(point.path, point.function) if test in items]
            tests += [test for test in items if test not in watch.seconds]
            if not tests:
                self.judged[point] = NOT_ENTERED
                continue
            while len(running) >= self.jobs:
                self.reap(running)
            limit = time.monotonic() + FLOOR + FACTOR * sum(watch.seconds.get(test, 1.0) for test in tests)
            child = functools.partial(judge, functions, point, [items[test] for test in tests])
            running[forked(child)] = (point, limit)
        while running:
            self.reap(running)
        return True

    def known(self, session: pytest.Session) -> Watch:
        """What was kept of an earlier run; tests that it did not have yet then run for every mutant."""
        if self.kept is None or not self.kept.exists():
            watch = self.watched(session)
            if self.kept is not None:
                self.kept.write_bytes(pickle.dumps((watch.seconds, watch.entered)))
            return watch
        watch = Watch()
        watch.seconds, watch.entered = pickle.loads(self.kept.read_bytes())
        return watch

    def watched(self, session: pytest.Session) -> Watch:
        """In a process of its own, so that nothing that a test leaves behind is there for the mutants."""
        read, write = os.pipe()

        def run() -> int:
            watch = Watch()
            session.config.pluginmanager.register(watch)
            for at, item in enumerate(session.items):
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=after(session.items, at))
            with open(write, "wb") as pipe:
                pickle.dump((watch.seconds, watch.entered), pipe)
            return 0

        pid = forked(run, quiet=False)
        os.close(write)
        with open(read, "rb") as pipe:
            written = pipe.read()
        os.waitpid(pid, 0)
        if not written:
            raise SystemExit("mutants: the tests did not come to an end")
        watch = Watch()
        watch.seconds, watch.entered = pickle.loads(written)
        return watch

    def reap(self, running: dict[int, tuple[Point, float]]) -> None:
        for pid, (point, limit) in list(running.items()):
            late = time.monotonic() > limit
            if late:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
            done, status = os.waitpid(pid, 0 if late else os.WNOHANG)
            if done:
                del running[pid]
                self.judged[point] = SURVIVED if os.waitstatus_to_exitcode(status) == 0 else KILLED
                print(f"{len(self.judged)} {self.judged[point]} {point.path}:{point.line}", file=sys.stderr, flush=True)
                return
        time.sleep(0.02)


def forked(work: Callable[[], int], quiet: bool = True) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        if quiet:
            nowhere = os.open(os.devnull, os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(nowhere, fd)
        code = work()
    finally:
        os._exit(code)


def judge(functions: dict[tuple[str, str, int], list[FunctionType]], point: Point, items: list[pytest.Item]) -> int:
    """0 when every test passes with the mutant in its place."""
    new = code_of(point)
    for function in functions[point.path, point.function, point.first_line]:
        function.__code__ = new
    for cached in [x for x in gc.get_objects() if isinstance(x, functools._lru_cache_wrapper)]:
        cached.cache_clear()
    for at, item in enumerate(items):
        reports = runtestprotocol(item, log=False, nextitem=after(items, at))
        if any(report.failed for report in reports):
            return 1
    return 0


def after(items: Sequence[pytest.Item], at: int) -> pytest.Item | None:
    return items[at + 1] if at + 1 < len(items) else None


def living() -> dict[tuple[str, str, int], list[FunctionType]]:
    """The functions of the package as they are in memory, by path, name and first line."""
    root, found = f"{Path().resolve()}/", {}
    for thing in gc.get_objects():
        if isinstance(thing, FunctionType) and thing.__code__.co_filename.startswith(f"{root}reaper_ops/core/"):
            code = thing.__code__
            key = (code.co_filename.removeprefix(root), code.co_qualname, code.co_firstlineno)
            found.setdefault(key, []).append(thing)
    return found


def code_of(point: Point) -> CodeType:
    path = Path(point.path).resolve()
    source = path.read_text(encoding="utf-8")
    module = compile(mutated(source, point.index), str(path), "exec", dont_inherit=True)
    return next(
        code for code in within(module) if (code.co_qualname, code.co_firstlineno) == (point.function, point.first_line)
    )


def within(code: CodeType) -> Iterator[CodeType]:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from within(constant)
