"""``ollama serve``: key, port, settings, store, discovery, then HTTP; the log lines in the real order."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from http.server import ThreadingHTTPServer
from types import FrameType

from . import log
from .api import RoutedExchange
from .app import App
from .config import BadOrigin, Config, check_origins
from .discovery import discover
from .gguf import BadFile
from .runner import LoadError
from .sched import Busy
from .store import StoreError

_WORDS = {
    errno.EADDRINUSE: "address already in use",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EACCES: "permission denied",
}


class Fatal(Exception):
    """Ends the start; the text is what the real program prints behind ``Error: ``."""


class LabServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 4096

    def __init__(self, listener: socket.socket, app: App) -> None:
        handler = type("Bound", (RoutedExchange,), {"app": app})
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name = self.server_port = ""  # type: ignore[assignment]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that resets its connection is no event of the server's log."""
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve(config: Config, version: str, program: str) -> int:
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:
            comm.write("ollama")
    except OSError:
        log.slog("DEBUG", "lab", "the process keeps the interpreter's name")
    try:
        return _serve(config, version, program)
    except Fatal as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    except BadOrigin as error:
        sys.stderr.write(f"panic: {error}\n\ngoroutine 1 [running]:\n(simulated)\n")
        return 2


def _serve(config: Config, version: str, program: str) -> int:
    _key(config.home)
    app = App(config, version, program)
    listener = None if app.faults.on("refuse") else _listen(config)
    _announce(app)
    if app.faults.on("crash"):
        raise Fatal("simulated crash at the start")
    gate = Gate(app, listener)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, gate.stop)
    if listener:
        log.slog("INFO", "routes.go:2008", f"Listening on {config.address} (version {version})")
    else:
        log.slog("WARN", "lab", "simulated fault refuse: the port stays closed")
    discover(config, app.faults)
    gate.run()
    return 0


def _key(home: str) -> None:
    if not home:
        raise Fatal("$HOME is not defined")
    path = f"{home}/.ollama/id_ed25519"
    if os.path.exists(path):
        return
    print(f"Couldn't find '{path}'. Generating new private key.", flush=True)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
    except OSError as error:
        words = os.strerror(error.errno or 0).lower()
        raise Fatal(f"could not create directory mkdir {error.filename}: {words}") from None
    for name in (path, path + ".pub"):
        with open(name, "w", encoding="ascii") as file:
            file.write("simulated by the reaper_ops lab: no key\n")


def _listen(config: Config) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((config.host, config.port))
    except socket.gaierror:
        raise Fatal(f"listen tcp: lookup {config.host}: no such host") from None
    except OSError as error:
        words = _WORDS.get(error.errno or 0, os.strerror(error.errno or 0).lower())
        raise Fatal(f"listen tcp {config.address}: bind: {words}") from None
    listener.listen(4096)
    return listener


def _announce(app: App) -> None:
    config = app.config
    values = " ".join(f"{key}:{value}" for key, value in config.values.items())
    log.slog("INFO", "lab", "simulated Ollama server of the reaper_ops lab: no inference happens here")
    log.slog("INFO", "routes.go:1951", "server config", env=f"map[{values}]")
    log.slog("INFO", "routes.go:1953", f"Ollama cloud disabled: {str(config.no_cloud).lower()}")
    try:
        app.store.prepare()
        if not config.noprune:
            app.store.prune()
    except StoreError as error:
        raise Fatal(str(error)) from None
    check_origins(config.origins)


class Gate:
    """The open or closed port: `refuse` closes it and opens it again without a restart."""

    def __init__(self, app: App, listener: socket.socket | None) -> None:
        self._app = app
        self._listener = listener
        self._ended = threading.Event()

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """As the real one: no drain, runners killed, exit 0."""
        self._ended.set()
        self._app.scheduler.stop()
        os._exit(0)

    def run(self) -> None:
        threading.Thread(target=self._show_memory_fault, daemon=True).start()
        server: LabServer | None = None
        while not self._ended.is_set():
            closed = self._app.faults.on("refuse")
            if closed and server:
                server.shutdown()
                server.server_close()
                server = None
            elif not closed and server is None:
                server = LabServer(self._listener or _listen(self._app.config), self._app)
                self._listener = None
                threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
            time.sleep(0.1)

    def _show_memory_fault(self) -> None:
        """Out of memory is only seen by loading: one load is tried when the fault comes and a model is there."""
        shown = False
        while True:
            wanted = self._app.scheduler.short_of_memory()
            if wanted and not shown and self._app.store.names():
                model = self._app.store.models()[0]
                with suppress(LoadError, Busy, BadFile, OSError), self._app.scheduler.use(model, {}, None, _present):
                    pass
            shown = wanted and bool(shown or self._app.store.names())
            time.sleep(0.2)


def _present() -> bool:
    return False
