"""What clients see: address, version, models."""

from __future__ import annotations

import json
from typing import Any

from reaper_ops.verify.applies import MODELS
from reaper_ops.verify.expected import Expected, model_paths
from reaper_ops.verify.server import CheckedServer


# The name is the id that `verify -o json` prints, and users script against it.
def check_listens_where_wished(host: Any, expected: Expected) -> None:
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
        paths = [f"{store}/{path}" for path in model_paths(name)]
        manifest = next((path for path in paths if host.run("test -f %s", path).rc == 0), None)
        assert manifest, f"{name}: there is no manifest {paths[-1]}"
        digest = host.check_output("sha256sum %s", manifest).split()[0]
        assert digest == digests.get(name), f"{name}: the manifest is not the one that the API serves"
        rows = [layer for found in _manifests(host, store, manifest) for layer in found["layers"]]
        layers = {_blob(store, layer): layer["size"] for layer in rows}
        sizes = host.run("stat -c '%%s %%n' " + " ".join("%s" for _ in layers), *layers).stdout.splitlines()
        found = {path: int(size) for size, _, path in (line.partition(" ") for line in sizes)}
        damaged = [path for path, size in layers.items() if found.get(path) != size]
        assert not damaged, f"{name}: missing or of a wrong size: {', '.join(damaged)}"


def _blob(store: str, row: dict[str, Any]) -> str:
    return f"{store}/blobs/{row['digest'].replace(':', '-')}"


def _manifests(host: Any, store: str, path: str) -> list[dict[str, Any]]:
    """The manifest itself; of a list those that are there, for a server pulls what its engine needs."""
    found = json.loads(host.check_output("cat %s", path))
    if "manifests" not in found:
        return [found]
    there = [blob for row in found["manifests"] if host.run("test -f %s", blob := _blob(store, row)).rc == 0]
    assert there, f"{path}: no manifest that it lists is in the store"
    return [json.loads(host.check_output("cat %s", blob)) for blob in there]
