"""A server that cannot bind its address, has not finished its start, or hangs."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.reachability import loop, port
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import Running
from reaper_ops.core.health.report import Evidence

START = 120
SLOW_START = 300
OURS = ("ollama", "llama-server")


def bind_address_missing(case: HostEvidence) -> Finding | None:
    """The server shall listen on an address that this host does not have, or did not have yet.

    An address of Tailscale, of DHCP or of docker0 comes up later than the service. The vendor's unit has
    `After=network-online.target` without `Wants=`, so nothing waits for that target; ours has both.

    Signals:
    - down after a reboot, well after a restart by hand
    - `listen tcp 100.101.1.2:11434: bind: cannot assign requested address`

    Not to be confused with:
    - port-taken: `address already in use`.

    Sources:
    - install.sh of Ollama
    - https://github.com/tailscale/tailscale/issues/11504
    """
    hit = port.last_words(case, "bind-address-missing", "bind-name-unknown")
    if hit is None or (case.unit.get("ActiveState") == "active" and port.at_home(case)):
        return None
    wanted = hit.groups["addr"].rpartition(":")[0].strip("[]") or hit.groups["addr"]
    said = Evidence("server log", excerpt(hit.line, 200))
    if hit.signature.id == "bind-name-unknown":
        return Finding(
            f"OLLAMA_HOST names {wanted}, which does not resolve on this host", (said,), steps=_other(case, wanted)
        )
    there = case.traces.addresses
    if there is not None and wanted in there:
        shown = Evidence("ip addr", f"{wanted} is there now")
        steps = (loop.allowed(case, _THERE), _WAIT)
        summary = f"the server started before its address {wanted} was there"
        return Finding(summary, (said, shown), values={"address": wanted}, steps=steps)
    shown_too = (Evidence("ip addr", f"has {', '.join(there)}"),) if there else ()
    sure = Confidence.CERTAIN if there is not None else Confidence.LIKELY
    summary = f"the server shall listen on {wanted}, and this host has no such address"
    return Finding(summary, (said, *shown_too), sure, {"address": wanted}, steps=_other(case, wanted))


def starting_up(case: HostEvidence) -> Finding | None:
    """The server is starting, and answers when that is done.

    It opens its port first, then tidies its blobs and searches for GPUs, and serves after that. So connections are
    accepted for up to two minutes before the first answer. A restart begins all of it anew.

    Signals:
    - requests hang right after a boot or a restart; health checks flap

    Not to be confused with:
    - server-hung: the log shows that the search for GPUs ended, or the server is older than two minutes.

    Sources:
    - server.Serve and discover/runner.go of Ollama
    - recorded: start-slow-discovery, in which all queued probes were answered after 18 s
    """
    verdict, age = case.blamed("starting-up"), port.age(case)
    if verdict is None or _too_old(case):
        return None
    sure = Confidence.CERTAIN if case.log.starting else Confidence.LIKELY if age is not None else Confidence.POSSIBLE
    old = (Evidence("ps", f"the server is {age} s old"),) if age is not None else ()
    summary = "the server is starting" + (f", since {age} s" if age is not None else "")
    return Finding(
        f"{summary}: it accepts connections and answers when its start is done", (*verdict.evidence, *old), sure
    )


def server_hung(case: HostEvidence) -> Finding | None:
    """The server hangs: it accepts connections and answers nothing.

    A deadlock between scheduler and runner, a GPU driver or a network file system that sleeps for ever, a generation
    without an end. /api/version needs no lock, so it answers within milliseconds even under load.

    Signals:
    - requests never return, of any kind
    - a process in state D

    Not to be confused with:
    - starting-up: younger than two minutes, and the log does not show `inference compute` yet.
    - swap-thrashing: it does answer, after seconds.
    - runaway-generation: /api/version answers, one model never ends (`Stopping...` in `ollama ps`).
    - state D for a moment, while a model is read from disk: no fault.

    Sources:
    - https://github.com/ollama/ollama/issues/1863
    - https://github.com/ollama/ollama/issues/4545
    """
    verdict, age = case.blamed("server-hung"), port.age(case)
    if verdict is None and case.blamed("starting-up") and _too_old(case):
        verdict = case.blamed("starting-up")
    if verdict is None:
        return None
    asleep = _asleep(case)
    old = (Evidence("ps", f"the server is {age} s old"),) if age is not None else ()
    more = tuple(Evidence("ps", f"{p.pid} {p.command.split()[0]} state D in {p.waits_in or '?'}") for p in asleep[:2])
    blocked = _blocked(case)
    steps = (_REBOOT,) if asleep and blocked else (*_AWAKE, _REBOOT) if asleep else None
    summary = "the server hangs: it accepts connections and answers nothing"
    where = f"; it sleeps in the kernel ({asleep[0].waits_in})" if asleep and asleep[0].waits_in else ""
    sure = Confidence.CERTAIN if blocked else Confidence.LIKELY
    return Finding(summary + where, (*verdict.evidence, *old, *more, *blocked), sure, _pid(case), steps=steps)


def _too_old(case: HostEvidence) -> bool:
    age = port.age(case)
    return age is not None and age > (SLOW_START if case.log.starting else START)


def _asleep(case: HostEvidence) -> list[Running]:
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
    """Where the inventory wishes another address than the server has, `up` alone brings it back."""
    apply = Step("Then apply.", "{up}", Automate.ASK, "apply")
    if case.settings.ollama_bind != wanted:
        return (Step("Bring the server to the address of the inventory.", "{up}", Automate.ASK, "apply"),)
    return (Step("Set `ollama_bind` to an address of this host, or to 0.0.0.0 with `exposure: open`."), apply)


_THERE = Step("The address is there now: start the server.", "{restart}", Automate.ASK, "restart")
_WAIT = Step(
    "So that it waits at the next boot: a drop-in with `After=` the unit that brings the address, such as "
    "tailscaled.service.",
    "sudo systemctl edit ollama",
)
_REBOOT = Step("A process that sleeps in the kernel cannot be ended: restart the machine.", "sudo systemctl reboot")

_AWAKE = (
    Step(
        "For a report: have the server print where it hangs, into its log. It ends by that, and systemd or Docker "
        "starts it again.",
        "sudo kill -QUIT {pid}",
    ),
    Step("Or restart it.", "{restart}", Automate.SAFE, "restart"),
)

RULES = (
    Rule(
        bind_address_missing,
        Severity.ERROR,
        steps=(
            Step("Set `ollama_bind` to an address of this host, or to 0.0.0.0 with `exposure: open`."),
            Step("Then apply.", "{up}", Automate.ASK, "apply"),
        ),
        explains=("service-crash-looping", "service-not-running", "connection-refused"),
        needs=("journal.log",),
    ),
    Rule(
        starting_up,
        Severity.WARNING,
        steps=(Step("Wait two minutes, do not restart it; then look again.", "reaper-ops probe {source} -l {host}"),),
        explains=("starting", "timeout"),
        needs=("ps.txt", "journal.log"),
    ),
    Rule(
        server_hung,
        Severity.ERROR,
        steps=_AWAKE,
        explains=("timeout", "starting", "degraded"),
        needs=("ps.txt", "journal.log"),
    ),
)
