"""The server's own parts: GPU libraries and llama-server."""

from __future__ import annotations

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt, exchange_evidence
from reaper_ops.core.doctor.rules.gpu import proof
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.health.probe import error_text
from reaper_ops.core.health.report import Evidence

BACKENDS = {"nvidia": "cuda", "amd": "rocm"}
NAMES = {"cuda": "CUDA", "rocm": "ROCm"}


def gpu_library_missing(case: HostEvidence) -> Finding | None:
    """Ollama's libraries for this GPU, or its llama-server, are missing.

    Since 0.30 models run in a second program, llama-server, which lies with the libraries; it is not enough to copy the
    binary `ollama`. ROCm comes in a second archive, and for Docker in a second image.

    Signals:
    - `llama-server binary not found (checked: …)`, `no suitable llama servers found`, `exit status 127`
    - models run on the CPU, without any error

    Not to be confused with:
    - nvidia-driver-too-old: the libraries are installed, but the driver cannot run them.

    Sources:
    - docs/linux.mdx of Ollama
    - https://github.com/peyanski/ollama-ha/issues/6
    - https://github.com/alpine-docker/ollama/pull/13
    """
    facts = case.facts
    missing = _no_runner(case)
    if missing is not None:
        summary = "llama-server, the program that runs models, is missing"
        return Finding(summary, (missing,), values=_release(case), steps=_steps(case))
    wanted = BACKENDS.get(proof.vendor(case), "")
    link = case.gpu_link
    if facts is None or not wanted or not proof.unused(case) or link is None or link.link not in {"server", "model"}:
        return None
    names = case.traces.libraries
    if names is not None and not any(name.startswith(wanted) for name in names):
        listed = ", ".join(name for name in names if "/" not in name and not name.startswith("lib")) or "nothing"
        listing = Evidence("lib/ollama", listed)
        summary = f"the installed release has no {NAMES[wanted]} libraries"
        return proof.finding(
            case, summary, listing, proof.link_evidence(case, link), values=_release(case), steps=_steps(case)
        )
    image = facts.container.image if facts.container else ""
    if wanted == "rocm" and image and "rocm" not in image:
        evidence = Evidence("docker inspect", f"image {image}")
        summary = "the image has no ROCm libraries; an AMD GPU needs the image whose tag ends in -rocm"
        return proof.finding(case, summary, evidence, proof.link_evidence(case, link), steps=_IMAGE)
    if link.id != "gpu-library-missing":
        return None
    summary = "llama-server failed while it searched for GPUs; a library may be missing"
    evidence, steps = proof.link_evidence(case, link), (*_which(case), *_steps(case))
    sure = Confidence.POSSIBLE
    return proof.finding(case, summary, evidence, confidence=sure, values=_release(case), steps=steps)


def _no_runner(case: HostEvidence) -> Evidence | None:
    for exchange in case.seen.exchanges:
        hit = signatures.match("api", error_text(exchange))
        if hit is not None and hit.signature.id == "llama-server-missing":
            return exchange_evidence(exchange)
    hit = proof.log_line(case, "llama-server-missing")
    if hit is not None and not case.seen.loaded:
        return proof.as_evidence(hit)
    names = case.traces.libraries
    new = signatures.engine(case.seen.version) == "new"
    running = any("llama-server" in process.command for process in case.traces.processes or ())
    if not names or not new or running or case.seen.loaded or any(name.startswith("llama-server") for name in names):
        return None
    return Evidence("lib/ollama", f"no llama-server among {excerpt(', '.join(names), 160)}")


def _release(case: HostEvidence) -> dict[str, str]:
    """release: what to move aside so that the release is unpacked again. path: its library directory."""
    program = case.facts.process.exe if case.facts and case.facts.process else ""
    prefix, inside, _ = program.rpartition("/bin/ollama")
    libraries = f"{prefix}/lib/ollama" if inside else "/usr/local/lib/ollama"
    return {"release": prefix if inside and "/ollama/" in prefix else libraries, "path": libraries}


def _steps(case: HostEvidence) -> tuple[Step, ...]:
    """An image is replaced, a release is unpacked again; what others installed, they install again."""
    if case.settings.ollama_runtime == "docker":
        return (_OFFICIAL,)
    if not case.settings.ollama_managed:
        return (Step("Install this version again from its whole archive, lib/ollama included."), _RESTART)
    sudo = "" if case.settings.ollama_runtime == "process" else "sudo "
    return (Step(_ASIDE, f"{sudo}mv -T {{release}} {{release}}.incomplete"), _APPLY)


def _which(case: HostEvidence) -> tuple[Step, ...]:
    text = "Find the library that llama-server does not find."
    ldd = "ldd {path}/llama-server | grep 'not found'"
    return (Step(text, f"docker exec ollama {ldd}" if case.settings.ollama_runtime == "docker" else ldd),)


_ASIDE = "Move the incomplete release aside; it holds no models, and can go when the new one works."
_APPLY = Step("Install the release again.", "{up}")
_RESTART = Step("Restart Ollama.", "{restart}", Automate.ASK, "restart")
_OFFICIAL = Step(
    "Use an image that holds llama-server and the GPU libraries: set `ollama_image`, or remove it to get the official"
    " image. Then apply it.",
    "{up}",
    Automate.ASK,
    "apply",
)
_IMAGE = (
    Step(
        "Set `ollama_image` to a tag that ends in -rocm, or remove it so that reaper_ops chooses. Then apply it.",
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
            Step(_ASIDE),
            _APPLY,
        ),
        explains=("gpu-not-used", "runner-crash-other", "cpu-fallback", "degraded", "http-error"),
        needs=("journal.log",),
    ),
)
