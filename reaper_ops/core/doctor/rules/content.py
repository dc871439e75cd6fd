"""All three steps answered: are the promised models there, on the GPU, and does one really answer?"""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.rules import gpu_chain
from reaper_ops.core.doctor.rules.case import HostEvidence, Verdict, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.http import overloaded
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import full_model_name, human_bytes


def model_missing(case: HostEvidence) -> Verdict | None:
    if case.seen.models is None:
        return None
    there = {full_model_name(model.name) for model in case.seen.models}
    missing = [name for name in case.expected if full_model_name(name) not in there]
    if not missing:
        return None
    first = missing[0] + (f" and {len(missing) - 1} more" if len(missing) > 1 else "")
    listed = ", ".join(model.name for model in case.seen.models) or "no model"
    return Verdict(
        State.MODEL_MISSING,
        f"{len(missing)} of {len(case.expected)} promised models are not there: {first}",
        (Evidence("GET /api/tags", f"missing {', '.join(missing)}; has {excerpt(listed)}"),),
        "model-not-found",
        case.repair("ollama pull {model}", model=missing[0]),
    )


def wants_gpu(case: HostEvidence) -> bool:
    vendor = case.settings.gpu_vendor
    if vendor == "auto":
        return case.facts is not None and case.facts.gpu.vendor() != "none"
    return vendor != "none"


def cpu_fallback(case: HostEvidence) -> Verdict | None:
    if not wants_gpu(case):
        return None
    evidence = [
        Evidence("GET /api/ps", f"{row.name}: size_vram 0 of {human_bytes(row.size or 0)}")
        for row in case.seen.loaded or ()
        if row.size and row.size_vram == 0
    ]
    compute = case.log.compute
    if compute is not None and compute.groups["library"].lower() == "cpu":
        evidence.append(Evidence("server log", excerpt(compute.line, 200)))
    if not evidence:
        return None
    why = case.log.gpu
    if why is not None:
        evidence.append(Evidence("server log", excerpt(why.line, 200)))
    return Verdict(
        State.CPU_FALLBACK,
        "the host has a GPU, and models run on the CPU",
        tuple(evidence),
        why.signature.causes[0] if why else "gpu-not-used",
        f"{case.look()} | grep -i -e 'inference compute' -e discover -e driver",
    )


def broken_chain(case: HostEvidence) -> Verdict | None:
    """The first broken link between the PCI slot and the model; a fault only where a GPU is desired."""
    link = gpu_chain.first_broken_link(case.settings, case.facts) if case.facts else None
    if link is None or not (case.settings.gpu_require or case.settings.gpu_vendor in {"nvidia", "amd"}):
        return None
    return Verdict(
        State.CPU_FALLBACK,
        f"a GPU is desired, and its chain is broken at {link.link}: {link.missing}",
        (Evidence(f"GPU chain, {link.link}", link.seen),),
        link.id,
        link.next_step,
    )


def partial_offload(case: HostEvidence) -> Verdict | None:
    parts = [row for row in case.seen.loaded or () if row.size and row.size_vram and row.size_vram < row.size]
    if not parts:
        return None
    row = parts[0]
    assert row.size is not None
    assert row.size_vram is not None
    share = 100 * row.size_vram // row.size
    return Verdict(
        State.PARTIAL_OFFLOAD,
        f"{row.name} is only {share} % in GPU memory; the rest runs on the CPU, slowly",
        tuple(
            Evidence(
                "GET /api/ps",
                f"{r.name}: size_vram {human_bytes(r.size_vram or 0)} of {human_bytes(r.size or 0)}, "
                f"context {r.context or 'unknown'}",
            )
            for r in parts
        ),
        "partial-cpu-offload",
        f"lower `ollama_context_length` or choose a smaller model, then {case.repair('systemctl restart ollama')}",
    )


def does_not_answer(case: HostEvidence) -> Verdict | None:
    """`--deep`: a model that is listed as loaded was asked for one token."""
    exchange = next((e for e in case.seen.exchanges if e.path == "/api/generate"), None)
    if exchange is None or case.seen.answer is None or case.seen.answer.done:
        return None
    if exchange.status == 503:
        return overloaded(case, exchange)
    if exchange.error == "timeout":
        return Verdict(
            State.DEGRADED,
            "a loaded model gave no token in time: its runner hangs, or is busy with other requests",
            (exchange_evidence(exchange),),
            None,
            f"{case.ours('probe')} --deep; if it stays so, {case.look()}",
        )
    hit = signatures.match("api", error_text(exchange))
    if hit is not None and hit.signature.id == "capability" and exchange.status == 400:
        return None
    said = excerpt(case.seen.answer.error, 100) or exchange.error or f"HTTP {exchange.status}"
    return Verdict(
        State.DEGRADED,
        f"a model that is listed as loaded does not answer: {said}",
        (exchange_evidence(exchange), *_unproven(case)),
        hit.signature.causes[0] if hit and hit.signature.id not in signatures.KILLED else "runner-crash-other",
        case.look(),
    )


def killed_for_unknown_reason(case: HostEvidence) -> Verdict | None:
    """`signal: killed` in the log without the kernel's word: a person, a script or a lost kernel log."""
    failed = case.log.failed_load
    if failed is None or failed.signature.id not in signatures.KILLED:
        return None
    if case.log.loaded_since and case.facts is not None and case.facts.kernel is not None:
        return None  # the kernel did not do it, and the server works
    return Verdict(
        State.DEGRADED,
        "a runner was killed, and nothing proves that memory was the reason",
        (Evidence("server log", excerpt(failed.line, 240)), *_unproven(case)),
        "runner-crash-other",
        case.on_host("sudo dmesg -T | grep -i -e 'killed process' -e oom"),
    )


def _unproven(case: HostEvidence) -> tuple[Evidence, ...]:
    if case.facts is None:
        return ()
    unread = case.facts.unread.get("kernel")
    if unread:
        return (Evidence("kernel log", f"not readable: {excerpt(unread, 100)}"),)
    if case.facts.kernel is not None:
        return (Evidence("kernel log", "no OOM kill of Ollama in it"),)
    return ()
