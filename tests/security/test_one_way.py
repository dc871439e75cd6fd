"""Root's way below other users' directories is one piece: what goes by plain paths is named here, with its reason."""

from __future__ import annotations

import re

import yaml

from reaper_ops import assets

PLAYBOOKS = assets.collection()
BY_PATH = re.compile(r"\b(os\.walk|shutil\.(?:rmtree|move|copy|chown)|glob\.i?glob|os\.l?chown|os\.truncate)\(")
ALLOWED = {
    "plugins/modules/apt_packages.py": "/etc/apt, read alone; it is root's",
    "plugins/modules/json_merge.py": "a temporary directory of its own",
    "plugins/modules/swapfile.py": "a swap file; its directories are root's alone (`exposed`)",
    "plugins/module_utils/reaper_releases.py": "links beside the releases, in a directory of root's alone (`exposed`)",
    "plugins/module_utils/reaper_tree.py": "the piece itself",
    "plugins/module_utils/reaper_units.py": "units and environment files, which systemd reads as root too",
    "plugins/module_utils/reaper_unpack.py": "what was just unpacked into a directory of root's alone",
}
FILES = ("file", "copy", "template", "lineinfile", "blockinfile", "unarchive", "get_url", "synchronize", "replace")
BY_ANSIBLE = (*(f"ansible.builtin.{name}" for name in FILES), "reaper_ops.ollama.rendered_file")
"""The last is Ansible's template, with secrets redacted in what it shows."""
ROOTS_OWN = {
    ("roles/gpu/tasks/converge.yml", "{{ reaper.targets['gpu/modules'].path }}"),
    ("roles/mirror/tasks/up.yml", "{{ reaper.paths.conf }}"),
    ("roles/mirror/tasks/up.yml", "{{ item.path }}"),
    ("roles/ollama/tasks/docker.yml", "{{ reaper.paths.compose | dirname }}"),
    ("roles/ollama/tasks/docker.yml", "{{ reaper.targets['ollama/compose'].path }}"),
    ("roles/ollama/tasks/process.yml", "{{ reaper.home }}"),
    ("roles/ollama/tasks/process.yml", "{{ reaper.targets['ollama/environment'].path }}"),
    ("roles/ollama/tasks/release.yml", "{{ ollama_archive.path }}"),
    ("roles/ollama/tasks/release.yml", "{{ ollama_incoming }}"),
    ("roles/ollama/tasks/systemd.yml", "{{ reaper.paths.bin_link }}"),
    ("roles/ollama/tasks/systemd.yml", "{{ reaper.paths.dropin | dirname }}"),
    ("roles/ollama/tasks/systemd.yml", "{{ reaper.plan['ollama/former-settings'][0] }}"),
    ("roles/ollama/tasks/systemd.yml", "{{ reaper.targets['ollama/settings'].path }}"),
    ("roles/ollama/tasks/systemd.yml", "{{ reaper.targets['ollama/unit'].path }}"),
    ("roles/swap/tasks/converge.yml", "{{ reaper.targets['swap/sysctl'].path }}"),
    ("roles/swap/tasks/converge.yml", "{{ reaper.targets['swap/zram'].path }}"),
}
"""Where Ansible's own modules write: below /etc, /usr and /opt, or in the home of a process that is never root's."""


def test_no_module_walks_by_itself() -> None:
    found = {
        str(path.relative_to(PLAYBOOKS))
        for folder in ("plugins/modules", "plugins/module_utils")
        for path in (PLAYBOOKS / folder).glob("*.py")
        if BY_PATH.search(path.read_text())
    }
    assert found - set(ALLOWED) == set(), "use module_utils/reaper_tree.py"
    assert set(ALLOWED) - found <= {"plugins/module_utils/reaper_tree.py"}, "allowed without need"


def tasks(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    inner = [one for row in rows for key in ("block", "rescue", "always", "tasks") for one in row.get(key) or ()]  # type: ignore[attr-defined]
    return [*rows, *(tasks(inner) if inner else [])]


def test_ansibles_own_modules_write_only_where_root_alone_can() -> None:
    found = set()
    for path in PLAYBOOKS.rglob("*.yml"):
        name = str(path.relative_to(PLAYBOOKS))
        document = yaml.safe_load(path.read_text())
        for task in tasks(document) if isinstance(document, list) else ():
            for module in BY_ANSIBLE:
                args = task.get(module)
                if isinstance(args, dict):
                    assert "recurse" not in args, name
                    found.add((name, args.get("dest") or args.get("path")))
    assert found - ROOTS_OWN == set(), "use owned_directory, or say here why nobody else can write there"
    assert ROOTS_OWN - found == set()
