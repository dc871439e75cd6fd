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
    threads = [threading.Thread(target=crew.labor, daemon=True) for _ in range(min(at_once, len(crew.waiting)))]
    try:
        for thread in threads:
            thread.start()
        crew.join(threads, patience)
    except BaseException:
        crew.halt.set()
        crew.join(threads, patience)
        raise
    if crew.broken:
        raise crew.broken[0]
    return [crew.found[place] for place in sorted(crew.found)]


class _Crew(Generic[Item, Result]):
    def __init__(self, items: Iterable[Item], work: Callable[[Item], Result], halt: Halt) -> None:
        self.waiting, self.work, self.halt = deque(enumerate(items)), work, halt
        self.found: dict[int, Result] = {}
        self.broken: list[BaseException] = []

    def labor(self) -> None:
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

    def join(self, threads: Iterable[threading.Thread], patience: float) -> None:
        """Until all threads have ended; once they must stop, until patience is over."""
        until = float("inf")
        for thread in threads:
            while thread.is_alive() and time.monotonic() < until:
                if self.halt.is_set():
                    until = min(until, time.monotonic() + patience)
                thread.join(LOOK_EVERY)


def one_at_a_time(tell: Callable[[Message], None]) -> Callable[[Message], None]:
    """For a callback that many threads call, and that expects one caller at a time."""
    mutex = threading.Lock()

    def serialized(what: Message) -> None:
        with mutex:
            tell(what)

    return serialized
