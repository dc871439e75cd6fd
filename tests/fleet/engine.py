"""A Docker engine for the test session: the machine's own, or one that is started here and stopped again."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import docker


def answers() -> bool:
    return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0


def start(log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        daemon = subprocess.Popen(["dockerd"], stdout=out, stderr=out, start_new_session=True)
    deadline = time.monotonic() + 60
    while not answers():
        if daemon.poll() is not None or time.monotonic() > deadline:
            daemon.terminate()
            daemon.wait(30)
            raise RuntimeError(f"dockerd did not start:\n{log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.5)
    return daemon


@contextmanager
def running(log: Path) -> Iterator[docker.DockerClient]:
    daemon = None if answers() else start(log)
    client = docker.from_env(timeout=300)
    try:
        yield client
    finally:
        client.close()
        if daemon is not None:
            daemon.terminate()
            daemon.wait(60)
