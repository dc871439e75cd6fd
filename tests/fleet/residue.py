"""What lies on a host: every file of its own file systems, so that two moments can be compared."""

from dataclasses import dataclass

from fleet.hosts import Host

VOLATILE = (
    "/etc/group-",
    "/etc/gshadow-",
    "/etc/passwd-",
    "/etc/shadow-",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/",
    "/var/lib/systemd/",
    "/var/log/",
    "/tmp/systemd-private-",
    "/var/tmp/systemd-private-",
    "/root/.ansible",
)
ENGINE_STATE = ("/etc/cni/", "/etc/group ", "/etc/gshadow ", "/var/lib/containerd/", "/var/lib/docker/")
"""What Debian's Docker packages leave behind when they are purged, on purpose: data, and their group."""
PAGE = "/var/www/"
"""Where Debian's nginx leaves its page when it is purged, on purpose: people put their own there."""
FIND = r"find / /data -xdev \( -type d -printf '%p/ %m %u %g\n' -o -printf '%p %m %u %g %s %l\n' \) 2>/dev/null | sort"


@dataclass(frozen=True)
class Tree:
    lines: frozenset[str]
    engine: bool

    def differences(self, before: "Tree") -> list[str]:
        """Lines that came and went; the engine's own state is not ours."""
        gone = [f"- {line}" for line in before.lines - self.lines]
        changed = sorted([*gone, *(f"+ {line}" for line in self.lines - before.lines)])
        left = (PAGE, *(ENGINE_STATE if self.engine else ()))
        return [line for line in changed if not line[2:].startswith(left)]


def tree(host: Host) -> Tree:
    """Directories, files and links with mode, owner and size; without what any system changes by itself."""
    lines = host.ssh(FIND, timeout=300).stdout.splitlines()
    engine = any(line.startswith("/var/lib/docker/") for line in lines)
    return Tree(frozenset(line for line in lines if not line.startswith(VOLATILE)), engine)
