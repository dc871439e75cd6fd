"""Which archives a host needs, where they are, and what proves them."""

from __future__ import annotations

from dataclasses import dataclass

from reaper_ops import assets
from reaper_ops.core.inventory.environment import version_key
from reaper_ops.core.inventory.settings import Settings

GITHUB = "https://github.com/ollama/ollama/releases/download"
ARCH = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
FIRST_ZSTD = (0, 14, 0)
FIRST_RUNNER = (0, 30, 0)


@dataclass(frozen=True)
class ReleaseArchive:
    """proof: `table` (our checksums), `user` (the setting), `release-file` (same origin: integrity only) or `none`."""

    name: str
    url: str
    sha256: str | None
    checksum_url: str | None
    proof: str


def architecture(machine: str) -> str | None:
    """amd64 or arm64 from `uname -m`; None for one that Ollama is not released for."""
    return ARCH.get(machine)


def suffix(version: str) -> str:
    return ".tar.zst" if version_key(version) >= FIRST_ZSTD else ".tgz"


def runner(version: str, link: str) -> str:
    """The program that a server of this version starts for each model; empty where it is the server's own."""
    return f"{link}/lib/ollama/llama-server" if version_key(version) >= FIRST_RUNNER else ""


def names(version: str, arch: str, *, amd: bool = False, jetpack: int | None = None) -> tuple[str, ...]:
    """The base archive, then the add-ons that are unpacked over it."""
    end = suffix(version)
    found = [f"ollama-linux-{arch}{end}"]
    if amd and arch == "amd64":
        found.append(f"ollama-linux-amd64-rocm{end}")
    if arch == "arm64" and jetpack in {5, 6}:
        found.append(f"ollama-linux-arm64-jetpack{jetpack}{end}")
    return tuple(found)


def archives(
    settings: Settings, arch: str, *, amd: bool = False, jetpack: int | None = None
) -> tuple[ReleaseArchive, ...]:
    version = settings.ollama_version
    return tuple(_archive(settings, name) for name in names(version, arch, amd=amd, jetpack=jetpack))


def _archive(settings: Settings, name: str) -> ReleaseArchive:
    version = settings.ollama_version
    base = settings.ollama_release_url or GITHUB
    folder = f"{base.rstrip('/')}/v{version}"
    given = settings.ollama_release_sha256
    if isinstance(given, dict):
        given = given.get(name)
    elif given is not None and name != names(version, name.split("-")[2].split(".")[0])[0]:
        given = None
    if given:
        return ReleaseArchive(name, f"{folder}/{name}", given, None, "user")
    row = assets.data("releases.json")["releases"].get(version, {}).get(name)
    if row:
        return ReleaseArchive(name, f"{folder}/{name}", row["sha256"], None, "table")
    if base.startswith("/"):
        return ReleaseArchive(name, f"{folder}/{name}", None, None, "none")
    return ReleaseArchive(name, f"{folder}/{name}", None, f"{folder}/sha256sum.txt", "release-file")
