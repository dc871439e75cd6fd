"""As root on Debian: installs what the real-host tests need. Elsewhere says why it does nothing.

Mirror addresses come from the machine's own apt configuration, never from here.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGES = {
    "docker.io": "dockerd",
    "debootstrap": "debootstrap",
    "openssh-client": "ssh",
    "qemu-system-x86": "qemu-system-x86_64",
    "qemu-utils": "qemu-img",
    "busybox-static": "busybox",
    "cpio": "cpio",
    "e2fsprogs": "mkfs.ext4",
    "iptables": "iptables",
    "kmod": "depmod",
    "zstd": "zstd",
}
WATCHERS = {
    "prometheus": "promtool",
    "prometheus-alertmanager": "amtool",
    "chromium": "chromium",
    "shellcheck": "shellcheck",
}
MIRROR = {"nginx": "nginx", "docker-registry": "docker-registry"}
SWARM = {"aria2": "aria2c", "iproute2": "tc"}
"""What the tests of monitoring, the web page, commands, the mirror and swarms use; each says it is skipped without."""
COMPOSE_PLUGIN = Path("/usr/local/lib/docker/cli-plugins/docker-compose")
APT = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120", "-o", "Acquire::Retries=3"]


def reason_to_skip() -> str:
    """Why real-host tests cannot run here; empty when they can."""
    if os.geteuid() != 0:
        return "not root"
    if not Path("/etc/debian_version").exists() or shutil.which("apt-get") is None:
        return "not a Debian machine"
    if not mirror():
        refresh_lists()
    if not mirror():
        return "apt has no Debian source of its own (Debian's label) to derive a mirror from"
    return ""


def mirror() -> str:
    """URI of the machine's own Debian archive."""
    listing = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(LABEL)|$(COMPONENT)", "Created-By: Packages"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    rows = (line.split("|") for line in listing.splitlines())
    return next((row[0].rstrip("/") for row in rows if row[1:] == ["Debian", "main"]), "")


def refresh_lists() -> None:
    subprocess.run([*APT, "update"], check=True)


def install_packages() -> None:
    wanted = {**PACKAGES, **WATCHERS, **MIRROR, **SWARM}
    missing = [package for package, program in wanted.items() if shutil.which(program) is None]
    if not missing:
        return
    print(f"fleet: installing {' '.join(missing)}", flush=True)
    refresh_lists()
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    options = ["--no-install-recommends", "-y", "-o", "Dpkg::Options::=--force-unsafe-io", "-o", "Dpkg::Use-Pty=0"]
    subprocess.run([*APT, *options, "install", *missing], env=env, stdout=subprocess.DEVNULL, check=True)


def other_release(suite: str, directory: Path) -> list[str]:
    """Options for apt that make it see only this Debian release, with lists of its own in `directory`."""
    lists = directory / "lists"
    (lists / "partial").mkdir(parents=True)
    source = directory / "sources.list"
    keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
    source.write_text(f"deb [signed-by={keyring}] {mirror()} {suite} main\n", encoding="utf-8")
    options = [f"Dir::Etc::SourceList={source}", "Dir::Etc::SourceParts=-", f"Dir::State::Lists={lists}"]
    options += [f"Dir::Cache::{name}=" for name in ("pkgcache", "srcpkgcache")]
    words = [word for option in (*options, "APT::Sandbox::User=root") for word in ("-o", option)]
    subprocess.run([*APT, *words, "update"], check=True)
    return words


def download(suite: str, package: str, directory: Path, options: list[str]) -> Path:
    """A package of another Debian release, fetched and verified by apt."""
    subprocess.run([*APT, *options, "download", f"{package}/{suite}"], cwd=directory, check=True)
    return next(directory.glob(f"{package}_*.deb"))


def has_compose() -> bool:
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


def install_compose() -> None:
    """Compose v2 is a package of Debian 13; its plugin is one static program that runs on Debian 12 too."""
    if has_compose():
        return
    print("fleet: installing Compose v2 from Debian 13", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        options = other_release("trixie", Path(directory))
        package = download("trixie", "docker-compose", Path(directory), options)
        subprocess.run(["dpkg", "-x", package, f"{directory}/root"], check=True)
        plugin = Path(directory, "root/usr/libexec/docker/cli-plugins/docker-compose")
        COMPOSE_PLUGIN.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(plugin, COMPOSE_PLUGIN)
    if not has_compose():
        raise SystemExit("fleet: Compose v2 was installed, but `docker compose version` fails")


def main() -> None:
    reason = reason_to_skip()
    if reason:
        print(f"fleet: the tests on real hosts will be skipped: {reason}")
        return
    install_packages()
    install_compose()


if __name__ == "__main__":
    sys.exit(main())
