"""Who can reach the API: the network, past the firewall, and web pages."""

from __future__ import annotations

import re
from ipaddress import ip_address

from reaper_ops.core.doctor.finding import Automate, Confidence, Finding, Severity, Step
from reaper_ops.core.doctor.rules.case import HostEvidence, excerpt
from reaper_ops.core.doctor.rules.rule import Rule
from reaper_ops.core.facts.traces import Published
from reaper_ops.core.health.report import Evidence
from reaper_ops.core.inventory.environment import GO_FALSE

CLIENT = re.compile(r"\[GIN\] [^|]{0,64}\| {1,20}200 \|[^|]{0,64}\| {1,20}([0-9a-fA-F.:]{1,45}) \|")
EVERY = frozenset({"", "*", "0.0.0.0", "::"})  # noqa: S104 - compared, not bound
OURS = frozenset({"ollama", "docker-proxy", "rootlessport"})
ALLOW = "access-control-allow-origin"
FOREIGN = "https://reaper.invalid"
ANY = frozenset({"*", "http://*", "https://*"})


def exposed_unauthenticated(case: HostEvidence) -> Finding | None:
    """Anyone who reaches the port can use the server, and delete its models.

    Ollama has no authentication (CVE-2025-63389). The server listens on more than loopback, although the inventory
    wishes loopback; or it is meant to be open, and strangers use it.

    Signals:
    - models that nobody pulled, a busy GPU at night, models that are gone

    Not to be confused with:
    - `exposure: open` in a network of one's own, which the inventory wishes.
    - a proxy with a login in front: the server itself then listens on loopback.

    Sources:
    - https://pkg.go.dev/vuln/GO-2025-4251
    - https://github.com/ollama/ollama/issues/16656
    - https://techinformed.com/open-source-llms-are-forming-an-exposed-internet-compute-layer-researchers-warn
    """
    if case.settings.exposure == "open":
        return _strangers(case)
    found = reachable(case)
    if not found:
        return None
    if case.settings.ollama_managed:
        return Finding("the server is reachable from outside without a login; loopback is wished", found)
    summary = "the server is reachable from outside, and asks nobody for a login"
    return Finding(summary, found, severity=Severity.WARNING, steps=(_MEANT, _BIND))


def _strangers(case: HostEvidence) -> Finding | None:
    journal = (case.facts.journal if case.facts else None) or ""
    clients = sorted(client for client in set(CLIENT.findall(journal)) if _public(client))
    if not clients:
        return None
    lines = [line for line in journal.splitlines() if (found := CLIENT.search(line)) and found[1] in clients]
    summary = f"{len(clients)} public address{'es' if len(clients) > 1 else ''} used the server without a login"
    evidence = (Evidence("server log", excerpt(lines[-1])), Evidence("server log", f"from {', '.join(clients[:5])}"))
    return Finding(summary, evidence, Confidence.LIKELY, steps=(_FIREWALL, _BIND))


def _public(address: str) -> bool:
    try:
        return ip_address(address).is_global
    except ValueError:
        return False


def _outside(address: str) -> bool:
    if address in EVERY:
        return True
    try:
        return not ip_address(address).is_loopback
    except ValueError:
        return False


def _shown(row: Published) -> str:
    address = f"[{row.address}]" if ":" in row.address else row.address or "every address"
    return f"{address}:{row.host_port}"


def reachable(case: HostEvidence) -> tuple[Evidence, ...]:
    """How it shows that the server listens on more than loopback; empty when it does not, or nobody looked."""
    traces, port = case.traces, case.settings.ollama_port
    outside = [row for row in traces.listeners or () if row.port == port and _outside(row.address)]
    found = [Evidence("ss -ltnp", f"{row.address}:{row.port} {row.command}") for row in outside if row.command in OURS]
    found += [
        Evidence("docker inspect", f"{box.name} publishes {_shown(row)}")
        for box in traces.containers or ()
        for row in box.ports
        if box.serves and box.state == "running" and row.host_port == port and _outside(row.address)
    ]
    found += [
        Evidence(f"GET {row.path} at {row.address}", f"HTTP {row.status} without a login")
        for row in traces.asked.get("address", ())
        if row.status == 200 and not row.error and (outside or traces.listeners is None)
    ]
    answered = next((row for row in case.seen.exchanges if row.path == "/api/tags" and row.status == 200), None)
    if answered is not None and _public(answered.address.rpartition(":")[0].strip("[]")):
        found.append(Evidence(f"GET {answered.path} at {answered.address}", "HTTP 200 without a login"))
    return tuple(found[:3])


def docker_bypasses_ufw(case: HostEvidence) -> Finding | None:
    """Docker opens the port past the firewall ufw.

    A published port is forwarded before ufw's own rules are asked, so that ufw's answer says nothing about it.

    Signals:
    - `ufw status` denies the port, and it is open from outside

    Not to be confused with:
    - firewall-drop: there the firewall does what it says.
    - rules in the chain DOCKER-USER, which do count.

    Sources:
    - https://docs.docker.com/engine/network/packet-filtering-firewalls/
    - https://github.com/ollama/ollama/issues/7417
    """
    rules = case.traces.firewall or {}
    ufw = rules.get("ufw", "")
    published = [
        (box, row)
        for box in case.traces.containers or ()
        for row in box.ports
        if box.serves and box.state == "running" and _outside(row.address)
    ]
    if not published or not re.search(r"^Status: active", ufw, re.M):
        return None
    if re.search(r"^-A DOCKER-USER .*-j (?:DROP|REJECT)", rules.get("iptables", ""), re.M):
        return None
    box, row = published[0]
    own = re.findall(rf"^{row.host_port}(?:/tcp)?\b.*$", ufw, re.M)
    if any(re.search(r"\bALLOW(?: IN)?\s+Anywhere", line) for line in own):
        return None
    default = re.search(r"^Default: (?:deny|reject) \(incoming\).*$", ufw, re.M)
    if not own and (default is None or case.settings.exposure == "open"):
        return None
    said = excerpt(own[0] if own else default[0] if default else "")
    evidence = (
        Evidence("ufw status", said),
        Evidence("docker inspect", f"{box.name} publishes {_shown(row)}"),
    )
    return Finding(f"ufw restricts port {row.host_port}, and Docker's own rules open it to everyone", evidence)


def origins_wildcard(case: HostEvidence) -> Finding | None:
    """Any web page may use the server through a visitor's browser.

    OLLAMA_ORIGINS allows every origin, so that a page on the internet reaches the API of everyone who opens it and
    can reach this host.

    Signals:
    - `Access-Control-Allow-Origin: *` for a foreign `Origin`

    Not to be confused with:
    - cors-origin-403: the other way round, a wanted page is refused.
    - `ollama_origins: ["*"]` in the inventory, which wishes it.

    Sources:
    - https://github.com/ollama/ollama/issues/6021
    - https://github.com/ollama/ollama/issues/16656
    """
    if ANY & set(case.settings.ollama_origins):
        return None
    found = [
        Evidence(f"GET {row.path} with Origin: {FOREIGN}", f"HTTP {row.status}, {ALLOW}: {row.headers[ALLOW]}")
        for row in case.traces.asked.get("origin", ())
        if row.status is not None and row.status < 300 and row.headers.get(ALLOW) in {"*", FOREIGN}
    ]
    written = case.environ.get("OLLAMA_ORIGINS", "")
    if ANY & {item.strip() for item in written.split(",")}:
        found.append(Evidence("environment of the server", f"OLLAMA_ORIGINS={written}"))
    return Finding("every web page may use this server through a browser", tuple(found)) if found else None


def truthy(value: str) -> bool:
    """As Ollama reads a switch."""
    return value != "" and value not in GO_FALSE


_MEANT = Step("If that is meant, write `exposure: open` and `ollama_bind: 0.0.0.0` into the inventory.")
_BIND = Step("If not: let it listen on loopback (`OLLAMA_HOST=127.0.0.1:{port}`), with a proxy that asks for a login.")
_FIREWALL = Step(
    "Let only your own network in.",
    "sudo ufw allow from 192.168.0.0/16 to any port {port} proto tcp && sudo ufw deny {port}/tcp",
)

RULES = (
    Rule(
        exposed_unauthenticated,
        Severity.ERROR,
        steps=(
            Step(
                "Bring the server to loopback, as wished; this cuts off who uses it from outside.",
                "{up}",
                Automate.ASK,
                "apply",
            ),
            Step(
                "Where another drop-in sets OLLAMA_HOST, `up` overrides it, or says which file to move.",
                "systemctl cat ollama | grep -n OLLAMA_HOST",
            ),
            _MEANT,
        ),
        needs=("ss.txt",),
    ),
    Rule(
        docker_bypasses_ufw,
        Severity.ERROR,
        steps=(
            Step("Publish the port on loopback only, as `exposure: loopback` says.", "{up}", Automate.ASK, "apply"),
            Step(
                "Or keep it open, and restrict it where Docker asks.",
                "sudo iptables -I DOCKER-USER -p tcp -m conntrack --ctorigdstport {port} --ctdir ORIGINAL "
                "! -s 192.168.0.0/16 -j DROP",
            ),
        ),
        explains=("exposed-unauthenticated",),
        needs=("docker-inspect.json", "firewall.txt"),
    ),
    Rule(
        origins_wildcard,
        Severity.WARNING,
        steps=(
            Step(
                "Bring the variable back to what the inventory names (`ollama_origins`).", "{up}", Automate.ASK, "apply"
            ),
            Step("A page that needs it: name its origin, as `ollama_origins: [https://chat.example.com]`."),
        ),
    ),
)
