"""What is written twice: roles' defaults, argument specs and READMEs, the settings table, the example inventory.

Everything comes from Settings; ``docs/generate.py`` writes it, and a test holds it equal.
"""

from __future__ import annotations

import textwrap
from typing import Any

import yaml

from reaper_ops.core.inventory.settings import catalogue
from reaper_ops.core.inventory.settings.catalogue import ROLES, SettingRow

COLLECTION = "playbooks/collections/ansible_collections/reaper_ops/ollama"
NOTE = "Generated from Settings by docs/generate.py"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
PLATFORMS = [
    {"name": "Debian", "versions": ["bookworm", "trixie"]},
    {"name": "Ubuntu", "versions": ["jammy", "noble"]},
    {"name": "EL", "versions": ["9", "10"]},
]


class _Dumper(yaml.SafeDumper):
    """Lists indented below their key, as yamllint wants them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _document(value: Any) -> str:
    text = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=1000, allow_unicode=True)
    return f"---\n# {NOTE}.\n{text}"


def flow(value: Any) -> str:
    """A value in one line of YAML; nothing for null."""
    if value is None:
        return ""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def _of(role: str) -> tuple[SettingRow, ...]:
    return tuple(row for row in catalogue.rows() if row.role == role)


def _shared(role: str) -> tuple[SettingRow, ...]:
    """What a role of another subject depends on too."""
    return tuple(row for row in _of("baseline") if row.name == "ollama_runtime" and role not in ("baseline", "mirror"))


def defaults(role: str) -> str:
    """The settings whose prefix is the role's name; roles of another name read them from the fact `reaper`."""
    rows = [row for row in catalogue.rows() if row.name.startswith(f"{role}_")]
    if not rows:
        return f"---\n# {NOTE}.\n# The settings of this role begin with ollama_; reaper_ops has their defaults.\n{{}}\n"
    lines = [f"# {row.help}\n{row.name}: {flow(row.default)}".rstrip() for row in rows]
    return "\n".join(["---", f"# {NOTE}.", *lines]) + "\n"


def argument_specs(role: str) -> str:
    options = {row.name: _option(row) for row in (*_shared(role), *_of(role))}
    return _document({"argument_specs": {"main": {"short_description": catalogue.PURPOSES[role], "options": options}}})


def _option(row: SettingRow) -> dict[str, Any]:
    """Without choices where null is a default: Ansible takes null for a choice that is missing in the list."""
    closed = bool(row.choices) and row.default is not None
    option: dict[str, Any] = {"description": row.help if closed else _cell(row), "type": row.kind}
    if row.kind == "list":
        option["elements"] = "str"
    if closed:
        option["choices"] = list(row.choices)
    if row.default is not None:
        option["default"] = row.default
    return option


def meta(role: str) -> str:
    info = {
        "role_name": role,
        "author": "reaper_ops",
        "description": catalogue.PURPOSES[role],
        "license": "Apache-2.0",
        "min_ansible_version": "2.19",
        "platforms": PLATFORMS,
    }
    return _document({"galaxy_info": info, "dependencies": []})


ALONE = """\
In a play of your own:

```yaml
- hosts: gpu_hosts
  become: true            # not where the server is a plain process
  gather_facts: false
  roles:
    - role: reaper_ops.ollama.{role}
```

The role reads the host, applies what these settings ask of it, and records what it brings, so that `reaper-ops down`
can remove it. It leaves the rest of the host alone, and refuses a host that `reaper-ops up` refuses. A task runs only
when `reaper.todo` lists its id; the action plugin `{plugin}` computes `reaper`, with all the values that tasks take.
"""


def readme(role: str) -> str:
    alone = ALONE.format(role=role, plugin="mirror_plan" if role == "mirror" else "ollama_plan")
    return (
        f"<!-- {NOTE}. -->\n# {role}\n\n{catalogue.PURPOSES[role]}\n\n{table((*_shared(role), *_of(role)))}\n\n{alone}"
    )


def table(rows: tuple[SettingRow, ...]) -> str:
    lines = ["| setting | default | what it does |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| `{row.name}` | {_default(row)} | {_cell(row)} |" for row in rows)])


def _default(row: SettingRow) -> str:
    return f"`{flow(row.default)}`" if row.default is not None else "–"


def _cell(row: SettingRow) -> str:
    choices = f" ({', '.join(f'`{choice}`' for choice in row.choices)})" if row.choices else ""
    return (row.help + choices).replace("|", "\\|")


def settings_table() -> str:
    """All settings by role, for docs/settings.md."""
    parts = [f"**{catalogue.PURPOSES[role]}** (role `{role}`)\n\n{table(_of(role))}" for role in ROLES]
    parts.append(f"**Only for rehearsals.**\n\n{table(catalogue.rehearsal_rows())}")
    return "\n\n".join(parts)


def inserted(text: str) -> str:
    """docs/settings.md with the table between its two markers renewed."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{rest.split(END)[1]}"


EXAMPLE_HEAD = """\
---
# Every setting, with its default. Take the # away from what you want to change.
# An indented # line is an example. Where no default is shown, Ollama or reaper_ops decides.
# `reaper-ops hosts -i .` shows what each host ends up with, and why.

# Models that many hosts share; a host names a set as "@guide" in ollama_models.
ollama_model_sets:
  guide: [llama3, "deepseek-r1:32b", mistral, codellama]
  small: [llama3]
"""


def example() -> str:
    """inventories/example/group_vars/all.yml."""
    return EXAMPLE_HEAD + "".join(_section(role) for role in ROLES)


def _section(role: str) -> str:
    rows = [row for row in _of(role) if row.name != "ollama_model_sets"]
    return f"\n# --- {catalogue.PURPOSES[role]}\n" + "".join(_commented(row) for row in rows)


def _commented(row: SettingRow) -> str:
    choices = f" (one of: {', '.join(row.choices)})" if row.choices else ""
    about = textwrap.fill(row.help + choices, 110, initial_indent="# ", subsequent_indent="# ")
    shown = f"\n#   {row.name}: {flow(row.example)}" if row.example is not None else ""
    return f"{about}{shown}\n# {row.name}: {flow(row.default)}".rstrip() + "\n\n"


def role_files() -> dict[str, str]:
    """Path below the root of the repository, and text."""
    found: dict[str, str] = {"inventories/example/group_vars/all.yml": example().rstrip() + "\n"}
    for role in ROLES:
        room = f"{COLLECTION}/roles/{role}"
        found[f"{room}/defaults/main.yml"] = defaults(role)
        found[f"{room}/meta/argument_specs.yml"] = argument_specs(role)
        found[f"{room}/meta/main.yml"] = meta(role)
        found[f"{room}/README.md"] = readme(role)
    return found
