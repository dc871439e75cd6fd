"""Lines that carry a code or a name of CUDA, NVML or systemd, read by the tables of those."""

from __future__ import annotations

import re
from collections.abc import Iterator

from reaper_ops.core.doctor.finding import Confidence, Step
from reaper_ops.core.doctor.rules.reported import cuda_steps, unit_steps
from reaper_ops.core.doctor.rules.reported.statement import Statement
from reaper_ops.core.doctor.signatures.prefilter import Prefilter
from reaper_ops.core.doctor.tables import cuda, nvml, systemd_exit
from reaper_ops.core.doctor.tables.meaning import Meaning

MARKS = re.compile(r"(?i)cuda|cudart|cuinit|nvml|nvidia-smi|status=|status \d{3}\b|failed at step")
_PREFILTER = Prefilter(MARKS)
_CODE = re.compile(
    r"(?i)(?:(?:cudart|driver library) init failure|memory info lookup failure|failed to get device context"
    r"|cudaSetDevice err\w{0,2}"
    r"|cuInit(?:\(0\))?(?: err| failed| returned| error)?(?: with)?(?: code| error)?|CUDA(?: driver| runtime)? error"
    r"|CUresult|cudaError(?:_t)?)[:= (]{1,4}(?P<code>\d{1,3})(?!\d)"
)
_NAME = re.compile(r"\b(?:CUDA_ERROR_[A-Z_]{3,60}|cudaError[A-Z][A-Za-z]{3,60})\b")
_TEXT = re.compile(r"(?:CUDA error: |failed to initialize CUDA: |cudaGetDeviceCount[^:]{0,40}: )(?P<text>[^\n]{4,160})")
_NVML = re.compile(
    r"(?:Failed to initialize NVML: |NVIDIA-SMI has failed because |Unable to determine the device handle)"
    r"(?P<text>[^\n]{0,160})"
)
_NVML_CODE = re.compile(r"(?:nvml \w{1,10} init failure|nvmlInit\w{0,4} err): (?P<code>\d{1,3})(?!\d)")
_EXIT = re.compile(
    r"status[=:] ?(?P<code>\d{3})(?:/(?P<name>[A-Z_]{3,40}))?|exit(?:ed with)? (?:code|status) (?P<shell>12[67])\b"
)
_STEP = re.compile(r"Failed at step (?P<name>[A-Z_]{3,40}) spawning (?P<program>[^:]{1,300}): (?P<why>[^\n]{1,160})")
_UNIT = re.compile(r"(?<!\S)(?P<unit>[\w@.\\-]{1,200}\.service)\b")
OF_SHELL = {126: "program-not-executable", 127: "shared-library-missing"}
OTHER_UNIT = re.compile(r"ollama|llama", re.I)


def read(source: str, line: str) -> Iterator[Statement]:
    if not _PREFILTER.may_match(line) or MARKS.search(line) is None:
        return
    yield from _cuda(source, line)
    yield from _nvml(source, line)
    yield from _systemd(source, line)


def _cuda(source: str, line: str) -> Iterator[Statement]:
    code = _cuda_code(line)
    known = cuda.CODES.get(code) if code is not None else None
    if code is None or known is None or not known.cause:
        return
    summary = f"CUDA fails with code {code} ({known.text})"
    sure = Confidence.CERTAIN if known.sure else Confidence.LIKELY
    said = f"{summary}{_MEANS.get(code, '')}"
    yield Statement(known.cause, said, line, source, sure, {"code": str(code)}, cuda_steps.BY_CODE.get(code))


_MEANS = {
    3: ": the kernel module nvidia_uvm does not work",
    35: ": NVIDIA's driver is too old for these libraries",
    46: ": another program holds the GPU for itself, or the GPU is in exclusive mode",
    100: ": the server sees no NVIDIA GPU",
    102: ": the vGPU has no license",
    209: ": the libraries are not built for this card",
    222: ": NVIDIA's driver is too old for these libraries",
    800: ": the container lost its GPU devices, or was never allowed to use them",
    801: ": the CUDA library does not fit this driver, as on a Jetson",
    802: ": the fabric manager of a machine with NVSwitch does not run, or is of another version than the driver",
    803: ": NVIDIA's libraries and the loaded kernel module have different versions",
    804: ": the CUDA compatibility libraries do not support this card",
    999: ": the kernel module nvidia_uvm is unusable, as after suspend",
}


def _cuda_code(line: str) -> int | None:
    found = _CODE.search(line)
    if found:
        return int(found["code"])
    named = _NAME.search(line)
    if named and named[0] in cuda.NAMES:
        return cuda.NAMES[named[0]]
    text = _TEXT.search(line)
    return cuda.by_text(text["text"]) if text else None


def _nvml(source: str, line: str) -> Iterator[Statement]:
    coded = _NVML_CODE.search(line)
    known = nvml.TEXTS.get(nvml.BY_CODE.get(int(coded["code"]), "")) if coded else None
    if known is not None:
        yield _of(known, known.text, source, line, {})
    found = _NVML.search(line)
    if found is None:
        return
    text = found[0]
    for mark, known in nvml.TEXTS.items():
        if mark.lower() in text.lower():
            yield _of(known, known.text, source, line, {})
            return


def _of(known: Meaning, summary: str, source: str, line: str, values: dict[str, str]) -> Statement:
    sure = Confidence.CERTAIN if known.sure else Confidence.LIKELY
    return Statement(known.cause, summary, line, source, sure, values)


def _systemd(source: str, line: str) -> Iterator[Statement]:
    named = _UNIT.search(line)
    if named and OTHER_UNIT.search(named["unit"]) is None:
        return
    failed = _STEP.search(line)
    if failed and failed["name"] in systemd_exit.BY_NAME:
        code = systemd_exit.BY_NAME[failed["name"]]
        yield _not_started(code, source, line, failed["program"], failed["why"])
        return
    found = _EXIT.search(line)
    if found is None:
        return
    code = int(found["code"] or found["shell"])
    if code in systemd_exit.STEPS and (found["name"] or "code=exited" in line):
        yield _not_started(code, source, line, "", "")
    elif code in systemd_exit.SHELL:
        runner = code == 127 and "rocess exited" not in line
        yield Statement(
            "gpu-library-missing" if runner else OF_SHELL[code],
            f"exit status {code}: {systemd_exit.SHELL[code]}",
            line,
            source,
        )


def _not_started(code: int, source: str, line: str, program: str, why: str) -> Statement:
    name, means = systemd_exit.STEPS[code]
    about = f" ({program}: {why})" if program else ""
    summary = f"systemd cannot start the server, status {code}/{name}: {means}{about}"
    steps: tuple[Step, ...] = unit_steps.of(name, why)
    return Statement("systemd-exec-failed", summary, line, source, Confidence.CERTAIN, {"program": program}, steps)
