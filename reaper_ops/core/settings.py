"""The wish: one typed model of what a host shall be. Every field is an inventory variable."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from reaper_ops import assets
from reaper_ops.core import environment
from reaper_ops.core.values import (
    Count,
    Duration,
    GpuId,
    ModelName,
    Origin,
    Sha256,
    Size,
    Version,
)
from reaper_ops.errors import ReaperError

PREFIXES = ("ollama_", "gpu_", "swap_", "docker_", "exposure", "gateway_", "lab_")


def newest_release() -> str:
    """The newest version whose archives for both architectures have a known checksum."""
    releases = assets.data("releases.json")["releases"]
    whole = [v for v, files in releases.items() if len({name.split("-")[2].split(".")[0] for name in files}) >= 2]
    newest: str = max(whole, key=environment.version_key)
    return newest


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    ollama_managed: bool = Field(True, description="false: only probed; `up` never touches the host")
    ollama_runtime: Literal["systemd", "docker", "process"] = Field(
        "systemd",
        description="systemd service, docker Compose project, or a plain process without root or systemd",
    )
    ollama_version: Version = Field(
        default_factory=newest_release,
        description="pinned version; `latest` is refused",
        validate_default=True,
    )
    ollama_release_sha256: Sha256 | dict[str, Sha256] | None = Field(
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
    ollama_models: tuple[ModelName, ...] = Field((), description="models that must be there; `@name` pulls in a set")
    ollama_model_sets: dict[str, tuple[ModelName, ...]] = Field(
        default_factory=dict, description="named lists of models; sets may name other sets"
    )
    ollama_insecure_registries: tuple[str, ...] = Field(
        (), description="registry hosts (host:port) that are asked over plain HTTP"
    )
    ollama_keep_alive: Duration | None = Field(None, description="how long an idle model stays loaded (default 5m)")
    ollama_num_parallel: Count | None = Field(None, ge=1, description="parallel requests per model")
    ollama_max_loaded_models: Count | None = Field(None, ge=1, description="models in memory at once")
    ollama_max_queue: Count | None = Field(None, ge=1, description="waiting requests before the server says 503")
    ollama_context_length: Count | None = Field(
        None, ge=256, description="default context in tokens; chosen by VRAM when not given"
    )
    ollama_flash_attention: bool | None = Field(None, description="force flash attention on or off")
    ollama_kv_cache_type: Literal["f16", "q8_0", "q4_0"] | None = Field(None, description="type of the KV cache")
    ollama_origins: tuple[Origin, ...] = Field((), description="further browser origins (CORS)")
    ollama_https_proxy: str | None = Field(None, description="proxy for pulls (HTTPS_PROXY)")
    ollama_no_proxy: tuple[str, ...] = Field((), description="hosts that the proxy is not used for (NO_PROXY)")
    ollama_memory_max: Size | None = Field(None, description="hard memory limit of the service or container")
    ollama_env: dict[str, str | int | bool] = Field(
        default_factory=dict, description="further OLLAMA_* variables, checked against the pinned version"
    )
    ollama_start_timeout: Count = Field(
        120, ge=1, description="seconds to wait for the API after a start (GPU discovery can take 60)"
    )
    ollama_adopt: bool = Field(
        False, description="take over an Ollama unit that reaper_ops did not write, by a drop-in"
    )
    gpu_vendor: Literal["auto", "nvidia", "amd", "none"] = Field("auto", description="which GPU the server shall use")
    gpu_devices: tuple[GpuId, ...] = Field((), description="GPU UUIDs to use; all when empty")
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

    @field_validator("ollama_bind")
    @classmethod
    def _bind_is_address(cls, value: str) -> str:
        try:
            ipaddress.ip_address(value.strip("[]"))
        except ValueError:
            raise ValueError(f"{value!r} is not an IP address; write 127.0.0.1, 0.0.0.0 or the host's own") from None
        return value.strip("[]")

    @field_validator("ollama_models_dir", "ollama_home", "swap_path", "lab_facts_root")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith("/"):
            raise ValueError(f"{value!r} is not an absolute path")
        return value

    @field_validator("ollama_image")
    @classmethod
    def _image_is_pinned(cls, value: str | None) -> str | None:
        if value is None or "@sha256:" in value:
            return value
        _, _, tag = value.rsplit("/", 1)[-1].partition(":")
        if tag in {"", "latest", "rocm"}:
            raise ValueError(f"{value!r} moves; name a version tag or a digest, such as ollama/ollama:0.32.14")
        return value

    @field_validator("ollama_base_url", "ollama_https_proxy")
    @classmethod
    def _has_scheme(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError(f"{value!r} has no scheme; write http://{value}")
        return value.rstrip("/") if value else value

    @model_validator(mode="after")
    def _combinations(self) -> Settings:
        loopback = ipaddress.ip_address(self.ollama_bind).is_loopback
        if self.exposure == "loopback" and not loopback:
            raise ValueError(
                f"ollama_bind {self.ollama_bind} is reachable from outside, but exposure is loopback; "
                "Ollama has no authentication: set `exposure: open` if that is meant"
            )
        if self.exposure == "open" and loopback:
            raise ValueError("exposure is open, but ollama_bind is a loopback address; set `ollama_bind: 0.0.0.0`")
        if self.gpu_require and self.gpu_vendor == "none":
            raise ValueError("gpu_require is true, but gpu_vendor is none")
        if self.gpu_devices and self.gpu_vendor in {"none", "amd"}:
            raise ValueError("gpu_devices are NVIDIA UUIDs, but gpu_vendor is " + self.gpu_vendor)
        if self.ollama_runtime == "process" and self.swap_kind != "none":
            raise ValueError("swap needs root, but ollama_runtime is process; set `swap_kind: none`")
        if self.ollama_runtime != "docker" and self.ollama_image:
            raise ValueError("ollama_image is for `ollama_runtime: docker`")
        environment.check(self.ollama_version, self.ollama_env)
        self.models()
        return self

    def models(self) -> tuple[str, ...]:
        """``ollama_models`` with sets resolved, in order, each name once."""
        return tuple(dict.fromkeys(self._expand(self.ollama_models, ())))

    def _expand(self, names: tuple[str, ...], inside: tuple[str, ...]) -> list[str]:
        found: list[str] = []
        for name in names:
            if not name.startswith("@"):
                found.append(name)
                continue
            key = name[1:]
            if key in inside:
                raise ValueError(f"model set @{key} contains itself: {' -> '.join((*inside, key))}")
            if key not in self.ollama_model_sets:
                raise ValueError(f"model set @{key} is not in ollama_model_sets{_suggest(key, self.ollama_model_sets)}")
            found += self._expand(self.ollama_model_sets[key], (*inside, key))
        return found


def _suggest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def names() -> tuple[str, ...]:
    return tuple(Settings.model_fields)


def relevant(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a host that are, or claim to be, settings of ours."""
    ignored = variables.get("reaper_ignore") or ()
    return {k: v for k, v in variables.items() if k.startswith(PREFIXES) and k not in ignored}


def parse(host: str, variables: Mapping[str, Any]) -> tuple[Settings | None, tuple[ReaperError, ...]]:
    """Settings of one host from its templated variables, or every error in them with host and setting named."""
    wanted = relevant(variables)
    errors = [
        ReaperError(
            f"{host}/{name}",
            "unknown setting",
            (_suggest(name, names()) or "; `reaper-ops schema` lists the settings")[2:]
            + "; variables of other roles go into the list reaper_ignore",
        )
        for name in wanted
        if name not in Settings.model_fields
    ]
    known = {name: value for name, value in wanted.items() if name in Settings.model_fields}
    try:
        settings = Settings(**known)
    except ValidationError as exc:
        return None, (*errors, *(_translate(host, item) for item in exc.errors()))
    return (None if errors else settings), tuple(errors)


def _translate(host: str, item: Any) -> ReaperError:
    path = "/".join(str(part) for part in item["loc"] if part not in {"function-before", "dict", "str"})
    message = item["msg"].removeprefix("Value error, ")
    if item["type"] == "literal_error":
        message = f"{item['input']!r} is not one of {item['ctx']['expected']}"
    return ReaperError(f"{host}/{path}" if path else host, message)
