"""The guide's three complaints, each as a short path of checks: what to look at, and which causes it tells apart."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PathCheck:
    """question: what is looked at. ids: the causes that it finds."""

    question: str
    ids: tuple[str, ...]
    command: str = ""


@dataclass(frozen=True)
class Path:
    name: str
    title: str
    first: str
    checks: tuple[PathCheck, ...]


PATHS = (
    Path(
        "connection-refused",
        "Connection refused",
        "Nothing listens at that address and port, or something on the way answers in its place.",
        (
            PathCheck(
                "Is it installed, and does it run?",
                ("service-not-installed", "service-not-running"),
                "curl -sS http://localhost:11434/api/tags; systemctl status ollama || docker ps -a",
            ),
            PathCheck(
                "Was it killed for memory?",
                ("oompolicy-stops-service", "kernel-oom-kill", "container-memory-limit-oom", "systemd-memorymax-oom"),
                "systemctl show ollama -p Result,NRestarts,ActiveState",
            ),
            PathCheck(
                "Does it start, and end at once?",
                (
                    *("service-crash-looping", "bad-origins-panic", "port-taken", "bind-address-missing"),
                    *("models-dir-permission", "service-home-missing"),
                ),
                "journalctl -u ollama -n 50 --no-pager",
            ),
            PathCheck(
                "Where does it listen?",
                (
                    *("listening-loopback-only", "container-port-not-published", "container-binds-loopback"),
                    *("unit-config-not-applied", "second-instance", "wrong-service-on-port"),
                ),
                "sudo ss -ltnp 'sport = :11434'",
            ),
            PathCheck(
                "Does the client ask there?",
                (
                    *("container-to-host-loopback", "client-host-misparsed", "ipv6-localhost", "scheme-mismatch"),
                    *("proxy-env-intercepts-localhost", "dns-failure", "wsl2-network-isolation"),
                ),
                "env | grep -i -e OLLAMA_HOST -e proxy",
            ),
            PathCheck(
                "Does something on the way refuse or swallow it?",
                ("firewall-reject", "firewall-drop"),
                "sudo nft list ruleset",
            ),
            PathCheck("It connects, and nothing comes?", ("starting-up", "server-hung", "gpu-discovery-slow")),
        ),
    ),
    Path(
        "out-of-memory",
        "Out of memory",
        "The guide says: a smaller model, or more swap. Which of them helps depends on what ran out, and who said so.",
        (
            PathCheck(
                "Who ended it: the kernel, a limit, systemd, or Ollama itself?",
                (
                    *("kernel-oom-kill", "container-memory-limit-oom", "systemd-memorymax-oom", "systemd-oomd-kill"),
                    *("oompolicy-stops-service", "ram-preflight-refused", "runner-crash-other"),
                ),
                "sudo journalctl -k --since -1h | grep -i -e 'killed process' -e oom",
            ),
            PathCheck(
                "Did the graphics card run out?",
                ("vram-oom-load", "vram-oom-runtime", "vram-held-by-others", "rocm-vulkan-oom"),
                "nvidia-smi",
            ),
            PathCheck(
                "Is more asked for than need be?",
                ("context-oversized", "models-overcommitted", "create-quantize-oom"),
                "curl -s http://localhost:11434/api/ps",
            ),
            PathCheck(
                "Is there swap, and can it work?",
                ("no-swap", "swapfile-unsupported-fs", "swap-thrashing"),
                "swapon --show",
            ),
            PathCheck(
                "Is less there than it seems?",
                (
                    *("container-free-underestimated", "wsl2-memory-cap", "overcommit-or-ulimit"),
                    *("ram-preflight-absent",),
                ),
                "free -h; sysctl vm.overcommit_memory; systemctl show ollama -p LimitAS -p MemoryMax",
            ),
        ),
    ),
    Path(
        "slow-responses",
        "Slow responses",
        "Measure first: `reaper-ops doctor --slow` says where the time goes, and what each remedy would gain. "
        "With `--load` it measures a cold start too.",
        (
            PathCheck(
                "Is the GPU used, and all of the model in it?",
                ("gpu-not-used", "partial-cpu-offload", "vram-held-by-others"),
                "curl -s http://localhost:11434/api/ps",
            ),
            PathCheck(
                "Is the model loaded again each time?",
                ("cold-start-unload", "context-reload-thrash", "model-swap-thrash"),
                "journalctl -u ollama | grep -e 'starting llama' -e 'starting runner'",
            ),
            PathCheck(
                "Does it wait for other requests?",
                ("same-model-queueing", "queue-full-503", "runaway-generation"),
                "ss -tn state established 'sport = :11434' | wc -l",
            ),
            PathCheck("Is the model or its context larger than need be?", ("context-oversized",)),
            PathCheck(
                "Are processors held back?",
                ("cpu-quota-or-no-avx", "thermal-or-power-throttle"),
                "nproc; grep -c avx2 /proc/cpuinfo; nvidia-smi -q -d PERFORMANCE",
            ),
            PathCheck("Do other programs need the memory?", ("swap-thrashing", "no-swap"), "free -h; vmstat 1 3"),
            PathCheck(
                "Does somebody give up too soon?",
                ("load-timeout", "client-timeout-too-short", "proxy-504-timeout", "gpu-discovery-slow"),
            ),
        ),
    ),
)
