"""`report --html` of 1,000 hosts from kept reports: the whole process, medians, and the size of the page."""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from bench.measure import Row, median, once
from reaper_ops.core.health.report import Evidence, HostReport, Report, State
from reaper_ops.formats.health import as_json

HOSTS, KEPT, ROUNDS = 1000, 12, 5
SECONDS, MEGABYTES = 2.0, 3.0
GIB = 1 << 30
MODELS = ("llama3:8b", "qwen3:32b", "gemma3:27b", "nomic-embed-text:latest")
EVIDENCE = (
    Evidence("POST /api/generate", 'HTTP 500: {"error":"llama-server process has terminated: signal: killed"}'),
    Evidence("kernel log", "Memory cgroup out of memory: Killed process 24856 (llama-server), anon-rss:912820kB"),
    Evidence("systemctl show", "ActiveState=active Result=success NRestarts=3"),
)


def host(at: int, state: State) -> HostReport:
    """One that was read: memory, two GPUs, four models; a sick one has a cause, evidence and a next step."""
    facts = {
        "latency_ms": {"/api/version": 2.5, "/api/tags": 3.5, "/api/ps": 2.5},
        "memory": {"total": 64 * GIB, "free": at % 64 * GIB},
        "gpus": [{"name": "NVIDIA L4", "total": 24 * GIB, "used": at % 24 * GIB} for _ in range(2)],
        "models": [{"name": name, "digest": f"{at % 3:064x}", "size": 5 * GIB} for name in MODELS],
        "loaded": [{"name": MODELS[0], "size": 6 * GIB, "size_vram": 6 * GIB, "context": 8192}],
    }
    well = HostReport(
        f"gpu{at:04}.example.org", state, "answers", version="0.35.1", url=f"http://10.0.{at // 250}.{at % 250}:11434",
        models=MODELS, facts=facts,
    )  # fmt: skip
    if state is State.HEALTHY:
        return well
    step = f"set `ollama_max_loaded_models: 1`, then reaper-ops up -i fleet -l gpu{at:04}.example.org"
    summary = "the kernel killed the model's runner for lack of memory"
    return replace(well, summary=summary, evidence=EVIDENCE, cause="kernel-oom-kill", next_step=step)


def kept(number: int) -> str:
    """A third of the fleet is sick, and others each time."""
    states = (State.OUT_OF_MEMORY, State.HEALTHY, State.HEALTHY)
    hosts = tuple(host(at, states[(at + number) % 3]) for at in range(HOSTS))
    return as_json.render(Report("probe", hosts, 1_700_000_000.0 + 3600 * number))


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        files = [Path(directory) / f"{number}.json" for number in range(KEPT)]
        for number, path in enumerate(files):
            path.write_text(kept(number))
        page = Path(directory) / "page.html"
        argv = [sys.executable, "-m", "reaper_ops", "report", "--html", str(page), "--from", str(files[-1])]
        one = median([once(argv) for _ in range(ROUNDS)])
        more = [word for path in files[:-1] for word in ("--from", str(path))]
        many = median([once([*argv, *more]) for _ in range(ROUNDS)])
        if {one.rc, many.rc} != {3} or len(json.loads(files[0].read_text())["hosts"]) != HOSTS:
            raise SystemExit(f"report: ended with {one.rc} and {many.rc}, not 3")
        size = page.stat().st_size / 1e6
    what = f"web page of {HOSTS:,} hosts"
    return [
        Row(what, one.wall, "limit", SECONDS, 1),
        Row(f"{what} with {KEPT} kept reports", many.wall, "limit", SECONDS, 1),
        Row(f"{what}, size", size, "limit", MEGABYTES, 1, "MB"),
    ]
