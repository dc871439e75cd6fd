"""The server's settings from its environment, read by the rules of the real one."""

from __future__ import annotations

import ipaddress
import math
import re
from dataclasses import dataclass, field
from typing import Callable, Mapping  # noqa: UP035 - the simulator runs on Python 3.9

from . import log

_FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_UNIT = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)
_APPS = ("app://*", "file://*", "tauri://*", "vscode-webview://*", "vscode-file://*")
_PASSED = (
    "CUDA_VISIBLE_DEVICES",
    "GGML_VK_VISIBLE_DEVICES",
    "GPU_DEVICE_ORDINAL",
    "HIP_VISIBLE_DEVICES",
    "HSA_OVERRIDE_GFX_VERSION",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "LLAMA_ARG_FIT",
    "LLAMA_ARG_FIT_TARGET",
    "NO_PROXY",
    "OLLAMA_EDITOR",
    "OLLAMA_IGPU_ENABLE",
    "OLLAMA_KV_CACHE_TYPE",
    "OLLAMA_LLM_LIBRARY",
    "ROCR_VISIBLE_DEVICES",
    "http_proxy",
    "https_proxy",
    "no_proxy",
)


class BadOrigin(Exception):
    """An entry of OLLAMA_ORIGINS that panics the real server at its start."""


@dataclass(frozen=True)
class Config:
    host: str
    port: int
    home: str
    models: str
    keep_alive: float
    num_parallel: int
    max_loaded_models: int
    max_queue: int
    context_length: int
    noprune: bool
    no_cloud: bool
    origins: tuple[str, ...]
    gpu: str
    gpu_memory: int
    faults: str
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def loopback(self) -> bool:
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"


def boolean(text: str, default: bool = False) -> bool:
    """Go's ParseBool with the server's twist: anything that it cannot parse counts as true."""
    if not text:
        return default
    return text not in _FALSE


def seconds(text: str) -> float:
    """A Go duration or whole seconds; negative means forever. Raises ValueError with Go's words."""
    if re.fullmatch(r"-?\d+", text):
        number = float(text)
        return math.inf if number < 0 else number
    body = text.lstrip("+-")
    spans = list(_UNIT.finditer(body))
    if not spans or sum(len(match[0]) for match in spans) != len(body):
        unit = re.match(r"[\d.]+([^\d.]*)", body)
        if unit and unit[1] and unit[1] not in _SECONDS:
            raise ValueError(f'time: unknown unit "{unit[1]}" in duration "{text}"')
        raise ValueError(f'time: invalid duration "{text}"')
    if text.startswith("-"):
        return math.inf
    return sum(float(match[1]) * _SECONDS[match[2]] for match in spans)


def address(text: str) -> tuple[str, int]:
    """Host and port out of OLLAMA_HOST: scheme decides the default port, a path is dropped."""
    scheme, _, rest = text.partition("://") if "://" in text else ("", "", text)
    default = {"http": 80, "https": 443}.get(scheme, 11434)
    rest = rest.split("/", 1)[0]
    host, _, port = rest.rpartition(":") if re.search(r":\d*$", rest) and rest.count(":") != 2 else (rest, "", "")
    if rest.startswith("[") and "]" in rest:
        host, port = rest[1 : rest.index("]")], rest[rest.index("]") + 1 :].lstrip(":")
    host = host or "127.0.0.1"
    if not port:
        return host, default
    if not port.isdigit() or int(port) > 65535:
        log.slog("WARN", "config.go:51", "invalid port, using default", port=port, default=default)
        return host, default
    return host, int(port)


def memory(text: str) -> int:
    match = re.fullmatch(r"(\d+)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match:
        raise ValueError(f"{text!r} is not a size such as 24G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[match[2].upper()]


def check_origins(origins: tuple[str, ...]) -> None:
    for item in origins:
        if "*" not in item and not item.startswith(_SCHEMES) and item not in _APPS:
            known = ",".join(_SCHEMES)
            raise BadOrigin(f"bad origin: origins must contain '*' or include {known}")
    if any(item.count("*") > 1 for item in origins):
        raise BadOrigin("only one * is allowed")


def _whole(env: Callable[[str], str], key: str, default: int) -> int:
    text = env(key)
    if text and not text.isdigit():
        log.slog(
            "WARN", "config.go:263", "invalid environment variable, using default", key=key, value=text, default=default
        )
        return default
    return int(text) if text else default


def _keep_alive(text: str) -> float:
    try:
        return seconds(text) if text else 300.0
    except ValueError:
        return 300.0


def _origins(text: str) -> tuple[str, ...]:
    wanted = text.split(",") if text else []
    for name in ("localhost", "127.0.0.1", "0.0.0.0"):
        wanted += [f"{scheme}://{name}{port}" for port in ("", ":*") for scheme in ("http", "https")]
    return (*wanted, *_APPS)


def from_env(environ: Mapping[str, str]) -> Config:
    def env(key: str) -> str:
        return environ.get(key, "").strip().strip("\"'")

    host, port = address(env("OLLAMA_HOST"))
    gpu, _, size = env("REAPER_OPS_LAB_GPU").partition(":")
    home = environ.get("HOME", "")
    config = Config(
        host=host,
        port=port,
        home=home,
        models=env("OLLAMA_MODELS") or f"{home}/.ollama/models",
        keep_alive=_keep_alive(env("OLLAMA_KEEP_ALIVE")),
        num_parallel=_whole(env, "OLLAMA_NUM_PARALLEL", 1) or 1,
        max_loaded_models=_whole(env, "OLLAMA_MAX_LOADED_MODELS", 0),
        max_queue=_whole(env, "OLLAMA_MAX_QUEUE", 512),
        context_length=_whole(env, "OLLAMA_CONTEXT_LENGTH", 0),
        noprune=boolean(env("OLLAMA_NOPRUNE")),
        no_cloud=boolean(env("OLLAMA_NO_CLOUD")),
        origins=_origins(env("OLLAMA_ORIGINS")),
        gpu=gpu,
        gpu_memory=memory(size) if size else 0,
        faults=env("REAPER_OPS_LAB_FAULTS"),
    )
    return _with_values(config, env)


def _with_values(config: Config, env: Callable[[str], str]) -> Config:
    alive = "2562047h47m16.854775807s" if math.isinf(config.keep_alive) else log.duration(config.keep_alive)
    values = {name: env(name) for name in _PASSED}
    debug = env("OLLAMA_DEBUG")
    values.update(
        OLLAMA_CONTEXT_LENGTH=str(config.context_length),
        OLLAMA_DEBUG="INFO" if not boolean(debug) else "DEBUG" if debug != "2" else "TRACE",
        OLLAMA_DEBUG_LOG_REQUESTS="false",
        OLLAMA_FLASH_ATTENTION=str(boolean(env("OLLAMA_FLASH_ATTENTION"))).lower(),
        OLLAMA_GO_TEMPLATE=str(boolean(env("OLLAMA_GO_TEMPLATE"), True)).lower(),
        OLLAMA_GPU_OVERHEAD=env("OLLAMA_GPU_OVERHEAD") or "0",
        OLLAMA_HOST=f"http://{config.address}",
        OLLAMA_KEEP_ALIVE=alive,
        OLLAMA_LOAD_TIMEOUT="5m0s",
        OLLAMA_MAX_LOADED_MODELS=str(config.max_loaded_models),
        OLLAMA_MAX_QUEUE=str(config.max_queue),
        OLLAMA_MAX_TRANSFER_STREAMS="4",
        OLLAMA_MODELS=config.models,
        OLLAMA_NOHISTORY="false",
        OLLAMA_NOPRUNE=str(config.noprune).lower(),
        OLLAMA_NO_CLOUD=str(config.no_cloud).lower(),
        OLLAMA_NUM_PARALLEL=str(config.num_parallel),
        OLLAMA_ORIGINS="[" + " ".join(config.origins) + "]",
        OLLAMA_REMOTES="[ollama.com]",
        OLLAMA_SCHED_SPREAD=str(boolean(env("OLLAMA_SCHED_SPREAD"))).lower(),
        OLLAMA_VULKAN=str(boolean(env("OLLAMA_VULKAN"), True)).lower(),
    )
    return Config(**{**config.__dict__, "values": dict(sorted(values.items()))})
