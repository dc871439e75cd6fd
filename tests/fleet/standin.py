"""Stand-ins for images that no registry can give here: ollama/ollama with the simulated server, and nginx and
Distribution as Debian packs them."""

import io
import subprocess
import tarfile

import docker
from fleet.containers import LABEL

from reaper_ops.lab import release
from reaper_ops.lab.ollama import VERSION

IMAGE = f"ollama/ollama:{VERSION}"
ALIASES = (f"docker.io/{IMAGE}", "ollama/ollama:latest")
NAME = f"reaper-fleet/ollama-stand-in:{VERSION}"
MIRROR = "reaper-fleet/mirror-stand-in:latest"
INSTALL = (
    "apt-get update -q && apt-get install -qy --no-install-recommends nginx docker-registry "
    "&& ln -s docker-registry /usr/bin/registry"
)
CHANGES = (
    'ENTRYPOINT ["/bin/ollama"]',
    'CMD ["serve"]',
    "ENV OLLAMA_HOST=0.0.0.0:11434",
    "EXPOSE 11434",
    "LABEL org.reaper_ops.simulated=true",
)


def build(client: docker.DockerClient, base: str) -> None:
    """Makes the image in the machine's engine, under a name that nobody mistakes for the real one."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for path, data in release.contents(VERSION).items():
            entry = tarfile.TarInfo(f"usr/{path}")
            entry.mode, entry.size = 0o755, len(data)
            archive.addfile(entry, io.BytesIO(data))
    container = client.containers.create(base, ["true"], labels={LABEL: "stand-in"})
    try:
        container.put_archive("/", content.getvalue())
        container.commit(NAME, changes=list(CHANGES))
    finally:
        container.remove(force=True)


def build_mirror(client: docker.DockerClient, base: str) -> None:
    """The real nginx and the real Distribution, in one image."""
    if client.images.list(MIRROR):
        return
    container = client.containers.run(base, ["sh", "-c", INSTALL], labels={LABEL: "stand-in"}, detach=True)
    try:
        done = container.wait(timeout=600)
        if done["StatusCode"]:
            raise RuntimeError(f"the mirror's image cannot be built:\n{container.logs().decode()[-2000:]}")
        container.commit(MIRROR)
    finally:
        container.remove(force=True)


def load(host: str, name: str = NAME, *wanted: str) -> None:
    """Hands an image to the engine inside a host, there under the names that Compose asks for."""
    inside = ["docker", "exec", "-i", f"reaper-fleet-{host}", "docker"]
    with subprocess.Popen(["docker", "save", name], stdout=subprocess.PIPE) as save:
        subprocess.run([*inside, "load"], stdin=save.stdout, check=True, capture_output=True)
    for one in wanted or (IMAGE,):
        subprocess.run([*inside, "tag", name, one], check=True, capture_output=True)
