"""Listening sockets, the host's addresses, names it resolves, its firewall, and the server asked in odd ways."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Any
from urllib.parse import urlsplit

from reaper_ops.core.facts import default_paths as places
from reaper_ops.core.facts import exchanges
from reaper_ops.core.facts.answers import Answers, Ask, number, text
from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.facts.running import LATER, server
from reaper_ops.core.facts.traces import Listener, Resolved
from reaper_ops.core.inventory.settings import Settings

FOREIGN = "reaper.invalid"
REGISTRY = "registry.ollama.ai"
ASKED = {
    "ipv4": ("http://127.0.0.1:{port}", {}),
    "ipv6": ("http://[::1]:{port}", {}),
    "origin": ("{local}", {"Origin": f"https://{FOREIGN}"}),
    "host": ("{local}", {"Host": FOREIGN}),
    "address": ("http://own.address:{port}", {}),
}
FIREWALLS = {
    "nft": ["nft", "list", "ruleset"],
    "iptables": ["iptables", "-S"],
    "ufw": ["ufw", "status", "verbose"],
    "firewalld": ["firewall-cmd", "--list-all"],
}
HEADING = re.compile(r"^==> (\S+) <==\n", re.M)
LOOKS = {"ufw": r"^Status: ", "nft": r"^table \w+ ", "iptables": r"^(-P |Chain )", "firewalld": r"^\w+ \(.*active.*\)"}


def asks(settings: Settings) -> list[Ask]:
    port = settings.ollama_port
    established = rf" [0-9A-F]+:{port:04X} [0-9A-F]+:[0-9A-F]{{4}} 01 "
    return [
        {"id": "listeners", "kind": "sockets"},
        {"id": "resolved", "kind": "resolve", "names": names(settings)},
        {"id": "firewall", "kind": "commands", "commands": FIREWALLS},
        {"id": "addresses", "kind": "glob", "patterns": ["/proc/net/fib_trie", "/proc/net/if_inet6"], "content": True},
        {
            "id": "connections",
            "kind": "glob",
            "patterns": ["/proc/net/tcp", "/proc/net/tcp6"],
            "content": True,
            "max_bytes": 4 << 20,
            "grep": established,
            "after": LATER,
        },
        *(_visit(name, settings) for name in ASKED),
        *([_upstream(settings)] if settings.models() else []),
    ]


def _upstream(settings: Settings) -> Ask:
    """Manifests of the promised models, asked for only where the server lacks them."""
    return {
        "id": "asked registry",
        "kind": "upstream",
        "base_url": places.local_url(settings),
        "path": places.models(settings) or "",
        "server": server(settings),
        "version": settings.ollama_version,
        "models": [_manifest(model, settings) for model in settings.models()],
    }


def _manifest(model: str, settings: Settings) -> dict[str, str]:
    """The model as the server lists it, its manifest in the store and in its registry."""
    way, _, last = model.rpartition("/")
    short, _, tag = last.partition(":")
    host, _, space = way.partition("/") if way.count("/") else (REGISTRY, "", way or "library")
    scheme = "http" if host in settings.ollama_insecure_registries else "https"
    place, tag = f"{space}/{short}", tag or "latest"
    listed = f"{way}/{short}:{tag}" if way else f"{short}:{tag}"
    return {
        "name": listed,
        "path": f"{host}/{place}/{tag}",
        "url": f"{scheme}://{host}/v2/{place}/manifests/{tag}",
    }


def names(settings: Settings) -> list[str]:
    """What the server must resolve to pull its models, and what we must to install it."""
    found = [REGISTRY, "localhost"]
    hosts = [model.split("/")[0] for model in settings.models() if model.count("/") > 1]
    for url in (settings.ollama_https_proxy, settings.ollama_base_url, *(f"//{host}" for host in hosts)):
        if url and (host := urlsplit(url).hostname):
            found.append(host)
    return list(dict.fromkeys(found))


def _visit(name: str, settings: Settings) -> Ask:
    url, headers = ASKED[name]
    base = url.format(port=settings.ollama_port, local=places.local_url(settings))
    request = {"path": "/api/version", "timeout": 3.0, "headers": headers}
    return {"id": f"asked {name}", "kind": "http", "base_url": base, "connect_timeout": 1.0, "requests": [request]}


def parse(answers: Answers) -> dict[str, Any]:
    return {
        "listeners": listeners(answers.out("listeners")),
        "resolved": resolved(answers.out("resolved")),
        "firewall": _firewall(answers),
        "addresses": _addresses(answers),
        "connections": _connections(answers),
        "asked": asked(answers),
    }


def asked(answers: Answers) -> dict[str, tuple[Exchange, ...]]:
    found = {id_.removeprefix("asked "): answers.get(id_) for id_ in answers.raw if id_.startswith("asked ")}
    return {name: rows for name, answer in found.items() if (rows := exchanges.rows(answer.get("exchanges")))}


def listeners(output: str | None) -> tuple[Listener, ...] | None:
    """Rows of `ss -ltnp`, with or without heading; None when there is not one line of it."""
    if output is None:
        return None
    lines = [line.split() for line in output.splitlines()]
    found = [one for words in lines if words[:1] == ["LISTEN"] and (one := _listener(words)) is not None]
    return tuple(found) if found or re.search(r"^State\s+Recv-Q", output, re.M) else None


def _listener(words: list[str]) -> Listener | None:
    if len(words) < 4:
        return None
    address, _, port = words[3].rpartition(":")
    owner = re.search(r'"([^"]*)",pid=([0-9]{1,9})', " ".join(words[5:]))
    if number(port) is None or not address:
        return None
    plain = address.strip("[]").partition("%")[0].strip("[]")
    return Listener(plain, int(port), int(owner[2]) if owner else None, owner[1] if owner else None)


def resolved(output: str | None) -> tuple[Resolved, ...] | None:
    """`NAME ADDRESS...` or `NAME: error` per line."""
    if output is None:
        return None
    found = []
    for line in output.splitlines():
        failed = re.match(r"^([^\s:]+): (.*)$", line)
        words = line.split()
        if failed:
            found.append(Resolved(failed[1], (), failed[2]))
        elif words:
            found.append(Resolved(words[0], tuple(dict.fromkeys(words[1:]))))
    return tuple(found)


def _firewall(answers: Answers) -> dict[str, str] | None:
    """None also where every tool that is there refused to answer."""
    found = firewall(answers.out("firewall"))
    return None if not found and answers.get("firewall").get("unread") else found


def firewall(output: str | None) -> dict[str, str] | None:
    """Rules by tool; text without our headings is put to the tool that it looks like."""
    if output is None:
        return None
    parts = HEADING.split(output)
    found = dict(zip(parts[1::2], (part.rstrip("\n") for part in parts[2::2]), strict=True))
    if not found and output.strip():
        tool = next((name for name, look in LOOKS.items() if re.search(look, output, re.M)), "")
        return {tool: output.rstrip("\n")} if tool else None
    return found


def _addresses(answers: Answers) -> tuple[str, ...] | None:
    rows = {str(row["path"]): text(row.get("content")) or "" for row in answers.matches("addresses") or ()}
    if not rows:
        return None
    return tuple(
        dict.fromkeys((*_ipv4(rows.get("/proc/net/fib_trie", "")), *_ipv6(rows.get("/proc/net/if_inet6", ""))))
    )


def _ipv4(trie: str) -> list[str]:
    """Local addresses: the node above each `/32 host LOCAL`."""
    return re.findall(r"\|-- ([0-9.]{7,15})\n\s+/32 host LOCAL", trie)


def _ipv6(table: str) -> list[str]:
    return [str(IPv6Address(int(digits, 16))) for digits in re.findall(r"^([0-9a-f]{32}) ", table, re.M)]


def _connections(answers: Answers) -> int | None:
    rows = answers.matches("connections")
    if not rows:
        return None
    return sum(len((text(row.get("content")) or "").splitlines()) for row in rows)
