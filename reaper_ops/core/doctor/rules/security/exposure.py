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
ALLOWED = re.compile(r"\bALLOW(?: IN)?\s+(\d[\d.]{6,14}(?:/\d{1,2})?)(?=\s|$)")
ANY = frozenset({"*", "http://*", "https://*"})


def exposed_unauthenticated(case: HostEvidence) -> Finding | None:
    """Anyone who reaches the port can use the server and delete its models.

    Ollama has no authentication (CVE-2025-63389). Either the server listens on more than loopback although the
    inventory asks for loopback, or it is open on purpose and clients with public addresses use it.

    Signals:
    - models that nobody pulled, a busy GPU at night, models that are gone

    Not to be confused with:
    - `exposure: open` in a private network, as configured.
    - a proxy that asks for a login: the server itself then listens on loopback.

    Sources:
    - https://pkg.go.dev/vuln/GO-2025-4251
    - https://github.com/ollama/ollama/issues/16656
    - https://techinformed.com/open-source-llms-are-forming-an-exposed-internet-compute-layer-researchers-warn
    """
    if case.settings.exposure == "open":
        return _strangers(case)
    evidence = reachable(case)
    if not evidence:
        return None
    summary = "the server is reachable from other machines without a login"
    if case.settings.ollama_managed:
        steps = None if case.settings.ollama_runtime == "systemd" else (_LOOPBACK, _MEANT)
        return Finding(f"{summary}; the inventory asks for loopback only", evidence, steps=steps)
    return Finding(summary, evidence, severity=Severity.WARNING, steps=(_MEANT, _BIND))


def _strangers(case: HostEvidence) -> Finding | None:
    journal = (case.facts.journal if case.facts else None) or ""
    clients = sorted(client for client in set(CLIENT.findall(journal)) if _public(client))
    if not clients:
        return None
    lines = [line for line in journal.splitlines() if (match := CLIENT.search(line)) and match[1] in clients]
    summary = f"{len(clients)} public address{'es' if len(clients) > 1 else ''} used the server without a login"
    evidence = (Evidence("server log", excerpt(lines[-1])), Evidence("server log", f"from {', '.join(clients[:5])}"))
    firewall = _CHAIN if case.settings.ollama_runtime == "docker" else _FIREWALL
    return Finding(summary, evidence, Confidence.LIKELY, steps=(firewall, _CLOSE))


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


def _address(row: Published) -> str:
    address = f"[{row.address}]" if ":" in row.address else row.address or "every address"
    return f"{address}:{row.host_port}"


def reachable(case: HostEvidence) -> tuple[Evidence, ...]:
    """Evidence that the server listens on more than loopback; empty when it does not, or when nothing was read."""
    traces, port = case.traces, case.settings.ollama_port
    outside = [row for row in traces.listeners or () if row.port == port and _outside(row.address)]
    found = [Evidence("ss -ltnp", f"{row.address}:{row.port} {row.command}") for row in outside if row.command in OURS]
    found += [
        Evidence("docker inspect", f"{box.name} publishes {_address(row)}")
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
    """Docker publishes the port past the firewall ufw.

    The kernel forwards a published port before it reaches ufw's rules, so `ufw status` does not describe it.

    Signals:
    - `ufw status` denies the port, yet the port is open from outside

    Not to be confused with:
    - firewall-drop: the firewall does what its status shows.
    - rules in the chain DOCKER-USER, which do apply to published ports.

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
    evidence = (
        Evidence("ufw status", excerpt(own[0] if own else default[0] if default else "")),
        Evidence("docker inspect", f"{box.name} publishes {_address(row)}"),
    )
    summary = f"ufw restricts port {row.host_port}, but Docker's rules open it to everyone"
    networks = {network for line in own for network in ALLOWED.findall(line)}
    values = {"port": str(row.host_port), **({"network": min(networks)} if len(networks) == 1 else {})}
    return Finding(summary, evidence, values=values, steps=_restricted(case, networks))


def _restricted(case: HostEvidence, networks: set[str]) -> tuple[Step, ...]:
    """`up` publishes on loopback only where the inventory asks for that; the network is the one that ufw allows."""
    if case.settings.exposure == "loopback":
        return (_PUBLISH,)
    return (_DOCKER_USER if len(networks) == 1 else _CHAIN, _CLOSE)


def origins_wildcard(case: HostEvidence) -> Finding | None:
    """Any web page can use the server through a visitor's browser.

    OLLAMA_ORIGINS allows every origin, so a page on the internet can call the API from the browser of anyone who can
    reach this host.

    Signals:
    - `Access-Control-Allow-Origin: *` for a foreign `Origin`

    Not to be confused with:
    - cors-origin-403: the opposite, a wanted page is refused.
    - `ollama_origins: ["*"]` in the inventory: configured so.

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
    return Finding("any web page can use this server through a visitor's browser", tuple(found)) if found else None


def truthy(value: str) -> bool:
    """As Ollama reads a switch."""
    return value != "" and value not in GO_FALSE


_MEANT = Step("If this is intended, set `exposure: open` and `ollama_bind: 0.0.0.0` in the inventory.")
_BIND = Step(
    "If not, set `OLLAMA_HOST=127.0.0.1:{port}` for the server and put a proxy that asks for a login in front of it."
)
_LOOPBACK = Step(
    "Bind the server to loopback, as configured. This cuts off clients on other machines.",
    "{up}",
    Automate.ASK,
    "apply",
)
_CLOSE = Step(
    "Or put a proxy that asks for a login in front: set `exposure: loopback` and `ollama_bind: 127.0.0.1` in the "
    "inventory; then",
    "{up}",
)
_FIREWALL = Step(
    "In the firewall of the host or of your provider, allow port {port} only from the networks of your users.",
    "sudo ufw status verbose",
)
_CHAIN = Step(
    "Allow port {port} only from the networks of your users, with rules in the chain DOCKER-USER; ufw does not filter "
    "published ports.",
    "sudo iptables -S DOCKER-USER",
)
_DOCKER_USER = Step(
    "Restrict the port to the network that ufw allows, in the chain that Docker obeys. A reboot discards the rule: add "
    "it to what restores your firewall, and to ip6tables where the port is published on [::].",
    "sudo iptables -I DOCKER-USER -p tcp -m conntrack --ctorigdstport {port} --ctdir ORIGINAL ! -s {network} -j DROP",
)
_PUBLISH = Step("Publish the port on loopback only, as configured.", "{up}", Automate.ASK, "apply")

RULES = (
    Rule(
        exposed_unauthenticated,
        Severity.ERROR,
        steps=(
            _LOOPBACK,
            Step(
                "If another drop-in sets OLLAMA_HOST, `up` overrides it or reports which file to move.",
                "systemctl cat ollama | grep -n OLLAMA_HOST",
            ),
            _MEANT,
        ),
        needs=("ss.txt",),
    ),
    Rule(
        docker_bypasses_ufw,
        Severity.ERROR,
        steps=(_PUBLISH, _CHAIN),
        explains=("exposed-unauthenticated",),
        needs=("docker-inspect.json", "firewall.txt"),
    ),
    Rule(
        origins_wildcard,
        Severity.WARNING,
        steps=(
            Step("Set OLLAMA_ORIGINS to what the inventory names (`ollama_origins`).", "{up}", Automate.ASK, "apply"),
            Step("If a page needs access, name its origin, such as `ollama_origins: [https://chat.example.com]`."),
        ),
    ),
)
