"""The search for GPUs at the start of the server."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules import gpu_chain
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.doctor.rules.slow.loading import run
from reaper_ops.core.health.report import Evidence

LONG = 20.0


def gpu_discovery_slow(case: HostEvidence) -> Finding | None:
    """The search for GPUs takes long, and the server answers nothing before it ends.

    At each start the server asks the drivers for their cards; it listens, but answers only afterwards. An old AMD
    driver hangs. NVIDIA's driver initializes every card again where persistence mode is off.

    Signals:
    - the first answer after a restart is slow; sometimes models then run on the CPU
    - the start takes more than 30 s
    - `failed to finish discovery before timeout`, `GPU discovery watchdog timed out`

    Not to be confused with:
    - starting-up: a few seconds are usual.
    - server-hung: the server answered before, and does not answer now.

    Sources:
    - https://github.com/ollama/ollama/blob/main/docs/troubleshooting.mdx
    - https://github.com/ollama/ollama/issues/13070
    """
    found = run(case)
    if found.discovery is not None and found.discovery >= LONG:
        return Finding(
            f"the search for GPUs took {found.discovery:.0f} s",
            (Evidence("server log", f"{found.discovery:.1f} s after the start: {excerpt(found.discovered, 160)}"),),
            steps=_steps(case),
        )
    now = case.traces.now
    if found.searching is None or now is None or now - (found.searching - found.zone) < LONG:
        return None
    return Finding(
        f"the search for GPUs has been going on for {now - (found.searching - found.zone):.0f} s",
        (Evidence("server log", "the start ends with `discovering available GPUs`"),),
        Confidence.LIKELY,
        steps=_steps(case),
    )


def _steps(case: HostEvidence) -> tuple[Step, ...]:
    """Those of the vendor whose card is here."""
    vendor = gpu_chain.vendor(case.settings, case.facts) if case.facts else ""
    return (*((_OF_VENDOR[vendor],) if vendor in _OF_VENDOR else ()), _NO_GPU)


_OF_VENDOR = {
    "nvidia": Step("Keep NVIDIA's driver initialized.", "sudo systemctl enable --now nvidia-persistenced"),
    "amd": Step("Upgrade AMD's kernel driver to the one for ROCm 7 (https://repo.radeon.com/amdgpu-install/)."),
}
_NO_GPU = Step("If the host is to use no GPU, set `gpu_vendor: none` in the inventory, then apply it.", "{up}")

RULES = (
    Rule(
        gpu_discovery_slow,
        Severity.WARNING,
        steps=(*_OF_VENDOR.values(), _NO_GPU),
        explains=("starting", "starting-up", "gpu-not-used", "cpu-fallback"),
        needs=("journal.log",),
        verify="{all_log} | grep -e discovering -e 'inference compute' | tail -n 4",
    ),
)
