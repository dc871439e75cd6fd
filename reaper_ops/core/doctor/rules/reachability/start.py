"""A server that cannot bind its address, has not finished its start, or hangs."""

from __future__ import annotations

from dataclasses import replace

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.reachability import loop, port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import Running
from reaper_ops.core.health.probe import went_well
from reaper_ops.core.health.report import Evidence

START = 120
SLOW_START = 300
OURS = ("ollama", "llama-server")


def bind_address_missing(case: HostEvidence) -> Finding | None:
    """The server is configured to listen on an address that this host does not have, or did not have yet.

    An address of Tailscale, DHCP or docker0 can come up later than the service. The vendor's unit has
    `After=network-online.target` without `Wants=`, so nothing waits for that target; the unit of `reaper-ops` has both.

    Signals:
    - down after a reboot, and fine after a restart by hand
    - `listen tcp 100.101.1.2:11434: bind: cannot assign requested address`

    Not to be confused with:
    - port-taken: `address already in use`.

    Sources:
    - install.sh of Ollama
    - https://github.com/tailscale/tailscale/issues/11504
    """
    hit = port.fatal_line(case, "bind-address-missing", "bind-name-unknown")
    if hit is None or (case.unit.get("ActiveState") == "active" and port.at_home(case)):
        return None
    wanted = hit.groups["addr"].rpartition(":")[0].strip("[]") or hit.groups["addr"]
    logged = Evidence("server log", excerpt(hit.line, 200))
    if hit.signature.id == "bind-name-unknown":
        summary = f"OLLAMA_HOST of the server is {wanted}, a name that does not resolve on this host"
        return Finding(summary, (logged,), steps=_other(case, wanted))
    there = case.traces.addresses
    if there is not None and wanted in there:
        shown = Evidence("ip addr", f"{wanted} is up now")
        later = (_WAIT,) if case.settings.ollama_runtime == "systemd" else ()
        summary = f"the server started before the host had the address {wanted}"
        steps = (loop.allowed(case, _THERE), *later)
        return Finding(summary, (logged, shown), values={"address": wanted}, steps=steps)
    shown_too = (Evidence("ip addr", f"has {', '.join(there)}"),) if there else ()
    sure = Confidence.CERTAIN if there is not None else Confidence.LIKELY
    summary = f"the server is configured to listen on {wanted}, an address that this host does not have"
    return Finding(summary, (logged, *shown_too), sure, {"address": wanted}, steps=_other(case, wanted))


def starting_up(case: HostEvidence) -> Finding | None:
    """The server is starting, and answers once that is done.

    It opens its port first, then cleans up its blobs and looks for GPUs, and only then serves. So it accepts
    connections for up to two minutes before it answers. A restart begins all of this again.

    Signals:
    - requests hang right after a boot or a restart; health checks flap

    Not to be confused with:
    - server-hung: the log shows that the search for GPUs has ended, or the server is older than two minutes.

    Sources:
    - server.Serve and discover/runner.go of Ollama
    - recorded: start-slow-discovery, in which all queued probes were answered after 18 s
    """
    verdict, age = case.verdict_of("starting-up"), port.age(case)
    if verdict is None or _too_old(case):
        return None
    sure = Confidence.CERTAIN if case.log.starting else Confidence.LIKELY if age is not None else Confidence.POSSIBLE
    old = (Evidence("ps", f"the server is {age} s old"),) if age is not None else ()
    summary = "the server is starting" if age is None else f"the server has been starting for {age} s"
    evidence = (*verdict.evidence, *old)
    return Finding(f"{summary}: it accepts connections, and answers once its start is done", evidence, sure)


def server_hung(case: HostEvidence) -> Finding | None:
    """The server hangs: it accepts connections and does not answer.

    Possible reasons are a deadlock between scheduler and runner, or a GPU driver or network file system that never
    returns. /api/version needs no lock, so a healthy server answers it within milliseconds even under load.

    Signals:
    - requests never return, of any kind
    - a process in state D

    Not to be confused with:
    - starting-up: younger than two minutes, and the log does not show `inference compute` yet.
    - swap-thrashing: it answers, after seconds.
    - runaway-generation: /api/version answers, and one model never finishes (`Stopping...` in `ollama ps`).
    - state D for a moment, while a model is read from disk: not a fault.

    Sources:
    - https://github.com/ollama/ollama/issues/1863
    - https://github.com/ollama/ollama/issues/4545
    """
    verdict, age = case.verdict_of("server-hung"), port.age(case)
    if verdict is None and case.verdict_of("starting-up") and _too_old(case):
        verdict = case.verdict_of("starting-up")
    if verdict is None or port.paused(case):
        return None
    stuck, blocked = _stuck(case), _blocked(case)
    old = (Evidence("ps", f"the server is {age} s old"),) if age is not None else ()
    rows = tuple(Evidence("ps", f"{p.pid} {p.command.split()[0]} state D in {p.waits_in or '?'}") for p in stuck[:2])
    steps = (_REBOOT,) if stuck and blocked else (*_end(case), _REBOOT) if stuck else _end(case)
    where = f"; {_program(stuck[0])} (pid {stuck[0].pid}) is stuck in the kernel" if stuck else ""
    inside = f" ({stuck[0].waits_in})" if stuck and stuck[0].waits_in else ""
    sure = Confidence.CERTAIN if blocked else Confidence.LIKELY
    evidence = (*_answered(case), *verdict.evidence, *old, *rows, *blocked)
    return Finding(f"the server hangs: {_silence(case)}{where}{inside}", evidence, sure, _pid(case), steps=steps)


def _answered(case: HostEvidence) -> tuple[Evidence, ...]:
    return tuple(exchange_evidence(e) for e in case.seen.exchanges if e.path == "/api/version" and went_well(e))


def _silence(case: HostEvidence) -> str:
    failed = case.seen.failed
    if failed is None or not _answered(case):
        return "it accepts connections and does not answer"
    return f"it answers /api/version, but not {failed.path}"


def _end(case: HostEvidence) -> tuple[Step, ...]:
    """The report first, where it is known how to ask for it; a server without systemd is not started again."""
    runtime = case.settings.ollama_runtime
    report = _REPORT if case.facts and case.facts.process else None
    if report is not None and runtime == "docker":
        report = replace(report, text=f"{_REPORT_TEXT} It exits; Docker starts it again.", command=_REPORT_DOCKER)
    elif report is not None and runtime == "process":
        report = replace(report, text=f"{_REPORT_TEXT} It exits; then start it again.")
    return (*((report,) if report else ()), _RESTART)


def _too_old(case: HostEvidence) -> bool:
    age = port.age(case)
    return age is not None and age > (SLOW_START if case.log.starting else START)


def _stuck(case: HostEvidence) -> list[Running]:
    rows = case.traces.processes or ()
    return [p for p in rows if p.state.startswith("D") and p.command.split()[:1] and _program(p) in OURS]


def _program(process: Running) -> str:
    return process.command.split()[0].rsplit("/", 1)[-1]


def _blocked(case: HostEvidence) -> tuple[Evidence, ...]:
    hits = [
        hit
        for hit in signatures.hits("kernel", case.facts.kernel if case.facts else None)
        if hit.signature.id == "hung-task" and hit.groups["comm"].startswith(("ollama", "llama-"))
    ]
    return (Evidence("kernel log", excerpt(hits[-1].line, 200)),) if hits else ()


def _pid(case: HostEvidence) -> dict[str, str]:
    return {"pid": str(case.facts.process.pid)} if case.facts and case.facts.process else {}


def _other(case: HostEvidence, wanted: str) -> tuple[Step, ...]:
    """Where the inventory has another address than the server, `up` alone corrects it."""
    bind = case.settings.ollama_bind
    if not case.settings.ollama_managed:
        return _BY_HAND
    if bind != wanted:
        return (Step(f"Apply the inventory, which has the address {bind}.", "{up}", Automate.ASK, "apply"),)
    return _SET_ADDRESS


_BY_HAND = (
    Step("See which addresses this host has.", "ip -brief address"),
    Step(
        "Let the server listen on one of them, or on all: OLLAMA_HOST=0.0.0.0 in its drop-in. The address of another"
        " host belongs into the clients' OLLAMA_HOST, not into this one's unit.",
        "sudo systemctl edit ollama",
    ),
    Step("Restart the server.", "{restart}"),
)
_SET_ADDRESS = (
    Step("Set `ollama_bind` to an address of this host, or to 0.0.0.0 with `exposure: open`."),
    Step("Then apply.", "{up}", Automate.ASK, "apply"),
)
_THERE = Step("Start the server: the address is up now.", "{restart}", Automate.ASK, "restart")
_WAIT = Step(
    "To have it wait at the next boot, add a drop-in with `After=` and `Wants=` for the unit that brings the address "
    "up (tailscaled.service for Tailscale) under `[Unit]`.",
    "sudo systemctl edit ollama",
)
_REBOOT = Step("A process that is stuck in the kernel cannot be killed: reboot the host.", "sudo systemctl reboot")

_REPORT_TEXT = "For a bug report, have the server write its stacks to its log."
_REPORT_DOCKER = "docker kill -s QUIT ollama"
_REPORT = Step(f"{_REPORT_TEXT} It exits; systemd starts it again.", "sudo kill -QUIT {pid}")
_RESTART = Step("Otherwise, restart it.", "{restart}", Automate.SAFE, "restart")

RULES = (
    Rule(
        bind_address_missing,
        Severity.ERROR,
        steps=_SET_ADDRESS,
        explains=("service-crash-looping", "service-not-running", "connection-refused"),
        needs=("journal.log",),
    ),
    Rule(
        starting_up,
        Severity.WARNING,
        steps=(
            Step(
                "Wait two minutes, then probe again. A restart only delays it.", "reaper-ops probe {source} -l {host}"
            ),
        ),
        explains=("starting", "timeout"),
        needs=("ps.txt", "journal.log"),
    ),
    Rule(
        server_hung,
        Severity.ERROR,
        steps=(_REPORT, _RESTART),
        explains=("timeout", "starting", "degraded"),
        needs=("ps.txt", "journal.log"),
    ),
)
