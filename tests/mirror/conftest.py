"""Each test has a site of its own; without the real programs it is skipped and says so."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mirror import site


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory whose sockets fit into the 108 characters of a socket's address."""
    reason = site.why_not()
    if reason:
        pytest.skip(reason)
    path = Path(tempfile.mkdtemp(prefix="rm-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def resolver() -> Iterator[str]:
    with site.dns() as address:
        yield address


@pytest.fixture
def upstream(short: Path) -> Iterator[site.Upstream]:
    found = site.Upstream(short / "upstream")
    found.start()
    yield found
    found.kill()
