"""Logs: the server's own of every generation with systemd's lines about it, the kernel's, and what others say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace

from reaper_ops.core.doctor import signatures
from reaper_ops.core.doctor.paste import clients
from reaper_ops.core.doctor.paste.block import Block, Kind
from reaper_ops.core.doctor.paste.evidence import KERNEL, LOG, RING, PastedEvidence
from reaper_ops.core.doctor.paste.line import PastedLine
from reaper_ops.core.doctor.rules.reported import codes
from reaper_ops.core.facts.reported import HTTP, ClientError

SERVER = re.compile(
    r"(?:time=\S{8,40} )?level=[A-Z]{4,5}\b|\[GIN(?:-debug)?\] "
    r"|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d [\w./]{1,64}\.go:\d|\d{4}/\d\d/\d\d \d\d:\d\d:\d\d (?:images|routes"
    r"|download|proto)"
    r"|(?:ggml|llama|gguf|clip|mtmd|llm_load|common|server|cuda|rocm|tokenizer|alloc|model_load|ollama_llama)[_-]\w{1,64}"
    r"(?:\([^)]{0,64}\))?: "
    r"|(?:~?llama\w{0,40}|load_(?:backend|tensors|all_data|model|vocab)|print_info|init_tokenizer|system_info|graph_reserve"
    r"|sched_reserve|set_abort_callback|create_(?:memory|tensor)|done_getting_tensors|build_backend|update_slots|srv|slot"
    r"|memory_breakdown_print|main|llama-server|ggml|tensor \S{1,64}|que) {0,12}\w{0,32}: "
    r"|(?:CUDA|ROCm|HIP|Vulkan|rocBLAS|MUSA) error\b|rocBLAS error|GGML_ASSERT|ggml_abort|panic: |fatal error: "
    r"|goroutine \d{1,9} \[|SIG[A-Z]{3,5}: |PC=0x|terminate called|runtime: |cudaSetDevice|cuda driver library"
    r"|Memory access fault by GPU|Device \d{1,3}: |  {1,3}Device \d{1,3}: |\[DXGI\]|Discrete GPU \(|HW Exception by GPU"
    r"|Couldn't find '/|Your new public key is|Error: |Warning: |releasing \w{2,8} library|nvmlInit"
    r"|\d{1,6}\.\d\d\.\d{3}\.\d{3} [IWEDT] |(?:WARN|INFO|ERROR|DEBUG) {1,5}(?:\[|client|Load|\w{1,24} |msg)"
    r"|/\S{1,256}\.(?:cpp|cu|cuh|c|h|hpp|go):\d{1,6}: |\S{0,256}(?:ollama"
    r"|llama-server)(?:_\w{1,40})?: (?:error while|/|relocation"
    r"|symbol|cannot|No such|Permission|command not found)"
    r"|(?:ba|z|da)?sh: (?:line \d{1,4}: )?\S{0,128}ollama|Illegal instruction|Segmentation fault|Killed$|Aborted"
    r"|pulling (?:manifest|[0-9a-f]{12})|error loading model|unexpected (?:fault|server)|truncat|aborting completion"
    r"|Error response from daemon|dependency failed to start|OCI runtime|failed to (?:create|start) (?:task"
    r"|shim|container)"
    r"|nvidia-container-cli: |could not select device driver|listen tcp|\(ollama\)\["
)
OURS = re.compile(r"(?i)ollama|llama|^\(?systemd|^kernel$|docker|podman")
CONFIG = re.compile(r"msg=\"server config\" env=\"?map\[(.{0,4000})")
SET = re.compile(r"(?<![\w:/])([A-Za-z]\w{2,40}):([^\s\[\]\"]{1,500})")
AS_SET = frozenset(
    {"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GGML_VK_VISIBLE_DEVICES"}
    | {"GPU_DEVICE_ORDINAL", "HSA_OVERRIDE_GFX_VERSION", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}
    | {"OLLAMA_LLM_LIBRARY", "OLLAMA_MODELS"}
)
TOLD = re.compile(
    r"ECONN|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|Errno|Cannot connect to host|HTTPConnectionPool|curl: \(|dial tcp|x509: "
)
MOST = 500
READ_WHOLE = frozenset(
    {"API answer", "server log", "kernel log", "client error", "proxy log", "systemctl status", "ollama version"}
)
"""Blocks of which every line is read as what it says."""
SCOPES = ("any", "log", "pull", "api", "kernel")
WRAPS = re.compile(r"(?:time=\S{8,40} )?level=|(?:WARN|INFO|ERROR|DEBUG) ")
BROKEN = re.compile(r"\s{2,40}\S(?!.{0,40}level=)")
SYSTEMD = re.compile(
    r"\S{0,32}ollama\S{0,40}\.service: |(?:Start|Stopp)(?:ed|ing) [\w.@-]{0,24}(?:ollama|Ollama|[Ss]erver for)"
    r"|Failed (?:at step|to start|to set up|to execute|to determine)|Unit \S{1,64} entered failed|ollama\.service"
    r"|Main process exited|Start request repeated|Scheduled restart job"
)
KERNEL_LINE = re.compile(
    r"\[ {0,8}\d{1,9}\.\d{3,9}\] |NVRM: |Out of memory: |oom-kill:|Memory cgroup out of memory|amdgpu "
    r"|nvidia-uvm|nvidia "
    r"\d{4}:|BTRFS |EXT4-fs|XFS |swapon: |\[drm|kfd |Xid |traps: |INFO: task |perf: |systemd-oomd"
    r"|\w{1,32} invoked oom-killer"
)
GOES_ON = re.compile(
    r"\A(?:\s+\S|created by |\S{1,200}\(0x|\S{1,200}\({|[a-z0-9]{2,8} {1,8}0x[0-9a-f]+$|main\.main|github\.com/)"
)


def server(block: Block, into: PastedEvidence) -> bool:
    """Lines of the server and of systemd about it. What another program wrote is read for its errors alone."""
    others = _others(block)
    for line in _whole(block.lines):
        foreign = (line.owner or line.ident) in others
        if foreign or line.message.startswith(("Error", "error: ", "Warning: ")):
            into.error(clients.error(line.message), block, line)
        if line.ident == "kernel":
            into.say(KERNEL, line)
        elif not foreign:
            into.say(LOG, line)
            _configured(line.message, into)
    _runtime(block, into)
    return True


def _configured(text: str, into: PastedEvidence) -> None:
    """Variables of the server's own start line, as far as the line has them as they were set."""
    found = CONFIG.search(text)
    if found:
        into.environ.update({name: value for name, value in SET.findall(found[1]) if name in AS_SET})


def _whole(lines: tuple[PastedLine, ...]) -> Iterator[PastedLine]:
    """With what a terminal or a person broke off a line of it."""
    before: PastedLine | None = None
    for line in lines:
        if before is not None and BROKEN.match(line.text) and WRAPS.match(before.message):
            before = replace(
                before, text=f"{before.text} {line.text.strip()}", message=f"{before.message} {line.text.strip()}"
            )
            continue
        if before is not None:
            yield before
        before = line
    if before is not None:
        yield before


def kernel(block: Block, into: PastedEvidence) -> bool:
    for line in block.lines:
        into.say(RING, line)
    return True


def client(block: Block, into: PastedEvidence) -> bool:
    """Errors of a client or a proxy; the server's own text inside it is the server's."""
    for line in block.lines:
        found = clients.error(line.message)
        if found is None and named(line.message):
            found = ClientError("", HTTP, line.message.strip()[:500])
        into.error(found, block, line)
    return True


def _others(block: Block) -> frozenset[str]:
    """Containers and programs that are no server: nothing that they wrote looks like one's log."""
    found: dict[str, bool] = {}
    for line in block.lines:
        name = line.owner or line.ident
        found[name] = found.get(name, False) or SERVER.match(line.message) is not None
    asked = re.search(r"\b(?:docker|podman|kubectl)\b.{0,80}\blogs?\b", block.command)
    if not asked or OURS.search(block.command):
        found.pop("", None)
    return frozenset(name for name, ours in found.items() if not ours and not OURS.search(name))


def _runtime(block: Block, into: PastedEvidence) -> None:
    if re.search(r"\b(?:docker|podman)\b.{0,40}\blogs\b", block.command) or any(
        line.owner for line in block.lines[:50]
    ):
        into.runtimes.append("docker")
    elif any(line.ident in {"systemd", "(ollama)"} for line in block.lines) or "journalctl" in block.command:
        into.runtimes.append("systemd")


def overheard(block: Block, into: PastedEvidence) -> bool:
    """Whether a person's own words, or output that nobody knows, quote an error of a client."""
    before = len(into.errors)
    told = False
    for line in block.lines[:MOST]:
        error = clients.error(line.message) if not block.kind and TOLD.search(line.message[:500]) else None
        if error is not None:
            into.error(error, block, line)
        elif named(line.message):
            into.say(LOG, line)
            told = True
    return told or len(into.errors) > before


def named(text: str) -> bool:
    """Whether the line alone names a cause, by the words of some program."""
    if any(hit.signature.causes for scope in SCOPES for hit in signatures.all_of(scope, text)):
        return True
    return next(codes.read("", text), None) is not None


def is_proxy_log(value: object) -> bool:
    """A row of Caddy's or Traefik's log."""
    return isinstance(value, Mapping) and {"level", "msg"} <= set(value) and bool({"logger", "ts", "time"} & set(value))


KINDS = (
    Kind("proxy log", client, fits=is_proxy_log),
    Kind(
        "kernel log",
        kernel,
        KERNEL_LINE,
        None,
        re.compile(r"\bdmesg\b|journalctl\b.{0,60} (?:-k\b|--dmesg|_TRANSPORT=kernel)|kern\.log"),
    ),
    Kind("client error", client, clients.OPENS, clients.GOES_ON),
    Kind(
        "server log",
        server,
        re.compile(f"(?:{SERVER.pattern})|(?:{SYSTEMD.pattern})"),
        GOES_ON,
        re.compile(r"\bjournalctl\b|\blogs\b|ollama serve|server\.log|ollama\.log"),
    ),
)
