"""The settings of the site mirror: which host it is, and what it mirrors."""

from __future__ import annotations

import posixpath
import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, field_validator

from reaper_ops.core.values import Count, Size, address, image, items, mapping, network

Names = Annotated[tuple[str, ...], BeforeValidator(items)]
Ports = Annotated[dict[str, Count], BeforeValidator(mapping)]
OFFLINE = "none"
LONGEST_PATH = 80
_PLACE = re.compile(r"^/[A-Za-z0-9_./-]+\Z")
_ADDRESS = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.-]*(?::(\d{1,5}))?\Z")
_NAMESPACE = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}\Z")
_RESOLVER = re.compile(r"^(\d{1,3}(?:\.\d{1,3}){3}|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?\Z")


def is_port(text: str | None) -> bool:
    return text is None or 1 <= int(text) <= 65535


def registries_at_ports(value: dict[str, int]) -> dict[str, int]:
    """Refuses what is no registry, no port, or two at one port."""
    for name, port in value.items():
        match = _ADDRESS.match(name)
        if not match or not is_port(match[1]):
            raise ValueError(f"{name!r} is not a registry; write it as in a model's name, such as hf.co")
        if not 1 <= port <= 65535:
            raise ValueError(f"{port} is not a port")
    if len(set(value.values())) < len(value):
        raise ValueError("two registries have the same port")
    return value


class MirrorSettings(BaseModel):
    mirror_runtime: Literal["none", "systemd", "docker", "process"] = Field(
        "none",
        description="makes the host the site mirror, which hosts name by ollama_mirror; plain processes need no root",
    )
    mirror_bind: str | None = Field(
        None, description="address the mirror listens on; that by which the inventory reaches it when not given"
    )
    mirror_port: Count = Field(80, ge=1, le=65535, description="port of the mirror")
    mirror_dir: str | None = Field(
        None, description="cache, own models and logs; /var/lib/reaper_mirror, or below the home of a plain process"
    )
    mirror_upstream: str = Field(
        "https://registry.ollama.ai", description="registry that is mirrored; `none` for a mirror without internet"
    )
    mirror_sources: Ports = Field(
        default_factory=dict, description="further registries, each at a port of its own on the mirror"
    )
    mirror_own_namespaces: Names = Field(
        ("own",), description="namespaces that are stored on the mirror itself; the only ones that take a push"
    )
    mirror_allow: Names = Field(
        (), description="networks that may pull; those of the inventory's hosts when empty, all by [0.0.0.0/0, '::/0']"
    )
    mirror_push_allow: Names = Field(("127.0.0.1", "::1"), description="networks that may push own models")
    mirror_cache_size: Size = Field(500 << 30, description="room for the cache; the oldest goes first")
    mirror_min_free: Size = Field(10 << 30, description="room on the disk that the cache leaves free")
    mirror_slice: Size = Field(16 << 20, description="piece in which a blob is fetched and kept")
    mirror_rate: Size | None = Field(
        None, description="most bytes per second that the mirror takes from the internet, all together; such as 50M"
    )
    mirror_resolvers: Names = Field((), description="DNS servers; those of the host when empty")
    mirror_ca_file: str = Field(
        "/etc/ssl/certs/ca-certificates.crt", description="certificates by which the upstream is verified"
    )
    mirror_nginx_image: str = Field("docker.io/library/nginx:1.28.0", description="image of nginx, for docker")
    mirror_registry_image: str = Field("docker.io/library/registry:2.8.3", description="image of Distribution")

    @field_validator("mirror_bind")
    @classmethod
    def _bind_is_an_address(cls, value: str | None) -> str | None:
        return None if value is None else address(value, "write the mirror's own, as hosts reach it")

    @field_validator("mirror_dir", "mirror_ca_file")
    @classmethod
    def _place_is_plain(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not _PLACE.match(value) or value.count("/") < 2:
            raise ValueError(f"{value!r} is not a path such as /data/mirror, of letters, digits and ./_-")
        if len(value) > LONGEST_PATH:
            raise ValueError(f"{value!r} is longer than {LONGEST_PATH} characters, too long for the sockets in it")
        return posixpath.normpath(value)

    @field_validator("mirror_upstream")
    @classmethod
    def _upstream_is_url(cls, value: str) -> str:
        if value == OFFLINE:
            return value
        parts = urlsplit(value)
        plain = re.match(r"^https?://[A-Za-z0-9_.-]+(?::(\d{1,5}))?/?\Z", value)
        if not plain or not parts.hostname or not is_port(plain[1]):
            raise ValueError(f"{value!r} is not the URL of a registry; write https://registry.ollama.ai, or none")
        return value.rstrip("/")

    @field_validator("mirror_sources")
    @classmethod
    def _sources_are_registries(cls, value: dict[str, int]) -> dict[str, int]:
        return registries_at_ports(value)

    @field_validator("mirror_own_namespaces")
    @classmethod
    def _namespaces(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if not _NAMESPACE.match(name):
                raise ValueError(f"{name!r} is not a namespace of a model's name")
        return value

    @field_validator("mirror_allow", "mirror_push_allow")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(network(item) for item in value)

    @field_validator("mirror_resolvers")
    @classmethod
    def _resolvers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for item in value:
            match = _RESOLVER.match(item)
            if not match or not is_port(match[2]):
                raise ValueError(f"{item!r} is not the address of a DNS server, such as 10.0.0.1 or [fd00::1]")
            address(match[1], "write that of a DNS server")
        return value

    @field_validator("mirror_nginx_image", "mirror_registry_image")
    @classmethod
    def _images_are_pinned(cls, value: str) -> str:
        tag = image(value).rsplit("/", 1)[-1].partition(":")[2]
        if "@sha256:" not in value and tag in {"", "latest"}:
            raise ValueError(f"{value!r} moves; name a version tag or a digest")
        return value
