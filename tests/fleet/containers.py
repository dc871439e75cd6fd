"""Real systemd hosts as containers: sshd, journal, writable cgroups of their own; one can hold a Docker engine."""

import io
import ipaddress
import subprocess
import tarfile

import docker
from docker.models.containers import Container
from fleet.hosts import Keys

LABEL = "reaper_ops.fleet"
SWAP_VOLUME = "/data"
BOOT = (
    "mount -o remount,rw,bind /sys/fs/cgroup; "
    "for d in /sys/fs/cgroup/*; do [ -L $d ] || mount -o remount,rw,bind $d; done; "
    "exec /lib/systemd/systemd"
)


def start(
    client: docker.DockerClient,
    name: str,
    image: str,
    keys: Keys,
    *,
    volumes: dict[str, str] | None = None,
    tmpfs: dict[str, str] | None = None,
    label: str = "",
) -> Container:
    """Boots a host; `volumes` maps a volume's short name to its place on the host, `tmpfs` a place to its options."""
    labels = {label or LABEL: name}
    mounts = {}
    for short, place in (volumes or {}).items():
        volume = client.volumes.create(f"reaper-fleet-{name}-{short}", labels=labels)
        mounts[volume.name] = {"bind": place, "mode": "rw"}
    host_config = client.api.create_host_config(
        cap_add=["SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "SYSLOG"],
        security_opt=["seccomp=unconfined", "apparmor=unconfined"],
        cgroupns="private",
        tmpfs={"/run": "", "/run/lock": "", **(tmpfs or {})},
        binds=mounts,
    )
    host_config |= {"MaskedPaths": [], "ReadonlyPaths": []}
    created = client.api.create_container(
        image,
        ["/bin/sh", "-c", BOOT],
        name=f"reaper-fleet-{name}",
        hostname=name,
        labels=labels,
        environment={"container": "docker"},
        volumes=[mount["bind"] for mount in mounts.values()],
        host_config=host_config,
    )
    container = client.containers.get(created["Id"])
    put_keys(container, keys)
    container.start()
    container.reload()
    return container


def put_keys(container: Container, keys: Keys) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        directory = tarfile.TarInfo("root/.ssh")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o700
        archive.addfile(directory)
        for path, (mode, data) in keys.files().items():
            entry = tarfile.TarInfo(path)
            entry.mode, entry.size = mode, len(data)
            archive.addfile(entry, io.BytesIO(data))
    container.put_archive("/", content.getvalue())


def address(container: Container) -> str:
    return str(container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"])


def gateway(client: docker.DockerClient) -> str:
    """The machine's own address as the container hosts see it; an engine's very first start does not name it."""
    (config, *_) = client.networks.get("bridge").attrs["IPAM"]["Config"]
    return str(config.get("Gateway") or next(ipaddress.ip_network(config["Subnet"]).hosts()))


def remove_all(client: docker.DockerClient, label: str = LABEL) -> None:
    """Removes every labelled container and volume, of this session or of one that crashed."""
    for volume in client.volumes.list(filters={"label": label}):
        release_swap(volume.attrs["Mountpoint"])
    for container in client.containers.list(all=True, filters={"label": label}):
        container.remove(force=True, v=True)
    for volume in client.volumes.list(filters={"label": label}):
        volume.remove(force=True)


def remove(client: docker.DockerClient, name: str) -> None:
    remove_all(client, f"{LABEL}={name}")


def release_swap(directory: str) -> None:
    """Swap belongs to the machine's kernel, so a swap file must be off before its volume can go."""
    find = ["find", directory, "-maxdepth", "2", "-type", "f", "-name", "*swap*"]
    for path in subprocess.run(find, capture_output=True, text=True, check=False).stdout.splitlines():
        subprocess.run(["swapoff", path], capture_output=True, check=False)
