"""Which tests enter which function of core/: the plugin that runs them once, and what it wrote."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import pytest

CORE = f"{Path('reaper_ops/core').resolve()}/"

Function = tuple[str, str]
"""Path within the project, name without what is nested in it."""


class Watch:
    """Notes, for every test that passes, its time and the functions of core/ that it enters."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: set[str] = set()
        self.entered: dict[Function, set[str]] = {}
        self.codes: dict[CodeType, bool] = {}
        self.now: set[CodeType] = set()

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event == "call":
            code = frame.f_code
            if self.codes.setdefault(code, code.co_filename.startswith(CORE)):
                self.now.add(code)

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.now, start = set(), time.perf_counter()
        sys.setprofile(self.profile)
        try:
            yield
        finally:
            sys.setprofile(None)
        if item.nodeid not in self.failed:
            self.seconds[item.nodeid] = time.perf_counter() - start
            for code in self.now:
                self.entered.setdefault(function(code), set()).add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """What fails without a mutant can show none."""
        if report.failed:
            self.failed.add(report.nodeid)
            sys.stderr.write(f"mutants: left out, as it fails: {report.nodeid}\n{report.longreprtext[-500:]}\n")

    def tests(self, path: str, function: str | None = None) -> list[str]:
        """Those that enter the function, or any of the file: of the same room first, and quick ones before slow."""
        keys = [key for key in self.entered if key[0] == path and function in {key[1], None}]
        room = f"core/{path.split('/')[2].removesuffix('.py')}"
        entering = {test for key in keys for test in self.entered[key]}
        return sorted(entering, key=lambda test: (room not in test, self.seconds[test]))


def function(code: CodeType) -> Function:
    path = f"reaper_ops/core/{code.co_filename.removeprefix(CORE)}"
    return path, code.co_qualname.split(".<locals>")[0]
