"""A container of others: what of it our Compose file has, what is never ours, and what `down` needs to give it back."""

import pytest
import yaml

from reaper_ops.core.facts import asks, parse
from reaper_ops.core.facts.foreign import Foreign, ForeignMount, Held
from reaper_ops.core.facts.model import Facts, Holder, System
from reaper_ops.core.inventory.settings import Settings
from reaper_ops.core.provision import desired_state, takeover

SETTINGS = Settings(ollama_runtime="docker", ollama_adopt=True, gpu_vendor="none")
VOLUME = ForeignMount("volume", "ollama", "/root/.ollama")
GUIDE = Foreign("ollama", "ollama/ollama", "running", "always", mounts=(VOLUME,), environ={"OLLAMA_DEBUG": "1"})


def host(**given: object) -> Facts:
    return Facts("h", System(arch="x86_64", uid=0), **given)  # type: ignore[arg-type]


def compose(facts: Facts, settings: Settings = SETTINGS) -> dict:
    (file,) = (one for one in desired_state.derive(settings, facts).files if one.id == "ollama/compose")
    return yaml.safe_load(file.content)


def owned(facts: Facts, settings: Settings = SETTINGS) -> dict:
    return desired_state.derive(settings, facts).for_roles()["owned"]


def test_the_volume_of_the_guide_is_used_and_never_ours():
    facts = host(foreign=GUIDE, volumes=(Held("ollama"),))
    document = compose(facts)
    assert document["volumes"] == {"ollama": {"name": "ollama", "external": True}}
    assert document["services"]["ollama"]["environment"]["OLLAMA_DEBUG"] == "1"
    assert owned(facts)["volumes"] == []
    assert owned(facts)["containers"]["ollama"] == {
        "kept": "ollama-before-reaper_ops",
        "restart": "always",
        "running": True,
        "copy": "",
    }


def test_the_file_is_the_same_once_the_container_was_set_aside():
    aside = Foreign(
        "ollama-before-reaper_ops", "ollama/ollama", "exited", "no", mounts=(VOLUME,), environ=GUIDE.environ
    )
    before, after = (host(foreign=one, volumes=(Held("ollama"),)) for one in (GUIDE, aside))
    assert compose(before) == compose(after)


def test_a_record_of_the_first_run_is_not_replaced_by_what_the_container_is_since():
    record = {"kept": "ollama-before-reaper_ops", "restart": "always", "running": True, "copy": ""}
    stopped = Foreign("ollama", "ollama/ollama", "exited", "no", mounts=(VOLUME,))
    facts = host(foreign=stopped, manifest={"state": "intended", "containers": {"ollama": record}})
    assert owned(facts)["containers"]["ollama"] == record


def test_a_container_without_a_volume_is_copied_into_one_that_is_ours():
    facts = host(foreign=Foreign("ollama", "ollama/ollama", "running"))
    assert owned(facts)["volumes"] == ["ollama"]
    assert owned(facts)["containers"]["ollama"]["copy"] == "/root/.ollama"
    assert compose(facts)["volumes"] == {"ollama": {"name": "ollama"}}


def test_binds_and_networks_go_on():
    bind = ForeignMount("bind", "/srv/ollama data", "/root/.ollama")
    more = ForeignMount("volume", "certs", "/etc/ssl/own", read_only=True)
    facts = host(foreign=Foreign("ollama", "x", "running", networks=("ai", "bridge"), mounts=(more, bind)))
    service = compose(facts)["services"]["ollama"]
    assert service["networks"] == ["default", "ai"]
    assert [(one["type"], one["source"], one.get("read_only", False)) for one in service["volumes"]] == [
        ("bind", "/srv/ollama data", False),
        ("volume", "certs", True),
    ]
    assert compose(facts)["volumes"] == {"certs": {"name": "certs", "external": True}}
    assert owned(facts)["volumes"] == []


def test_a_volume_that_an_earlier_down_left_is_ours_still():
    facts = host(volumes=(Held("ollama", "reaper_ops"),))
    assert takeover.blockers(SETTINGS.model_copy(update={"ollama_adopt": False}), facts) == []
    assert owned(facts)["volumes"] == ["ollama"]


def test_an_image_that_was_there_is_not_ours():
    tag = f"ollama/ollama:{SETTINGS.ollama_version}"
    assert owned(host())["images"] == [f"docker.io/{tag}"]
    assert owned(host(images=(tag,)))["images"] == []


def test_a_network_of_others_is_named():
    (found,) = takeover.blockers(SETTINGS, host(networks=(Held("reaper_ops_default", "mine"),)))
    assert "network reaper_ops_default is there and not ours" in found


def test_the_engine_is_read():
    """As Docker 26 prints it."""
    inspected = """[{"Name": "/ollama", "State": {"Status": "running"}, "Config": {"Image": "ollama/ollama",
      "Labels": null, "Env": ["OLLAMA_KEEP_ALIVE=7m", "HOME=/root"]},
      "HostConfig": {"RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 3}, "NetworkMode": "bridge",
      "PortBindings": {"11434/tcp": [{"HostIp": "", "HostPort": "11434"}]}},
      "NetworkSettings": {"Networks": {"bridge": {}},
      "Ports": {"11434/tcp": [{"HostIp": "0.0.0.0", "HostPort": "11434"}]}},
      "Mounts": [{"Type": "volume", "Name": "ollama", "Source": "/x", "Destination": "/root/.ollama", "RW": true}]}]"""
    volumes = '{"Name":"ollama","Labels":""}\n{"Name":"web","Labels":"a=b,com.docker.compose.project=site"}\n'
    images = '{"Repository":"ollama/ollama","Tag":"latest","Digest":"\\u003cnone\\u003e"}\n'
    answers = {
        id_: {"rc": 0, "stdout": out, "stderr": ""}
        for id_, out in (("container", inspected), ("volumes", volumes), ("images", images), ("networks", ""))
    }
    facts = parse("h", SETTINGS, answers)
    assert facts.foreign is not None
    assert (facts.foreign.restart, facts.foreign.mounts) == ("on-failure:3", (VOLUME,))
    assert facts.foreign.environ == {"OLLAMA_KEEP_ALIVE": "7m"}
    assert [(port.address, port.host_port) for port in facts.foreign.published] == [("", 11434)]
    assert facts.volumes == (Held("ollama"), Held("web", "site"))
    assert facts.images == ("ollama/ollama:latest",)


def test_our_own_container_is_not_foreign():
    ours = '[{"State": {"Status": "running"}, "Config": {"Labels": {"com.docker.compose.project": "reaper_ops"}}}]'
    assert parse("h", SETTINGS, {"container": {"rc": 0, "stdout": ours, "stderr": ""}}).foreign is None


def docker_questions():
    """Every question that Docker's client or engine answers, but for the log, without which a plan is the same."""
    rows = [row for row in asks(SETTINGS) if "docker " in " ".join(row.get("argv", ())) and row["id"] != "log"]
    assert {"docker-version", "container", "container-port", "networks", "images"} <= {row["id"] for row in rows}
    return rows


LATE = ({"timed_out": True, "stdout": "", "stderr": "", "rc": -9}, {"error": "no answer in time"})


@pytest.mark.parametrize("answer", LATE, ids=str)
@pytest.mark.parametrize("question", docker_questions(), ids=lambda row: row["id"])
def test_an_engine_that_answers_too_late_is_not_absent(question, answer):
    installed = {"dockerd": {"rc": 0, "stdout": "Docker version 28.2.2, build e6534b4\n", "stderr": ""}}
    facts = parse("h", SETTINGS, {**installed, question["id"]: answer})
    plan = desired_state.derive(SETTINGS.model_copy(update={"ollama_adopt": False}), facts).plan
    assert plan.blockers[0].startswith(f"Docker did not answer in {question['timeout']} s:")
    assert (len(plan.blockers), plan.actions) == (1, ())


def test_a_slow_docker_does_not_concern_another_runtime():
    facts = parse("h", SETTINGS, {"docker-info": {"timed_out": True}})
    assert takeover.engine_too_slow(Settings(), facts) == ""


def test_an_engine_that_says_no_holds_nothing_of_ours():
    facts = parse("h", SETTINGS, {"container": {"rc": 1, "stdout": "", "stderr": "No such container"}})
    assert takeover.blockers(SETTINGS, facts) == []


ON_PORT = """[{"Name": "/guide-ollama-1", "Path": "%s", "Args": ["serve"], "State": {"Status": "running"},
  "Config": {"Image": "ollama/ollama", "Labels": {"com.docker.compose.project": "%s"}},
  "HostConfig": {"NetworkMode": "guide_default"}, "NetworkSettings": {"Networks": {"guide_default": {}}},
  "Mounts": [{"Type": "volume", "Name": "guide_ollama", "Destination": "/root/.ollama", "RW": true}]}]"""
HOLDER = Holder("0.0.0.0", 11434, 7, "root", ("docker-proxy",), container="guide-ollama-1 ollama/ollama")


def on_port(path: str = "/bin/ollama", project: str = "guide", **more: dict[str, object]) -> Foreign | None:
    answer = {"rc": 0, "stdout": ON_PORT % (path, project), "stderr": ""}
    return parse("h", SETTINGS, {"container-port": answer, **more}).foreign


def test_an_ollama_that_compose_gave_another_name_is_found_by_its_port():
    found = on_port()
    assert found is not None
    assert (found.name, found.project, found.networks) == ("guide-ollama-1", "guide", ("guide_default",))
    assert found.mounts == (ForeignMount("volume", "guide_ollama", "/root/.ollama"),)


def test_another_program_on_the_port_or_a_container_of_ours_is_not_taken_over():
    assert on_port(path="/usr/sbin/nginx") is None
    assert on_port(project="reaper_ops") is None
    ours = '[{"State": {"Status": "exited"}, "Config": {"Labels": {"com.docker.compose.project": "reaper_ops"}}}]'
    assert on_port(container={"rc": 0, "stdout": ours, "stderr": ""}) is None


def test_the_container_of_a_compose_project_is_offered_and_taken_over_under_its_own_name():
    facts = host(foreign=on_port(), listening=(HOLDER,), volumes=(Held("guide_ollama", "guide"),))
    (said,) = desired_state.derive(SETTINGS.model_copy(update={"ollama_adopt": False}), facts).plan.blockers
    assert "set `ollama_adopt: true` to take it over with its models and settings, or stop it" in said
    intent = desired_state.derive(SETTINGS, facts)
    assert intent.plan.blockers == ()
    action = next(one for one in intent.plan.actions if one.id == "ollama/adopt")
    assert action.target == "container guide-ollama-1"
    assert "volume guide_ollama" in action.reason
    assert "`docker compose up` of project guide would start it again" in action.reason
    assert intent.for_roles()["compose"]["replaced"] == "guide-ollama-1"
    assert list(owned(facts)["containers"]) == ["guide-ollama-1"]
    assert compose(facts)["volumes"] == {"guide_ollama": {"name": "guide_ollama", "external": True}}
    assert compose(facts)["services"]["ollama"]["networks"] == ["default", "guide_default"]


def test_a_run_that_was_cut_short_goes_on_with_the_name_that_it_noted():
    record = {"kept": "ollama-before-reaper_ops", "restart": "no", "running": True, "copy": ""}
    aside = Foreign("ollama-before-reaper_ops", "ollama/ollama", "exited", "no", mounts=(VOLUME,))
    facts = host(foreign=aside, manifest={"state": "intended", "containers": {"guide-ollama-1": record}})
    assert owned(facts)["containers"] == {"guide-ollama-1": record}
    assert desired_state.derive(SETTINGS, facts).for_roles()["compose"]["replaced"] == "guide-ollama-1"
