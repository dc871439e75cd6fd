"""Which way is taken for a host, and how that is told."""

from __future__ import annotations

import pytest

from reaper_ops.core.facts.model import Exchange
from reaper_ops.core.inventory.hosts import Host
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models import transport as ways
from reaper_ops.core.models.transport import TransportChoice

WELL = Exchange("/api/tags", "done", status=200, body='{"models":[]}')


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (WELL, ""),
        (Exchange("/api/tags", "connect", "refused"), "its API cannot be reached from here (refused)"),
        (Exchange("/api/tags", "done", status=401), "its API wants a login (401)"),
        (Exchange("/api/tags", "done", status=200, body="<html>"), "what answers there is not Ollama (200)"),
        (Exchange("/api/tags", "done", status=404, body="{}"), "what answers there is not Ollama (404)"),
    ],
)
def test_the_api_is_taken_where_it_answers_as_ollama(answer, why):
    host = Host("h", Settings(), "local")
    assert ways.choose(host, {"h": (answer,)}, None) == TransportChoice("host" if why else "api", why)
    assert ways.choose(host, {"h": (answer,)}, "api").way == "api"
    assert ways.choose(host, {"h": (answer,)}, "host").way == "host"


def test_a_server_on_a_remote_loopback_is_not_asked_from_here():
    far, near = Host("far", Settings(ollama_bind="127.0.0.1")), Host("near", Settings(), "local")
    assert ways.candidates((far, near), None) == (near,)
    assert ways.choose(far, {}, None) == TransportChoice("host", "its server listens on its loopback alone")


def test_ways_are_told_by_reason():
    choices = {"a": TransportChoice("api"), **{f"h{at}": TransportChoice("host", "far") for at in range(7)}}
    assert ways.summary(choices) == ("by the API of 1 host", "through Ansible on h0, h1, h2, h3, h4 and 2 more: far")
