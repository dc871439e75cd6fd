"""``python -m reaper_ops.lab serve-ollama|ollama|registry|release``: the parts of the lab as programs."""

from __future__ import annotations

import sys


def main(argv: list[str]) -> int:
    part, rest = (argv[0], argv[1:]) if argv else ("", [])
    if part in ("serve-ollama", "ollama"):
        from reaper_ops.lab.ollama.program import main as ollama

        return ollama(["serve", *rest] if part == "serve-ollama" else rest)
    if part == "registry":
        from reaper_ops.lab.registry import main as registry

        return registry(rest)
    if part == "release":
        from reaper_ops.lab.release import main as release

        return release(rest)
    sys.stderr.write("usage: python -m reaper_ops.lab serve-ollama|ollama|registry|release ...\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
