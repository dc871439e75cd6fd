"""What a plan would download, and where its size can be asked."""

from __future__ import annotations

from dataclasses import dataclass

from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.values import full_model_name


@dataclass(frozen=True)
class Download:
    """name as in the plan (archive or model); url of the archive, or of the model's manifest."""

    name: str
    url: str
    is_manifest: bool = False


def of_model(settings: Settings, name: str) -> Download:
    path, _, tag = full_model_name(name).rpartition(":")
    host, namespace, model = path.split("/")
    scheme = "http" if host in settings.ollama_insecure_registries else "https"
    return Download(name, f"{scheme}://{host}/v2/{namespace}/{model}/manifests/{tag}", is_manifest=True)
