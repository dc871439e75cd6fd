"""The test hosts themselves: booted, reachable by Ansible over SSH with host-key checking, able to reach services."""

import subprocess
import sys

from fleet.hosts import Host
from fleet.world import Fleet


def test_host_has_booted(host: Host) -> None:
    assert host.ssh("systemctl is-system-running", check=False).stdout.strip() == "running"
    assert host.ssh("systemctl --failed --no-legend").stdout == ""


def test_ansible_reaches_every_host(fleet: Fleet) -> None:
    names = {host.name for host in fleet.hosts()}
    command = [sys.executable, "-m", "ansible", "adhoc", "all", "-i", str(fleet.inventory), "-m", "ping"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert {line.split(" | ")[0] for line in done.stdout.splitlines() if "SUCCESS" in line} == names, done.stderr


def test_an_unknown_host_key_is_refused(fleet: Fleet) -> None:
    stranger = "ansible_ssh_common_args='-o UserKnownHostsFile=/dev/null -o ControlPath=none'"
    command = [sys.executable, "-m", "ansible", "adhoc", fleet.host("deb12").name, "-i", str(fleet.inventory)]
    done = subprocess.run(
        [*command, "-m", "ping", "-e", stranger], capture_output=True, text=True, check=False, timeout=120
    )
    assert "Host key verification failed" in done.stdout


def test_host_reaches_releases_and_registry(host: Host, fleet: Fleet) -> None:
    services = fleet.services
    sums = host.ssh(f"curl -fsS {services.releases.url}/v0.35.1-lab.1/sha256sum.txt").stdout
    manifest = host.ssh(f"curl -fsS http://{services.registry.name}/v2/library/tiny/manifests/latest").stdout
    assert "ollama-linux-amd64.tar.zst" in sums
    assert '"schemaVersion"' in manifest


def test_each_host_has_the_kernel_interfaces_it_stands_for(fleet: Fleet) -> None:
    assert fleet.host("vm13").ssh("stat -f -c %T /sys/fs/cgroup").stdout.strip() == "cgroup2fs"
    assert fleet.host("deb13").ssh("stat -f -c %T /data").stdout.strip() == "ext2/ext3"
    limited = fleet.host("deb12").ssh(
        "systemd-run --wait --pipe -p MemoryMax=50M python3 -c 'bytearray(200 << 20)'", check=False
    )
    assert limited.returncode != 0
