"""What lines show only together: what the server was given, found and used."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reaper_ops.core.doctor.finding import Confidence
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported import gpu_steps as steps
from reaper_ops.core.doctor.rules.reported.statement import Statement
from reaper_ops.core.doctor.rules.reported.texts import SERVER, lines

GIB = 1 << 30
_UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_CONFIG = re.compile(r'msg="server config" env="map\[(?P<env>.{0,4000})')
_VISIBLE = re.compile(
    r"(?P<name>CUDA_VISIBLE_DEVICES|HIP_VISIBLE_DEVICES|ROCR_VISIBLE_DEVICES"
    r"|GGML_VK_VISIBLE_DEVICES|GPU_DEVICE_ORDINAL):(?P<value>[^\s\]]{1,200})"
)
_COMPUTE = re.compile(r'msg="inference compute" id=.{1,280}?library=(?P<library>\w{1,20})(?P<rest>.{0,600})')
_SIZES = re.compile(
    r'total="(?P<total>[\d.]{1,12}) (?P<tu>[KMGT]?i?B)" available="(?P<free>[\d.]{1,12}) (?P<fu>[KMGT]?i?B)"'
)
_LAYERS = re.compile(
    r"offloaded (?P<layers>\d{1,4})/(?P<all>\d{1,4}) layers to GPU"
    r"|offload to (?!cpu)\w{2,10}\".{0,60}? layers\.model=(?P<model>\d{1,4}) layers\.offload=(?P<part>\d{1,4})"
)
"""By llama.cpp, and by the scheduler of 0.1 to 0.12."""
_CONTEXT = re.compile(r"n_ctx(?:_per_seq)?\s{0,10}= (?P<context>\d{1,9})")
_SKIPPED = re.compile(
    r"skipping CUDA device.{0,160}?device=\"?(?P<device>[^\"\n]{1,80}?)\"? cc=(?P<cc>\d{3,4})"
    r" archs=\"?\[(?P<archs>[\d ]{1,200})\]"
    r"(?P<rest>[^\n]{0,300})"
)
_BACKEND = re.compile(r"load_backend: loaded (?P<name>\w{1,20}) backend")
_NONE = re.compile(
    r"no GPU detected|no compatible GPUs were discovered|no nvidia devices detected"
    r"|inference compute\" id=\S{1,40} library=cpu"
)
_FAILS = re.compile(r"level=(?:ERROR|FATAL)|(?:^|\s)(?:Error|panic|fatal error):? |process has terminated|\| 5\d\d \|")
SHARED = re.compile(r"type=iGPU|integrated", re.I)


def read(case: HostEvidence) -> Iterator[Statement]:
    rows = [line for source, line in lines(case) if source == SERVER]
    yield from _hidden(rows)
    yield from _skipped(rows)
    yield from _held(rows)
    yield from _layers(rows)
    yield from _cpu_backend(case, rows)
    yield from _found_none(case, rows)


def _hidden(rows: list[str]) -> Iterator[Statement]:
    """Every name that hides all cards; a list of names says nothing by itself."""
    for row in rows:
        config = _CONFIG.search(row)
        for found in _VISIBLE.finditer(config["env"]) if config else ():
            if found["value"].split(",")[0] in {"-1", "none", "NoDevFiles", "void"}:
                variable = f"{found['name']}={found['value']}"
                summary = f"{variable} hides every GPU from the server"
                yield Statement(
                    "visible-devices-misset",
                    summary,
                    f"server config: {variable}",
                    SERVER,
                    Confidence.CERTAIN,
                    {"variable": found["name"]},
                    steps.unset(found["name"]),
                )


def _skipped(rows: list[str]) -> Iterator[Statement]:
    """A card that one set of libraries leaves out; the other set may carry it."""
    if any((found := _COMPUTE.search(row)) and found["library"].lower() in {"cuda", "vulkan"} for row in rows):
        return
    skips = [(row, found) for row in rows if (found := _SKIPPED.search(row))]
    by_both = any("cuda_v12" in found["rest"] for _, found in skips)
    for row, found in skips:
        capability, newest = int(found["cc"]), [int(word) for word in found["archs"].split()]
        shown = f"{found['device']} (compute capability {capability // 100}.{capability % 100 // 10})"
        if capability < 500:
            summary = f"Ollama's CUDA libraries are not built for {shown}"
            yield Statement("compute-capability-unsupported", summary, row, SERVER, Confidence.CERTAIN)
        elif not by_both and "cuda_v13" in found["rest"] and newest and capability < min(newest):
            summary = f"cuda_v13 is not built for {shown}; cuda_v12 is, and was not used or is not installed"
            yield Statement("gpu-library-missing", summary, row, SERVER, Confidence.LIKELY, {}, steps.OTHER_LIBRARY)
        else:
            summary = f"the CUDA libraries of this release are not built for {shown}"
            yield Statement("compute-capability-unsupported", summary, row, SERVER)


def other_library(case: HostEvidence) -> bool:
    """Whether the card was left out by libraries beside which another set carries it."""
    rows = [line for source, line in lines(case) if source == SERVER]
    return any(said.cause == "gpu-library-missing" for said in _skipped(rows))


def _size(number: str, unit: str) -> float:
    return float(number) * _UNITS.get(unit, 1) if number.count(".") <= 1 and number.strip(".") else 0.0


def _held(rows: list[str]) -> Iterator[Statement]:
    """At its start the server has loaded nothing, so what is not free belongs to others."""
    for row in rows:
        found = _COMPUTE.search(row)
        if found is None or found["library"].lower() == "cpu" or SHARED.search(row):
            continue
        sizes = _SIZES.search(found["rest"])
        if sizes is None:
            continue
        total, free = _size(sizes["total"], sizes["tu"]), _size(sizes["free"], sizes["fu"])
        if total > 0 and total - free > max(2 * GIB, 0.2 * total):
            held = (total - free) / GIB
            summary = (
                f"other programs hold {held:.1f} GiB of the GPU's memory: at the server's start "
                f"{free / GIB:.1f} of {total / GIB:.1f} GiB were free"
            )
            yield Statement("vram-held-by-others", summary, row, SERVER, Confidence.LIKELY, {}, steps.HELD)


def _layers(rows: list[str]) -> Iterator[Statement]:
    last = next((found for row in reversed(rows) if (found := _LAYERS.search(row))), None)
    if last is None:
        return
    on_gpu, whole = last["layers"] or last["part"], last["all"] or last["model"]
    if on_gpu == whole:
        return
    context = next((found["context"] for row in reversed(rows) if (found := _CONTEXT.search(row))), "")
    why = f", with a context of {context} tokens" if context else ""
    line = next(row for row in reversed(rows) if last[0] in row)
    smaller = str(max(2048, int(context) // 2)) if context else ""
    values = {"context": smaller} if smaller else {}
    if on_gpu == "0":
        summary = f"none of the model's {whole} layers is on the GPU{why}"
        yield Statement(
            "partial-cpu-offload", summary, line, SERVER, Confidence.POSSIBLE, values, steps.smaller(smaller)
        )
        return
    summary = f"only {on_gpu} of {whole} layers are on the GPU{why}; the CPU computes the rest"
    yield Statement("partial-cpu-offload", summary, line, SERVER, Confidence.CERTAIN, values, steps.smaller(smaller))


def _cpu_backend(case: HostEvidence, rows: list[str]) -> Iterator[Statement]:
    """A card was found, and the runner then loaded no library for it."""
    names = {found["name"] for row in rows if (found := _BACKEND.search(row))}
    started = any((c := _COMPUTE.search(row)) and c["library"].lower() != "cpu" for row in rows)
    there = bool(case.facts and (case.facts.gpu.nvidia or case.facts.gpu.amd))
    if names != {"CPU"} or not (started or there):
        return
    line = next(row for row in rows if _BACKEND.search(row))
    summary = "the runner loaded only the CPU backend, although the host has a GPU"
    yield Statement("gpu-library-missing", summary, line, SERVER, Confidence.LIKELY, {}, steps.OTHER_LIBRARY)


def _found_none(case: HostEvidence, rows: list[str]) -> Iterator[Statement]:
    """A pasted start without a GPU, and nothing else that fails in it: who asks about it misses the GPU."""
    if not case.traces.shown or any(_FAILS.search(row) for row in rows):
        return
    if any((c := _COMPUTE.search(row)) and c["library"].lower() != "cpu" for row in rows):
        return
    found = next((row for row in reversed(rows) if _NONE.search(row)), None)
    if found is not None:
        summary = "the server found no GPU when it started, so models run on the CPU"
        yield Statement("gpu-not-used", summary, found, SERVER, Confidence.POSSIBLE, {}, steps.HAND_OVER)
