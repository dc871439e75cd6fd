"""The budgets of the house: small files, small functions, no rooms without a purpose."""

import ast
from pathlib import Path

import pytest
import yaml

import reaper_ops
from reaper_ops import assets

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted((ROOT / "reaper_ops").rglob("*.py"))
COLLECTION = assets.collection()
PLUGINS = sorted(COLLECTION.rglob("*.py"))
FILE, FUNCTION = 300, 30
"""Lines, at most; of a function without its docstring."""
LARGER = {
    "plugins/modules/apt_packages.py:main": 31,
    "plugins/modules/apt_source.py:main": 34,
    "plugins/modules/end_process.py:main": 36,
    "plugins/modules/ollama_pull.py:main": 43,
    "plugins/modules/ollama_release.py": 355,
    "plugins/modules/ollama_seed.py": 342,
    "plugins/modules/ollama_seed.py:main": 31,
    "plugins/modules/ollama_swarm.py": 371,
    "plugins/modules/ollama_swarm.py:main": 36,
    "plugins/modules/reaper_manifest.py:main": 35,
    "plugins/modules/reaper_uninstall.py:main": 36,
    "plugins/modules/store_put.py:main": 31,
    "plugins/module_utils/reaper_aria2.py": 307,
    "plugins/module_utils/reaper_http.py:talk": 31,
    "plugins/module_utils/reaper_removal.py": 392,
    "plugins/module_utils/reaper_tree.py": 450,
    "plugins/module_utils/reaper_unpack.py:unpack_member": 32,
    "plugins/module_utils/reaper_upstream.py:fetch": 32,
    "reaper_ops/adapters/web.py:open": 32,
    "reaper_ops/core/doctor/rules/out_of_memory/kills.py": 304,
    "reaper_ops/core/doctor/rules/out_of_memory/sizes.py": 347,
    "reaper_ops/core/doctor/rules/storage/place.py": 307,
    "reaper_ops/core/facts/__init__.py:parse": 40,
    "reaper_ops/lab/ollama/sched.py:_load": 34,
}
"""Lines of what was larger on 27 November 2026, when the budgets became a test. It only gets shorter and smaller."""
FORBIDDEN = {"utils", "helpers", "common", "base", "misc", "places", "room", "ways", "beside", "talks", "hours"}
"""Names that do not say what is in a file."""


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Without the docstring: that of a rule is a page of the runbooks."""
    text = ast.get_docstring(function, clean=False) or ""
    return (function.end_lineno or 0) - function.lineno + 1 - text.count("\n")


def place(path: Path) -> str:
    return str(path.relative_to(COLLECTION if path.is_relative_to(COLLECTION) else ROOT))


def over_budget(path: Path) -> dict[str, int]:
    """What of a file is larger than a person takes in at once: the file itself, and its functions."""
    source, name = path.read_text(encoding="utf-8"), place(path)
    functions = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    large = {f"{name}:{f.name}": lines_of_code(f) for f in functions if lines_of_code(f) > FUNCTION}
    return {name: source.count("\n"), **large} if source.count("\n") > FILE else large


@pytest.mark.parametrize("path", [*MODULES, *PLUGINS], ids=place)
def test_module_keeps_the_budgets(path: Path) -> None:
    listed = {what: lines for what, lines in LARGER.items() if what.split(":")[0] == place(path)}
    found = over_budget(path)
    assert path.stem not in FORBIDDEN
    assert not {what: lines for what, lines in found.items() if lines > listed.get(what, 0)}, "split it by subject"
    assert not set(listed) - set(found), "keeps the budget now: take it off LARGER"


def test_no_exemption_for_a_file_that_is_gone() -> None:
    assert {what.split(":")[0] for what in LARGER} <= {place(path) for path in (*MODULES, *PLUGINS)}


def test_a_class_name_means_one_thing() -> None:
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_few_comments() -> None:
    lines = [line for path in MODULES for line in path.read_text(encoding="utf-8").splitlines()]
    comments = [line for line in lines if line.lstrip().startswith("#")]
    assert len(comments) < 0.03 * len(lines)


def test_licences_ship_with_what_they_cover() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "GNU GENERAL PUBLIC LICENSE" in (assets.collection("COPYING")).read_text(encoding="utf-8")


def test_the_collection_has_the_version_of_the_package() -> None:
    galaxy = yaml.safe_load(assets.collection("galaxy.yml").read_text(encoding="utf-8"))
    assert galaxy["version"] == reaper_ops.__version__
