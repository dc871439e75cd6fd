from __future__ import annotations

import socket
import urllib.request

import pytest
from servers import free_port

from reaper_ops.adapters import metrics
from reaper_ops.adapters.metrics import Address
from reaper_ops.core.health.report import HostReport, Report, State
from reaper_ops.errors import CommandError, ReaperError
from reaper_ops.formats.health import as_prometheus


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.2:9434", Address("127.0.0.2", 9434)),
        (":9434", Address("127.0.0.1", 9434)),
        ("9434", Address("127.0.0.1", 9434)),
        ("0.0.0.0:9434", Address("0.0.0.0", 9434)),
        ("[::1]:9434", Address("::1", 9434)),
        ("gpu1.example.org:1", Address("gpu1.example.org", 1)),
    ],
)
def test_addresses(text: str, found: Address) -> None:
    assert metrics.address(text) == found
    assert metrics.address(str(found)) == found


@pytest.mark.parametrize("text", ["", "host", "::1:9434", "host:0", "host:65536", "a b:1", "http://a:1"])
def test_no_address(text: str) -> None:
    with pytest.raises(ReaperError, match="is no ADDR:PORT"):
        metrics.address(text)


def test_the_metrics_of_now_are_served() -> None:
    reports = [Report("probe", (HostReport("a", State.HEALTHY),), 1.0)]
    where = Address("127.0.0.1", free_port())
    registry = as_prometheus.registry(lambda: as_prometheus.families(reports[-1]))
    with metrics.served(where, registry):
        first = urllib.request.urlopen(f"http://{where}/metrics", timeout=10).read().decode()
        reports.append(Report("probe", (HostReport("a", State.TIMEOUT),), 2.0))
        second = urllib.request.urlopen(f"http://{where}/metrics", timeout=10).read().decode()
    assert 'reaper_ops_host_state{host="a",state="healthy"} 1.0' in first
    assert 'reaper_ops_host_state{host="a",state="timeout"} 1.0' in second
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://{where}/metrics", timeout=10)


def test_a_taken_port_is_one_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = Address("127.0.0.1", taken.getsockname()[1])
        with (
            pytest.raises(CommandError, match=f"--metrics {where}: cannot listen there: Address already in use"),
            metrics.served(where, as_prometheus.registry(list)),
        ):
            pytest.fail("it listens twice")
