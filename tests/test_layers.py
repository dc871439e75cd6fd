"""The house stands: imports point down, everywhere."""

import subprocess
import sys
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]


def test_imports_point_down():
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 kept, 0 broken" in done.stdout


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Modules that reach themselves: what is left once all that import nothing of the rest have been taken away."""
    left = {name: set(targets) for name, targets in imports.items()}
    for towards in (False, True):
        while ends := {one for one in left if not (left[one] if not towards else {a for a in left if one in left[a]})}:
            left = {one: left[one] - ends for one in left.keys() - ends}
    return [sorted(left)] if left else []


def test_no_module_imports_itself_by_others():
    graph = grimp.build_graph("reaper_ops", cache_dir=None)
    imports = {one: graph.find_modules_directly_imported_by(one) for one in graph.modules}
    assert len(imports) > 300
    assert circles(imports) == []


def test_a_circle_is_found():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}}) == [["b", "c"]]
    assert circles({"a": {"b"}, "b": set()}) == []
