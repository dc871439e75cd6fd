"""A host with a kernel of its own: Debian 13 in qemu with software emulation, cgroup v2, its own swap and reboots."""

import lzma
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fleet import images, prepare
from fleet.hosts import Keys

PIDFILE = images.CACHE / "vm.pid"
KERNEL = "linux-image-cloud-amd64"
DRIVERS = ("virtio_pci", "virtio_blk", "virtio_net", "ext4")
NETWORK_UNIT = """\
[Unit]
Description=Address on qemu's user network
Before=network-online.target ssh.service
Wants=network-online.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'ip link set lo up; ip link set eth0 up; ip address replace 10.0.2.15/24 dev eth0; \
ip route replace default via 10.0.2.2; echo nameserver 10.0.2.3 > /etc/resolv.conf'

[Install]
WantedBy=multi-user.target
"""
INIT = """\
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /system
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in $(/bin/busybox cat /modules/order); do /bin/busybox insmod /modules/$module; done
/bin/busybox mount -t ext4 /dev/vda /system
/bin/busybox cp -a /keys/. /system/
/bin/busybox mount --move /dev /system/dev
/bin/busybox umount /sys /proc
exec /bin/busybox switch_root /system /lib/systemd/systemd
"""
MASKED = ("systemd-modules-load.service", "serial-getty@ttyS0.service", "getty@tty1.service")


@dataclass(frozen=True)
class Kit:
    """What every boot starts from."""

    kernel: Path
    modules: Path
    disk: Path


def kit(suite: str = "trixie") -> Kit:
    """Kernel, drivers and disk, kept between runs."""
    base = images.rootfs(suite)
    mark = images.fingerprint(build, unpack_kernel, collect_drivers, DRIVERS, NETWORK_UNIT, base.name)
    directory = images.CACHE / f"vm-{suite}-{mark}"
    if not directory.exists():
        for stale in images.CACHE.glob(f"vm-{suite}-*"):
            shutil.rmtree(stale)
        with tempfile.TemporaryDirectory(dir=images.CACHE) as work:
            build(suite, base, Path(work), Path(work, "kit"))
            Path(work, "kit").rename(directory)
    return Kit(directory / "vmlinuz", directory / "modules", directory / "disk.img")


def build(suite: str, base: Path, work: Path, result: Path) -> None:
    result.mkdir()
    root = work / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "--numeric-owner", "-xf", base], check=True)
    version = unpack_kernel(suite, work, root)
    shutil.copy2(root / f"boot/vmlinuz-{version}", result / "vmlinuz")
    collect_drivers(root, version, result / "modules")
    system = root / "etc/systemd/system"
    (system / "fleet-network.service").write_text(NETWORK_UNIT)
    for unit in images.UDEV:
        (system / unit).unlink()
    wants = system / "multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "fleet-network.service").symlink_to("../fleet-network.service")
    disk = result / "disk.img"
    subprocess.run(["truncate", "-s", "8G", disk], check=True)
    subprocess.run(["mkfs.ext4", "-q", "-d", root, disk], check=True)


def unpack_kernel(suite: str, work: Path, root: Path) -> str:
    """Puts the kernel and its modules into the tree; says which version it is."""
    options = prepare.other_release(suite, work)
    show = subprocess.run(["apt-cache", *options, "show", KERNEL], capture_output=True, text=True, check=True).stdout
    depends = re.search(r"^Depends: (linux-image-(\S+))", show, re.MULTILINE)
    if depends is None:
        raise RuntimeError(f"{KERNEL} of {suite} names no kernel package")
    package = prepare.download(suite, depends[1], work, options)
    with tempfile.TemporaryDirectory(dir=work) as unpacked:
        subprocess.run(["dpkg-deb", "-x", package, unpacked], check=True)
        version = depends[2]
        shutil.copytree(f"{unpacked}/boot", root / "boot", dirs_exist_ok=True)
        modules = next(Path(unpacked).glob(f"**/lib/modules/{version}"))
        shutil.copytree(modules, root / "usr/lib/modules" / version, symlinks=True)
    subprocess.run(["depmod", "-b", root, version], check=True)
    return version


def collect_drivers(root: Path, version: str, target: Path) -> None:
    """The modules that the initramfs inserts, unpacked, with their order."""
    target.mkdir()
    order: list[str] = []
    for driver in DRIVERS:
        command = ["modprobe", "--dirname", root, "--set-version", version, "--show-depends", driver]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for path in (Path(line.split()[1]) for line in lines if line.startswith("insmod ")):
            name = path.name.removesuffix(".xz")
            content = path.read_bytes()
            (target / name).write_bytes(lzma.decompress(content) if path.suffix == ".xz" else content)
            if name not in order:
                order.append(name)
    (target / "order").write_text("\n".join(order) + "\n")


def initramfs(parts: Kit, keys: Keys, work: Path) -> Path:
    """A small first system that inserts the drivers, lays the session's keys on the disk and hands over."""
    tree = work / "initramfs"
    (tree / "bin").mkdir(parents=True)
    shutil.copy2(shutil.which("busybox") or "/bin/busybox", tree / "bin/busybox")
    shutil.copytree(parts.modules, tree / "modules")
    for path, (mode, content) in keys.files().items():
        place = tree / "keys" / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        place.chmod(mode)
    (tree / "keys/root").chmod(0o700)
    (tree / "keys/root/.ssh").chmod(0o700)
    (tree / "init").write_text(INIT)
    (tree / "init").chmod(0o755)
    names = "\n".join(sorted(str(p.relative_to(tree)) for p in tree.rglob("*")))
    packed = work / "initramfs.cpio"
    with packed.open("wb") as out:
        cpio = ["cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0"]
        subprocess.run(cpio, cwd=tree, input=names.encode(), stdout=out, check=True)
    return packed


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(name: str, keys: Keys, work: Path, forwards: dict[int, int]) -> subprocess.Popen[bytes]:
    """Boots the machine; `forwards` maps a port of 127.0.0.1 to a port of the guest. Its console goes to a file."""
    parts = kit()
    disk = work / "disk.qcow2"
    create = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", str(parts.disk), str(disk)]
    subprocess.run(create, check=True)
    network = "user,id=n" + "".join(f",hostfwd=tcp:127.0.0.1:{here}-:{there}" for here, there in forwards.items())
    masks = " ".join(f"systemd.mask={unit}" for unit in MASKED)
    argv = ["qemu-system-x86_64", "-name", f"reaper-fleet-{name}", "-accel", "tcg,thread=multi", "-smp", "2"]
    argv += ["-cpu", "qemu64,-cx16"]  # emulated cmpxchg16b sometimes corrupts the flags, and the kernel panics
    argv += ["-m", "1024", "-nographic", "-monitor", "none", "-serial", f"file:{work / 'console.log'}"]
    argv += ["-kernel", str(parts.kernel), "-initrd", str(initramfs(parts, keys, work))]
    argv += ["-append", f"console=ttyS0 quiet panic=1 net.ifnames=0 systemd.hostname={name} {masks}"]
    argv += ["-drive", f"file={disk},if=virtio,cache=unsafe", "-netdev", network, "-device", "virtio-net-pci,netdev=n"]
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, start_new_session=True)
    PIDFILE.write_text(str(process.pid))
    return process


def stop_leftover() -> None:
    """Ends the machine of a session that crashed."""
    if not PIDFILE.exists():
        return
    command = Path("/proc", PIDFILE.read_text(), "cmdline")
    if command.exists() and b"reaper-fleet-" in command.read_bytes():
        os.kill(int(PIDFILE.read_text()), signal.SIGKILL)
    PIDFILE.unlink()


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(30)
    PIDFILE.unlink(missing_ok=True)
