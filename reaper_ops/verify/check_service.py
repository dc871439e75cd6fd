"""The server runs as configured, under whatever runs it."""

from __future__ import annotations

from typing import Any

import pytest

from reaper_ops.verify.applies import DOCKER, MEMORY_LIMIT, OWN_UNIT, PROCESS, SYSTEMD
from reaper_ops.verify.expected import Expected, same
from reaper_ops.verify.server import CheckedServer


@SYSTEMD
def check_service_runs(server: CheckedServer) -> None:
    """The service runs and starts at boot."""
    found = server.show("ActiveState", "SubState", "UnitFileState", "NeedDaemonReload")
    assert (found["ActiveState"], found["SubState"]) == ("active", "running"), (
        f"it is {found['ActiveState']} ({found['SubState']})"
    )
    assert found["UnitFileState"] == "enabled", f"it is {found['UnitFileState'] or 'not installed'}, so not at boot"
    assert found["NeedDaemonReload"] == "no", "its files changed after systemd read them"


@OWN_UNIT
def check_unit_properties(server: CheckedServer) -> None:
    """The unit restarts the server, survives the kill of a model, and runs without rights of root."""
    wanted = {"Restart": "always", "OOMPolicy": "continue", "NoNewPrivileges": "yes", "ProtectSystem": "strict"}
    found = server.show(*wanted, "User", "After")
    wrong = {name: found.get(name) for name, value in wanted.items() if found.get(name) != value}
    assert not wrong, f"effective properties differ: {wrong}"
    assert found["User"] not in {"", "root"}, "the server runs as root"
    assert "network-online.target" in found["After"].split(), "it does not wait for the network"


@SYSTEMD
def check_process_is_not_root(host: Any, server: CheckedServer) -> None:
    """The server's process does not run as root."""
    number = server.pid()
    assert number, "the server does not run"
    owner = host.check_output("stat -c %%u /proc/%s", str(number)).strip()
    assert owner != "0", "its process belongs to root"


@DOCKER
def check_container_runs(server: CheckedServer, expected: Expected) -> None:
    """The container runs the configured image and comes back after a reboot."""
    found = server.container()
    assert found["State"]["Running"], f"it is {found['State']['Status']}"
    image = found["Config"]["Image"]
    assert image.removeprefix("docker.io/") == expected.image.removeprefix("docker.io/"), f"it runs {image}"
    policy = found["HostConfig"]["RestartPolicy"]["Name"]
    assert policy in {"unless-stopped", "always"}, f"its restart policy is {policy!r}"


@DOCKER
def check_container_has_few_rights(server: CheckedServer) -> None:
    """The container has no capabilities but those it needs, and is not privileged."""
    config = server.container()["HostConfig"]
    assert not config["Privileged"], "it is privileged"
    assert config["CapDrop"] == ["ALL"], f"it drops {config['CapDrop']}"
    assert any(option.startswith("no-new-privileges") for option in config["SecurityOpt"] or ()), (
        "new privileges are not refused"
    )


@PROCESS
def check_process_runs(host: Any, server: CheckedServer) -> None:
    """The server's process runs, and belongs to the user who logs in."""
    number = server.pid()
    assert number, "there is no process with the noted pid"
    done = host.run("stat -c %%u /proc/%s", str(number))
    assert done.rc == 0, f"process {number} is gone"
    assert done.stdout.strip() == str(host.user().uid), f"process {number} belongs to user {done.stdout.strip()}"


def check_environment(server: CheckedServer, expected: Expected) -> None:
    """The running server has the configured settings."""
    found = server.environment()
    wrong = {
        name: found.get(name, "not set")
        for name, value in expected.environment.items()
        if name not in found or not same(value, found[name])
    }
    assert not wrong, f"differs: {wrong}; configured: { ({name: expected.environment[name] for name in wrong}) }"


@MEMORY_LIMIT
def check_memory_limit(server: CheckedServer, expected: Expected) -> None:
    """The memory limit is in force."""
    if expected.runtime == "docker":
        found = int(server.container()["HostConfig"]["Memory"])
    elif expected.runtime == "systemd":
        text = server.show("MemoryMax")["MemoryMax"]
        found = int(text) if text.isdigit() else 0
    else:
        pytest.skip("a plain process has no memory limit of its own")
    assert abs(found - expected["ollama_memory_max"]) < 1 << 20, f"the limit is {found or 'none'}"
