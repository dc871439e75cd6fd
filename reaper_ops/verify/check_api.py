"""What clients see: address, version, models."""

from __future__ import annotations

import json
from typing import Any

from reaper_ops.verify.applies import MODELS
from reaper_ops.verify.expected import Expected, model_path
from reaper_ops.verify.server import CheckedServer


def check_listens_where_expected(host: Any, expected: Expected) -> None:
    """The port is open on the configured address and on no other."""
    sockets = [text.removeprefix("tcp://") for text in host.socket.get_listening_sockets() if text.startswith("tcp://")]
    found = {address for address, _, port in (text.rpartition(":") for text in sockets) if port == _port(expected)}
    if not expected["ollama_bind"].startswith("127."):
        assert found, f"nothing listens on port {_port(expected)}"
        assert found <= expected.addresses, f"it listens on {', '.join(sorted(found))}"
        return
    assert expected["ollama_bind"] in found, f"nothing listens on {expected['ollama_bind']}:{_port(expected)}"
    outside = sorted(address for address in found if not address.startswith("127."))
    assert not outside, f"it also listens on {', '.join(outside)}"


def _port(expected: Expected) -> str:
    return str(expected["ollama_port"])


def check_version(server: CheckedServer, expected: Expected) -> None:
    """The API answers with the configured version."""
    found = server.api("/api/version")["version"]
    assert found == expected["ollama_version"], f"it answers {found}, configured is {expected['ollama_version']}"


@MODELS
def check_models_are_there(server: CheckedServer, expected: Expected) -> None:
    """Every configured model is listed."""
    found = {model["name"] for model in server.api("/api/tags")["models"]}
    missing = [name for name in expected.models if name not in found]
    assert not missing, f"not there: {', '.join(missing)}"


@MODELS
def check_models_are_whole(host: Any, server: CheckedServer, expected: Expected) -> None:
    """Every configured model is on disk: the manifest has the digest that the API names, each layer its size."""
    digests = {model["name"]: model["digest"] for model in server.api("/api/tags")["models"]}
    store = server.store()
    for name in expected.models:
        manifest = f"{store}/{model_path(name)}"
        done = host.run("sha256sum %s", manifest)
        assert done.rc == 0, f"{name}: there is no manifest {manifest}"
        assert done.stdout.split()[0] == digests.get(name), f"{name}: the manifest is not the one that the API serves"
        content = json.loads(host.check_output("cat %s", manifest))
        layers = {f"{store}/blobs/{layer['digest'].replace(':', '-')}": layer["size"] for layer in content["layers"]}
        sizes = host.run("stat -c '%%s %%n' " + " ".join("%s" for _ in layers), *layers).stdout.splitlines()
        found = {path: int(size) for size, _, path in (line.partition(" ") for line in sizes)}
        damaged = [path for path, size in layers.items() if found.get(path) != size]
        assert not damaged, f"{name}: missing or of a wrong size: {', '.join(damaged)}"
