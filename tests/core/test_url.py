from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reaper_ops.core import url
from reaper_ops.errors import ReaperError


@pytest.mark.parametrize(
    ("written", "dialled"),
    [
        ("", "http://127.0.0.1:11434"),
        ("gpu1", "http://gpu1:11434"),
        ("gpu1:8080", "http://gpu1:8080"),
        (" 'gpu1:8080' ", "http://gpu1:8080"),
        (":8080", "http://127.0.0.1:8080"),
        ("http://gpu1", "http://gpu1:80"),
        ("gpu1:65535", "http://gpu1:65535"),
        ("gpu1:0011434", "http://gpu1:11434"),
        ("http://gpu1/!~", "http://gpu1:80/!~"),
        ("https://gpu1", "https://gpu1:443"),
        ("HTTP://GPU1:11434/", "http://gpu1:11434"),
        ("http://gpu1:11434//", "http://gpu1:11434"),
        ("https://gate.example/ollama/", "https://gate.example:443/ollama"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("http://0.0.0.0:11434", "http://127.0.0.1:11434"),
        ("[::]:11434", "http://[::1]:11434"),
        ("[::1]", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("http://[fd00::1]:8080", "http://[fd00::1]:8080"),
        ("ollama.com", "https://ollama.com:11434"),
    ],
)
def test_what_a_client_dials(written: str, dialled: str) -> None:
    if written == "ollama.com":
        dialled = "https://ollama.com:443"
    assert str(url.parse(written)) == dialled


PORT = "Ollama itself would use its default; write 1 to 65535"


@pytest.mark.parametrize(
    ("written", "problem", "hint"),
    [
        ("ftp://gpu1", "the scheme 'ftp' is not http or https", "write http://HOST:11434"),
        ("gpu1:99999", "'99999' is not a port", PORT),
        ("gpu1:65536", "'65536' is not a port", PORT),
        ("gpu1:00000199999", "'00000199999' is not a port", PORT),
        ("gpu1:0", "'0' is not a port", PORT),
        ("gpu1:11434x", "'11434x' is not a port", PORT),
        ("http://gpu1/a b", "has a blank or a non-ASCII letter in its path", "write http://HOST:11434"),
        ("http://gpu1/\x7f", "has a blank or a non-ASCII letter in its path", "write http://HOST:11434"),
        ("[::1", "has an IPv6 address without its closing bracket", "write http://[::1]:11434"),
        ("[::1]x", "has an IPv6 address without its closing bracket", "write http://[::1]:11434"),
        ("[gpu1]", "'gpu1' is not an IPv6 address", "write http://[::1]:11434"),
        ("gpu 1", "'gpu 1' is not a host name", "write http://HOST:11434"),
        ("user@gpu1", "has a user, query or fragment", "write http://HOST:11434"),
        ("http://gpu1/?q=1", "has a user, query or fragment", "write http://HOST:11434"),
        ("http://gpu1/#x", "has a user, query or fragment", "write http://HOST:11434"),
    ],
)
def test_mistakes_name_the_problem_and_the_next_step(written: str, problem: str, hint: str) -> None:
    with pytest.raises(ReaperError) as caught:
        url.parse(written)
    assert (caught.value.place, caught.value.problem, caught.value.hint) == (written, problem, hint)


def test_a_port_that_nobody_wrote_is_told_apart() -> None:
    assert url.parse("http://gpu1").assumed_port
    assert not url.parse("gpu1").assumed_port
    assert not url.parse("http://gpu1:80").assumed_port


@pytest.mark.parametrize(
    ("written", "loopback"), [("localhost", True), ("127.9.8.7", True), ("::1", True), ("gpu1", False)]
)
def test_loopback(written: str, loopback: bool) -> None:
    assert url.parse(written).is_loopback is loopback


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), st.from_regex(r"(https?://)?[a-z0-9.\[\]:/ -]{0,30}", fullmatch=True)))
def test_any_text_is_a_url_or_an_input_error(text: str) -> None:
    try:
        found = url.parse(text)
    except ReaperError:
        return
    assert url.parse(str(found)) == url.parse(str(found))
    assert str(url.parse(str(found))) == str(found)
