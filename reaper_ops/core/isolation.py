"""What goes wrong in one host's work is that host's result; the others go on. The one place that catches what nobody
foresaw."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from reaper_ops.errors import ReaperError, defect

Result = TypeVar("Result")
Host = TypeVar("Host")
Rendered = TypeVar("Rendered")

NEXT_STEP = "report it, with the log that is named at the end; the other hosts are not concerned"


def alone(host: str, work: Callable[[], Result], broken: Callable[[str], Result]) -> Result:
    """The host's result; of a defect of ours what `broken` makes of its sentence. Wrong input stays an error."""
    try:
        return work()
    except ReaperError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this host's
        return broken(defect(host, error))


def each(
    hosts: Iterable[Host], work: Callable[[Host], Result], name: Callable[[Host], str], problems: dict[str, str]
) -> dict[str, Result]:
    """Results by host; a host whose work breaks has a sentence in `problems` instead."""
    found: dict[str, Result] = {}
    for host in hosts:
        key = name(host)
        try:
            found[key] = work(host)
        except ReaperError:
            raise
        except Exception as error:  # noqa: BLE001 - the same
            problems[key] = defect(key, error)
    return found


def rendered(
    render: Callable[[tuple[Host, ...]], Rendered], hosts: tuple[Host, ...], broken: Callable[[Host, str], Host]
) -> Rendered:
    """All hosts in one picture; where that breaks, those that break it alone are shown as what `broken` makes."""
    try:
        return render(hosts)
    except ReaperError:
        raise
    except Exception:
        kept = tuple(_showable(render, host, broken) for host in hosts)
        if all(after is before for after, before in zip(kept, hosts, strict=True)):
            raise
        return render(kept)


def _showable(render: Callable[[tuple[Host, ...]], Rendered], host: Host, broken: Callable[[Host, str], Host]) -> Host:
    def kept() -> Host:
        render((host,))
        return host

    return alone(str(getattr(host, "host", "")), kept, lambda said: broken(host, said))
