"""ssh that notices a host that is gone: without it a network that is cut holds a run for a quarter of an hour."""

from __future__ import annotations

import os

from reaper_ops.adapters import ansible_cfg

NAME, OPTION = "ANSIBLE_SSH_EXTRA_ARGS", "ssh_extra_args"
ARGS = "-o ServerAliveInterval=15 -o ServerAliveCountMax=6"
"""Behind all others on ssh's command line, where the first value of an option wins: the user's own are before it."""


def environment() -> dict[str, str]:
    """For Ansible; nothing where the user sets the same in the environment or in ansible.cfg."""
    return {} if NAME in os.environ or ansible_cfg.sets(OPTION) else {NAME: ARGS}
