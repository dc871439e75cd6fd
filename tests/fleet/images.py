"""Base systems by debootstrap from the machine's own mirror, kept between runs by a hash of what went in."""

import hashlib
import inspect
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import docker
from fleet import prepare

CACHE = Path.home() / ".cache" / "reaper_ops" / "fleet"
PACKAGES = (
    "ca-certificates,curl,dbus,iproute2,iptables,kmod,openssh-server,procps,python3,python3-apt,sudo,systemd,systemd-sysv,udev,"
    "util-linux"
)
UDEV = ("systemd-udevd.service", "systemd-udevd-kernel.socket", "systemd-udevd-control.socket")
"""Masked in the image: in a privileged container it would manage this machine's devices."""
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "fstrim.timer", "e2scrub_all.timer", *UDEV)
KEPT_APT_SETTINGS = ("Acquire::http::Proxy", "Acquire::https::Proxy")


def apt_settings() -> str:
    """The machine's own apt proxy, which its test hosts need too."""
    dump = subprocess.run(["apt-config", "dump"], capture_output=True, text=True, check=True).stdout
    return "".join(f"{line}\n" for line in dump.splitlines() if line.startswith(KEPT_APT_SETTINGS))


def fingerprint(*parts: object) -> str:
    """A short hash of what a kept thing is made of; functions count by their source."""
    texts = [inspect.getsource(part) if callable(part) or inspect.ismodule(part) else str(part) for part in parts]
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()[:16]


def furnish(root: Path) -> None:
    """Makes a fresh system of the tree: no keys, no identity, no timers that hold apt's lock under a test."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (root / "etc/machine-id").write_text("")
    (root / "etc/hostname").write_text("fleet\n")
    (root / "etc/apt/apt.conf.d/90fleet").write_text(apt_settings())
    for unit in MASKED:
        link = root / "etc/systemd/system" / unit
        link.unlink(missing_ok=True)
        link.symlink_to("/dev/null")
    shutil.rmtree(root / "var/cache/apt/archives")


def rootfs(suite: str) -> Path:
    """A tar archive of a small Debian with systemd and sshd."""
    archive = CACHE / f"rootfs-{suite}-{fingerprint(furnish, PACKAGES, MASKED, apt_settings())}.tar"
    if archive.exists():
        return archive
    for stale in CACHE.glob(f"rootfs-{suite}-*"):
        stale.unlink()
    with tempfile.TemporaryDirectory(dir=CACHE) as directory:
        root = Path(directory, "root")
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", f"--keyring={keyring}"]
        done = subprocess.run(
            [*command, suite, root, prepare.mirror()], capture_output=True, text=True, errors="replace", check=False
        )
        if done.returncode:
            raise RuntimeError(f"debootstrap {suite} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        furnish(root)
        unfinished = Path(directory, "rootfs.tar")
        subprocess.run(["tar", "-C", root, "--numeric-owner", "-cf", unfinished, "."], check=True)
        unfinished.rename(archive)
    return archive


def image(client: docker.DockerClient, suite: str) -> str:
    """The tag of the base image, imported when the engine lacks it."""
    archive = rootfs(suite)
    tag = archive.stem.removeprefix(f"rootfs-{suite}-")
    name = f"reaper-fleet/{suite}:{tag}"
    if not client.images.list(name):
        subprocess.run(["docker", "import", archive, name], check=True, capture_output=True)
    return name
