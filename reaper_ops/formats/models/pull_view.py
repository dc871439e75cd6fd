"""How the bars of a pull lie on a screen: names and reasons are cut where it is narrow, numbers never."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column
from rich.text import Text

from reaper_ops.formats.screen import Screen


class Cut(TextColumn):
    """A text of hosts and servers, which may hold brackets: it is no markup."""

    def __init__(self, text_format: str) -> None:
        super().__init__(text_format, markup=False, table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap, text.overflow = True, "ellipsis"
        return text


def _whole() -> Column:
    return Column(no_wrap=True)


class PullView(Progress):
    """One line for each task, and a last one that says what all come to."""

    said = ""

    def __init__(self) -> None:
        super().__init__(
            Cut("{task.description}"),
            BarColumn(bar_width=12, table_column=_whole()),
            DownloadColumn(table_column=_whole()),
            TransferSpeedColumn(table_column=_whole()),
            TimeRemainingColumn(table_column=_whole()),
            Cut("{task.fields[stage]}"),
            console=Screen(stderr=True),
            transient=True,
        )

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.said, no_wrap=True, overflow="ellipsis")
