"""Which models are in memory: one load at a time, a bounded queue, idle models leave after their keep-alive."""

from __future__ import annotations

import contextlib
import math
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from . import gguf, log
from .config import Config
from .faults import Faults
from .runner import LoadError, Runner, RunnerLoad
from .store import LabModel, LabStore

_CAP = 48 << 20
_FOREVER = 9223372036.854775807
_NAMES = {9: "killed", 15: "terminated"}


class Busy(Exception):
    def __str__(self) -> str:
        return "server busy, please try again.  maximum pending requests exceeded"


def default_context(config: Config) -> int:
    if config.context_length:
        return config.context_length
    gigabytes = config.gpu_memory >> 30
    return 262144 if gigabytes >= 47 else 32768 if gigabytes >= 23 else 4096


class Scheduler:
    def __init__(self, config: Config, store: LabStore, faults: Faults, program: str) -> None:
        self._config = config
        self._store = store
        self._faults = faults
        self._program = program
        self._turn = threading.Lock()
        self._guard = threading.Lock()
        self._waiting = 0
        self._runners: dict[str, Runner] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    @contextlib.contextmanager
    def use(
        self, model: LabModel, options: dict[str, Any], keep_alive: float | None, gone: Callable[[], bool]
    ) -> Iterator[Runner]:
        """The model's runner, loaded if it was not. Busy, LoadError, BadFile or OSError otherwise."""
        runner = self._acquire(model, options, keep_alive, gone)
        try:
            yield runner
        finally:
            with self._guard:
                runner.users -= 1
                runner.keep_alive = self._config.keep_alive if keep_alive is None else keep_alive
                runner.expires = time.time() + runner.keep_alive
                forgotten = runner is not self._runners.get(runner.load.digest) and not runner.users
            if forgotten:
                runner.stop()

    def _acquire(
        self, model: LabModel, options: dict[str, Any], keep_alive: float | None, gone: Callable[[], bool]
    ) -> Runner:
        load = self._load_of(model, options)
        with self._guard:
            if self._faults.on("503"):
                raise Busy
            known = self._runners.get(load.digest)
            if known and self._fits(known, load):
                known.users += 1
                return known
            if self._waiting >= self._config.max_queue:
                raise Busy
            self._waiting += 1
        with self._turn:
            with self._guard:
                self._waiting -= 1
            runner = self._usable(load)
            if runner is None:
                runner = self._load(load, keep_alive, gone)
            with self._guard:
                runner.users += 1
            return runner

    def short_of_memory(self) -> bool:
        return any(self._faults.on(name) for name in ("oom", "oom-old", "oom-malloc"))

    def _load_of(self, model: LabModel, options: dict[str, Any]) -> RunnerLoad:
        layer = model.layer("model")
        weights = self._store.blob(layer["digest"]) if layer else ""
        header = gguf.read(weights)
        trained = int(header.values.get("llama.context_length", 2048))
        context = int(options.get("num_ctx") or default_context(self._config))
        if context > trained:
            text = "requested context size too large for model"
            log.slog("WARN", "server.go:114", text, num_ctx=context, n_ctx_train=trained)
            context = trained
        layers = int(header.values.get("llama.block_count", 1))
        size = os.path.getsize(weights) + layers * context * self._config.num_parallel * 256 + (1 << 20)
        vram = size if self._config.gpu and not self._faults.on("cpu-fallback") else 0
        load: dict[str, Any] = {"bytes": min(size, _CAP)}
        if self._faults.on("memory"):
            load["bytes"] = self._faults.option("memory", "bytes", 64 << 20)
        if self._faults.on("oom"):
            load["kill"] = True
        if self._faults.on("oom-malloc"):
            load.update(bytes=1 << 32, limit=1 << 31)
        return RunnerLoad(
            model.name.short, model.digest, weights, context, self._config.num_parallel, size, vram, model.details, load
        )

    def _fits(self, runner: Runner, load: RunnerLoad) -> bool:
        same = runner.load.context == load.context and not self.short_of_memory()
        return same and runner.dead_signal() is None

    def _usable(self, load: RunnerLoad) -> Runner | None:
        runner = self._runners.get(load.digest)
        if runner is None:
            return None
        number = runner.dead_signal()
        if self._fits(runner, load):
            return runner
        if number is not None:
            text = "llama-server process no longer running"
            log.slog("WARN", "llama_server.go:1196", text, sys=number, string=f"signal: {_NAMES.get(number, number)}")
        while runner.users and runner.dead_signal() is None:
            time.sleep(0.01)
        self._drop(load.digest)
        return None

    def _load(self, load: RunnerLoad, keep_alive: float | None, gone: Callable[[], bool]) -> Runner:
        if not self._config.gpu:
            text = "disabling mmap for llama-server load by default"
            log.slog("INFO", "sched.go:1147", text, model=load.weights, reason="cpu")
        log.slog("INFO", "server.go:109", "using llama-server for model", model=load.weights)
        if self._faults.on("oom-old"):
            need, have = log.binary_size(load.size << 12), log.binary_size(load.size << 10)
            log.slog("WARN", "server.go:1079", "model request too large for system", requested=need, available=have)
            log.slog(
                "INFO",
                "sched.go:641",
                "Load failed",
                model=load.weights,
                error=f"model requires more system memory ({need}) than is available ({have})",
            )
            raise LoadError(f"model requires more system memory ({need}) than is available ({have})")
        self._make_room()
        alive = self._config.keep_alive if keep_alive is None else keep_alive
        try:
            runner = Runner(self._program, load, alive)
        except LoadError as error:
            log.slog("INFO", "sched.go:591", "failed to create server", model=load.name, error=f"{error} ")
            raise
        self._report_memory()
        log.slog("INFO", "llama_server.go:1048", "loading model via llama-server", model=load.weights)
        try:
            runner.wait_ready(gone)
        except LoadError as error:
            log.slog("INFO", "sched.go:641", "Load failed", model=load.weights, error=error)
            raise
        with self._guard:
            self._runners[load.digest] = runner
            log.slog("INFO", "sched.go:728", "loaded runners", count=len(self._runners))
        return runner

    def _report_memory(self) -> None:
        total, free, swap = log.meminfo()
        log.slog("INFO", "sched.go:613", "system memory", total=total, free=free, free_swap=swap)

    def _make_room(self) -> None:
        """Idle models leave, shortest keep-alive first, until one more fits the number that may be loaded."""
        most = self._config.max_loaded_models or 3
        while len(self._runners) >= most:
            with self._guard:
                idle = [digest for digest, runner in self._runners.items() if not runner.users]
                leaving = min(idle, key=lambda digest: self._runners[digest].keep_alive) if idle else ""
            if leaving:
                self._drop(leaving)
            else:
                time.sleep(0.01)

    def _drop(self, digest: str) -> None:
        with self._guard:
            runner = self._runners.pop(digest, None)
        if runner:
            runner.stop()

    def unload(self, model: LabModel) -> None:
        """Gone from the list at once; a runner that still answers ends with its answer."""
        with self._guard:
            runner = self._runners.pop(model.digest, None)
            idle = runner is not None and not runner.users
        if runner and idle:
            runner.stop()

    def running(self) -> list[dict[str, Any]]:
        """As /api/ps lists them: longest-lived first. A dead one stays until somebody asks for its model."""
        with self._guard:
            runners = sorted(self._runners.values(), key=lambda runner: -runner.expires)
        return [self._row(runner) for runner in runners]

    def _row(self, runner: Runner) -> dict[str, Any]:
        load, vram = runner.load, runner.load.size_vram
        if self._faults.on("cpu-fallback"):
            vram = 0
        elif self._faults.on("partial-offload"):
            vram = load.size // 2
        left = _FOREVER if math.isinf(runner.expires) else runner.expires - time.time()
        return {
            "name": load.name,
            "model": load.name,
            "size": load.size,
            "digest": load.digest,
            "details": load.details,
            "expires_at": time.time() + left,
            "size_vram": vram,
            "context_length": load.context,
        }

    def _watch(self) -> None:
        while True:
            time.sleep(0.1)
            now = time.time()
            with self._guard:
                late = [key for key, runner in self._runners.items() if not runner.users and runner.expires <= now]
            for digest in late:
                self._drop(digest)

    def stop(self) -> None:
        for digest in list(self._runners):
            self._drop(digest)
