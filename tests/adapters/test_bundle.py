"""Bundles on disk: both forms, damaged ones, and those that mean harm."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from reaper_ops.adapters import bundle
from reaper_ops.core import facts
from reaper_ops.core.doctor.bundle import SavedHost
from reaper_ops.core.facts.exchange import Exchange
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.errors import ReaperError

HEAD = json.dumps({"schema": 1, "version": "0.1.0", "hosts": ["a", "b"]})


def saved(host: str, journal: str = "one\r\n\x1b[1mtwo\n") -> SavedHost:
    answers = {"controller": {}, "log": {"rc": 0, "stdout": journal, "stderr": "", "timed_out": False}}
    return SavedHost(
        host, Settings(ollama_port=12000), f"http://{host}:12000", (Exchange("/", "done", status=200),), answers
    )


def packed(path: Path, *members: tuple[str, bytes], build: Callable[[tarfile.TarInfo], None] = lambda _: None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in members:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            build(member)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.mark.parametrize("name", ["evidence.tar.gz", "evidence.tgz", "evidence"])
def test_what_was_written_is_read_again(tmp_path: Path, name: str) -> None:
    hosts = [
        saved("gpu2"),
        saved("10.0.0.7"),
        SavedHost("dead", Settings(), "http://dead:11434", problem="cannot be reached"),
    ]
    bundle.write(tmp_path / name, hosts)
    found = {one.host: one for one in bundle.read(tmp_path / name)}
    assert list(found) == ["gpu2", "10.0.0.7", "dead"]
    assert (found["dead"].answers, found["dead"].problem) == (None, "cannot be reached")
    kept = found["gpu2"]
    assert (kept.settings, kept.url, kept.exchanges) == (hosts[0].settings, hosts[0].url, hosts[0].exchanges)
    assert facts.parse("x", kept.settings, kept.answers or {}).journal == "one\r\n\x1b[1mtwo\n"


@pytest.mark.parametrize("name", ["evidence.tar.gz", "evidence"])
def test_only_the_user_may_read_it(tmp_path: Path, name: str) -> None:
    bundle.write(tmp_path / name, [saved("a")])
    path = tmp_path / name if name.endswith("gz") else tmp_path / name / "a" / "journal.log"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in tmp_path.iterdir()] == [name]


def test_an_archive_unpacks_into_one_folder_and_is_read_there_too(tmp_path: Path) -> None:
    bundle.write(tmp_path / "e.tgz", [saved("a")])
    with tarfile.open(tmp_path / "e.tgz") as archive:
        for member in archive.getmembers():
            archive.extract(member, tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    assert (tmp_path / "e" / "a" / "journal.log").is_file()
    assert bundle.read(tmp_path / "e") == bundle.read(tmp_path / "e.tgz")


def test_a_directory_in_use_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(ReaperError, match="already exists"):
        bundle.write(tmp_path, [saved("a")])


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReaperError, match=r"no/e\.tgz: cannot be written"):
        bundle.write(tmp_path / "no" / "e.tgz", [saved("a")])


def test_a_directory_with_nothing_but_a_journal(tmp_path: Path) -> None:
    (tmp_path / "gpu1").mkdir()
    (tmp_path / "gpu1" / "journal.log").write_bytes(b"a\r\nb\xff\n")
    (one,) = bundle.read(tmp_path / "gpu1")
    unknown = Settings(ollama_managed=False)
    assert (one.host, one.settings, one.url) == ("gpu1", unknown, "http://gpu1:11434")
    assert facts.parse("gpu1", one.settings, one.answers or {}).journal == "a\nb�\n"
    assert bundle.read(tmp_path / "gpu1" / "journal.log") == (one,)


def test_a_directory_of_directories_packed_by_hand(tmp_path: Path) -> None:
    members = (("ticket/gpu1/ss.txt", b"x"), ("./ticket/gpu2/http/version.json", b'{"version":"0.1.0"}'))
    found = bundle.read(packed(tmp_path / "t.tgz", *members))
    assert [one.host for one in found] == ["gpu1", "gpu2"]
    assert found[1].exchanges[0].body == '{"version":"0.1.0"}'


def test_text_from_windows(tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_bytes("ü\r\n".encode("utf-16"))
    assert bundle.read(tmp_path)[0].answers["log"]["stdout"] == "ü\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither a bundle"),
        (b"\x7fELF" + bytes(range(256)) * 9, "neither a bundle"),
        (b"\x1f\x8b" + b"junk" * 99, "nothing of it can be read"),
        (gzip.compress(b"no tar" * 999), "nothing of it can be read"),
        (gzip.compress(b""), "nothing of it can be read"),
    ],
    ids=["empty", "program", "broken-gzip", "no-tar-in-gzip", "nothing-in-gzip"],
)
def test_junk_is_named_as_such(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "j.tgz").write_bytes(content)
    with pytest.raises(ReaperError, match=said) as raised:
        bundle.read(tmp_path / "j.tgz")
    assert "j.tgz" in raised.value.place


def test_no_file_and_an_empty_directory(tmp_path: Path) -> None:
    with pytest.raises(ReaperError, match="No such file"):
        bundle.read(tmp_path / "none.tgz")
    with pytest.raises(ReaperError, match="holds no evidence"):
        bundle.read(tmp_path)


def test_another_schema(tmp_path: Path) -> None:
    members = (("e/bundle.json", b'{"schema": 7, "version": "4.0"}'), ("e/a/journal.log", b"x"))
    with pytest.raises(ReaperError, match=r"e/bundle\.json: is a bundle of schema 7 of reaper-ops 4\.0"):
        bundle.read(packed(tmp_path / "e.tgz", *members))


@pytest.mark.parametrize("share", [0.35, 0.6, 0.9])
def test_of_a_truncated_archive_the_whole_hosts_are_read(tmp_path: Path, share: float) -> None:
    path = tmp_path / "e.tgz"
    bundle.write(path, [saved(f"gpu{number}", os.urandom(30000).hex()) for number in range(6)])
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * share)])
    found = bundle.read(path)
    assert [one.host for one in found] == [f"gpu{number}" for number in range(6)]
    whole = [one for one in found if not one.problem]
    assert 0 < len(whole) < 6
    assert all("log" in (one.answers or {}) for one in whole)
    assert all("ends" in one.problem for one in found if one not in whole)


def test_a_host_with_broken_settings_does_not_hold_the_others(tmp_path: Path) -> None:
    found = bundle.read(packed(tmp_path / "e.tgz", ("a/settings.json", b"["), ("b/journal.log", b"x")))
    assert [(one.host, bool(one.problem), one.answers is None) for one in found] == [
        ("a", True, True),
        ("b", False, False),
    ]


@pytest.mark.parametrize(
    "name", ["../../etc/journal.log", "/etc/journal.log", "a/../../x/journal.log", "a\\..\\journal.log"]
)
def test_paths_that_lead_out_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ReaperError, match="leads out of the bundle"):
        bundle.read(packed(tmp_path / "e.tgz", (name, b"x")))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_not_read(tmp_path: Path, kind: bytes) -> None:
    def special(member: tarfile.TarInfo) -> None:
        if member.name == "a/ss.txt":
            member.type, member.linkname, member.size = kind, "/etc/passwd", 0

    path = packed(tmp_path / "e.tgz", ("a/journal.log", b"x"), ("a/ss.txt", b""), build=special)
    (one,) = bundle.read(path)
    assert one.answers is not None
    assert one.answers["listeners"] == {"error": "ss.txt is not a regular file"}
    assert one.answers["log"]["stdout"] == "x\n"


def test_links_and_pipes_in_a_directory_are_not_followed(tmp_path: Path) -> None:
    home = tmp_path / "gpu1"
    home.mkdir()
    (home / "journal.log").write_text("x")
    (home / "ss.txt").symlink_to("/etc/passwd")
    (home / "http").symlink_to("/etc")
    os.mkfifo(home / "ps.txt")
    (one,) = bundle.read(home)
    found = facts.parse("gpu1", one.settings, one.answers or {})
    assert found.unread["listeners"] == "ss.txt is a link"
    assert found.unread["processes"] == "ps.txt is not a regular file"


def test_a_file_too_large_is_left_out(tmp_path: Path) -> None:
    (one,) = bundle.read(packed(tmp_path / "e.tgz", ("a/journal.log", bytes(9 << 20)), ("a/ss.txt", b"x")))
    assert one.answers is not None
    assert one.answers["log"] == {"error": "journal.log is larger than 8 MiB"}


def test_a_bomb_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_TOTAL", 4 << 20)
    with pytest.raises(ReaperError, match="holds more than 4 MiB"):
        bundle.read(packed(tmp_path / "e.tgz", *((f"a/more/{number}.json", bytes(1 << 20)) for number in range(9))))


def test_a_bomb_of_names_ends_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "MAX_MEMBERS", 50)
    with pytest.raises(ReaperError, match="holds more than 50 files"):
        bundle.read(packed(tmp_path / "e.tgz", *((f"x/{number}", b"") for number in range(99))))


def test_a_bomb_in_a_header_is_not_held_in_memory(tmp_path: Path) -> None:
    head = tarfile.TarInfo("a/journal.log")
    head.type, head.size = tarfile.XHDTYPE, 1 << 40
    (tmp_path / "e.tgz").write_bytes(gzip.compress(head.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    with pytest.raises(ReaperError, match="nothing of it can be read"):
        bundle.read(tmp_path / "e.tgz")


def test_a_member_that_pretends_to_be_huge(tmp_path: Path) -> None:
    member = tarfile.TarInfo("a/journal.log")
    member.size = 1 << 40
    (tmp_path / "e.tgz").write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    with pytest.raises(ReaperError, match="holds more than"):
        bundle.read(tmp_path / "e.tgz")


def test_damage_anywhere_is_never_a_traceback(tmp_path: Path) -> None:
    path = tmp_path / "e.tgz"
    bundle.write(path, [saved("a"), saved("b")])
    raw, places = path.read_bytes(), []
    for at in range(0, len(raw), max(1, len(raw) // 60)):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :])
        try:
            assert all(one.host for one in bundle.read(path))
        except ReaperError as problem:
            places.append(problem.place)
    assert all("e.tgz" in place for place in places)
