# SPDX-License-Identifier: Apache-2.0
"""Progress of a pull, computed from the lines that the server sends. Standard library only."""

from __future__ import annotations

from typing import Any, Iterable, Mapping

WHOLE = ("verifying", "writing", "naming", "removing", "success", "done")


class Tally:
    """Sums up the lines of a pull for one model: bytes of complete layers and of the current one.

    Layers come one after the other; the last line of a layer may be short of its end: the server reports every 60 ms.
    """

    def __init__(self, name: str, sizes: Mapping[str, int], done: Iterable[str] = ()) -> None:
        self.model, self.sizes, self.done = name, dict(sizes or {}), set(done)
        self.layer, self.came, self.works = None, 0, False

    def take(self, line: Mapping[str, Any]) -> None:
        """Must get every line, even those that are not shown."""
        layer, completed, status = line.get("digest"), line.get("completed", 0), line.get("status", "")
        if layer:
            if self.works and layer != self.layer:
                self.done.add(self.layer)
            self.layer, self.came, self.works = layer, completed, True
            if completed and completed >= line.get("total", 0):
                self.done.add(layer)
            else:
                self.done.discard(layer)
        elif completed:
            self.layer, self.came, self.works = None, completed, False
        elif status.startswith(WHOLE):
            self.done.update(self.sizes)
        else:
            self.works = False

    def row(self, line: Mapping[str, Any]) -> dict[str, Any]:
        self.take(line)
        layer, completed, total = line.get("digest"), line.get("completed", 0), line.get("total", 0)
        whole = sum(size for digest, size in self.sizes.items() if digest in self.done)
        whole += self.came if self.layer not in self.done else 0
        every = sum(self.sizes.values())
        row = {"model": self.model, "layer": layer, "completed": completed, "total": total}
        row.update(status=line.get("status", ""), model_completed=min(whole, every) if self.sizes else None)
        return dict(row, model_total=every or None)
