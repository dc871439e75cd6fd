"""Names of models in their whole form, their short form, and as a mirror knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

REGISTRY = "registry.ollama.ai"
NAMESPACE = "library"


@dataclass(frozen=True)
class ModelName:
    """The four parts of a name; case is kept, for a registry may tell it apart, but a server does not (`key`)."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def full(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"

    @property
    def key(self) -> str:
        """What two names have in common when a server takes them for one."""
        return self.full.lower()

    @property
    def short(self) -> str:
        """As Ollama shows it: without what it adds by itself, but always with the tag."""
        if self.host.lower() != REGISTRY:
            return self.full
        model = f"{self.model}:{self.tag}"
        return model if self.namespace.lower() == NAMESPACE else f"{self.namespace}/{model}"

    def at(self, host: str) -> ModelName:
        """The same model under the name that another registry, such as a mirror, gives it."""
        return ModelName(host, self.namespace, self.model, self.tag)

    def manifest_url(self, base_url: str) -> str:
        return f"{base_url}/v2/{self.namespace}/{self.model}/manifests/{self.tag}"

    def blob_url(self, base_url: str, digest: str) -> str:
        return f"{base_url}/v2/{self.namespace}/{self.model}/blobs/{digest}"


def split(name: str) -> ModelName:
    """With Ollama's defaults. A name of more parts than a model's has them all in its namespace."""
    path, tag = name, "latest"
    if ":" in name.rsplit("/", 1)[-1]:
        path, _, tag = name.rpartition(":")
    parts = path.split("/")
    host, *namespace, model = [REGISTRY, NAMESPACE][: max(0, 3 - len(parts))] + parts
    return ModelName(host, "/".join(namespace), model, tag)


def canonical(name: str) -> str:
    """``host/namespace/model:tag`` with Ollama's defaults; case is kept."""
    return split(name).full


def short(name: str) -> str:
    return split(name).short


def key(name: str) -> str:
    return split(name).key


@dataclass(frozen=True)
class MirrorAddress:
    """A site mirror. host: as it stands in a model's name; insecure: it speaks plain HTTP, which a pull must say.

    registries: those that it stands in for at its own port; ports: further ones, each at a port of the same host.
    """

    host: str
    insecure: bool
    registries: frozenset[str] = frozenset({REGISTRY})
    ports: Mapping[str, int] = field(default_factory=dict)

    def has(self, name: ModelName) -> bool:
        """Whether the mirror stands in for the registry of this name."""
        return name.host.lower() in self.registries or name.host.lower() in self.ports

    def place(self, name: ModelName) -> str:
        """host:port under which the mirror has the registry of this name."""
        port = self.ports.get(name.host.lower())
        return self.host if port is None else f"{self.host.partition(':')[0]}:{port}"

    @property
    def places(self) -> frozenset[str]:
        """Every host:port of the mirror."""
        return frozenset({self.host, *(f"{self.host.partition(':')[0]}:{port}" for port in self.ports.values())})

    @property
    def base_url(self) -> str:
        return f"{'http' if self.insecure else 'https'}://{self.host}"


def mirror(
    url: str, registries: frozenset[str] = frozenset({REGISTRY}), ports: Mapping[str, int] | None = None
) -> MirrorAddress:
    """From the value of the setting, such as ``http://mirror.example.org:8080``."""
    parts = urlsplit(url)
    known = {host.lower(): port for host, port in (ports or {}).items()}
    return MirrorAddress(parts.netloc, parts.scheme == "http", frozenset(host.lower() for host in registries), known)
