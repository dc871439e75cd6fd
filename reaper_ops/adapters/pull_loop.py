"""Talks with many servers at once, by libcurl in one thread: each host's steps are walked as its answers come."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import json
import selectors
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pycurl

from reaper_ops.adapters.flight import Flight
from reaper_ops.adapters.flight import Talk as Talk
from reaper_ops.adapters.sweep import finished, prepare
from reaper_ops.core import typed
from reaper_ops.core.isolation import alone
from reaper_ops.core.models import pull_steps as rules
from reaper_ops.core.models.lease import RENEWAL, Renew
from reaper_ops.core.models.push import Upload

ASK_TIMEOUT = 30.0
LOOK_EVERY = 1.0
GRACE = 5.0
BUFFER = 512 << 10
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Exception):
    """Ctrl-C: what was downloaded stays for the next run."""


class Talks:
    """At most `at_once` hosts at a time; Ctrl-C lets each take back what it holds, and is raised again."""

    def __init__(self, at_once: int, connect_timeout: float = 5.0) -> None:
        self._at_once, self._connect_timeout = at_once, connect_timeout
        self._selector = selectors.DefaultSelector()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._wish_time)
        self._curl_due: float | None = None
        self._idle: list[pycurl.Curl] = []
        self._flights: dict[pycurl.Curl, Flight] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()
        self._talking: set[Talk] = set()
        self._stopping = False

    def run(self, talks: Iterable[Talk]) -> None:
        waiting = deque(talks)
        self._after(LOOK_EVERY, self._look_for_silence)
        try:
            with _noticed() as interrupted:
                while (waiting or self._talking) and not interrupted:
                    while waiting and len(self._talking) < self._at_once:
                        self._begin(waiting.popleft())
                    self._turn()
                if interrupted:
                    self._stop(waiting)
        finally:
            self._close()
        if interrupted:
            raise KeyboardInterrupt

    def _begin(self, talk: Talk) -> None:
        self._talking.add(talk)
        self._advance(talk, None, None)

    def _turn(self) -> None:
        """Waits for sockets or the next timer, and does what is due."""
        now = time.monotonic()
        due = min([self._timers[0][0], *([] if self._curl_due is None else [self._curl_due])])
        for key, mask in self._selector.select(max(0.0, min(due - now, LOOK_EVERY))):
            wanted = pycurl.CSELECT_IN if mask & selectors.EVENT_READ else 0
            wanted |= pycurl.CSELECT_OUT if mask & selectors.EVENT_WRITE else 0
            self._multi.socket_action(key.fd, wanted)
        now = time.monotonic()
        if self._curl_due is not None and self._curl_due <= now:
            self._curl_due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
        for curl, code, text in finished(self._multi):
            self._landed(curl, code, text)
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()

    def _watch(self, event: int, fd: int, multi: object, data: object) -> None:
        if event == pycurl.POLL_REMOVE:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
            return
        wanted = selectors.EVENT_READ if event & pycurl.POLL_IN else 0
        wanted |= selectors.EVENT_WRITE if event & pycurl.POLL_OUT else 0
        if fd in self._selector.get_map():
            self._selector.unregister(fd)
        self._selector.register(fd, wanted)

    def _wish_time(self, milliseconds: int) -> None:
        self._curl_due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000

    def _after(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._count), act))

    def _advance(self, talk: Talk, came: Any, error: Exception | None) -> None:
        """A defect in the steps of a host ends them; the others go on."""

        def give_up(said: str) -> None:
            self._ended(talk, None, rules.Trouble(said))

        alone(talk.name, lambda: self._walk(talk, came, error), give_up)

    def _walk(self, talk: Talk, came: Any, error: Exception | None) -> None:
        """Walks a host's steps up to the next one whose answer must be waited for."""
        talk.turn += 1
        talk.patient = False
        try:
            while True:
                step = talk.steps.throw(error) if error else talk.steps.send(came)
                came = error = None
                if isinstance(step, rules.Ask):
                    return self._send(talk, step)
                if isinstance(step, rules.Pull):
                    return self._pull(talk, step)
                if isinstance(step, Upload):
                    error = self._upload(talk, step)
                    if error is None:
                        return None
                    continue
                if isinstance(step, rules.Wait):
                    return self._wait(talk, step.seconds)
                came, error = self._at_once_done(talk, step)
        except StopIteration as end:
            self._ended(talk, end.value, None)
        except (rules.Trouble, Stopped) as trouble:
            self._ended(talk, None, trouble)

    def _at_once_done(self, talk: Talk, step: Any) -> tuple[Any, Exception | None]:
        if isinstance(step, rules.Now):
            return time.monotonic(), None
        if isinstance(step, Renew):
            if talk.renewal is None and step.ask is not None:
                self._after(RENEWAL, lambda: self._renew(talk))
            talk.renewal = step.ask
            return None, None

        def do() -> tuple[Any, Exception | None]:
            try:
                return talk.do(step), None
            except (rules.Trouble, LookupError) as error:
                return None, error

        return alone(talk.name, do, lambda said: (None, rules.Trouble(said)))

    def _wait(self, talk: Talk, seconds: float) -> None:
        talk.patient, turn = True, talk.turn

        def wake() -> None:
            if talk.turn == turn and talk.came is None:
                self._continue(talk, None, None)

        self._after(seconds, wake)

    def _continue(self, talk: Talk, came: Any, error: Exception | None) -> None:
        """A renewal that is on its way is waited for, lest it comes after the lock was given back."""
        if talk.renewing:
            talk.came = (came, error)
        elif self._stopping and not talk.stopped:
            talk.stopped = True
            self._advance(talk, None, Stopped())
        else:
            self._advance(talk, came, error)

    def _ended(self, talk: Talk, value: Any, error: Exception | None) -> None:
        self._talking.discard(talk)
        talk.renewal = None
        talk.on_end(value, error)

    def _send(self, talk: Talk, ask: Any, *, renews: bool = False) -> None:
        flight = self._flight(talk, ask.method, ask.path, ask.body)
        flight.curl.setopt(pycurl.TIMEOUT_MS, int(ASK_TIMEOUT * 1000))
        flight.renews = renews
        talk.renewing = talk.renewing or renews
        self._start(flight)

    def _pull(self, talk: Talk, pull: Any) -> None:
        flight = self._flight(talk, "POST", "/api/pull", rules.pull_body(pull.name, pull.params))
        flight.stream = rules.Stream(pull.params, time.monotonic(), pull.sizes)
        talk.patient = True
        self._start(flight)

    def _upload(self, talk: Talk, upload: Upload) -> Exception | None:
        """The blob's own bytes as the body; how far it is, is told in the words of a pull."""
        try:
            file = Path(upload.path).open("rb")  # noqa: SIM115 - closed when the request has ended
        except OSError as error:
            trouble: Exception = rules.Trouble(f"{upload.path}: {error.strerror}")
            return trouble
        flight = self._flight(talk, "POST", f"/api/blobs/{upload.digest}", None)
        curl, sent, flight.source = flight.curl, 0, file

        def tell() -> None:
            line = {"status": f"pulling {upload.digest[7:19]}", "digest": upload.digest}
            talk.on_line({**line, "completed": sent, "total": upload.size})

        def read(count: int) -> bytes:
            nonlocal sent
            part = file.read(count)
            sent += len(part)
            tell()
            return part

        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.POSTFIELDSIZE_LARGE, upload.size)
        curl.setopt(pycurl.READFUNCTION, read)
        curl.setopt(pycurl.UPLOAD_BUFFERSIZE, BUFFER)
        curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/octet-stream", "Expect:"])
        curl.setopt(pycurl.LOW_SPEED_LIMIT, 1)
        curl.setopt(pycurl.LOW_SPEED_TIME, upload.patience)
        if upload.rate:
            curl.setopt(pycurl.MAX_SEND_SPEED_LARGE, upload.rate)
        tell()
        talk.patient = True
        self._start(flight)
        return None

    def _flight(self, talk: Talk, method: str, path: str, body: Any) -> Flight:
        curl = self._idle.pop() if self._idle else pycurl.Curl()
        prepare(curl, self._connect_timeout)
        flight = Flight(talk, curl, heard=time.monotonic())
        curl.setopt(pycurl.URL, (talk.url + path).encode())
        curl.setopt(pycurl.CUSTOMREQUEST, method)
        curl.setopt(pycurl.NOBODY, method == "HEAD")
        curl.setopt(pycurl.WRITEFUNCTION, flight.write)
        curl.setopt(pycurl.HEADERFUNCTION, flight.head)
        if body is not None:
            curl.setopt(pycurl.POSTFIELDS, json.dumps(body))
            curl.setopt(pycurl.HTTPHEADER, ["Content-Type: application/json", "Expect:"])
        return flight

    def _start(self, flight: Flight) -> None:
        self._flights[flight.curl] = flight
        self._multi.add_handle(flight.curl)

    def _landed(self, curl: pycurl.Curl, code: int, text: str) -> None:
        flight = self._flights.pop(curl)
        self._multi.remove_handle(curl)
        talk, result = flight.talk, flight.result(code, typed.words(text, 300))
        if flight.source:
            flight.source.close()
        curl.reset()
        self._idle.append(curl)
        if not flight.renews:
            self._continue(talk, *result)
            return
        talk.renewing = False
        if talk.came is not None:
            came, talk.came = talk.came, None
            self._continue(talk, *came)

    def _renew(self, talk: Talk) -> None:
        if talk.renewal is None:
            return
        sent = talk.patient and not talk.renewing
        if sent:
            self._send(talk, talk.renewal, renews=True)
        self._after(RENEWAL if sent else LOOK_EVERY, lambda: self._renew(talk))

    def _look_for_silence(self) -> None:
        now = time.monotonic()
        for flight in list(self._flights.values()):
            if flight.stream is not None and now - flight.heard > flight.stream.patience():
                self._landed(flight.curl, pycurl.E_OPERATION_TIMEDOUT, flight.stream.stalled())
        self._after(LOOK_EVERY, self._look_for_silence)

    def _stop(self, waiting: Iterable[Talk]) -> None:
        """Hangs up on pulls, and gives every host a moment to be left in order."""
        self._stopping = True
        for talk in waiting:
            talk.on_end(None, Stopped())
        for flight in [one for one in self._flights.values() if one.stream is not None or one.source]:
            self._drop(flight)
        busy = {flight.talk for flight in self._flights.values()}
        for talk in [one for one in self._talking if one not in busy]:
            self._continue(talk, None, None)
        for talk in [one for one in self._talking if one.renewing]:
            talk.came = (None, None)
        until = time.monotonic() + GRACE
        while self._talking and time.monotonic() < until:
            self._turn()
        for talk in list(self._talking):
            self._ended(talk, None, Stopped())

    def _drop(self, flight: Flight) -> None:
        self._flights.pop(flight.curl, None)
        if flight.source:
            flight.source.close()
        self._multi.remove_handle(flight.curl)
        flight.curl.close()

    def _close(self) -> None:
        for flight in list(self._flights.values()):
            self._drop(flight)
        for curl in self._idle:
            curl.close()
        self._multi.close()
        self._selector.close()


@contextlib.contextmanager
def _noticed() -> Iterator[list[int]]:
    """Signals that end the program are noted, as an exception inside a callback of libcurl would be lost."""
    numbers: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield numbers
        return
    kept = {one: signal.signal(one, lambda number, frame: numbers.append(number)) for one in ENDING}
    try:
        yield numbers
    finally:
        for one, before in kept.items():
            signal.signal(one, before)
