"""`python -m bench [NAME…]`: every benchmark that can run here, in one table; exit 1 when a bar is missed."""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from bench.measure import Row, Skipped, table

NAMES = ("version", "render", "probe", "up", "doctor", "scale", "report", "pull", "mirror", "swarm")
HEAD = ("what", "ours", "yardstick", "", "ratio", "bar", "")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all when none is given")
    wanted = parser.parse_args(argv).names or list(NAMES)
    unknown = [name for name in wanted if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark is called {', '.join(unknown)}; there are {', '.join(NAMES)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    rows: list[Row] = []
    for name in wanted:
        print(f"bench: {name} …", file=sys.stderr, flush=True)
        try:
            rows += importlib.import_module(f"bench.{name}").run()
        except Skipped as reason:
            print(f"bench: {name} is skipped: {reason}", file=sys.stderr)
    if rows:
        print(table([HEAD, *map(cells, rows)]))
    return 0 if all(row.met for row in rows) else 1


def cells(row: Row) -> tuple[str, ...]:
    amounts = tuple(f"{amount:.{3 if row.unit == 's' else 0}f} {row.unit}" for amount in (row.ours, row.theirs))
    verdict = "met" if row.met else "MISSED"
    return (row.what, amounts[0], row.yardstick, amounts[1], f"{row.ratio:.2f}", f"≤ {row.bar:g}", verdict)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
