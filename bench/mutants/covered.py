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
        self.seconds[item.nodeid] = time.perf_counter() - start
        for code in self.now:
            self.entered.setdefault(function(code), set()).add(item.nodeid)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            raise SystemExit(f"mutants: {report.nodeid} fails without any mutant\n{report.longreprtext}")


def function(code: CodeType) -> Function:
    path = f"reaper_ops/core/{code.co_filename.removeprefix(CORE)}"
    return path, code.co_qualname.split(".<locals>")[0]
