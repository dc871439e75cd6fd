"""Files of the installation: where they lead, whose they are, who may write them."""

from __future__ import annotations

from typing import Any

from reaper_ops.verify.applies import DOCKER, OWN_UNIT, PROCESS, SYSTEMD
from reaper_ops.verify.expected import COMPOSE, DROPIN, UNIT, Expected
from reaper_ops.verify.server import CheckedServer


def owned_by_root(host: Any, modes: tuple[str, ...], *paths: str) -> None:
    """One question for all paths: each takes a whole round trip."""
    done = host.run("stat -c '%%n %%U:%%G %%a' " + " ".join("%s" for _ in paths), *paths)
    found = {path: rest for path, _, rest in (line.partition(" ") for line in done.stdout.splitlines())}
    missing = [path for path in paths if path not in found]
    assert not missing, f"there is no {', '.join(missing)}"
    for path, (owner, mode) in ((path, rest.split()) for path, rest in found.items()):
        assert owner == "root:root", f"{path} belongs to {owner}"
        assert mode in modes, f"{path} has mode {mode}"


@SYSTEMD
def check_binary(host: Any, expected: Expected) -> None:
    """The binary is the configured version's, and only root can replace it."""
    target = host.check_output("readlink -f /opt/ollama/current/bin/ollama").strip()
    assert target == f"/opt/ollama/{expected['ollama_version']}/bin/ollama", f"it leads to {target}"
    owned_by_root(host, ("755",), target, f"/opt/ollama/{expected['ollama_version']}", "/opt/ollama")


@SYSTEMD
def check_process_runs_the_binary(host: Any, server: CheckedServer, expected: Expected) -> None:
    """The running server is the configured version's, not one from before an upgrade."""
    number = server.pid()
    assert number, "the server does not run"
    words = host.check_output("tr '\\0' ' ' < /proc/%s/cmdline", str(number)).split()
    found = {host.check_output("readlink -f %s", word).strip() for word in words[:2] if word.startswith("/")}
    assert f"/opt/ollama/{expected['ollama_version']}/bin/ollama" in found, f"it runs {' '.join(words)}"


@OWN_UNIT
def check_unit_file(host: Any) -> None:
    """The unit belongs to root, and nobody else can write it."""
    owned_by_root(host, ("644",), UNIT)


@SYSTEMD
def check_settings_file(host: Any) -> None:
    """The service's settings belong to root and are not for everyone's eyes."""
    owned_by_root(host, ("640", "600"), DROPIN)


@DOCKER
def check_compose_file(host: Any) -> None:
    """The Compose file belongs to root and is not for everyone's eyes."""
    owned_by_root(host, ("640", "600"), COMPOSE)


@PROCESS
def check_process_files(host: Any, server: CheckedServer, expected: Expected) -> None:
    """The server's files belong to the user who logs in; its settings are for that user alone."""
    home, me = server.home(), host.user()
    settings = host.file(f"{home}/env.json")
    assert settings.exists, f"there is no {home}/env.json"
    assert (settings.uid, settings.mode) == (me.uid, 0o600), f"env.json: {settings.user}, mode {settings.mode:04o}"
    target = host.check_output("readlink -f %s/current", home).strip()
    assert target.endswith(f"/releases/{expected['ollama_version']}"), f"{home}/current leads to {target}"
