"""What a rule is given, and what it says."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, wraps
from typing import Any, TypeVar

from reaper_ops.core import shell
from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules import gpu_chain, pulllog, serverlog
from reaper_ops.core.doctor.rules.gpu_link import Link
from reaper_ops.core.doctor.rules.serverlog import ServerLog
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts.model import Exchange, Facts
from reaper_ops.core.facts.traces import Traces
from reaper_ops.core.health.probe import Observation
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.secrets import redact

_SLOG = re.compile(r"time=\S{0,32}?T?(\d\d:\d\d:\d\d)\S{0,32} level=\w{1,16} source=\S{1,128}")
_BLOB = re.compile(r"model=/\S{0,256}/(sha256-[0-9a-f]{12})[0-9a-f]{0,64}")


T = TypeVar("T")


@dataclass(frozen=True)
class Verdict:
    state: State
    summary: str
    evidence: tuple[Evidence, ...] = ()
    cause: str | None = None
    next_step: str = ""


@dataclass(frozen=True)
class HostEvidence:
    """One host: its settings, what its API answered, and the facts of the host. source: `-i hosts.yml`."""

    settings: Settings
    seen: Observation
    facts: Facts | None = None
    expected: tuple[str, ...] = ()
    source: str = ""
    verdicts: tuple[Verdict, ...] = ()

    @cached_property
    def readings(self) -> dict[Callable[..., Any], Any]:
        """What `once` keeps."""
        return {}

    @cached_property
    def traces(self) -> Traces:
        """What only a diagnosis reads; all of it None where nothing was read."""
        return (self.facts.traces if self.facts else None) or Traces()

    @property
    def state(self) -> State:
        """The state of the probe; only in a diagnosis."""
        return self.verdicts[0].state if self.verdicts else State.HEALTHY

    def verdict_of(self, cause: str) -> Verdict | None:
        """The verdict of the probe with this cause; only in a diagnosis."""
        return next((verdict for verdict in self.verdicts if verdict.cause == cause), None)

    @cached_property
    def environ(self) -> Mapping[str, str]:
        """Of the running server, or else of its container or unit; empty when none was read."""
        facts = self.facts
        if facts is None:
            return {}
        if facts.process is not None and facts.process.environ:
            return facts.process.environ
        return facts.container.environ if facts.container else {}

    @property
    def unit(self) -> Mapping[str, str]:
        """Properties of the unit; empty without systemd."""
        return self.facts.unit.properties if self.facts and self.facts.unit else {}

    @property
    def may_be_windows(self) -> bool:
        """A kernel of WSL, or one that was not read."""
        kernel = self.facts.system.kernel if self.facts else ""
        return not kernel or "microsoft" in kernel.lower()

    @property
    def models_dir(self) -> str:
        """The store, as the server's own environment says, otherwise the settings."""
        inside = places.DOCKER_MODELS if self.settings.ollama_runtime == "docker" else ""
        return self.environ.get("OLLAMA_MODELS") or places.models(self.settings) or inside

    @property
    def host(self) -> str:
        return self.seen.host

    @cached_property
    def log(self) -> ServerLog:
        log = serverlog.read(self.facts.journal if self.facts else None)
        return log.with_store(self.facts.blobs if self.facts else None)

    @cached_property
    def failed_pulls(self) -> tuple[pulllog.Failure, ...]:
        """Downloads that failed according to the server's log, and did not start again."""
        return pulllog.read(self.facts.journal if self.facts else None)

    @cached_property
    def gpu_link(self) -> Link | None:
        """The first broken link of the GPU chain."""
        return gpu_chain.first_broken_link(self.settings, self.facts) if self.facts else None

    @cached_property
    def log_hits(self) -> tuple[Hit, ...]:
        """Every line of the server's log that a signature fits, in order."""
        return signatures.hits("log", self.facts.journal if self.facts else None)

    @cached_property
    def kernel_hits(self) -> tuple[Hit, ...]:
        return signatures.hits("kernel", self.facts.kernel if self.facts else None)

    def ours(self, verb: str = "up") -> shell.Ready:
        words = ["reaper-ops", verb, self.source, "-l", shell.word_or(self.host, "HOST")]
        return shell.Ready(" ".join(word for word in words if word))

    def repair(self, by_hand: str, **values: str) -> str:
        """Our own command where the host is ours to change, else what to type on it."""
        return self.ours() if self.settings.ollama_managed else self.on_host(by_hand, **values)

    def on_host(self, template: str, **values: str) -> str:
        """A command for this host: a template of ours, whose places these values fill."""
        try:
            return f"on {self.host}: {shell.command(template, values)}"
        except shell.ValueRefused:
            return f"on {self.host}: {shell.command(template, {})}"

    @property
    def home(self) -> str:
        """Of a server that runs without root, ready for the shell."""
        return shell.word_or(self.settings.ollama_home or "", "~/.local/share/reaper_ops/ollama")

    def restart(self) -> str:
        """The command that restarts the server; `up` does not restart one that runs as configured."""
        if self.settings.ollama_runtime == "process":
            found = {"pid": str(self.facts.process.pid)} if self.facts and self.facts.process else {}
            return f"{self.on_host('kill {pid}', **found)}; then {self.ours()}"
        docker = self.settings.ollama_runtime == "docker"
        return self.on_host("docker restart ollama" if docker else "sudo systemctl restart ollama")

    def look(self) -> str:
        """The command that shows the server's own log."""
        by_runtime = {
            "systemd": "journalctl -u ollama -n 100 --no-pager",
            "docker": "docker logs --tail 100 ollama",
            "process": "tail -n 100 {log}",
        }
        return self.on_host(by_runtime[self.settings.ollama_runtime], log=shell.Ready(f"{self.home}/ollama.log"))


def once(read: Callable[[HostEvidence], T]) -> Callable[[HostEvidence], T]:
    """A reading for which several rules ask is done once for each case."""

    @wraps(read)
    def reading(case: HostEvidence) -> T:
        if read not in case.readings:
            case.readings[read] = read(case)
        found: T = case.readings[read]
        return found

    return reading


Rule = Callable[[HostEvidence], Verdict | None]


SAID = {
    "dns": "the name does not resolve",
    "refused": "connection refused",
    "unreachable": "no route",
    "tls": "TLS failed",
    "reset": "connection reset",
    "closed": "connection closed without a whole answer",
    "protocol": "the answer is not HTTP",
}
TELLING = frozenset({"dns", "tls", "protocol"})


def exchange_evidence(exchange: Exchange) -> Evidence:
    """An exchange as one line of evidence."""
    method = "POST" if exchange.path == "/api/generate" else "GET"
    return Evidence(f"{method} {exchange.path}", _answered(exchange) if exchange.status else _unanswered(exchange))


def _answered(exchange: Exchange) -> str:
    cut = f", {SAID.get(exchange.error, exchange.error)}" if exchange.error else ""
    return f"HTTP {exchange.status}{cut}{_took(exchange)}: {excerpt(exchange.body) or 'empty body'}"


def _unanswered(exchange: Exchange) -> str:
    silent = "connected, then no answer" if exchange.phase == "read" else "no answer to the connection"
    code = f" (errno {exchange.errno})" if exchange.errno else ""
    where = f" from {exchange.address}" if exchange.address else ""
    detail = f": {excerpt(exchange.detail)}" if exchange.detail and exchange.error in TELLING else ""
    return f"{SAID.get(exchange.error, silent)}{code}{where}{_took(exchange)}{detail}"


def _took(exchange: Exchange) -> str:
    return f" after {exchange.elapsed_ms:.0f} ms" if exchange.elapsed_ms >= 1 else ""


def excerpt(text: str, limit: int = 240) -> str:
    """The text on one line, without secrets and the server's file names; the middle is cut where it grows long."""
    flat = _BLOB.sub(r"\1", _SLOG.sub(r"\1 ", " ".join(redact(text).split())))
    return flat if len(flat) <= limit else f"{flat[: limit * 3 // 4]} ... {flat[-limit // 4 + 5 :]}"
