"""Which OLLAMA_* variables a version of the server knows, and which values it misreads."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

from reaper_ops import assets
from reaper_ops.core.values import GO_DURATION

GO_TRUE = ("1", "t", "T", "TRUE", "true", "True")
GO_FALSE = ("0", "f", "F", "FALSE", "false", "False")

TYPED = {
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
    "ollama_origins": "OLLAMA_ORIGINS",
}
"""Typed settings that become a variable of the server as they are; None and an empty list set nothing."""

OWN = {
    **{variable: setting for setting, variable in TYPED.items()},
    "OLLAMA_HOST": "ollama_bind and ollama_port",
    "OLLAMA_MODELS": "ollama_models_dir",
    "CUDA_VISIBLE_DEVICES": "gpu_devices",
    "ROCR_VISIBLE_DEVICES": "gpu_devices",
    "HTTPS_PROXY": "ollama_https_proxy",
    "https_proxy": "ollama_https_proxy",
    "HTTP_PROXY": "ollama_https_proxy (Ollama pulls over HTTPS only; HTTP_PROXY breaks its own client)",
    "http_proxy": "ollama_https_proxy (Ollama pulls over HTTPS only; HTTP_PROXY breaks its own client)",
    "NO_PROXY": "ollama_no_proxy",
    "no_proxy": "ollama_no_proxy",
}


@lru_cache(maxsize=512)
def version_key(version: str) -> tuple[int, ...]:
    """Sort key of ``0.35.1``; a pre-release counts as its base version."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("-")[0]))


def oldest() -> str:
    """The oldest release whose variables are known, and that is supported."""
    version: str = assets.data("environment.json")["oldest"]
    return version


@cache
def known(version: str) -> Mapping[str, Mapping[str, Any]]:
    """Variables of that version: name to its row in ``environment.json`` (kind, since, until)."""
    key = version_key(version)
    table = assets.data("environment.json")["variables"]
    return {
        name: row
        for name, row in table.items()
        if version_key(row["since"]) <= key and (row["until"] is None or key <= version_key(row["until"]))
    }


def why_not(version: str, name: str) -> str:
    """Why that version ignores a variable: empty when it reads it."""
    rows = assets.data("environment.json")["variables"]
    if name not in rows:
        close = difflib.get_close_matches(name.upper(), list(known(version)), n=1, cutoff=0.75)
        return f"Ollama {version} does not know this variable" + (f"; did you mean {close[0]}?" if close else "")
    if rows[name].get("reader") == "client":
        return "only Ollama's command line reads this variable, the server does not; remove it"
    if name in known(version):
        return ""
    if version_key(version) < version_key(rows[name]["since"]):
        return f"Ollama {version} does not read {name}; {rows[name]['since']} is the first release that does"
    return f"Ollama {version} does not read {name}; {rows[name]['until']} was the last release that did; remove it"


def misread(kind: str, value: str | int | bool) -> str:
    """What the server would make of a value of the wrong kind: empty when it reads it as meant."""
    text = str(value)
    if kind == "bool" and not isinstance(value, bool) and text not in GO_TRUE + GO_FALSE:
        return f"Ollama reads {value!r} as true (Go's boolean rule); write true or false"
    if kind == "uint" and (isinstance(value, bool) or not text.isascii() or not text.isdigit()):
        return f"{value!r} is not a whole number, and Ollama would silently use its default"
    if kind == "duration" and (isinstance(value, bool) or not GO_DURATION.match(text)):
        return f"{value!r} is not a duration such as 10m, and Ollama would silently use its default"
    if kind == "level" and not isinstance(value, bool) and text not in (*GO_TRUE, *GO_FALSE, "2"):
        return f"{value!r} is no log level that Ollama reads; write true, or 2 for traces"
    return ""


def problems(version: str, variables: Mapping[str, str | int | bool]) -> list[tuple[str, str]]:
    """(place, problem) of each variable that this version ignores, or whose value it misreads."""
    found: list[tuple[str, str]] = []
    for name, value in variables.items():
        if name in OWN:
            problem = f"is set by {OWN[name]}"
        else:
            problem = why_not(version, name) or misread(known(version)[name]["kind"], value)
        if problem:
            found.append((f"ollama_env/{name}", problem))
    return found


def typed_problems(version: str, values: Mapping[str, object]) -> list[tuple[str, str]]:
    """(setting, problem) of each typed setting whose variable this version does not read."""
    return [
        (setting, problem)
        for setting, variable in TYPED.items()
        if values.get(setting) not in (None, ()) and (problem := why_not(version, variable))
    ]


def text(value: object) -> str | None:
    """A typed setting as the server reads it; None when there is nothing to set."""
    if value is None or value == ():
        return None
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(int(value)) if isinstance(value, bool) else str(value)


def from_typed(values: Mapping[str, object]) -> dict[str, str]:
    """The server's variables that come straight from typed settings."""
    found = {variable: text(values.get(setting)) for setting, variable in TYPED.items()}
    return {variable: value for variable, value in found.items() if value is not None}
