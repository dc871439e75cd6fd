"""Finds and reads the files that ship with the package: the Ansible collection, templates, inventories, data."""

from __future__ import annotations

import importlib.util
import json
import posixpath
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2

_PACKAGE = Path(__file__).resolve().parent
COLLECTION = "ansible_collections/reaper_ops/ollama"
MODULE_UTILS = "ansible_collections.reaper_ops.ollama.plugins.module_utils"
NEEDED = ("reaper_secrets", "reaper_answers", "reaper_layout", "reaper_steps")
"""Files that others of them import, each by those that come after it."""


@cache
def root() -> Path:
    """The directory that holds ``templates/`` and ``inventories/``: in a wheel or a checkout."""
    shipped = _PACKAGE / "_assets"
    return shipped if shipped.is_dir() else _PACKAGE.parent


@cache
def collections() -> Path:
    """The directory that holds ``ansible_collections/``. From a wheel it is site-packages, where Ansible looks too."""
    return _PACKAGE.parent / "playbooks" / "collections" if root() == _PACKAGE.parent else _PACKAGE.parent


def collection(name: str = "") -> Path:
    """A file of our Ansible collection."""
    return collections() / COLLECTION / name


def playbook(name: str) -> Path:
    return collection(f"playbooks/{name}")


@cache
def shared(name: str) -> ModuleType:
    """A file of the collection's `module_utils` that needs only the standard library, as a module of this program.

    What it imports of them it finds under the name that it has on a host.
    """
    for needed in NEEDED[: NEEDED.index(name)] if name in NEEDED else NEEDED:
        sys.modules.setdefault(f"{MODULE_UTILS}.{needed}", shared(needed))
    path = collection(f"plugins/module_utils/{name}.py")
    spec = importlib.util.spec_from_file_location(f"reaper_ops.shared.{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def inventory(name: str) -> Path:
    return root() / "inventories" / name


def templates() -> Path:
    return root() / "templates"


@cache
def data(name: str) -> Any:
    """A JSON table of the package, such as ``releases.json``."""
    return json.loads((_PACKAGE / "data" / name).read_text(encoding="utf-8"))


@cache
def _jinja(autoescape: bool = False) -> jinja2.Environment:
    """The options of Ansible's `template` module; an include is looked up beside its template, as there."""
    import jinja2

    class RelativeTemplates(jinja2.Environment):
        def join_path(self, template: str, parent: str) -> str:
            return posixpath.join(posixpath.dirname(parent), template)

    return RelativeTemplates(
        loader=jinja2.FileSystemLoader(templates()),
        trim_blocks=True,
        lstrip_blocks=False,
        keep_trailing_newline=True,
        autoescape=autoescape,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )


@cache
def template(name: str) -> jinja2.Template:
    """A template by its path under templates/."""
    return _jinja().get_template(name)


@cache
def page(name: str) -> jinja2.Template:
    """A template of a web page: every value is escaped for HTML."""
    return _jinja(autoescape=True).get_template(name)
