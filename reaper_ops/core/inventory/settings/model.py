"""The fields of the settings: every one is an inventory variable, checked by itself."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Any, Literal, get_origin
from urllib.parse import urlsplit

from pydantic import BeforeValidator, ConfigDict, Field, StringConstraints, field_validator, model_validator

from reaper_ops.core.inventory.releases import recommended
from reaper_ops.core.inventory.settings.mirror import MirrorSettings, Ports, registries_at_ports
from reaper_ops.core.values import (
    Checksums,
    Count,
    Duration,
    EnvValue,
    GpuId,
    ModelName,
    Origin,
    Size,
    Version,
    address,
    image,
    items,
    mapping,
)

Models = Annotated[tuple[ModelName, ...], BeforeValidator(items)]
Origins = Annotated[tuple[Origin, ...], BeforeValidator(items)]
GpuIds = Annotated[tuple[GpuId, ...], BeforeValidator(items)]
Names = Annotated[tuple[str, ...], BeforeValidator(items)]
Cve = Annotated[str, StringConstraints(pattern=r"^CVE-[0-9]{4}-[0-9]{4,7}$")]
Cves = Annotated[tuple[Cve, ...], BeforeValidator(items)]

_SYSTEM_DIRECTORY = re.compile(
    r"^/(?:(?:bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp)"
    r"|usr(?:/(?:bin|lib|sbin|share|local(?:/bin)?))?|var(?:/(?:lib|log|tmp))?)?\Z"
)
_REGISTRY = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(?::\d{1,5})?\Z")


class SettingsFields(MirrorSettings):
    model_config = ConfigDict(frozen=True, extra="forbid")

    ollama_managed: bool = Field(True, description="false: only probed; `up` never touches the host")
    ollama_runtime: Literal["systemd", "docker", "process"] = Field(
        "systemd",
        description="systemd service, docker Compose project, or a plain process without root or systemd",
    )
    ollama_version: Version = Field(
        default_factory=recommended,
        description="pinned version; `latest` is refused",
        validate_default=True,
    )
    ollama_accepted_vulnerabilities: Annotated[dict[Version, Cves], BeforeValidator(mapping)] = Field(
        default_factory=dict,
        description="version to CVEs: installs that version although a request alone runs code on its host",
    )
    ollama_release_sha256: Checksums = Field(
        None, description="SHA-256 of the archive (or a map of archive to SHA-256) that our table lacks"
    )
    ollama_release_url: str | None = Field(
        None, description="mirror URL, or a directory on the controller, that holds the release archives"
    )
    ollama_image: str | None = Field(
        None, description="container image with tag or digest; derived from the version when not given"
    )
    ollama_bind: str = Field("127.0.0.1", description="address the server listens on")
    ollama_port: Count = Field(11434, ge=1, le=65535, description="port the server listens on")
    ollama_base_url: str | None = Field(
        None, description="URL at which clients reach the host; derived from address and port when not given"
    )
    exposure: Literal["loopback", "open"] = Field(
        "loopback",
        description="loopback: only the host itself; open: anyone who reaches the port (Ollama has no authentication)",
    )
    ollama_models_dir: str | None = Field(None, description="model store; the runtime's own place when not given")
    ollama_home: str | None = Field(
        None,
        description="base directory of runtime `process`; ~/.local/share/reaper_ops/ollama when not given",
    )
    ollama_models: Models = Field((), description="models that must be there; `@name` pulls in a set")
    ollama_model_sets: Annotated[dict[str, Models], BeforeValidator(mapping)] = Field(
        default_factory=dict, description="named lists of models; sets may name other sets"
    )
    ollama_insecure_registries: Names = Field(
        (), description="registry hosts (host:port) that are asked over plain HTTP"
    )
    ollama_mirror: str | None = Field(
        None, description="URL of a site mirror that hosts pull from instead of the registries it stands in for"
    )
    ollama_mirror_registries: Names = Field(
        ("registry.ollama.ai",), description="registries that the site mirror stands in for"
    )
    ollama_mirror_sources: Ports = Field(
        default_factory=dict, description="further registries and their ports on the site mirror, as its mirror_sources"
    )
    ollama_keep_alive: Duration | None = Field(None, description="how long an idle model stays loaded (default 5m)")
    ollama_load_timeout: Duration | None = Field(
        None, description="how long the load of a model may stall (default 5m; 0: forever); raise it for slow disks"
    )
    ollama_num_parallel: Count | None = Field(None, ge=1, description="parallel requests per model")
    ollama_max_loaded_models: Count | None = Field(None, ge=1, description="models in memory at once")
    ollama_prompt_cache: Count | None = Field(
        None, ge=0, description="MiB of host memory for processed prompts, for each loaded model (server's own: 8192)"
    )
    ollama_max_queue: Count | None = Field(None, ge=1, description="waiting requests before the server says 503")
    ollama_context_length: Count | None = Field(
        None, ge=256, description="default context in tokens; chosen by VRAM when not given"
    )
    ollama_flash_attention: bool | None = Field(None, description="force flash attention on or off")
    ollama_kv_cache_type: Literal["f16", "q8_0", "q4_0"] | None = Field(None, description="type of the KV cache")
    ollama_sched_spread: bool | None = Field(None, description="spread every model over all GPUs")
    ollama_no_cloud: bool | None = Field(
        None, description="no cloud models, and no calls of the server to ollama.com; for hosts without internet"
    )
    ollama_debug: bool | None = Field(None, description="debug lines in the server's log")
    ollama_origins: Origins = Field((), description="further browser origins (CORS)")
    ollama_https_proxy: str | None = Field(None, description="proxy for pulls (HTTPS_PROXY)")
    ollama_no_proxy: Names = Field((), description="hosts that the proxy is not used for (NO_PROXY)")
    ollama_memory_max: Size | None = Field(None, description="hard memory limit of the service or container")
    ollama_env: Annotated[dict[str, EnvValue], BeforeValidator(mapping)] = Field(
        default_factory=dict, description="further OLLAMA_* variables, checked against the pinned version"
    )
    ollama_start_timeout: Count = Field(
        120, ge=1, description="seconds to wait for the API after a start (GPU discovery can take 60)"
    )
    ollama_adopt: bool = Field(
        False,
        description="take over an Ollama that reaper_ops did not install: a unit (by a drop-in) or a container",
    )
    gpu_vendor: Literal["auto", "nvidia", "amd", "none"] = Field("auto", description="which GPU the server shall use")
    gpu_devices: GpuIds = Field((), description="GPU UUIDs to use; all when empty")
    gpu_require: bool = Field(False, description="a host on which the GPU is not used fails")
    gpu_install_driver: bool = Field(False, description="install NVIDIA's kernel driver from the distribution")
    swap_kind: Literal["none", "file", "zram"] = Field("none", description="none leaves the host's swap alone")
    swap_size: Size = Field(8 << 30, description="size of the swap")
    swap_path: str = Field("/swapfile", description="path of the swap file")
    swap_swappiness: Count = Field(10, ge=0, le=200, description="vm.swappiness, set together with the swap")
    docker_install: bool = Field(True, description="install the Docker engine when runtime is docker")
    docker_source: Literal["distribution", "docker"] = Field(
        "distribution", description="packages of the distribution, or of Docker's own repository"
    )
    lab_facts_root: str | None = Field(
        None,
        description="rehearsals only: directory with stand-ins for /proc, /sys and tools such as nvidia-smi",
    )
    lab_gpu: str | None = Field(
        None,
        pattern=r"^(nvidia|amd):[0-9]+G$",
        description="rehearsals only: GPU that the simulated server presents, such as nvidia:24G",
    )
    lab_fault: str | None = Field(None, description="rehearsals only: fault that the simulated server starts with")
    lab_expect: str | None = Field(None, description="rehearsals only: state that the host is meant to end in")

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, data: Any) -> Any:
        """Not for a choice: Ansible's check of the roles' arguments refuses null there, and would do so too late."""
        return {name: value for name, value in data.items() if value is not None or name in CHOICES}

    @field_validator("ollama_bind")
    @classmethod
    def _bind_is_address(cls, value: str) -> str:
        return address(value, "write 127.0.0.1, 0.0.0.0 or the host's own")

    @field_validator("ollama_models_dir", "ollama_home", "swap_path", "lab_facts_root")
    @classmethod
    def _path_of_our_own(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith("/"):
            raise ValueError(f"{value!r} is not an absolute path")
        path = posixpath.normpath("/" + value.lstrip("/"))
        if _SYSTEM_DIRECTORY.match(path):
            raise ValueError(f"{value!r} is a directory of the system; name one below it")
        if re.search("[\"']", path):
            raise ValueError(f"{value!r} holds a quotation mark, which systemd cannot mount; name another directory")
        return path

    @field_validator("ollama_image")
    @classmethod
    def _image_is_pinned(cls, value: str | None) -> str | None:
        if value is None or "@sha256:" in image(value):
            return value
        _, _, tag = value.rsplit("/", 1)[-1].partition(":")
        if tag in {"", "latest", "rocm"}:
            raise ValueError(f"{value!r} moves; name a version tag or a digest, such as ollama/ollama:0.35.1")
        return value

    @field_validator("ollama_base_url")
    @classmethod
    def _is_bare(cls, value: str | None) -> str | None:
        if value is not None and ("@" in urlsplit(value).netloc or "?" in value or "#" in value):
            raise ValueError(f"{value!r} has a user, query or fragment; write http://HOST:11434")
        return value

    @field_validator("ollama_base_url", "ollama_https_proxy")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} has no scheme; write http://{value.split('://')[-1]}")
        _check_url(value)
        return value.rstrip("/")

    @field_validator("ollama_release_url")
    @classmethod
    def _is_place(cls, value: str | None) -> str | None:
        if value is None or value.startswith("/"):
            return value
        if not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} is neither a URL (https://…) nor an absolute path of a directory")
        _check_url(value)
        return value.rstrip("/")

    @field_validator("ollama_mirror")
    @classmethod
    def _is_mirror(cls, value: str | None) -> str | None:
        if value is None:
            return None
        scheme, _, host = value.rstrip("/").partition("://")
        if scheme not in {"http", "https"} or not _REGISTRY.match(host):
            raise ValueError(f"{value!r} is not a mirror; write http://HOST or http://HOST:PORT, as hosts reach it")
        return f"{scheme}://{host}"

    @field_validator("ollama_insecure_registries", "ollama_mirror_registries")
    @classmethod
    def _is_registry(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            if not _REGISTRY.match(item):
                raise ValueError(f"{item!r} is not a registry; write host or host:port, without a scheme")
        return value

    @field_validator("ollama_mirror_sources")
    @classmethod
    def _are_ports(cls, value: dict[str, int]) -> dict[str, int]:
        return registries_at_ports(value)


def _check_url(value: str) -> None:
    try:
        parts = urlsplit(value)
        plain = " " not in value and "%" not in (parts.hostname or "")
        good = bool(parts.hostname) and (parts.port is None or parts.port > 0) and plain
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{value!r} is not a URL such as http://192.168.1.100:11434")


CHOICES = frozenset(
    name for name, field in SettingsFields.model_fields.items() if get_origin(field.annotation) is Literal
)
"""Settings with a closed list of values, one of which always holds."""


def names() -> tuple[str, ...]:
    return tuple(SettingsFields.model_fields)
