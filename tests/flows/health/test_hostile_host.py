"""Ten hosts, one of which means harm: nine are told as they are, each time and by each verb, and the tenth is too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hostile import Sore, breaking, each_field
from hostile_answers import BODIES, LINES, TRANSPORT, http
from servers import OLLAMA, Server, http_server

from reaper_ops.adapters import sweep
from reaper_ops.adapters.ansible import Run, Source
from reaper_ops.cli import program
from reaper_ops.cli.doctor import doctor as doctor_verb
from reaper_ops.cli.health.watch import follow
from reaper_ops.core import facts as core_facts
from reaper_ops.core.facts.model import Facts, System
from reaper_ops.core.health import probe as core
from reaper_ops.core.health.report import HostReport, Report, State, Tally, changes
from reaper_ops.core.inventory.hosts import Host, Inventory
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.models.order import Order
from reaper_ops.core.models.outcome import ModelsOutcome
from reaper_ops.core.models.strategy import AS_CONFIGURED
from reaper_ops.flows.doctor import doctor
from reaper_ops.flows.health import probe, report
from reaper_ops.flows.health.watch import Round
from reaper_ops.flows.inventory.gather import Gathered
from reaper_ops.flows.mirror import mirror
from reaper_ops.flows.models import api as models_api
from reaper_ops.flows.models import change as models_change
from reaper_ops.flows.models import look as models_look
from reaper_ops.flows.models import verify as models_verify
from reaper_ops.flows.provision import plan
from reaper_ops.formats import FORMATS
from reaper_ops.formats.health import as_prometheus
from reaper_ops.formats.models import contents as model_contents
from reaper_ops.formats.models import table as model_table

GOOD = tuple(f"good{number}" for number in range(9))
BAD = "bad"
SOURCE = Source(("hosts.yml",))
QUICK = core.ladder(tuple(replace(one, timeout=1.0) for one in core.REQUESTS))
BLOB, DIGEST = "sha256:" + "a" * 64, "d" * 64
WELL = "".join(
    json.dumps(line) + "\n"
    for line in (
        {"status": "pulling manifest"},
        {"status": "pulling aaaa", "digest": BLOB, "total": 100, "completed": 100},
        {"status": "success"},
    )
)


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, Server]]:
    """Nine that are well, on addresses of their own; the tenth answers what a test gives it."""
    with ExitStack() as stack:
        names = enumerate((*GOOD, BAD), 2)
        yield {name: stack.enter_context(http_server(OLLAMA, f"127.0.0.{at}")) for at, name in names}


def address(server: Server) -> str:
    return f"http://{server.server_address[0]!s}:{server.server_address[1]}"


def host(name: str, server: Server, **settings: Any) -> Host:
    wanted = {"ollama_version": "0.35.1", "ollama_base_url": address(server), **settings}
    return Host(name, Settings.model_validate(wanted), "ssh")


def inventory_of(servers: dict[str, Server], **settings: Any) -> Inventory:
    return Inventory(tuple(host(name, server, **settings) for name, server in servers.items()))


def answering(server: Server, path: str, body: str | bytes) -> None:
    def send(handler: Any) -> None:
        handler.wfile.write(body if isinstance(body, bytes) else http(body.encode("utf-8", "surrogatepass")))

    server.answers = {**OLLAMA, path: send}


ATTACKS: dict[str, tuple[str, str | bytes]] = {
    **BODIES,
    **{name: ("/api/tags", data) for name, data in TRANSPORT.items()},
}


@pytest.fixture(params=ATTACKS)
def looked_at(request: pytest.FixtureRequest, servers: dict[str, Server]) -> Inventory:
    answering(servers[BAD], *ATTACKS[request.param])
    return inventory_of(servers)


def test_there_are_forty_ways_and_more() -> None:
    assert len(ATTACKS) >= 40


def well(found: Report) -> None:
    """What the nine answer is known from what they are."""
    told = {one.host: (one.state, one.version, one.models) for one in found.hosts}
    assert {name: told.pop(name) for name in GOOD} == dict.fromkeys(GOOD, (State.HEALTHY, "0.35.1", ("tiny:1m",)))
    assert set(told) == {BAD}


def plain(text: str) -> None:
    """It can be written anywhere, and no escape of a stranger is in it."""
    assert "Traceback" not in text
    assert "\x1b" not in text
    text.encode("utf-8")


def test_every_look_tells_the_nine(looked_at: Inventory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = probe.probe(SOURCE, looked_at, direct=True)
    well(found)
    assert found.exit_code in {0, 3, 4, 5}
    text, lines, document = (FORMATS[form](found) for form in ("text", "prometheus", "json"))
    for shown in (text, lines, document):
        plain(shown)
    for name in GOOD:
        assert f'reaper_ops_host_models_bytes{{host="{name}"}} 7.0' in lines
    rows = {row["host"]: row for row in json.loads(document)["hosts"]}
    assert [rows[name]["state"] for name in GOOD] == ["healthy"] * 9
    report.report(lambda: found, (), str(tmp_path / "page.html"))
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(name in page for name in (*GOOD, BAD))
    assert "<script>alert" not in page
    _examined(looked_at)


def _examined(inventory: Inventory) -> None:
    heard = sweep.sweep({one.name: str(one.settings.ollama_base_url) for one in inventory.hosts}, QUICK)
    patients = [doctor.HostSnapshot(one.name, one.settings, "", heard[one.name]) for one in inventory.hosts]
    found = doctor.examine(patients)
    assert [(one.host, one.state, one.problem) for one in found.hosts[:9]] == [
        (name, State.HEALTHY, "") for name in GOOD
    ]
    for form in doctor_verb.FORMS:
        plain(doctor_verb.as_output(found, form))


@pytest.mark.parametrize("attack", BODIES)
def test_every_list_of_models_tells_the_nine(
    attack: str, servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The hosts' own module brings the same exchanges."""
    answering(servers[BAD], *BODIES[attack])
    inventory = inventory_of(servers, ollama_models=["tiny:1m"])
    heard = sweep.sweep({one.name: str(one.settings.ollama_base_url) for one in inventory.hosts}, QUICK)
    read = {
        one.name: core_facts.parse(one.name, one.settings, {"api": {"exchanges": [asdict(e) for e in heard[one.name]]}})
        for one in inventory.hosts
    }
    monkeypatch.setattr(models_look, "survey", lambda source, on_event=None: (inventory, Gathered(read)))
    monkeypatch.setattr(models_look.pulled, "place", lambda source: tmp_path / "pulled.json")
    found = models_look.listing(SOURCE, tmp_path / "models.lock")
    cells = next(line for line in found.lines if line.name.endswith("/tiny:1m")).cells
    assert [(cells[name].state, cells[name].size) for name in GOOD] == [("unlocked", 7)] * 9
    held = models_look.look(SOURCE)
    for form in ("text", "json", "lines"):
        plain(model_table.FORMATS[form](found))
        plain(model_table.ps(held.holdings, held.problems, form))
    offered: list[Any] = []
    for verb in (models_change.prune, lambda *a, **k: models_change.remove(a[0], ("tiny:1m",), **k)):
        ended: ModelsOutcome = verb(SOURCE, confirm=lambda todo: offered.append(todo))
        assert set(ended.problems or {}) <= {BAD}
    assert [set(GOOD) <= set(todo) for todo in offered] == [True]


ROW = {"name": "tiny:1m", "digest": "a" * 64, "count": 1, "blobs": []}
STORES: dict[str, dict[str, Any]] = {
    "no models": {},
    "models are a number": {"models": 7},
    "models are text": {"models": "x"},
    "a row is a number": {"models": [7]},
    "a row without names": {"models": [{}]},
    "blobs are a number": {"models": [{**ROW, "blobs": 7}]},
    "a blob is text": {"models": [{**ROW, "blobs": ["x"]}]},
    "a count of 4000 digits": {"models": [{**ROW, "count": "9" * 4000}]},
    "unnamed is a number": {"models": [], "unnamed": 7},
    "bytes without end": {"models": [ROW], "bytes": float("inf"), "seconds": float("nan")},
    **{
        f"name {name[:12]!r}": {"models": [{**ROW, "name": name, "error": "x"}]}
        for name in ("", "a/b/c/d:1", "../../x:1", "\x1b[2J", "\ud800", "x" * 100_000, ":", "/", "a//b", "http://x")
    },
    "digest is a list": {"models": [{**ROW, "digest": []}]},
    "known as is a number": {"models": [{**ROW, "known_as": 7}]},
}


@pytest.mark.parametrize("attack", STORES)
@pytest.mark.parametrize("repair", [False, True])
def test_every_check_of_stores_tells_the_nine(
    attack: str, repair: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`models verify`, with and without `--repair`."""
    inventory = Inventory(tuple(Host(name, Settings(ollama_models=["tiny:1m"]), "ssh") for name in (*GOOD, BAD)))
    given = {name: {"store": "/s", "models": [ROW]} for name in GOOD} | {BAD: {"store": "/s", **STORES[attack]}}

    def play(source: Source, requests: dict[str, Any], *args: Any, **more: Any) -> Run:
        return Run(tuple({"event": "ok", "host": name, "task": "x", "result": given[name]} for name in requests))

    monkeypatch.setattr(models_verify.ansible, "inventory", lambda source: inventory)
    monkeypatch.setattr(models_verify, "play", play)
    found = models_verify.verify(SOURCE, tmp_path / "models.lock", repair=repair)
    told = {store.host: [(one.name, one.state) for one in store.models] for store in found.stores}
    assert [told[name] for name in GOOD] == [[("tiny:1m", "unlocked")]] * 9
    assert set(found.problems) <= {BAD}
    for form in model_contents.FORMATS.values():
        shown = form(found)
        assert all(name in shown for name in GOOD)
        assert "Traceback" not in shown


@pytest.mark.parametrize("attack", LINES)
def test_every_pull_by_the_api_brings_the_nine(
    attack: str, servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(models_api, "_manifest", lambda *key: (DIGEST, {BLOB: 100}))
    inventory = inventory_of(servers)
    for name, server in servers.items():
        script = LINES[attack] + "\n" if name == BAD else WELL
        server.answers = _Pulled(script)
    wanted = {one.name: ["tiny:1m"] for one in inventory.hosts}
    order = Order(wanted, {}, AS_CONFIGURED, {"reaper_retries": 0, "reaper_at_once": 10}, "me")
    try:
        done, problems = models_api.pull(
            inventory.hosts, order, record=tmp_path / "pulled.json", on_event=lambda event: None
        )
    finally:
        for server in servers.values():
            server.answers = OLLAMA
    assert {one.host: one.error for one in done if one.host in GOOD} == dict.fromkeys(GOOD, "")
    assert problems == {}
    mine = next(one for one in done if one.host == BAD)
    assert mine.error
    assert not mine.changed
    plain(mine.error)


class _Pulled(dict[str, Any]):
    """What a server answers before and after its pull."""

    def __init__(self, script: str) -> None:
        super().__init__()
        self.script, self.there = script, False

    def get(self, path: str, default: Any = None) -> Any:
        if path == "/api/pull":
            self.there = True
            return (200, self.script)
        rows = [{"name": "tiny:1m", "digest": DIGEST, "size": 100}] if self.there else []
        return {"models": rows} if path == "/api/tags" else (404, "{}")


def test_the_metrics_of_watch_tell_the_nine(servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch) -> None:
    """A report whose numbers no metric can hold, as another version or a defect may bring it."""
    answering(servers[BAD], "/api/tags", json.dumps({"models": []}))
    found = probe.probe(SOURCE, inventory_of(servers), direct=True)
    row = {"name": "x", "size": 10**400}
    hosts = tuple(replace(one, facts={"models": [row]}) if one.host == BAD else one for one in found.hosts)
    served: list[str] = []

    def serve(address: object, registry: Any) -> ExitStack:
        served.append(as_prometheus.generate_latest(registry).decode())
        return ExitStack()

    monkeypatch.setattr("reaper_ops.adapters.metrics.served", serve)
    monkeypatch.setattr("reaper_ops.flows.health.watch.watch", lambda look, interval: iter(()))
    follow(lambda: found, 1.0, "text", "127.0.0.1:9")
    text = FORMATS["prometheus"](replace(found, hosts=hosts))
    assert all(f'reaper_ops_host_models_bytes{{host="{name}"}} 7.0' in text for name in GOOD)
    assert f'host_models_bytes{{host="{BAD}"}}' not in text
    assert served


@pytest.mark.parametrize("name", each_field(Facts, "host"))
def test_a_host_that_breaks_every_reader_in_turn_breaks_no_other(
    name: str, servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Facts are read by judges, doctor and models; whichever field raises, only this host is told so."""
    servers[BAD].answers = OLLAMA
    inventory = inventory_of(servers)
    read = {one.name: Facts(one.name, System()) for one in inventory.hosts}
    read[BAD] = breaking(read[BAD], name)
    well(probe.probe(SOURCE, inventory, known=Gathered(read)))
    monkeypatch.setattr(models_look, "survey", lambda source, on_event=None: (inventory, Gathered(read)))
    monkeypatch.setattr(models_look.pulled, "place", lambda source: tmp_path / "pulled.json")
    table = models_look.listing(SOURCE, tmp_path / "models.lock")
    assert set(table.hosts) >= set(GOOD)
    heard = core_facts.exchanges.rows([asdict(e) for e in sweep.sweep({"x": address(servers[BAD])}, QUICK)["x"]])
    patients = [doctor.HostSnapshot(one.name, one.settings, "", heard, {}, read[one.name]) for one in inventory.hosts]
    found = doctor.examine(patients)
    assert all(one.state is State.HEALTHY and not one.problem for one in found.hosts[:9])
    monkeypatch.setattr(plan, "_sizes", lambda wanted: {})
    planned = plan.confirmable(plan.compute(inventory, Gathered(read)))
    assert [one.host for one in planned.plans][:9] == list(GOOD)
    assert {*(one.host for one in planned.plans), *planned.problems} == {*GOOD, BAD}


@pytest.mark.parametrize("name", each_field(HostReport, "host", "url"))
@pytest.mark.parametrize("form", FORMATS)
def test_a_report_that_cannot_be_shown_hides_no_other(name: str, form: str, caplog: pytest.LogCaptureFixture) -> None:
    hosts = tuple(HostReport(one, State.HEALTHY, version="0.35.1", url="http://x") for one in (*GOOD, BAD))
    found = Report("probe", (*hosts[:9], breaking(hosts[9], name)), 1.0)
    text = FORMATS[form](found)
    assert all(one in text for one in (*GOOD, BAD))
    if form == "text":
        assert ("defect of reaper_ops" in text) == bool(caplog.records)


def test_the_sentence_says_that_it_is_our_defect_and_the_log_says_where(
    servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    judge = probe.judge

    def sore(settings: Settings, seen: Any, *args: Any, **more: Any) -> HostReport:
        if seen.host == BAD:
            raise Sore("\x1b[2Jhere")
        return judge(settings, seen, *args, **more)

    monkeypatch.setattr(probe, "judge", sore)
    servers[BAD].answers = OLLAMA
    found = probe.probe(SOURCE, inventory_of(servers), direct=True)
    well(found)
    bad = found.hosts[9]
    assert bad.problem == (r"this is a defect of reaper_ops in reading what this host answers: Sore: \x1b[2Jhere")
    assert (bad.state, found.exit_code) == (None, 5)
    assert any(record.exc_info and "sore" in str(record.exc_text or record.exc_info) for record in caplog.records)


def test_no_host_answers_for_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """`doctor --slow` asks through Ansible by keys that hold the host's name."""
    from reaper_ops.flows.doctor import latency as slow

    mine, theirs = {"exchanges": [{"path": "/mine"}]}, {"exchanges": [{"path": "/theirs"}]}
    results = [{"host": "a", "result": {"answers": {"a 1": mine, "b 1": theirs}}}, {"host": "b", "result": {}}]
    run = Run(tuple(results))
    monkeypatch.setattr(slow.ansible, "playbook", lambda *args, **more: run)
    asks = {name: [{"id": f"{name} 1"}] for name in ("a", "b")}
    assert slow._asked(SOURCE, asks, 1.0, None) == {"a 1": mine, "b 1": {}}


def test_the_program_names_the_log_of_a_defect(
    servers: dict[str, Server], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def sore(*args: Any, **more: Any) -> HostReport:
        raise Sore("here")

    monkeypatch.setattr(probe, "judge", sore)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    servers[BAD].answers = OLLAMA
    assert program.run(["probe", "--url", address(servers[BAD])]) == 5
    out, err = capfd.readouterr()
    assert "this is a defect of reaper_ops in reading what this host answers: Sore: here" in " ".join(out.split())
    [log] = tmp_path.glob("reaper-ops-*.log")
    assert err.splitlines()[-1] == f"error: a defect of reaper_ops concerned some hosts; the details are in {log}"
    assert "raise Sore" in log.read_text(encoding="utf-8")


@pytest.mark.parametrize("output", ["text", "json"])
def test_a_watch_draws_the_others(output: str, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    hosts = tuple(HostReport(one, State.HEALTHY, url="http://x") for one in (*GOOD, BAD))
    found = Report("probe", (*hosts[:9], breaking(hosts[9], "summary")), 1.0)
    once = Round(found, changes(None, found), Tally())
    monkeypatch.setattr("reaper_ops.flows.health.watch.watch", lambda look, interval: iter([once]))
    assert follow(lambda: found, 1.0, output) == 5
    out = capsys.readouterr().out
    assert all(one in out for one in GOOD)
    assert "defect of reaper_ops" in out or output == "json"


@pytest.mark.parametrize("actions", [[{"evil": 1}], ["x"], 7, None, [{"id": []}]])
def test_a_mirror_that_tells_no_plan_is_its_own_problem(actions: Any) -> None:
    good = [{"id": "mirror/start", "target": "x", "reason": "y"}]
    rows = [{"host": host, "id": "mirror/plan", "result": {"actions": a}} for host, a in (("a", good), (BAD, actions))]
    found = mirror._planned(Run(tuple(rows)))
    assert [action.id for action in found.todo["a"]] == ["mirror/start"]
    assert set(found.problems) == {BAD}
