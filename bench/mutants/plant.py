"""A pytest plugin that makes a module wrong before it is imported: MUTANT=reaper_ops/core/x.py:INDEX."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

from bench.mutants.points import mutated


class Planted(SourceFileLoader):
    index = 0

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text(encoding="utf-8")
        return compile(mutated(source, self.index), self.path, "exec", dont_inherit=True)


class Planter:
    def __init__(self, path: Path, index: int) -> None:
        self.path, self.index = path.resolve(), index

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name.startswith("reaper_ops") else None
        if spec is None or not spec.origin or Path(spec.origin).resolve() != self.path:
            return None
        loader = Planted(name, spec.origin)
        loader.index = self.index
        spec.loader = loader
        return spec


if os.environ.get("MUTANT"):
    PATH, INDEX = os.environ["MUTANT"].rsplit(":", 1)
    sys.meta_path.insert(0, Planter(Path(PATH), int(INDEX)))
