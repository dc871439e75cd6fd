"""How long `render` takes for 1,000 hosts beyond Ansible's own listing of them: whole processes, medians."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOSTS = 1000
RUNS = 5
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


def seconds(argv: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "inventory.yml"
        path.write_text(json.dumps(inventory()))
        listing = [sys.executable, "-m", "ansible", "inventory", "-i", str(path), "--list"]
        rendering = [sys.executable, "-m", "reaper_ops", "render", "-i", str(path), "--out", f"{directory}/out"]
        pairs = [(seconds(listing), seconds(rendering)) for _ in range(RUNS)]
        written = sum(1 for file in Path(directory, "out").rglob("*") if file.is_file())
    listed, rendered = (statistics.median(column) for column in zip(*pairs, strict=True))
    beyond = statistics.median(full - bare for bare, full in pairs)
    print(f"render: {HOSTS} hosts, {written} files: {rendered:.2f} s; Ansible's listing alone {listed:.2f} s")
    print(f"render: beyond the listing {beyond:.2f} s (budget {BUDGET_S:g} s)")
    return 0 if beyond < BUDGET_S else 1


if __name__ == "__main__":
    sys.exit(main())
