"""Where a host's packages come from: apt's sources in both forms, and dnf's repositories. Only those in use."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator

from reaper_ops.core.facts.answers import Answers, Ask, text
from reaper_ops.core.facts.model import PackageSource
from reaper_ops.core.inventory.settings import Settings

PATTERNS = (
    *("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"),
    "/etc/yum.repos.d/*.repo",
)
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}


def asks(settings: Settings) -> list[Ask]:
    if settings.ollama_runtime == "process":
        return []
    return [{"id": "package-sources", "kind": "glob", "patterns": list(PATTERNS), "content": True}]


def parse(answers: Answers) -> tuple[PackageSource, ...]:
    machine = text(answers.get("identity").get("arch")) or ""
    found: list[PackageSource] = []
    for item in answers.matches("package-sources") or ():
        path, content = str(item["path"]), text(item.get("content")) or ""
        read = repositories if path.endswith(".repo") else stanzas if path.endswith(".sources") else lines
        found += read(path, content, machine)
    return tuple(found)


def lines(path: str, content: str, machine: str) -> Iterator[PackageSource]:
    """`deb [option=value] URI SUITE COMPONENT…`, sources.list(5)."""
    for line in content.splitlines():
        match = re.match(r"^\s*deb\s+(?:\[[^]]*\]\s*)?(\S+)\s+(\S+)([^#]*)", line)
        if match:
            yield PackageSource(path, address(match[1], machine), match[2], tuple(match[3].split()))


def stanzas(path: str, content: str, machine: str) -> Iterator[PackageSource]:
    """deb822: fields over several lines, several URIs and suites in one stanza."""
    for block in re.split(r"\n\s*\n", re.sub(r"(?m)^#.*\n?", "", content)):
        fields = {
            name.lower(): " ".join(value.split())
            for name, value in re.findall(r"(?m)^([\w-]+):((?:.*)(?:\n[ \t].*)*)", block)
        }
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() in {"no", "false", "0"}:
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield PackageSource(path, address(uri, machine), suite, components)


def repositories(path: str, content: str, machine: str) -> Iterator[PackageSource]:
    """dnf: one section a repository."""
    reader = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        reader.read_string(content)
    except configparser.Error:
        return
    for name in reader.sections():
        section = reader[name]
        if section.get("enabled", "1").strip().lower() in {"1", "yes", "true"}:
            for uri in section.get("baseurl", "").replace(",", " ").split():
                yield PackageSource(path, address(uri.replace("$basearch", machine), machine), "", ())


def address(uri: str, machine: str) -> str:
    """The archive itself, however it is written: scheme, slashes at the end and the architecture's place aside."""
    named = uri.replace("$(ARCH)", DEBIAN.get(machine, machine))
    return re.sub(r"^(?:mirror\+)?https?://(?:[^/@]*@)?", "", named, flags=re.IGNORECASE).rstrip("/").lower()
