"""Hosts, URLs and clashes, from listings as Ansible prints them."""

import pytest

from reaper_ops.core.inventory import hosts as inventory
from reaper_ops.errors import ReaperError, ReaperErrors


def listing(**hosts):
    return {"_meta": {"hostvars": hosts}, "all": {"children": ["ungrouped"]}, "ungrouped": {"hosts": list(hosts)}}


OPEN = {"ollama_bind": "0.0.0.0", "exposure": "open"}


@pytest.mark.parametrize(
    ("variables", "url", "direct"),
    [
        ({}, "http://127.0.0.1:11434", False),
        ({"ansible_connection": "local"}, "http://127.0.0.1:11434", True),
        ({**OPEN, "ansible_host": "192.0.2.7"}, "http://192.0.2.7:11434", True),
        (OPEN, "http://gpu1:11434", True),
        ({"ollama_bind": "::", "exposure": "open", "ansible_host": "2001:db8::1"}, "http://[2001:db8::1]:11434", True),
        ({"ollama_base_url": "https://llm.example.org/"}, "https://llm.example.org", True),
        ({"ollama_bind": "127.0.0.2", "ollama_port": 8080}, "http://127.0.0.2:8080", False),
    ],
)
def test_where_clients_and_the_controller_reach_a_host(variables, url, direct):
    host = inventory.parse(listing(gpu1=variables)).by_name["gpu1"]
    assert (host.base_url, host.is_direct) == (url, direct)


def test_two_hosts_on_one_address_and_port_are_refused():
    same = {"ansible_host": "192.0.2.7"}
    with pytest.raises(ReaperError, match="b/ollama_port: same address and port as a"):
        inventory.parse(listing(a=same, b=same))


def test_one_machine_may_hold_two_servers_on_two_ports():
    found = inventory.parse(
        listing(a={"ansible_host": "192.0.2.7"}, b={"ansible_host": "192.0.2.7", "ollama_port": 11435})
    )
    assert found.names() == ("a", "b")


def test_every_mistake_is_told_at_once():
    with pytest.raises(ReaperErrors) as error:
        inventory.parse(listing(a={"ollama_prot": 1}, b={"ollama_port": 0}))
    assert [e.place for e in error.value.errors] == ["a/ollama_prot", "b/ollama_port"]


def test_a_host_without_variables_is_still_a_host():
    assert inventory.parse({"_meta": {"hostvars": {}}, "ungrouped": {"hosts": ["a"]}}).names() == ("a",)


@pytest.mark.parametrize(
    ("value", "waits"),
    [
        ("{{ base + 1 }}", True),
        ({"__ansible_vault": "x"}, True),
        (["a", "{% if x %}"], True),
        ({"A": {"B": "{{ c }}"}}, True),
        ("plain", False),
        (11434, False),
    ],
)
def test_templates_and_vault_values_wait_for_ansible(value, waits):
    found = inventory.needs_templating(listing(a={"ollama_env": value, "other": "{{ not ours }}"}))
    assert found == (("a",) if waits else ())
