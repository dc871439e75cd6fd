"""What helps a client that does not get through."""

from __future__ import annotations

from reaper_ops.core.doctor.finding import Step

WHERE = Step("See where the server listens, on the host that runs it.", "ss -ltn 'sport = :{port}'")
LISTEN = (
    Step(
        "Let the server listen on all addresses: set OLLAMA_HOST=0.0.0.0 for it, in a drop-in, in the Compose file, or"
        " as `ollama_bind` in the inventory. Anybody who reaches the port can then use it."
    ),
    Step(
        "With systemd, write this into the drop-in that opens: [Service] and Environment=OLLAMA_HOST=0.0.0.0",
        "sudo systemctl edit ollama",
    ),
    Step(
        "Have systemd read its units again, and restart the server.",
        "sudo systemctl daemon-reload && sudo systemctl restart ollama",
    ),
    Step("For a container: run it with --network=host; for rootless Podman, pasta's --map-host-loopback also helps."),
)
CLIENT_HOST = (
    Step(
        "Tell the client the server's address: set OLLAMA_HOST for it, too, as in the unit.",
        "systemctl show ollama -p Environment",
    ),
)
NOT_RUNNING = (
    Step("See whether the server runs, and where it listens.", "ss -ltn 'sport = :{port}'"),
    Step("If nothing listens, start the server.", "{start}"),
    Step("A client in a container must ask host.docker.internal or the server's name, not localhost."),
)
GATEWAY = (
    Step(
        'Map the name to the host: `extra_hosts: ["host.docker.internal:host-gateway"]` in the client\'s Compose file,'
        " or `--add-host=host.docker.internal:host-gateway` with docker run."
    ),
    Step("Then let the server listen on more than 127.0.0.1: OLLAMA_HOST=0.0.0.0."),
)
NETWORK = (
    Step("Put both containers on one user-defined network, and ask by the service's name.", "docker network ls"),
    Step("If the server runs on the host itself, ask host.docker.internal instead."),
)
NAMES = (
    Step("Ask the resolver where the client runs.", "getent hosts {name}"),
    Step("Correct the name in the client's base URL, or the resolver in /etc/resolv.conf."),
)
LOOPBACK = (
    Step("See the host's own network: is the loopback interface up?", "ip addr show lo"),
    Step(
        "In WSL: set networkingMode=nat under [wsl2] in .wslconfig (mirrored can break loopback), then run"
        " `wsl --shutdown` in Windows."
    ),
)
PATIENCE = (
    Step("Raise the client's request timeout, or have it stream."),
    Step("Load the model before: an empty generate request does, and `keep_alive` keeps it."),
)
DROPPED = (
    Step("Try the port from the client's machine.", "curl -m 5 http://{address}:{port}/api/version"),
    Step("On the server's host, see where it listens and what the firewall allows.", "ss -ltn 'sport = :{port}'"),
)
SCHEME = (Step("Write http:// in the client's base URL, or put a proxy with TLS in front of Ollama."),)
