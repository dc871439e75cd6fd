"""What the rules of this group share: the first broken link, the last start in the log, timestamps."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_chain, gpu_server
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.gpu_link import Link
from reaper_ops.core.doctor.signatures.model import Hit
from reaper_ops.core.health.report import Evidence, State
from reaper_ops.core.values import human_bytes

SOURCES = {
    "pci": "/sys/bus/pci",
    "module": "/sys/bus/pci",
    "nodes": "/dev",
    "tool": "nvidia-smi",
    "driver": "nvidia-smi",
    "toolkit": "docker info",
    "container": "docker inspect",
    "server": "server log",
    "model": "GET /api/ps",
}
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)")


def desired(case: HostEvidence) -> bool:
    """Whether the inventory asks for a GPU; otherwise one that is there may be used or left alone."""
    return case.settings.gpu_require or case.settings.gpu_vendor in {"nvidia", "amd"}


def vendor(case: HostEvidence) -> str:
    return gpu_chain.vendor(case.settings, case.facts) if case.facts else "none"


def unused(case: HostEvidence) -> bool:
    """No model is in GPU memory, and the server did not start with a GPU."""
    facts = case.facts
    return facts is not None and not gpu_server.in_gpu_memory(facts) and not gpu_server.started_with_gpu(facts)


def broken(case: HostEvidence, id_: str) -> Link | None:
    link = case.gpu_link
    return link if link is not None and link.id == id_ else None


def link_evidence(case: HostEvidence, link: Link) -> Evidence:
    """The broken link as evidence; of the server's log the whole line."""
    text = link.seen
    if link.link == "server":
        lines = gpu_server.last_start((case.facts.journal if case.facts else None) or "").splitlines()
        text = next((row for row in lines if link.seen in row), text)
    source = "/sys/class/kfd" if link.link == "driver" and vendor(case) == "amd" else SOURCES.get(link.link, link.link)
    return Evidence(source, excerpt(text))


def finding(
    case: HostEvidence,
    summary: str,
    *evidence: Evidence,
    confidence: Confidence = Confidence.CERTAIN,
    values: Mapping[str, str] | None = None,
    steps: tuple[Step, ...] | None = None,
    severity: Severity | None = None,
) -> Finding:
    """An error where a GPU is desired or the host is unhealthy, otherwise a warning."""
    harm = desired(case) or case.state is not State.HEALTHY
    return Finding(
        summary,
        tuple(dict.fromkeys((*evidence, *on_cpu(case)))),
        confidence,
        values or {},
        severity or (Severity.ERROR if harm else Severity.WARNING),
        steps,
    )


def on_cpu(case: HostEvidence) -> tuple[Evidence, ...]:
    """The model that runs on the CPU, if one does."""
    rows = [row for row in case.seen.loaded or () if row.size and row.size_vram == 0]
    return tuple(
        Evidence("GET /api/ps", f"{row.name}: size_vram 0 of {human_bytes(row.size or 0)}") for row in rows[:1]
    )


def log_line(case: HostEvidence, id_: str) -> Hit | None:
    """The last line of the server's present run with that signature."""
    journal = (case.facts.journal if case.facts else None) or ""
    if not signatures.stands_in(id_, journal):
        return None
    lines = [hit for hit in signatures.hits("log", gpu_server.last_start(journal)) if hit.signature.id == id_]
    return lines[-1] if lines else None


def kernel_lines(case: HostEvidence, id_: str) -> list[Hit]:
    return [
        hit for hit in signatures.hits("kernel", case.facts.kernel if case.facts else None) if hit.signature.id == id_
    ]


def as_evidence(hit: Hit, source: str = "server log") -> Evidence:
    return Evidence(source, excerpt(hit.line))


def timestamp(text: str) -> datetime | None:
    """The first moment with a time zone in a line."""
    stamp = _TIMESTAMP.search(text)
    return datetime.fromisoformat(stamp[0]) if stamp else None


def server_start(case: HostEvidence) -> datetime | None:
    """When the server's present run began, by its log."""
    return timestamp(case.log.listening.line) if case.log.listening else None


def since_start(case: HostEvidence, hit: Hit) -> bool:
    """Whether a line is younger than the server's present run; true where no time is known."""
    then, start = timestamp(hit.line), server_start(case)
    return then is None or start is None or then >= start
