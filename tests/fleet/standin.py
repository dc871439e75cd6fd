"""A stand-in for the image ollama/ollama: the base system with the simulated server; no registry can be asked here."""

import io
import subprocess
import tarfile

import docker
from fleet.containers import LABEL

from reaper_ops.lab import release
from reaper_ops.lab.ollama import VERSION

IMAGE = f"ollama/ollama:{VERSION}"
NAME = f"reaper-fleet/ollama-stand-in:{VERSION}"
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


def load(host: str) -> None:
    """Hands the image to the engine inside a host, there under the name that Compose asks for."""
    inside = ["docker", "exec", "-i", f"reaper-fleet-{host}", "docker"]
    with subprocess.Popen(["docker", "save", NAME], stdout=subprocess.PIPE) as save:
        subprocess.run([*inside, "load"], stdin=save.stdout, check=True, capture_output=True)
    subprocess.run([*inside, "tag", NAME, IMAGE], check=True, capture_output=True)
