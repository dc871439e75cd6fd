"""What the settings mean on a host, derived here a second time and independently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

UNIT = "/etc/systemd/system/ollama.service"
DROPIN = f"{UNIT}.d/zz-reaper_ops.conf"
COMPOSE = "/etc/reaper_ops/compose.yaml"
CONTAINER = "ollama"
VARIABLES = {
    "ollama_keep_alive": "OLLAMA_KEEP_ALIVE",
    "ollama_load_timeout": "OLLAMA_LOAD_TIMEOUT",
    "ollama_num_parallel": "OLLAMA_NUM_PARALLEL",
    "ollama_max_loaded_models": "OLLAMA_MAX_LOADED_MODELS",
    "ollama_prompt_cache": "LLAMA_ARG_CACHE_RAM",
    "ollama_max_queue": "OLLAMA_MAX_QUEUE",
    "ollama_context_length": "OLLAMA_CONTEXT_LENGTH",
    "ollama_flash_attention": "OLLAMA_FLASH_ATTENTION",
    "ollama_kv_cache_type": "OLLAMA_KV_CACHE_TYPE",
    "ollama_sched_spread": "OLLAMA_SCHED_SPREAD",
    "ollama_no_cloud": "OLLAMA_NO_CLOUD",
    "ollama_debug": "OLLAMA_DEBUG",
    "ollama_https_proxy": "HTTPS_PROXY",
}


@dataclass(frozen=True)
class Expected:
    """One host's settings as plain values; models with sets resolved."""

    host: str
    settings: Mapping[str, Any]
    models: tuple[str, ...]

    def __getitem__(self, setting: str) -> Any:
        return self.settings[setting]

    @property
    def runtime(self) -> str:
        return str(self["ollama_runtime"])

    @property
    def needs_root(self) -> bool:
        return self.runtime != "process"

    @property
    def url(self) -> str:
        """Where the host itself finds the server."""
        bind = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self["ollama_bind"], self["ollama_bind"])  # noqa: S104
        return f"http://{f'[{bind}]' if ':' in bind else bind}:{self['ollama_port']}"

    @property
    def addresses(self) -> set[str]:
        """Addresses at which the port may be open; a wildcard of IPv6 serves IPv4 too."""
        bind = str(self["ollama_bind"])
        return {bind, "::", "*"} if bind == "0.0.0.0" else {bind}  # noqa: S104

    @property
    def environment(self) -> dict[str, str]:
        """Variables that the server's process must have."""
        port = self["ollama_port"]
        bind = f"[{self['ollama_bind']}]" if ":" in self["ollama_bind"] else self["ollama_bind"]
        found = {"OLLAMA_HOST": "0.0.0.0:11434" if self.runtime == "docker" else f"{bind}:{port}"}
        found |= {name: _text(self[key]) for key, name in VARIABLES.items() if self[key] is not None}
        if self["ollama_origins"]:
            found["OLLAMA_ORIGINS"] = ",".join(self["ollama_origins"])
        return found | {name: _text(value) for name, value in self["ollama_env"].items()}

    @property
    def image(self) -> str:
        return str(self["ollama_image"] or f"docker.io/ollama/ollama:{self['ollama_version']}")

    def process_home(self, home: str) -> str:
        return str(self["ollama_home"] or f"{home}/.local/share/reaper_ops/ollama")


def same(wanted: str, found: str) -> bool:
    """Whether two values mean the same to the server, which reads booleans in several spellings."""
    meanings = {"1": "true", "t": "true", "true": "true", "0": "false", "f": "false", "false": "false"}
    return wanted == found or meanings.get(wanted.lower(), wanted) == meanings.get(found.lower(), found)


def _text(value: object) -> str:
    return str(int(value)) if isinstance(value, bool) else str(value)


def model_paths(name: str) -> tuple[str, str]:
    """Where a store keeps the manifest of a model: a server from 0.40 on, and one before it."""
    path, _, tag = name.rpartition(":")
    parts = path.split("/")
    host, *rest = [*["registry.ollama.ai", "library"][: 3 - len(parts)], *parts]
    today = "ollama.com" if host == "registry.ollama.ai" else host.replace(":", "%3A")
    return "/".join(["manifests-v2", today, *rest, tag]), "/".join(["manifests", host, *rest, tag])
