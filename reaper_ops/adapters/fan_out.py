"""The one door to threads: the same work for many hosts or models at once, which Ctrl-C can stop."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")
Message = TypeVar("Message")
Halt = threading.Event
LOOK_EVERY = 0.2
PATIENCE = 6.0
"""Seconds that work in progress is given once it must stop."""


def each(
    items: Iterable[Item],
    work: Callable[[Item], Result],
    *,
    at_once: int,
    halt: Halt | None = None,
    patience: float = PATIENCE,
) -> list[Result]:
    """Results in the order of the items, at most `at_once` in work at a time.

    Ctrl-C, and the first exception of any work, set `halt`, which long work has to look at; nothing new begins then.
    What does not end within `patience` is left to itself, and does not keep the program from ending.
    """
    crew = _Crew(items, work, halt or Halt())
    try:
        for _ in range(min(at_once, len(crew.waiting))):
            crew.start_one()
        crew.join(patience)
    except BaseException:
        crew.halt.set()
        crew.join(patience)
        raise
    if crew.broken:
        raise crew.broken[0]
    return [crew.found[place] for place in sorted(crew.found)]


class _Crew(Generic[Item, Result]):
    def __init__(self, items: Iterable[Item], work: Callable[[Item], Result], halt: Halt) -> None:
        self.waiting, self.work, self.halt = deque(enumerate(items)), work, halt
        self.found: dict[int, Result] = {}
        self.broken: list[BaseException] = []
        self.ends: list[threading.Event] = []
        """One for each thread, instead of `Thread.join`: when Ctrl-C interrupts that, CPython marks a running thread
        as stopped (bpo-45274)."""

    def start_one(self) -> None:
        end = threading.Event()
        self.ends.append(end)
        threading.Thread(target=self.labor, args=(end,), daemon=True).start()

    def labor(self, end: threading.Event) -> None:
        try:
            self._until_done()
        finally:
            end.set()

    def _until_done(self) -> None:
        while self.waiting and not self.halt.is_set():
            try:
                place, item = self.waiting.popleft()
            except IndexError:
                return
            try:
                self.found[place] = self.work(item)
            except BaseException as error:  # noqa: BLE001 - raised again where the work was asked for
                self.broken.append(error)
                self.halt.set()

    def join(self, patience: float) -> None:
        """Until all threads have ended; once they must stop, until patience is over."""
        until = float("inf")
        for end in self.ends:
            while not end.is_set() and time.monotonic() < until:
                if self.halt.is_set():
                    until = min(until, time.monotonic() + patience)
                end.wait(LOOK_EVERY)


def one_at_a_time(tell: Callable[[Message], None]) -> Callable[[Message], None]:
    """For a callback that many threads call, and that expects one caller at a time."""
    mutex = threading.Lock()

    def serialized(what: Message) -> None:
        with mutex:
            tell(what)

    return serialized
