"""`python -m bench.mutants`: how many small faults in reaper_ops/core/ the tests notice.

Draws changes of the code by a seed: two thirds of its logic (comparisons, conditions, numbers, results), one third of
its texts. Each runs in a process of its own against the tests that enter the function it is in, the tests of its room
first, until one fails. A change outside functions (a table, a pattern, a default) is made before the package is
imported, and runs against the tests that enter its file. Ends with 1 below the bar.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.measure import table
from bench.mutants.covered import Watch
from bench.mutants.loop import KILLED, SURVIVED, Loop
from bench.mutants.points import Point, points

CORE = Path("reaper_ops/core")
TESTS = ("tests/core", "tests/formats", "tests/cli/inventory", "tests/cli/doctor")
LIMIT, QUICK = 600, 60


def main(argv: list[str]) -> int:
    asked = parsed(argv)
    drawn = sample(every_point(asked.under), asked.count, asked.seed)
    within = [point for point in drawn if point.function]
    loop = Loop(within, asked.jobs, asked.keep)
    pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", *asked.tests], plugins=[loop])
    with ThreadPoolExecutor(asked.jobs) as pool:
        outside = [point for point in drawn if not point.function]
        loop.judged |= zip(outside, pool.map(lambda point: planted(point, loop.watch), outside), strict=True)
    print(report(loop.judged))
    killed = sum(outcome == KILLED for outcome in loop.judged.values())
    return 0 if len(loop.judged) == len(drawn) and killed * 100 >= asked.bar * len(drawn) else 1


def parsed(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="how many are drawn (300)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed draws the same ones from the same code (1)")
    parser.add_argument("--under", type=Path, nargs="+", default=[CORE], help="these folders or files of core/ alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once (every core)")
    parser.add_argument("--bar", type=float, default=90, help="how many in a hundred must be noticed (90)")
    parser.add_argument("--tests", nargs="+", default=TESTS, help=f"the tests that run ({' '.join(TESTS)})")
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="where what the tests enter is kept, for the next run"
    )
    return parser.parse_args(argv)


def every_point(under: list[Path]) -> list[Point]:
    files = [file for path in under for file in ([path] if path.is_file() else sorted(path.rglob("*.py")))]
    return [point for path in files for point in points(str(path), path.read_text(encoding="utf-8"))]


def sample(all_points: list[Point], count: int, seed: int) -> list[Point]:
    """Texts are three of five points and easy to notice; they are held to a third, so that logic is judged."""
    draw = random.Random(seed)
    texts = [point for point in all_points if point.change.startswith(("'", '"'))]
    logic = [point for point in all_points if not point.change.startswith(("'", '"'))]
    of_texts = min(len(texts), count // 3)
    drawn = draw.sample(texts, of_texts) + draw.sample(logic, min(len(logic), count - of_texts))
    return sorted(drawn, key=lambda point: (point.path, point.line, point.index))


def planted(point: Point, watch: Watch) -> str:
    """The quick ones of the tests that enter its file, then the others; a new interpreter for each turn."""
    tests = watch.tests(point.path) or of_room(point, watch)
    for chosen in (tests[:QUICK], tests[QUICK:]):
        if chosen and outcome(point, chosen) == KILLED:
            return KILLED
    return SURVIVED


def of_room(point: Point, watch: Watch) -> list[str]:
    """For a file without functions, such as a table: the tests of its room."""
    room = f"tests/core/{Path(point.path).parts[2]}/"
    return sorted((t for t in watch.seconds if t.startswith(room)), key=lambda test: watch.seconds[test])


def outcome(point: Point, tests: list[str]) -> str:
    argv = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist"]
    environment = {**os.environ, "MUTANT": f"{point.path}:{point.index}", "PYTHONPATH": str(Path().resolve())}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as listed:
        listed.write("\n".join(tests))
        listed.flush()
        argv += ["-p", "bench.mutants.plant", f"@{listed.name}"]
        try:
            done = subprocess.run(argv, env=environment, capture_output=True, timeout=LIMIT)
        except subprocess.TimeoutExpired:
            return KILLED
    if done.returncode not in {0, 1, 2, 4}:
        raise SystemExit(f"mutants: {point}\n{done.stdout.decode()[-2000:]}")
    print(f"{'killed' if done.returncode else 'survived'} {point.path}:{point.line}", file=sys.stderr, flush=True)
    return KILLED if done.returncode else SURVIVED


def report(judged: dict[Point, str]) -> str:
    rooms: dict[str, list[str]] = {}
    for point, outcome in judged.items():
        rooms.setdefault(Path(point.path).parts[2], []).append(outcome)
    rows = [(room, *counted(outcomes)) for room, outcomes in sorted(rooms.items())]
    lines = [table([("room", "mutants", "killed", "share"), *rows, ("all", *counted(list(judged.values())))])]
    left = sorted((p for p, outcome in judged.items() if outcome != KILLED), key=lambda p: (p.path, p.line))
    lines += ["", f"survivors: {len(left)}"] if left else []
    for point in left:
        text = Path(point.path).read_text(encoding="utf-8").splitlines()[point.line - 1].strip()
        lines.append(f"{point.path}:{point.line}  {point.change}  ({judged[point]})\n    {text}")
    return "\n".join(lines)


def counted(outcomes: list[str]) -> tuple[str, str, str]:
    killed = outcomes.count(KILLED)
    return str(len(outcomes)), str(killed), f"{100 * killed / len(outcomes):.0f} %"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
