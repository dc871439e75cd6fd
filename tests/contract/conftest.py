"""Each test here runs on the simulated server, and on a real one that the environment names.

REAPER_OPS_OLLAMA_URL  a real server on this machine (it must reach the registry of the tests on 127.0.0.1)
REAPER_OPS_OLLAMA_BIN  its program, for the tests that start a server of their own
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from subject import REAL_BIN, REAL_URL, Starter, Subject, simulated

from reaper_ops.lab import models
from reaper_ops.lab.ollama import gguf
from reaper_ops.lab.registry import LabRegistry

MODELS = {
    "library/tiny:latest": gguf.Shape("tiny", seed=1),
    "library/small:latest": models.MODELS["library/small:latest"],
    **{f"library/fresh{number}:latest": gguf.Shape("fresh", seed=10 + number) for number in range(8)},
}


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabRegistry]:
    root = tmp_path_factory.mktemp("registry")
    models.publish(root, MODELS)
    found = LabRegistry(root).start()
    yield found
    found.stop()


@pytest.fixture(scope="session", params=["simulated", "real"] if REAL_BIN else ["simulated"])
def starter(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    directory = tmp_path_factory.mktemp(request.param)
    found = Starter(request.param, [REAL_BIN] if request.param == "real" else simulated(directory / "tree"), directory)
    yield found
    found.stop()


@pytest.fixture(scope="session", params=["simulated", "real"] if REAL_URL else ["simulated"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    if request.param == "real":
        yield Subject("real", REAL_URL.rstrip("/"))
        return
    directory = tmp_path_factory.mktemp("server")
    found = Starter("simulated", simulated(directory / "tree"), directory)
    yield found.start().wait_ready()
    found.stop()


@pytest.fixture
def tiny(server: Subject, registry: LabRegistry) -> str:
    """A small model that is on the server's disk."""
    name = f"{registry.name}/library/tiny:latest"
    assert server.pull(name).lines()[-1] == {"status": "success"}
    return name


@pytest.fixture
def runs(server: Subject, tiny: str) -> str:
    """The same where the server can hold models in memory; a real one without its runner cannot."""
    for row in server.ask("GET", "/api/ps").json()["models"]:
        server.generate(row["name"], keep_alive=0)
    answer = server.generate(tiny)
    if answer.status != 200 and "binary not found" in answer.text:
        pytest.skip("this real server has no llama-server beside it")
    assert answer.status == 200, answer.text
    return tiny


@pytest.fixture
def absent(server: Subject, registry: LabRegistry) -> Iterator[str]:
    """A model of 5 MB that is not on the server's disk, and is gone again afterwards."""
    name = f"{registry.name}/library/small:latest"
    _forget_small(server)
    yield name
    _forget_small(server)


def _forget_small(server: Subject) -> None:
    for row in server.ask("GET", "/api/tags").json()["models"]:
        if row["name"].endswith("/small:latest"):
            server.ask("DELETE", "/api/delete", {"model": row["name"]})
