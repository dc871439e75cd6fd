"""Swap is there, of the configured size, and will be there after a reboot."""

from __future__ import annotations

from typing import Any

from reaper_ops.verify.applies import SWAP, SWAP_FILE, SWAP_ZRAM
from reaper_ops.verify.expected import Expected

SLACK = 1 << 20


def active(host: Any) -> dict[str, int]:
    """Path to bytes of all swap in use."""
    rows = (line.split() for line in host.file("/proc/swaps").content_string.splitlines()[1:])
    return {row[0]: int(row[2]) * 1024 for row in rows}


@SWAP_FILE
def check_swap_file(host: Any, expected: Expected) -> None:
    """The swap file is in use, of the configured size, readable by root alone, and in fstab."""
    path = expected["swap_path"]
    found = active(host)
    assert path in found, f"{path} is not in use; in use: {', '.join(found) or 'nothing'}"
    assert abs(found[path] - expected["swap_size"]) <= SLACK, f"{path} has {found[path]} bytes"
    file = host.file(path)
    assert (file.uid, file.mode) == (0, 0o600), f"{path}: {file.user}, mode {file.mode:04o}"
    lines = [line.split() for line in host.file("/etc/fstab").content_string.splitlines()]
    assert [line[0] for line in lines if line[2:3] == ["swap"]].count(path) == 1, f"{path} is not once in /etc/fstab"


@SWAP_ZRAM
def check_zram(host: Any, expected: Expected) -> None:
    """Compressed swap in memory is in use, of the configured size, and configured for the next boot."""
    found = active(host)
    assert "/dev/zram0" in found, f"/dev/zram0 is not in use; in use: {', '.join(found) or 'nothing'}"
    assert abs(found["/dev/zram0"] - expected["swap_size"]) <= SLACK, f"/dev/zram0 has {found['/dev/zram0']} bytes"
    assert host.file("/etc/systemd/zram-generator.conf").contains("zram0"), "the generator does not make it at boot"


@SWAP
def check_swappiness(host: Any, expected: Expected) -> None:
    """The kernel's swappiness is as configured, now and after a reboot."""
    wanted = expected["swap_swappiness"]
    now = int(host.file("/proc/sys/vm/swappiness").content_string)
    assert now == wanted, f"it is {now}, configured is {wanted}"
    lines = host.run("cat /etc/sysctl.conf /etc/sysctl.d/*.conf").stdout.splitlines()
    kept = [line.split("=")[1].strip() for line in lines if line.replace(" ", "").startswith("vm.swappiness=")]
    assert str(wanted) in kept, "nothing in /etc/sysctl.d sets it at boot"
