"""Texts of memory that ran out, both engine generations, the kernel's and systemd's."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "ram-preflight",
        "api log",
        r"model requires more system memory \((?P<need>[\d.]{1,128} [KMGT]?i?B)\) than is available"
        r" \((?P<have>[\d.]{1,128} [KMGT]?i?B)\)|model requires more system memory than is currently available",
        ("ram-preflight-refused",),
        "model requires more system memory (39.4 GiB) than is available (30.0 GiB)",
        "old",
    ),
    S(
        "ram-too-large",
        "api log",
        r"requested model \(\S{1,256} \S{1,256}\) is too large for this system|model request too large for system",
        ("ram-preflight-refused",),
        "requested model (39.4 GiB) is too large for this system (30.0 GiB)",
        "old",
    ),
    S(
        "vram-oom-startup",
        "api log",
        r"llama-server reported out-of-memory during startup",
        ("vram-oom-load",),
        "llama-server reported out-of-memory during startup: cudaMalloc failed: out of memory",
        "new",
    ),
    S(
        "vram-oom",
        "api log",
        r"cudaMalloc failed: out of memory|CUDA error: out of memory"
        r"|unable to allocate CUDA\d{0,20} buffer|failed to allocate CUDA\d{0,20} buffer",
        ("vram-oom-load", "vram-oom-runtime"),
        "llama runner process has terminated: cudaMalloc failed: out of memory",
    ),
    S(
        "gpu-oom-other",
        "api log",
        r"hipMalloc failed|ROCm error: out of memory|(?i:vk_error_out_of_device_memory)"
        r"|ErrorOutOfDeviceMemory|(?:unable|failed) to allocate (?:ROCm|Vulkan)\d{0,20} buffer",
        ("rocm-vulkan-oom",),
        "ggml_vulkan: Device memory allocation failed: ErrorOutOfDeviceMemory",
    ),
    S(
        "ram-malloc",
        "api log",
        r"ggml_aligned_malloc: insufficient memory|failed to allocate (?:CPU )?buffer of size \d{1,20}"
        r"|unable to allocate CPU buffer|failed to allocate memory for model"
        r"|memory layout cannot be allocated|failed to allocate buffer for kv cache",
        ("context-oversized", "overcommit-or-ulimit"),
        "llama-server process has terminated: exit status 1: ggml_aligned_malloc: insufficient memory "
        "(attempted to allocate 65536.00 MB)",
    ),
    S(
        "runner-killed",
        "api log",
        r"(?:llama runner|llama-server) process has terminated: signal: killed",
        ("kernel-oom-kill",),
        'msg="Load failed" model=x error="llama-server process has terminated: signal: killed"',
    ),
    S(
        "runner-gone-killed",
        "api log",
        r'llama-server process no longer running" sys=9 string="signal: killed"'
        r"|(?:llama runner|llama-server) process no longer running: (?:-1|unknown)",
        ("kernel-oom-kill",),
        'level=WARN msg="llama-server process no longer running" sys=9 string="signal: killed"',
    ),
    S(
        "unit-oom",
        "log",
        r"(?<!\S)(?P<unit>\S{1,256}): A process of this unit has been killed by the OOM killer",
        ("kernel-oom-kill",),
        "systemd[1]: ollama.service: A process of this unit has been killed by the OOM killer.",
    ),
    S(
        "unit-result-oom",
        "log",
        r"(?<!\S)(?P<unit>\S{1,256}): Failed with result 'oom-kill'",
        ("oompolicy-stops-service", "kernel-oom-kill"),
        "systemd[1]: ollama.service: Failed with result 'oom-kill'.",
    ),
    S(
        "oomd-kill",
        "log kernel",
        r"systemd-oomd killed \d{1,20} process|systemd-oomd\[\d{1,20}\]: Killed \S{0,256}ollama\S{0,256}",
        ("systemd-oomd-kill",),
        "ollama.service: systemd-oomd killed 21 process(es) in this unit.",
    ),
    S(
        "oomd-kill-of",
        "log",
        r"systemd-oomd\[\d{1,20}\]: Killed (?P<cgroup>/\S{1,1024})",
        (),
        "Dec 18 19:34:56 user-desktop systemd-oomd[840]: Killed /user.slice/x.scope due to memory pressure for "
        "/user.slice being 51.07% > 50.00% for > 20s with reclaim activity",
    ),
    S(
        "oom-kill",
        "kernel",
        r"(?P<memcg>Memory cgroup o|O)ut of memory(?: \([^)]{0,64}\))?: "
        r"Killed process (?P<pid>\d{1,20}) \((?P<comm>[^)]{0,64})\)"
        r"(?:.{0,300}?anon-rss:(?P<rss>\d{1,20})kB)?",
        ("kernel-oom-kill",),
        "[ 6858.7] Memory cgroup out of memory: Killed process 24856 (llama-server) total-vm:2224100kB, "
        "anon-rss:912820kB, file-rss:15100kB, shmem-rss:0kB, UID:0 pgtables:1948kB oom_score_adj:0",
    ),
    S(
        "oom-constraint",
        "kernel",
        r"^.{0,300}?oom-kill:constraint=(?P<constraint>CONSTRAINT_\w{1,64})(?!\w)(?>.{0,1000}?(?=oom_memcg=|global_oom,))"
        r"(?:oom_memcg=(?P<memcg>[^,]{1,512}),|global_oom,)"
        r"task_memcg=(?P<task_memcg>[^,]{1,512}),task=(?P<comm>[^,]{1,512}),pid=(?P<pid>\d{1,20})",
        (),
        "oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/rec_load,"
        "task_memcg=/rec_load,task=llama-server,pid=24856,uid=0",
    ),
    S(
        "oom-invoked",
        "kernel",
        r"(?<!\S)(?P<comm>\S{1,256}) invoked oom-killer: ",
        (),
        "[ 6858.683126] llama-server invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
    ),
    S(
        "swapfile-holes",
        "kernel",
        r"swapon: swapfile has holes",
        ("swapfile-unsupported-fs",),
        "swapon: swapfile has holes",
    ),
    S(
        "mlock-limit",
        "log",
        r"failed to mlock \d{1,20}-byte buffer.{0,200}Cannot allocate memory",
        ("overcommit-or-ulimit",),
        "warning: failed to mlock 4912902144-byte buffer (after previously locking 0 bytes): Cannot allocate memory",
    ),
    S(
        "load-starts",
        "log",
        r'^.{0,300}?(?:msg="starting llama-server" cmd="(?>.{0,1500}? -c )(?P<context>\d{1,20})'
        r'|msg="starting (?:llama server|runner)" cmd="(?>.{0,1500}?--ctx-size )(?P<size>\d{1,20})'
        r"|msg=load request=(?>.{0,1000}?KvSize:)(?P<kv>\d{1,20}))",
        (),
        'level=INFO source=llama_server.go:433 msg="starting llama-server" cmd="/opt/ollama/llama-server --model '
        '/srv/m/blobs/sha256-b0cdd74f7ce2 --port 36849 --host 127.0.0.1 --no-webui --offline -c 131072 -np 1"',
    ),
    S(
        "load-parts",
        "log",
        r"^.{0,300}?common_memory_breakdown_print: \|\s{1,20}- [^=]{1,300}=\s{1,20}"
        r"(?:\d{1,20} \+ \([^=]{1,40}=\s{1,20})?(?P<weights>\d{1,20})"
        r" \+\s{1,20}(?P<context>\d{1,20})"
        r" \+\s{1,20}(?P<compute>\d{1,20})",
        (),
        "common_memory_breakdown_print: |   - Host               |                 "
        "6056 =  1688 +    3584 +     784                |",
        "new",
    ),
    S(
        "default-context",
        "log",
        r'vram-based default context" total_vram="(?P<vram>[^"]{1,512})" default_num_ctx=(?P<context>\d{1,20})',
        (),
        'level=INFO source=routes.go:2058 msg="vram-based default context" total_vram="0 B" default_num_ctx=4096',
    ),
    S(
        "context-reduced",
        "log",
        r"load failed; reducing automatic context and retrying once",
        ("context-oversized",),
        'level=WARN msg="llama-server load failed; reducing automatic context and retrying once" old_num_ctx=262144',
        "new",
    ),
    S(
        "loaded-runners",
        "log",
        r'msg="loaded runners" count=(?P<count>\d{1,20})',
        (),
        'level=INFO source=sched.go:728 msg="loaded runners" count=2',
    ),
    S(
        "runtime-oom",
        "log",
        r"runtime OOM detected; expiring loaded models",
        ("vram-oom-runtime",),
        'level=WARN msg="runtime OOM detected; expiring loaded models to clear memory before next request"',
        "new",
    ),
    S(
        "quantizing",
        "log",
        r'msg="quantizing model"',
        (),
        'level=INFO source=quantization.go:124 msg="quantizing model" type=Q4_K_M input=/tmp/a output=/tmp/b',
    ),
)
