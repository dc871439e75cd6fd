"""The server's own parts: GPU libraries and llama-server."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, heard
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence

BACKENDS = {"nvidia": "cuda", "amd": "rocm"}


def gpu_library_missing(case: HostEvidence) -> Finding | None:
    """Ollama's libraries for this GPU, or its llama-server, are not there.

    Since 0.30 models run in a second program, llama-server, beside the libraries; copying the one binary `ollama` is
    not enough. ROCm comes as a second archive, and with Docker as a second image.

    Signals:
    - `llama-server binary not found (checked: …)`, `no suitable llama servers found`, `exit status 127`
    - models on the CPU, and no error

    Not to be confused with:
    - nvidia-driver-too-old: there the libraries are there, and the driver cannot run them.

    Sources:
    - docs/linux.mdx of Ollama
    - https://github.com/peyanski/ollama-ha/issues/6
    - https://github.com/alpine-docker/ollama/pull/13
    """
    facts = case.facts
    missing = _no_runner(case)
    if missing is not None:
        return Finding("llama-server, in which models run, is not there", (missing,), values=_place(case))
    wanted = BACKENDS.get(proof.vendor(case), "")
    link = case.gpu_link
    if facts is None or not wanted or not proof.unused(case) or link is None or link.link not in {"server", "model"}:
        return None
    names = case.traces.libraries
    if names is not None and not any(name.startswith(wanted) for name in names):
        listed = ", ".join(name for name in names if "/" not in name and not name.startswith("lib")) or "nothing"
        evidence = Evidence("lib/ollama", listed)
        return proof.found(
            case, f"the release has no {wanted} libraries", evidence, proof.seen(case, link), values=_place(case)
        )
    image = facts.container.image if facts.container else ""
    if wanted == "rocm" and image and "rocm" not in image:
        evidence = Evidence("docker inspect", f"image {image}")
        summary = "the image has no ROCm libraries; AMD needs the one with -rocm"
        return proof.found(case, summary, evidence, proof.seen(case, link), steps=_IMAGE)
    if link.id != "gpu-library-missing":
        return None
    summary = "Ollama's search for GPUs failed with this library directory"
    return proof.found(case, summary, proof.seen(case, link), confidence=Confidence.POSSIBLE, values=_place(case))


def _no_runner(case: HostEvidence) -> Evidence | None:
    for exchange in case.seen.exchanges:
        hit = signatures.match("api", error_text(exchange))
        if hit is not None and hit.signature.id == "llama-server-missing":
            return heard(exchange)
    hit = proof.said(case, "llama-server-missing")
    if hit is not None and not case.seen.loaded:
        return proof.line(hit)
    names = case.traces.libraries
    new = signatures.engine(case.seen.version) == "new"
    running = any("llama-server" in process.command for process in case.traces.processes or ())
    if not names or not new or running or case.seen.loaded or any(name.startswith("llama-server") for name in names):
        return None
    return Evidence("lib/ollama", f"no llama-server in it: {excerpt(', '.join(names), 160)}")


def _place(case: HostEvidence) -> dict[str, str]:
    """What to remove so that the release is unpacked anew."""
    program = case.facts.process.exe if case.facts and case.facts.process else ""
    place, inside, _ = program.rpartition("/bin/ollama")
    return {"release": (place if "/ollama/" in place else f"{place}/lib/ollama") if inside else "/usr/local/lib/ollama"}


_APPLY = Step("Unpack it anew.", "{up}")
_IMAGE = (
    Step(
        "Take the image that ends in -rocm (`ollama_image`, or leave it to reaper_ops), then make the container anew.",
        "{up}",
        Automate.ASK,
        "apply",
    ),
)

RULES = (
    Rule(
        gpu_library_missing,
        Severity.ERROR,
        steps=(
            Step("Remove the incomplete release; models are not in it.", "sudo rm -rf {release}"),
            _APPLY,
        ),
        explains=("gpu-not-used", "runner-crash-other", "cpu-fallback", "degraded", "http-error"),
        needs=("journal.log",),
    ),
)
