"""The tests of what changed since main (on main: since its last commit), one path a line; nothing when none is near.

A changed test is itself; a changed module's tests are its room's folder and every test file that names the module; a
case or golden file has the tests that name its folder. What needs real hosts, or minutes, is left to `make unit`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ALWAYS = ("tests/test_house.py", "tests/test_language.py")
LONG = ("tests/fleet", "tests/faults", "tests/mirror", "tests/swarm", "tests/lab", "tests/contract", "tests/security")
"""Their tests run when they changed themselves."""
DATA = ("tests/cases/", "tests/golden/", "tests/inventories/")


def main() -> None:
    texts = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in tests()}
    chosen = {test for path in changed() for test in near(path, texts)}
    print("\n".join(sorted(chosen | {test for test in ALWAYS if test in texts})))


def tests() -> list[Path]:
    return sorted((ROOT / "tests").rglob("test_*.py"))


def changed() -> list[str]:
    base = git("merge-base", "HEAD", "main")[0] if git("rev-parse", "--verify", "--quiet", "main") else "HEAD~1"
    if [base] == git("rev-parse", "HEAD"):
        base = "HEAD~1"
    return [*git("diff", "--name-only", base), *git("ls-files", "--others", "--exclude-standard")]


def git(*words: str) -> list[str]:
    done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[:-1]


def near(path: str, texts: dict[str, str]) -> set[str]:
    if path in texts:
        return {path}
    if path.startswith(DATA):
        return named(r"\b" + re.escape(path.split("/")[1]) + r"\b.*" + re.escape(path.split("/")[2]), texts)
    if not path.startswith(("reaper_ops/", "playbooks/", "templates/", "bench/")):
        return set()
    room = Path("tests", *Path(path).parent.parts[1:3])
    own = {test for test in texts if path.startswith("reaper_ops/") and Path(test).is_relative_to(room)}
    return quick(own if len(room.parts) == 3 else set()) | named(mention(path), texts)


def mention(path: str) -> str:
    """How a test names a file: a module by its import, anything else by its name."""
    *rooms, name = Path(path).with_suffix("").parts
    if path.startswith(("playbooks/", "templates/")):
        return rf"\b{re.escape(name)}\b"
    module = re.escape(".".join(rooms))
    return rf"\b{module}\.{re.escape(name)}\b|from {module} import [^\n]*\b{re.escape(name)}\b"


def named(pattern: str, texts: dict[str, str]) -> set[str]:
    return quick({test for test, text in texts.items() if re.search(pattern, text)})


def quick(found: set[str]) -> set[str]:
    return {test for test in found if not test.startswith(LONG)}


if __name__ == "__main__":
    main()
