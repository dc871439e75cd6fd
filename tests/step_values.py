"""Plain values for the places in the commands of the doctor's steps."""

from __future__ import annotations

import re

PLACES = re.compile(r"\{([a-z_]+)\}")
VALUES = {
    "pid": "7",
    "port": "7",
    "cores": "7",
    "user": "ollama",
    "account": "ollama",
    "blob": "sha256-0a",
    "volume": "models",
    "owner": "1000:1000",
    "unit": "x.service",
    "variable": "OLLAMA_HOST",
    "model": "llama3.2:1b",
    "address": "192.168.1.20",
}
"""Of the rest, a path below the store of DIRECTORIES is what any place takes."""
DIRECTORIES = {"store": "/store", "home": "/store"}
