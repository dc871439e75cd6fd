"""Memory of a host against the weights of a model: plain facts, no estimate of context or cache."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models.lock import Locked

WEIGHTS = ("model", "adapter", "projector", "tensor")
Excess = Literal["", "memory", "gpu"]


@dataclass(frozen=True)
class MemoryHeadroom:
    """Bytes. ram: of the host, or the limit of its server where that is less; vram: of all GPUs that it may use."""

    ram: int
    vram: int = 0

    def excess(self, weights: int) -> Excess:
        """memory: the weights are more than all there is; gpu: more than the GPUs have, so a part is on the CPU."""
        if weights > self.ram + self.vram:
            return "memory"
        return "gpu" if 0 < self.vram < weights else ""


def memory(settings: Settings, facts: Facts) -> MemoryHeadroom | None:
    """None where the host could not be read."""
    if facts.memory is None:
        return None
    ram = min(facts.memory.total, settings.ollama_memory_max or facts.memory.total)
    if settings.gpu_vendor == "none":
        return MemoryHeadroom(ram)
    wanted = settings.gpu_devices
    nvidia = [gpu.memory_total for gpu in facts.gpu.nvidia or () if not wanted or gpu.uuid in wanted]
    amd = [] if wanted else [gpu.memory_total for gpu in facts.gpu.amd if gpu.gfx]
    return MemoryHeadroom(ram, sum(nvidia) + sum(amd))


def weights(model: Locked) -> int:
    """Bytes that must be in memory before the first token; what they need besides depends on the context."""
    found = {la.digest: la.size for la in model.layers if la.media_type.rpartition(".")[2] in WEIGHTS}
    return sum(found.values())
