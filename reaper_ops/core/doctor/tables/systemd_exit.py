"""Exit statuses that systemd gives for what it could not set up, and what it takes from other conventions.

Source: src/shared/exit-status.c and src/basic/exit-status.h of systemd, systemd.exec(5); 126 and 127 of POSIX shells.
"""

from __future__ import annotations

from collections.abc import Mapping

STEPS: Mapping[int, tuple[str, str]] = {
    200: ("CHDIR", "WorkingDirectory= cannot be entered"),
    201: ("NICE", "Nice= cannot be set"),
    202: ("FDS", "file descriptors cannot be handed over"),
    203: ("EXEC", "the program of ExecStart= cannot be executed"),
    204: ("MEMORY", "there is not enough memory to start a process"),
    205: ("LIMITS", "a limit such as LimitNOFILE= cannot be set"),
    206: ("OOM_ADJUST", "OOMScoreAdjust= cannot be set"),
    207: ("SIGNAL_MASK", "the signal mask cannot be set"),
    208: ("STDIN", "StandardInput= cannot be opened"),
    209: ("STDOUT", "StandardOutput= cannot be opened"),
    210: ("CHROOT", "RootDirectory= or RootImage= cannot be used"),
    211: ("IOPRIO", "IOSchedulingPriority= cannot be set"),
    212: ("TIMERSLACK", "TimerSlackNSec= cannot be set"),
    213: ("SECUREBITS", "SecureBits= cannot be set"),
    214: ("SETSCHEDULER", "CPUSchedulingPolicy= cannot be set"),
    215: ("CPUAFFINITY", "CPUAffinity= names a processor that is not there"),
    216: ("GROUP", "Group= or SupplementaryGroups= names a group that does not exist"),
    217: ("USER", "User= names a user that does not exist"),
    218: ("CAPABILITIES", "CapabilityBoundingSet= or AmbientCapabilities= cannot be applied"),
    219: ("CGROUP", "the control group cannot be set up"),
    220: ("SETSID", "no session can be created"),
    221: ("CONFIRM", "the start was refused at a confirmation prompt"),
    222: ("STDERR", "StandardError= cannot be opened"),
    224: ("PAM", "the session of PAMName= cannot be opened"),
    225: ("NETWORK", "the network namespace of PrivateNetwork= cannot be set up"),
    226: (
        "NAMESPACE",
        "the mount namespace cannot be set up; a path in BindPaths=, ReadWritePaths= and so on is missing",
    ),
    227: ("NO_NEW_PRIVILEGES", "NoNewPrivileges= cannot be set"),
    228: ("SECCOMP", "SystemCallFilter= cannot be applied"),
    229: ("SELINUX_CONTEXT", "the SELinux context cannot be set"),
    230: ("PERSONALITY", "Personality= cannot be set"),
    231: ("APPARMOR", "the AppArmor profile cannot be used"),
    232: ("ADDRESS_FAMILIES", "RestrictAddressFamilies= cannot be applied"),
    233: ("RUNTIME_DIRECTORY", "RuntimeDirectory= cannot be set up"),
    235: ("CHOWN", "a socket's owner cannot be set"),
    236: ("SMACK_PROCESS_LABEL", "the SMACK label cannot be set"),
    237: ("KEYRING", "the kernel keyring cannot be set up"),
    238: ("STATE_DIRECTORY", "StateDirectory= cannot be set up"),
    239: ("CACHE_DIRECTORY", "CacheDirectory= cannot be set up"),
    240: ("LOGS_DIRECTORY", "LogsDirectory= cannot be set up"),
    241: ("CONFIGURATION_DIRECTORY", "ConfigurationDirectory= cannot be set up"),
    242: ("NUMA_POLICY", "NUMAPolicy= cannot be applied"),
    243: ("CREDENTIALS", "LoadCredential= or SetCredential= cannot be set up"),
    245: ("BPF", "RestrictFileSystems= or another BPF program cannot be applied"),
}
"""What systemd did not get done, before it ever started the program."""
BY_NAME: Mapping[str, int] = {name: code for code, (name, _) in STEPS.items()}
SHELL: Mapping[int, str] = {
    126: "a program was found and cannot be executed",
    127: "a program or one of its libraries was not found",
}
SIGNALS: Mapping[int, str] = {
    4: "illegal instruction",
    6: "aborted",
    7: "bus error",
    9: "killed",
    11: "segmentation fault",
    15: "terminated",
}


def signalled(status: int) -> str:
    """What a shell or a container engine means by 128 and a signal's number; empty for any other status."""
    return SIGNALS.get(status - 128, "")
