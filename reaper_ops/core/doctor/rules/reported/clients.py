"""What clients say: they did not get through, to whom, and what that means for this host."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from reaper_ops.core.doctor.finding import Confidence, Step
from reaper_ops.core.doctor.rules.case import HostEvidence
from reaper_ops.core.doctor.rules.reported import client_steps as steps
from reaper_ops.core.doctor.rules.reported.statement import Statement
from reaper_ops.core.doctor.rules.reported.texts import SERVER
from reaper_ops.core.doctor.rules.variables import written
from reaper_ops.core.doctor.signatures.prefilter import Prefilter
from reaper_ops.core.doctor.tables import transport
from reaper_ops.core.facts.reported import ClientError

LOOPBACK = re.compile(r"^(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|localhost|::1|0\.0\.0\.0)$")
TO_HOST = re.compile(
    r"^(?:host\.(?:docker|containers|lima)\.internal|gateway\.docker\.internal|172\.(?:1[6-9]|2\d|3[01])\.0\.1"
    r"|169\.254\.1\.\d{1,3}|10\.0\.2\.2|192\.168\.(?:65|127)\.\d{1,3}|10\.88\.0\.1)$"
)
"""Names and addresses by which a container or a virtual machine reaches its host."""
REGISTRY = re.compile(r"(?:^|\.)(?:ollama\.ai|ollama\.com|cloudflarestorage\.com|hf\.co|huggingface\.co)$")
_KINDS = tuple((kind, re.compile(pattern)) for kind, pattern in transport.TEXTS)
_MARK = re.compile("|".join(f"(?:{pattern})" for _, pattern in transport.TEXTS))
_CURL = re.compile(r"curl: \((?P<code>\d{1,2})\)")
_PREFILTER = Prefilter(_MARK, _CURL)
_URL = re.compile(r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:]{2,45}\]|[\w.-]{1,253})(?::(?P<port>\d{1,5}))?")
_PLACES = (
    re.compile(r"dial tcp (?P<host>\[[0-9a-fA-F:]{2,45}\]|[\w.-]{1,253}):(?P<port>\d{1,5})"),
    re.compile(r"lookup (?P<host>[\w.-]{1,253})(?: on \S{1,60})?:"),
    re.compile(r"(?:to host|resolve host:?|resolve proxy:?) (?P<host>[\w.-]{1,253})(?:(?: port |:)(?P<port>\d{1,5}))?"),
    re.compile(r"connect to (?P<host>[\w.-]{1,253})(?: port |:)(?P<port>\d{1,5})"),
    re.compile(r"host='(?P<host>[\w.:-]{1,253})', port=(?P<port>\d{1,5})"),
    re.compile(r"\('(?P<host>[\w.:-]{1,253})', (?P<port>\d{1,5})\)"),
    re.compile(r"(?:ECONNREFUSED|ETIMEDOUT|EHOSTUNREACH|ENETUNREACH) (?P<host>[\w.:]{2,253}?):(?P<port>\d{1,5})\b"),
    re.compile(r"(?:ENOTFOUND|EAI_AGAIN) (?P<host>[\w.-]{1,253})"),
)
_OWN_RUNNER = re.compile(r"127\.0\.0\.1:(?:3[0-9]|4[0-9]|5[0-9]|6[0-5])\d{3}(?:/|\b)")
_COMPOSED = re.compile(r"^(?!ollama)[\w.-]{1,60}-\d{1,3}\Z")
"""SERVICE-1: Compose's name of a container before each of its lines."""
_PULL = re.compile(r"/v2/|/blobs/|manifest|registry\.")


@dataclass(frozen=True)
class Attempt:
    """kind: refused, dns, unreachable, timeout, tls, reset, proxy; host and port as far as the line names them.

    container: of a Compose project, in which the client runs.
    """

    kind: str
    host: str
    port: int | None
    line: str
    container: str = ""


def attempt(line: str) -> Attempt | None:
    """What a client's line says of its connection; None for any other line."""
    if not _PREFILTER.may_match(line):
        return None
    found = _MARK.search(line)
    coded = _CURL.search(line)
    if found is None and coded is None:
        return None
    kind = ""
    if coded is not None:
        kind = transport.CURL.get(int(coded["code"]), ("", ""))[0]
    if not kind:
        kind = next((name for name, pattern in _KINDS if pattern.search(line)), "")
    host, port = _target(line)
    return Attempt(kind, host, port, line) if kind else None


def _target(line: str) -> tuple[str, int | None]:
    for pattern in _PLACES:
        found = pattern.search(line)
        if found:
            port = found.groupdict().get("port")
            return found["host"].strip("[]"), int(port) if port else None
    found = _URL.search(line)
    if found is None:
        return "", None
    return found["host"].strip("[]"), int(found["port"]) if found["port"] else None


def of(case: HostEvidence, error: ClientError) -> Iterator[Statement]:
    """Of an error that was read where it was pasted."""
    plain = attempt(error.text)
    kind = {"read-timeout": "timeout", "closed": "reset"}.get(error.kind, error.kind)
    host = error.host or (plain.host if plain else "")
    port = error.port if error.host else (plain.port if plain else None)
    owner = error.origin.owner if error.origin and _COMPOSED.search(error.origin.owner) else ""
    yield from _judged(case, Attempt(kind, host, port, error.text, owner), "client")


def read(case: HostEvidence, source: str, line: str) -> Iterator[Statement]:
    """Nothing of registries, whose errors have signatures, nor of the server's own runner."""
    seen = attempt(line)
    if seen is not None:
        yield from _judged(case, seen, "client" if source == SERVER else source)


def _judged(case: HostEvidence, seen: Attempt, source: str) -> Iterator[Statement]:
    line = seen.line
    if (seen.host and REGISTRY.search(seen.host)) or _PULL.search(line) or _OWN_RUNNER.search(line):
        return
    judged = {"refused": _refused, "dns": _dns, "timeout": _late, "unreachable": _late, "tls": _tls}.get(seen.kind)
    said = judged(case, seen) if judged else None
    if said is not None:
        cause, summary, confidence, remedy = said
        values = {"address": seen.host, "name": seen.host}
        yield Statement(cause, summary, line, source, confidence, values, remedy)


Judgement = tuple[str, str, Confidence, "tuple[Step, ...] | None"]


def _bound(case: HostEvidence) -> str:
    """Where the server listens, as far as the evidence shows: `loopback`, `address`, `all`; empty where unknown."""
    ports = {case.settings.ollama_port, 11434}
    there = [row.address for row in case.traces.listeners or () if row.port in ports]
    if not there:
        told = written(case).get("OLLAMA_HOST", "").partition("://")[2] or written(case).get("OLLAMA_HOST", "")
        there = [told.rpartition(":")[0].strip("[]") or told] if told else []
    if not there:
        return ""
    if all(address.startswith("127.") or address in {"::1", "[::1]", "localhost"} for address in there):
        return "loopback"
    return "all" if any(address in {"0.0.0.0", "::", "*", "[::]"} for address in there) else "address"  # noqa: S104


def _refused(case: HostEvidence, seen: Attempt) -> Judgement | None:
    where = f"{seen.host}:{seen.port or 11434}" if seen.host else "the server"
    bound = _bound(case)
    if not seen.host or LOOPBACK.match(seen.host):
        if bound == "address":
            summary = (
                "the CLI asks 127.0.0.1, and the server listens on one other address only: the client needs OLLAMA_HOST"
            )
            return "client-host-misparsed", summary, Confidence.LIKELY, steps.CLIENT_HOST
        if seen.container and seen.host:
            summary = f"{seen.container} asks {where}, which is its own container, not the host"
            return "container-to-host-loopback", summary, Confidence.LIKELY, None
        if bound:
            return None
        summary = f"nothing listens at {where}: Ollama is not running there, or the client is in a container of its own"
        return "service-not-running", summary, Confidence.POSSIBLE, steps.NOT_RUNNING
    if bound == "loopback":
        summary = f"the server listens on its loopback address 127.0.0.1 only, and a client asks {where}"
        return "listening-loopback-only", summary, Confidence.CERTAIN, steps.LISTEN
    if bound == "all":
        return "firewall-reject", f"a firewall rejects the connection to {where}", Confidence.POSSIBLE, None
    if TO_HOST.match(seen.host):
        summary = (
            f"a container asks {where} and is refused: the server on the host most likely listens on 127.0.0.1 only"
        )
        return "listening-loopback-only", summary, Confidence.POSSIBLE, (steps.WHERE, *steps.LISTEN)
    summary = f"{where} refuses the connection: the server is not running, or listens on 127.0.0.1 only"
    return "listening-loopback-only", summary, Confidence.POSSIBLE, (steps.WHERE, *steps.LISTEN)


def _dns(case: HostEvidence, seen: Attempt) -> Judgement | None:
    if not seen.host:
        return "dns-failure", "a name does not resolve where the client runs", Confidence.LIKELY, steps.NAMES
    if seen.host.endswith(".internal"):
        summary = f"{seen.host} does not resolve in the client's container: this engine needs it mapped to the host"
        return "container-to-host-loopback", summary, Confidence.CERTAIN, steps.GATEWAY
    if "." not in seen.host:
        summary = f"the name {seen.host} does not resolve: the client is not on the network of that container"
        return "dns-failure", summary, Confidence.LIKELY, steps.NETWORK
    return "dns-failure", f"the name {seen.host} does not resolve where the client runs", Confidence.LIKELY, steps.NAMES


def _late(case: HostEvidence, seen: Attempt) -> Judgement | None:
    if not seen.host:
        return None
    where = f"{seen.host}:{seen.port or 11434}"
    if LOOPBACK.match(seen.host):
        if "Timeout exceeded" in seen.line or "Read timed out" in seen.line:
            return None
        summary = f"a connection to the loopback address {where} timed out: the network of this host itself is at fault"
        return "wsl2-network-isolation", summary, Confidence.POSSIBLE, steps.LOOPBACK
    if re.search(r"[Rr]ead timed out|ReadTimeout|Headers?TimeoutError|awaiting headers|BODY_TIMEOUT", seen.line):
        summary = f"the client gave up waiting for an answer of {where}"
        return "client-timeout-too-short", summary, Confidence.LIKELY, steps.PATIENCE
    return "firewall-drop", f"{where} does not answer at all, as behind a firewall", Confidence.POSSIBLE, steps.DROPPED


def _tls(case: HostEvidence, seen: Attempt) -> Judgement | None:
    if re.search(r"wrong.version.number|does not look like a TLS|HTTP response to HTTPS", seen.line, re.I):
        summary = f"the client speaks https to {seen.host or 'a server'} that speaks http"
        return "scheme-mismatch", summary, Confidence.CERTAIN, steps.SCHEME
    return None
