"""Out of memory: proven by the server's own words, or by a kill together with the kernel's or systemd's line."""

from __future__ import annotations

from dataclasses import dataclass

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt, exchange_evidence
from reaper_ops.core.doctor.signatures import KILLED, OUT_OF_MEMORY
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.health.probe import error_text, went_well
from reaper_ops.core.health.report import Evidence, State

COMMANDS = ("ollama", "llama-server", "llama-box", "llama-quantize")
ADVICE = {
    "ram-preflight-refused": "choose a smaller model, or more swap (`swap_kind: file`), then",
    "vram-oom-load": "lower `ollama_context_length`, or choose a smaller model, then",
    "rocm-vulkan-oom": "lower `ollama_context_length`, or choose a smaller model, then",
    "context-oversized": "lower `ollama_context_length` or `ollama_num_parallel`, then",
    "container-memory-limit-oom": "raise `ollama_memory_max`, or choose a smaller model, then",
    "systemd-memorymax-oom": "raise `ollama_memory_max`, or choose a smaller model, then",
    "kernel-oom-kill": "set `ollama_max_loaded_models: 1`, a smaller model or `swap_kind: file`, then",
    "oompolicy-stops-service": "set `ollama_max_loaded_models: 1`, a smaller model or `swap_kind: file`, then",
    "systemd-oomd-kill": "set `ollama_max_loaded_models: 1`, a smaller model or `swap_kind: file`, then",
}
OF_A_LIMIT = frozenset({"container-memory-limit-oom", "systemd-memorymax-oom"})


@dataclass(frozen=True)
class Kill:
    """Proof that the kernel (or systemd) killed one of ours for memory."""

    cause: str
    evidence: tuple[Evidence, ...]
    certain: bool = False


def kill(case: HostEvidence) -> Kill | None:
    """certain: counted in the server's own cgroup or container, so it is of the present run."""
    facts = case.facts
    if facts is None:
        return None
    line = kernel_line(case)
    own = case.settings.ollama_runtime != "process"
    found: list[Evidence] = [Evidence("kernel log", excerpt(line.line, 240))] if line else []
    counted = bool(facts.cgroup_oom_kills) and (own or line is not None)
    if counted:
        found.append(Evidence("cgroup memory.events", f"oom_kill {facts.cgroup_oom_kills}"))
    flagged = facts.container is not None and facts.container.oom_killed
    if flagged:
        found.append(Evidence("docker inspect", "OOMKilled true"))
    if not found:
        return None
    return Kill(_limit(case, line), tuple(found), certain=counted or flagged)


def kernel_line(case: HostEvidence) -> Hit | None:
    """The last kernel line that killed a process of Ollama, by its name, its pid or its cgroup."""
    kernel = case.facts.kernel if case.facts else None
    ours = _pids_in_our_cgroup(case)
    last = None
    for hit in signatures.hits("kernel", kernel):
        if hit.signature.id != "oom-kill":
            continue
        if hit.groups["comm"].startswith(COMMANDS) or hit.groups["pid"] in ours:
            last = hit
    return last


def _pids_in_our_cgroup(case: HostEvidence) -> set[str]:
    facts = case.facts
    assert facts is not None
    pids = {str(facts.process.pid)} if facts.process else set()
    marks = ["ollama.service"] + ([facts.container.id[:12]] if facts.container and facts.container.id else [])
    for hit in signatures.hits("kernel", facts.kernel):
        if hit.signature.id == "oom-constraint" and any(mark in hit.groups["task_memcg"] for mark in marks):
            pids.add(hit.groups["pid"])
    return pids


def _limit(case: HostEvidence, line: Hit | None) -> str:
    by_limit = line is None or line.groups.get("memcg", "").startswith("Memory")
    if case.settings.ollama_runtime == "docker":
        return "container-memory-limit-oom" if by_limit else "kernel-oom-kill"
    if case.settings.ollama_runtime == "systemd" and case.settings.ollama_memory_max and by_limit:
        return "systemd-memorymax-oom"
    memcg = next(
        (h.groups.get("memcg", "") for h in constraints(case) if line and h.groups["pid"] == line.groups["pid"]),
        "",
    )
    if memcg:
        return "systemd-memorymax-oom" if ".service" in memcg else "container-memory-limit-oom"
    return "kernel-oom-kill"


def constraints(case: HostEvidence) -> list[Hit]:
    kernel = case.facts.kernel if case.facts else None
    return [hit for hit in signatures.hits("kernel", kernel) if hit.signature.id == "oom-constraint"]


def verdict(case: HostEvidence, cause: str, summary: str, evidence: tuple[Evidence, ...]) -> Verdict:
    advice = ADVICE.get(cause, ADVICE["kernel-oom-kill"])
    if signatures.engine(case.seen.version) == "new" and cause == "ram-preflight-refused":
        advice = ADVICE["kernel-oom-kill"]
    if cause in OF_A_LIMIT and not case.settings.ollama_memory_max:
        advice = "raise the memory limit, which the inventory does not set, or choose a smaller model, then"
    action = case.repair("systemctl restart ollama")
    return Verdict(State.OUT_OF_MEMORY, summary, evidence, cause, f"{advice} {action}")


def answered_out_of_memory(case: HostEvidence) -> Verdict | None:
    """The API itself said so, or said `killed` and the host proves who did it."""
    for exchange in case.seen.exchanges:
        if went_well(exchange) and exchange.path != "/api/generate":
            continue
        hit = signatures.match("api", error_text(exchange))
        if hit is None:
            continue
        if hit.signature.id in OUT_OF_MEMORY:
            summary = f"a model does not fit: {excerpt(error_text(exchange), 120)}"
            return verdict(case, hit.signature.causes[0], summary, (exchange_evidence(exchange),))
        proof = kill(case)
        if proof and hit.signature.id in KILLED | {"runner-stopped"}:
            summary = "the kernel killed the model's runner for lack of memory"
            return verdict(case, proof.cause, summary, (exchange_evidence(exchange), *proof.evidence))
    return None


def logged_out_of_memory(case: HostEvidence) -> Verdict | None:
    """The server answers, but its last load ended for lack of memory."""
    failed, proof = case.log.failed_load, kill(case)
    others = "; another one loads" if case.log.loaded_since else ""
    if failed is not None and failed.signature.id in OUT_OF_MEMORY:
        evidence = (Evidence("server log", excerpt(failed.line, 240)), *(proof.evidence if proof else ()))
        which = "last load of a model" if case.log.loaded_since else "last model load"
        return verdict(case, failed.signature.causes[0], f"the {which} ended for lack of memory{others}", evidence)
    if failed is not None and proof is not None:
        evidence = (Evidence("server log", excerpt(failed.line, 240)), *proof.evidence)
        summary = f"the kernel killed the model's runner for lack of memory{others}"
        return verdict(case, proof.cause, summary, evidence)
    if proof is not None and proof.certain and case.log.recovered is None:
        summary = "the kernel killed a runner for lack of memory; a model listed as loaded may be dead"
        return verdict(case, proof.cause, summary, proof.evidence)
    return _restarted_after_kill(case, proof)


def _restarted_after_kill(case: HostEvidence, proof: Kill | None) -> Verdict | None:
    """systemd brought the server back by itself; a start by hand (NRestarts 0) is taken as a repair."""
    unit = case.facts.unit if case.facts else None
    before = case.log.previous
    if unit is None or before is None or unit.properties.get("NRestarts", "0") in {"0", ""}:
        return None
    by_systemd = before.signature.id in {"unit-oom", "unit-result-oom", "oomd-kill"}
    if not by_systemd and proof is None:
        return None
    evidence = (Evidence("journal", excerpt(before.line, 240)), *(proof.evidence if proof else ()))
    cause = proof.cause if proof else before.signature.causes[0]
    return verdict(case, cause, "the server was killed for lack of memory and restarted by systemd", evidence)


def down_by_memory(case: HostEvidence) -> Verdict | None:
    """Nothing listens, and the host says that memory is why."""
    if case.facts is None:
        return None
    proof = kill(case)
    evidence = _service_killed(case, proof) or _starting_anew(case)
    if not evidence:
        return None
    first = case.seen.failed
    seen = (exchange_evidence(first),) if first else ()
    cause = proof.cause if proof else "kernel-oom-kill"
    kernel = proof.evidence if proof else ()
    summary = "the server is down: it was killed for lack of memory"
    return verdict(case, cause, summary, (*seen, *evidence, *kernel))


def _starting_anew(case: HostEvidence) -> tuple[Evidence, ...]:
    """systemd has started it again after the kill, and it does not listen yet."""
    last, unit = case.log.killed_after, case.facts.unit if case.facts else None
    if last is None or unit is None or not unit.active or unit.properties.get("NRestarts", "0") in {"0", ""}:
        return ()
    return (Evidence("journal", excerpt(last.line, 240)),)


def _service_killed(case: HostEvidence, proof: Kill | None) -> tuple[Evidence, ...]:
    facts = case.facts
    assert facts is not None
    unit = facts.unit.properties if facts.unit else {}
    result = unit.get("Result", "")
    if result == "oom-kill" or (result == "signal" and proof and unit.get("ExecMainStatus") == "9"):
        return (Evidence("systemctl show", f"Result={result} ActiveState={unit.get('ActiveState', '?')}"),)
    if facts.container is not None and facts.container.oom_killed and facts.container.state != "running":
        return (Evidence("docker inspect", f"State {facts.container.state}, OOMKilled true"),)
    if case.settings.ollama_runtime == "process" and facts.process is None and not case.log.stopped:
        last = case.log.failed_load
        if last is not None and (last.signature.id in OUT_OF_MEMORY or proof):
            return (Evidence("server log", excerpt(last.line, 240)),)
        line = kernel_line(case)
        if line is not None and line.groups["comm"].startswith("ollama"):
            return (Evidence("process list", "no Ollama server runs"),)
    return ()
