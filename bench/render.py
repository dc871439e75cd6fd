"""How long `render` takes for 1,000 hosts beyond Ansible's own listing of them: whole processes, medians."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from bench.measure import Row, in_turns

HOSTS = 1000
ROUNDS = 5
BUDGET_S = 3.0


def inventory() -> dict[str, object]:
    """Hosts of every kind: native, Docker with GPU and memory limit, swap, own models directory."""
    kinds: list[dict[str, object]] = [
        {},
        {"ollama_runtime": "docker", "gpu_vendor": "nvidia", "ollama_memory_max": "24G"},
        {"swap_kind": "file", "gpu_vendor": "amd", "ollama_models_dir": "/srv/models"},
        {"ollama_runtime": "process", "ollama_num_parallel": 4},
    ]
    hosts = {f"host{at:04}": kinds[at % len(kinds)] for at in range(HOSTS)}
    return {"all": {"vars": {"ollama_keep_alive": "10m"}, "hosts": hosts}}


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "inventory.yml"
        path.write_text(json.dumps(inventory()))
        programs = {
            "listing": [sys.executable, "-m", "ansible", "inventory", "-i", str(path), "--list"],
            "render": [sys.executable, "-m", "reaper_ops", "render", "-i", str(path), "--out", f"{directory}/out"],
        }
        found = in_turns(programs, ROUNDS)
    beyond = found["render"].wall - found["listing"].wall
    return [Row(f"render of {HOSTS:,} hosts, beyond the listing", beyond, "limit", BUDGET_S, 1)]
