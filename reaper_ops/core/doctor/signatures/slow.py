"""Texts of the server's log that tell where time went: loads, evictions, requests served, clients that left."""

from __future__ import annotations

from reaper_ops.core.doctor.signatures.model import Signature as S

TABLE = (
    S(
        "request-served",
        "history",
        r"\[GIN\] (?P<day>\d{4}/\d\d/\d\d) - (?P<time>\d\d:\d\d:\d\d) \|\s{0,20}(?P<status>\d{3}) \|"
        r"\s{0,20}(?P<took>\S{1,256}) \|"
        r"\s{0,20}(?P<client>\S{1,256}) \|\s{0,20}(?P<method>\w{1,128})\s{1,20}\"(?P<path>[^\"]{0,4000})\"",
        (),
        '[GIN] 2026/11/22 - 11:08:42 | 503 |     7.80652ms |       127.0.0.1 | POST     "/api/generate"',
    ),
    S(
        "runner-starting",
        "history",
        r'^.{0,300}?msg="starting (?:llama-server|llama server|runner)" cmd=(?>.{0,1000}?--model )(?P<model>\S{1,512})'
        r"(?:(?>.{0,600}? (?:-c|--ctx-size) )(?P<context>\d{1,12}))?"
        r"(?:(?>.{0,600}? (?:-np|--parallel) )(?P<parallel>\d{1,6}))?",
        (),
        'msg="starting llama-server" cmd="/usr/local/lib/ollama/llama-server --model '
        '/var/lib/ollama/models/blobs/sha256-caa5 --port 43885 --host 127.0.0.1 --no-webui --offline -c 4096 -np 1"',
    ),
    S(
        "runner-committed",
        "history",
        r"^.{0,300}?msg=load request=\"\{Operation:commit (?>.{0,1000}?Parallel:)(?P<parallel>\d{1,6}) "
        r"(?>.{0,1000}?KvSize:)(?P<context>\d{1,12}) ",
        (),
        'msg=load request="{Operation:commit LoraPath:[] Parallel:1 BatchSize:512 FlashAttention:false KvSize:4096 '
        'KvCacheType: NumThreads:8 GPULayers:[] MultiUserCache:false ProjectorPath: MainGPU:0 UseMmap:false}"',
        "old",
    ),
    S(
        "evicting",
        "history",
        r"predicted to exceed available memory, evicting|available, evicting a model to make space"
        r"|evicting all other (?:loaded )?models|resetting model to expire immediately to make room",
        (),
        'level=INFO source=sched.go:551 msg="llama-server model predicted to exceed available memory, evicting" '
        'predicted="9.0 GiB" predicted_num_ctx=8192',
    ),
    S(
        "client-left-load",
        "history",
        r"client connection closed before (?:llama-)?server finished loading",
        ("client-timeout-too-short",),
        'level=WARN source=llama_server.go:1301 msg="client connection closed before llama-server finished loading, '
        'aborting load"',
    ),
    S(
        "cpu-throttled",
        "kernel",
        r"temperature above threshold, cpu clock throttled(?: \(total events = (?P<events>\d{1,12})\))?",
        ("thermal-or-power-throttle",),
        "kernel: mce: CPU0: Core temperature above threshold, cpu clock throttled (total events = 154290)",
    ),
    S(
        "layers-offloaded",
        "history",
        r"offloaded (?P<layers>\d{1,20})/(?P<all>\d{1,20}) layers to GPU",
        (),
        'level=INFO source=ggml.go:494 msg="offloaded 20/49 layers to GPU"',
    ),
)
