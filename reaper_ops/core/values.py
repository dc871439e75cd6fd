"""Types of single setting values: sizes, durations, versions, origins, model names."""

from __future__ import annotations

import ipaddress
import json
import re
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

_SIZE = re.compile(r"^\s{0,64}(-?\d{1,64}(?:\.\d{1,64})?)\s{0,64}([KMGT]?)(?:i?B)?\s{0,64}\Z", re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_SMALLEST = 1 << 20
GO_DURATION = re.compile(r"^[+-]?(?:(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|ms|s|m|h))+\Z|^[+-]?\d+\Z")
_IMAGE = re.compile(
    r"^[A-Za-z0-9][A-Za-z0-9._-]*(?::\d{1,5}(?=/))?(?:/[A-Za-z0-9][A-Za-z0-9._-]*)*(?::[A-Za-z0-9_][A-Za-z0-9._-]*)?(?:@sha256:[0-9a-f]{64})?\Z"
)
_VERSION = re.compile(r"^\d+\.\d+\.\d+(?:-[0-9A-Za-z.]+)?$")
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_ARCHIVE = re.compile(r"^ollama-linux-[a-z0-9-]+\.(?:tar\.zst|tgz)\Z")
_GPU_UUID = re.compile(
    r"^(?:GPU|MIG)-[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"
    r"|^GPU-[0-9a-fA-F]{16}\Z|^\d+\Z"
)
_ORIGIN_SCHEMES = (
    "http://",
    "https://",
    "chrome-extension://",
    "safari-extension://",
    "moz-extension://",
    "ms-browser-extension://",
)


def size(value: Any) -> int:
    """Bytes from ``8G``, ``512MiB`` or a number; units are powers of 1024, as in systemd and Docker."""
    match = None if isinstance(value, bool | list | dict) else _SIZE.match(str(value))
    if not match:
        raise ValueError(f"{value!r} is not a size; write bytes or a number with K, M, G or T, such as 8G")
    number = int(float(match[1]) * _UNITS[match[2].upper()])
    if number <= 0:
        raise ValueError(f"{value!r} is not a size; it must be more than 0")
    if number < _SMALLEST:
        raise ValueError(f"{value!r} means {number} bytes, which is less than 1M; write a unit, such as 8G")
    return number


def address(value: str, step: str) -> str:
    """An IP address without brackets. A zone (`%eth0`) names a card of one machine, and may hold any text."""
    bare = value.strip("[]")
    try:
        found = ipaddress.ip_address(bare)
    except ValueError:
        raise ValueError(f"{value!r} is not an IP address; {step}") from None
    if "%" in bare:
        raise ValueError(f"{value!r} has a zone; write the address without %{bare.partition('%')[2]}")
    return str(found) if found.version == 6 else bare


def network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
        good = "%" not in value
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{value!r} is neither an address nor a network such as 10.0.0.0/8")
    return value


def image(value: str) -> str:
    if not _IMAGE.match(value):
        raise ValueError(f"{value!r} is not the name of an image; write it as docker.io/library/nginx:1.28.0")
    return value


def not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError(f"{str(value).lower()} is a boolean, not a whole number")
    return value


def items(value: Any) -> Any:
    """A list that came as text, as from INI files (which lose its quotes) and ``-e name=value``."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("[") and text.endswith("]"):
        try:
            return json.loads(text)
        except ValueError:
            text = text[1:-1]
    return [item.strip().strip("'\"") for item in text.split(",")] if text.strip() else []


def mapping(value: Any) -> Any:
    """A map that came as JSON text, as from INI files and ``-e name=value``."""
    if not isinstance(value, str) or not value.strip().startswith("{"):
        return value
    try:
        return json.loads(value)
    except ValueError:
        raise ValueError(f"{value!r} is no valid JSON") from None


def decoded(text: str) -> Any:
    """The list or map that a text holds as JSON; None where it holds none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list | dict) else None


def duration(value: Any) -> str:
    """A Go duration (``10m``, ``1h30m``) or whole seconds; negative keeps a model forever."""
    if isinstance(value, bool) or not GO_DURATION.match(str(value)):
        raise ValueError(f"{value!r} is not a duration that Ollama reads; write 10m, 1h30m, seconds, or -1 (forever)")
    return str(value)


def version(value: str) -> str:
    text = value.removeprefix("v")
    if text == "latest":
        raise ValueError("'latest' is refused: it installs a different server on each day; pin a version")
    if not _VERSION.match(text):
        raise ValueError(f"{value!r} is not a version such as 0.35.1")
    return text


def sha256(value: Any) -> str:
    if not isinstance(value, str) or not _SHA256.match(value.lower()):
        raise ValueError(f"{value!r} is not a SHA-256 in hex (64 characters, as text)")
    return value.lower()


def checksums(value: Any) -> str | dict[str, str] | None:
    """One SHA-256, or a map of archive names to their SHA-256."""
    given = mapping(value)
    if not isinstance(given, dict):
        return None if given is None else sha256(given)
    for name in given:
        if not _ARCHIVE.match(str(name)):
            raise ValueError(f"{name!r} is not the name of an archive such as ollama-linux-amd64.tar.zst")
    return {str(name): sha256(text) for name, text in given.items()}


def env_value(value: Any) -> Any:
    if not isinstance(value, str | int | bool):
        raise ValueError(f"{value!r} is neither text nor a whole number nor true or false")
    return value


def gpu_id(value: Any) -> str:
    if not _GPU_UUID.match(str(value)):
        raise ValueError(f"{value!r} is not a GPU UUID; `nvidia-smi -L` prints them as GPU-xxxxxxxx-…")
    return str(value)


def origin(value: str) -> str:
    """An entry of OLLAMA_ORIGINS that does not panic the server at start (gin-contrib/cors validates it)."""
    if "," in value:
        raise ValueError(f"{value!r} holds a comma; write each origin as its own item")
    if not value.strip():
        raise ValueError("an empty origin panics the server at start; remove it")
    if value.count("*") > 1:
        raise ValueError(f"{value!r} has more than one *, which panics the server at start")
    if "*" not in value and not value.startswith(_ORIGIN_SCHEMES):
        if "://" in value:
            scheme = value.split("://")[0]
            raise ValueError(
                f"{value!r} panics the server at start: it takes {scheme}:// only with a *, as {scheme}://*"
            )
        raise ValueError(f"{value!r} has no scheme, which panics the server at start; write https://{value}")
    return value


_MODEL_PART = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}\Z")
_MODEL_NAMESPACE = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_MODEL_HOST = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,349}\Z")


def model_name(value: str) -> str:
    """``[host[:port]/][namespace/]model[:tag]`` or ``@set``; a host needs all three parts (types/model/name.go)."""
    if value.startswith("@"):
        return value
    if "://" in value:
        raise ValueError(f"{value!r} has a scheme; Ollama drops it: list the host in ollama_insecure_registries")
    path, _, tag = value.rpartition(":") if ":" in value.rsplit("/", 1)[-1] else (value, "", "latest")
    parts = path.split("/")
    good = _MODEL_PART.match(parts[-1]) and _MODEL_PART.match(tag)
    if len(parts) == 2:
        good = good and _MODEL_NAMESPACE.match(parts[0])
    elif len(parts) == 3:
        good = good and _MODEL_NAMESPACE.match(parts[1]) and _MODEL_HOST.match(parts[0])
    if not good or len(parts) > 3:
        hint = "; a registry host needs host/namespace/model:tag" if ":" in parts[0] else ""
        raise ValueError(f"{value!r} is not a model name such as llama3:8b{hint}")
    if tag == "cloud" or tag.endswith("-cloud"):
        raise ValueError(f"{value!r} is a cloud model: it runs at ollama.com, not on this host")
    return f"{path}:{tag}"


Size = Annotated[int, BeforeValidator(size)]
Count = Annotated[int, BeforeValidator(not_bool)]
Duration = Annotated[str, BeforeValidator(duration)]
Version = Annotated[str, AfterValidator(version)]
Checksums = Annotated[str | dict[str, str] | None, BeforeValidator(checksums)]
EnvValue = Annotated[str | int | bool, BeforeValidator(env_value)]
GpuId = Annotated[str, BeforeValidator(gpu_id)]
Origin = Annotated[str, AfterValidator(origin)]
ModelName = Annotated[str, AfterValidator(model_name)]


def human_bytes(count: int | float) -> str:
    """Decimal units as Ollama prints them: 4.7 GB."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(round(count, 1)) < 1000 or unit == "TB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError("unreachable")


def counted(number: int, word: str) -> str:
    """``1 host``, ``2 hosts``."""
    return f"{number} {word}{'' if number == 1 else 's'}"


def binary_size(count: int) -> str:
    """Bytes as one writes them in a setting: 8G, 512M, or the plain number."""
    for unit in ("T", "G", "M", "K"):
        if count and count % _UNITS[unit] == 0:
            return f"{count // _UNITS[unit]}{unit}"
    return str(count)


@lru_cache(maxsize=4096)
def full_model_name(name: str) -> str:
    """``host/namespace/model:tag`` with Ollama's defaults, in lower case, as its look-up compares (routes.go)."""
    path, tag = name, "latest"
    if ":" in name.rsplit("/", 1)[-1]:
        path, _, tag = name.rpartition(":")
    parts = path.split("/")
    whole = ["registry.ollama.ai", "library"][: max(0, 3 - len(parts))] + parts
    return f"{'/'.join(whole)}:{tag}".lower()


def same_model(one: str, other: str) -> bool:
    return full_model_name(one) == full_model_name(other)
