"""Settings of every test: property tests are repeatable and are not timed."""

import pytest
from hypothesis import settings

pytest_plugins = ["fleet.plugin"]

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fleet", action="store_true", help="as root on Debian: run the tests on real systemd hosts too")
    parser.addoption("--shapes", action="store_true", help="as root on Debian: every shape of tests/fleet/shapes")
    parser.addoption("--shape", action="append", default=[], metavar="NAME", help="as root on Debian: this shape alone")
