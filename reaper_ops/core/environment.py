"""Which OLLAMA_* variables a version of the server knows, and which values it misreads."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any

from reaper_ops import assets

GO_TRUE = ("1", "t", "T", "TRUE", "true", "True")
GO_FALSE = ("0", "f", "F", "FALSE", "false", "False")


def version_key(version: str) -> tuple[int, ...]:
    """Sort key of ``0.32.14``; a pre-release counts as its base version."""
    return tuple(int(part) for part in re.findall(r"\d+", version.split("-")[0]))


def known(version: str) -> dict[str, dict[str, Any]]:
    """Variables of that version: name to its row in ``environment.json`` (kind, since, until)."""
    key = version_key(version)
    table = assets.data("environment.json")["variables"]
    return {
        name: row
        for name, row in table.items()
        if version_key(row["since"]) <= key and (row["until"] is None or key <= version_key(row["until"]))
    }


OWN = {
    "OLLAMA_HOST": "ollama_bind and ollama_port",
    "OLLAMA_MODELS": "ollama_models_dir",
    "OLLAMA_KEEP_ALIVE": "ollama_keep_alive",
    "OLLAMA_NUM_PARALLEL": "ollama_num_parallel",
    "OLLAMA_MAX_LOADED_MODELS": "ollama_max_loaded_models",
    "OLLAMA_MAX_QUEUE": "ollama_max_queue",
    "OLLAMA_CONTEXT_LENGTH": "ollama_context_length",
    "OLLAMA_FLASH_ATTENTION": "ollama_flash_attention",
    "OLLAMA_KV_CACHE_TYPE": "ollama_kv_cache_type",
    "OLLAMA_ORIGINS": "ollama_origins",
    "HTTPS_PROXY": "ollama_https_proxy",
    "NO_PROXY": "ollama_no_proxy",
}


def check(version: str, variables: Mapping[str, str | int | bool]) -> None:
    """Raises ValueError for a variable that this version ignores, or a value that it misreads."""
    table = known(version)
    for name, value in variables.items():
        if name in OWN:
            raise ValueError(f"ollama_env/{name}: use the setting {OWN[name]}")
        if name not in table:
            close = difflib.get_close_matches(name, list(table), n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise ValueError(f"ollama_env/{name}: Ollama {version} does not know this variable{hint}")
        if table[name]["kind"] == "bool" and not isinstance(value, bool) and str(value) not in GO_TRUE + GO_FALSE:
            raise ValueError(
                f"ollama_env/{name}: Ollama reads {value!r} as true (Go's boolean rule); write true or false"
            )
