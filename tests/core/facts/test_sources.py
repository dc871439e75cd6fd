"""An archive is recognized in every form in which apt and dnf know it; sources.list(5) and the vendors' own pages."""

from __future__ import annotations

import pytest

from reaper_ops.core import facts as core_facts
from reaper_ops.core.facts.model import Facts
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import repositories

RELEASE = {
    "debian": "ID=debian\nVERSION_ID=13\nVERSION_CODENAME=trixie\n",
    "rocky": 'ID=rocky\nID_LIKE="rhel fedora"\n',
}
NVIDIA = "https://nvidia.github.io/libnvidia-container/stable/deb"
DOCKER = "https://download.docker.com/linux/debian"
LIST, SOURCES, REPO = "/etc/apt/sources.list.d/x.list", "/etc/apt/sources.list.d/x.sources", "/etc/yum.repos.d/x.repo"


def host(path: str, content: str, system: str = "debian") -> Facts:
    answers = {
        "identity": {"arch": "x86_64"},
        "os-release": {"path": "/etc/os-release", "exists": True, "content": RELEASE[system]},
        "package-sources": {"matches": [{"path": path, "content": content}]},
    }
    return core_facts.parse("gpu1", Settings(), answers)


@pytest.mark.parametrize(
    ("which", "path", "content"),
    [
        ("nvidia", LIST, f"deb [signed-by=/usr/share/keyrings/nvidia.gpg] {NVIDIA}/$(ARCH) /\n#deb {NVIDIA}/x /\n"),
        ("nvidia", LIST, f"# comment\ndeb {NVIDIA}/amd64 /"),
        ("nvidia", LIST, f"deb [ arch=amd64 signed-by=/k ] {NVIDIA}/amd64/ ./ # here"),
        ("nvidia", LIST, f"deb {NVIDIA.replace('https', 'http')} amd64/"),
        ("nvidia", SOURCES, f"Types: deb\nURIs: {NVIDIA}/amd64/\nSuites: /\nSigned-By:\n -----BEGIN\n .\n x\n"),
        ("docker", LIST, f"deb [arch=amd64 signed-by=/etc/apt/keyrings/docker.gpg] {DOCKER} trixie stable"),
        ("docker", "/etc/apt/sources.list", f"deb\t{DOCKER}/   trixie  stable test"),
        (
            "docker",
            SOURCES,
            f"# x\nTypes: deb-src deb\nURIs: {DOCKER}/\nSuites: bookworm\n trixie\nComponents: stable\n",
        ),
    ],
)
def test_an_archive_that_is_named_is_used_as_it_is(which: str, path: str, content: str) -> None:
    assert repositories.named(host(path, content), which, "amd64") == path


@pytest.mark.parametrize(
    ("which", "path", "content"),
    [
        ("nvidia", LIST, f"#deb {NVIDIA}/amd64 /"),
        ("nvidia", LIST, f"deb-src {NVIDIA}/amd64 /"),
        ("nvidia", LIST, f"deb {NVIDIA.replace('stable', 'experimental')}/amd64 /"),
        ("nvidia", SOURCES, f"Enabled: no\nTypes: deb\nURIs: {NVIDIA}/amd64\nSuites: /\n"),
        ("docker", LIST, f"deb {DOCKER} bookworm stable"),
        ("docker", LIST, f"deb {DOCKER} trixie test"),
        ("docker", SOURCES, f"Types: deb-src\nURIs: {DOCKER}\nSuites: trixie\nComponents: stable\n"),
        ("docker", LIST, ""),
    ],
)
def test_another_archive_or_one_that_is_off_is_not_it(which: str, path: str, content: str) -> None:
    assert repositories.named(host(path, content), which, "amd64") == ""


def test_repositories_of_dnf() -> None:
    docker = "[docker-ce-stable]\nbaseurl=https://download.docker.com/linux/centos/$releasever/$basearch/stable\n"
    nvidia = "[n]\nbaseurl=https://nvidia.github.io/libnvidia-container/stable/rpm/$basearch\nenabled={}\n"
    assert repositories.named(host(REPO, docker + "enabled=1\n", "rocky"), "docker", "amd64") == REPO
    assert repositories.named(host(REPO, docker + "enabled=0\n", "rocky"), "docker", "amd64") == ""
    assert repositories.named(host(REPO, nvidia.format(1), "rocky"), "nvidia", "amd64") == REPO
    assert repositories.named(host(REPO, "no section\n", "rocky"), "nvidia", "amd64") == ""
