"""Where things of ours lie on a host, as far as the settings alone say. `~` is expanded on the host."""

from __future__ import annotations

from reaper_ops.core.inventory.settings import Settings

PROCESS_HOME = "~/.local/share/reaper_ops/ollama"
STATE = "/var/lib/ollama"
DOCKER_ROOT = "/var/lib/docker"
DOCKER_MODELS = "/root/.ollama/models"
UNIT = "ollama.service"
CONTAINER = "ollama"


def home(settings: Settings) -> str:
    return settings.ollama_home or PROCESS_HOME


def releases(settings: Settings) -> str:
    return f"{home(settings)}/releases" if settings.ollama_runtime == "process" else "/opt/ollama"


def state(settings: Settings) -> str:
    """Where we keep what we own and pulled."""
    return f"{home(settings)}/reaper_ops" if settings.ollama_runtime == "process" else "/var/lib/reaper_ops"


def models(settings: Settings) -> str | None:
    """The store as the host's own path; None for the volume of a container."""
    if settings.ollama_models_dir:
        return settings.ollama_models_dir
    by_runtime = {"process": f"{home(settings)}/models", "systemd": f"{STATE}/models"}
    return by_runtime.get(settings.ollama_runtime)


def local_url(settings: Settings) -> str:
    """How the host reaches its own server."""
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.ollama_bind, settings.ollama_bind)  # noqa: S104 - compared, not bound
    return f"http://{f'[{address}]' if ':' in address else address}:{settings.ollama_port}"
