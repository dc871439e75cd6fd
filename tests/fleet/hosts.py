"""What a test knows of a host: where its sshd answers, and how to run a command there."""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENT = dict(os.environ)
"""As the session began: hosts boot, and the machine's first `up` runs, while other tests change theirs."""


@dataclass(frozen=True)
class Keys:
    """SSH keys of one test session; every host of it gets the same host key."""

    directory: Path

    @property
    def user(self) -> Path:
        return self.directory / "id_ed25519"

    @property
    def host(self) -> Path:
        return self.directory / "ssh_host_ed25519_key"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    def files(self) -> dict[str, tuple[int, bytes]]:
        """What lies on a host: path to mode and content."""
        return {
            "etc/ssh/ssh_host_ed25519_key": (0o600, self.host.read_bytes()),
            "etc/ssh/ssh_host_ed25519_key.pub": (0o644, self.host.with_suffix(".pub").read_bytes()),
            "root/.ssh/authorized_keys": (0o600, self.user.with_suffix(".pub").read_bytes()),
        }


def make_keys(directory: Path) -> Keys:
    keys = Keys(directory)
    for path in (keys.user, keys.host):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fleet", "-f", path], check=True)
    return keys


@dataclass(frozen=True)
class Host:
    name: str
    address: str
    port: int
    keys: Keys
    inventory: Path

    @property
    def known_host(self) -> str:
        place = self.address if self.port == 22 else f"[{self.address}]:{self.port}"
        return f"{place} {' '.join(self.keys.host.with_suffix('.pub').read_text().split()[:2])}\n"

    def ssh(self, command: str, *, timeout: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a shell command as root; a failure shows what it said."""
        options = [f"UserKnownHostsFile={self.keys.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
        options += ["ConnectTimeout=10", "LogLevel=ERROR", "IdentitiesOnly=yes"]
        argv = ["ssh", "-i", str(self.keys.user), "-p", str(self.port), *(w for o in options for w in ("-o", o))]
        done = subprocess.run(
            [*argv, f"root@{self.address}", "sh", "-c", shlex.quote(command)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            env=ENVIRONMENT,
        )
        if check and done.returncode:
            raise AssertionError(f"{self.name}: {command!r} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done
