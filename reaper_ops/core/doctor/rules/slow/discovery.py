"""The search for GPUs at the start of the server."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.loading import run
from reaper_ops.core.health.report import Evidence

LONG = 20.0


def gpu_discovery_slow(case: HostEvidence) -> Finding | None:
    """The search for GPUs takes long, and nothing is answered before it ends.

    Each start asks drivers for their cards; the server listens, but answers only afterwards. An old AMD driver hangs,
    and NVIDIA's wakes every card anew where persistence mode is off.

    Signals:
    - the first answer after a restart is slow; then sometimes the CPU is used
    - starting takes more than 30 s
    - `failed to finish discovery before timeout`, `GPU discovery watchdog timed out`

    Not to be confused with:
    - starting-up: a few seconds are usual.
    - server-hung: it has answered before, and stays silent now.

    Sources:
    - https://github.com/ollama/ollama/blob/main/docs/troubleshooting.mdx
    - https://github.com/ollama/ollama/issues/13070
    """
    found = run(case)
    if found.discovery is not None and found.discovery >= LONG:
        return Finding(
            f"the search for GPUs took {found.discovery:.0f} s",
            (Evidence("server log", f"{found.discovery:.1f} s later: {excerpt(found.discovered, 160)}"),),
        )
    now = case.traces.now
    if found.searching is None or now is None or now - (found.searching - found.zone) < LONG:
        return None
    return Finding(
        f"the search for GPUs has been going on for {now - (found.searching - found.zone):.0f} s",
        (Evidence("server log", "`discovering available GPUs` is the last word of its start"),),
        Confidence.LIKELY,
    )


RULES = (
    Rule(
        gpu_discovery_slow,
        Severity.WARNING,
        steps=(
            Step("NVIDIA: keep the driver awake.", "sudo systemctl enable --now nvidia-persistenced"),
            Step("AMD: upgrade the kernel driver to the one for ROCm 7."),
            Step("Where no GPU is to be used, say so: `gpu_vendor: none` in the inventory, then apply it.", "{up}"),
        ),
        explains=("starting", "starting-up"),
        needs=("journal.log",),
        verify="{all_log} | grep -e discovering -e 'inference compute' | tail -n 4",
    ),
)
