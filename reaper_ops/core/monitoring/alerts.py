"""The alerts, as a table. Every state of a probe that is not healthy has one."""

from __future__ import annotations

from dataclasses import dataclass

from reaper_ops.core.health.report import State

CAUSE = " * on (job, instance, host) group_left (cause) reaper_ops_host_cause"
BECAUSE = "{{ if $labels.cause }} ({{ $labels.cause }}){{ end }}"
RUNBOOK = (
    "{{ if $labels.cause }}reaper-ops runbook {{ $labels.cause }}"
    "{{ else }}reaper-ops doctor -i INVENTORY -l {{ $labels.host }}{{ end }}"
)
CRITICAL, WARNING = "critical", "warning"
DOWN = 'up{job=~"reaper_ops.*"} == 0'
STALE_S = 900


@dataclass(frozen=True)
class Alert:
    """wait is Prometheus' `for`; runbook says what to type."""

    name: str
    expr: str
    wait: str
    severity: str
    summary: str
    description: str
    runbook: str


def of_state(name: str, states: tuple[State, ...], wait: str, severity: str, summary: str, description: str) -> Alert:
    """Fires for each host in one of the states, and carries the cause that the probe named."""
    expr = f'(reaper_ops_host_state{{state=~"{"|".join(states)}"}} == 1){CAUSE}'
    return Alert(name, expr, wait, severity, f"{{{{ $labels.host }}}} {summary}{BECAUSE}", description, RUNBOOK)


HOST_ALERTS = (
    of_state(
        "OllamaConnectionRefused",
        (State.CONNECTION_REFUSED,),
        "5m",
        CRITICAL,
        "refuses connections",
        "Nothing listens at the server's address and port.",
    ),
    of_state(
        "OllamaUnreachable",
        (State.TIMEOUT, State.UNREACHABLE, State.DNS),
        "5m",
        CRITICAL,
        "cannot be reached: {{ $labels.state }}",
        "No answer in time, no route, or the name does not resolve.",
    ),
    of_state(
        "OllamaOutOfMemory",
        (State.OUT_OF_MEMORY,),
        "1m",
        CRITICAL,
        "is out of memory",
        "A model does not fit, or the kernel ended the server or its runner.",
    ),
    of_state(
        "OllamaBadAnswer",
        (State.HTTP_ERROR, State.TLS, State.NOT_OLLAMA),
        "5m",
        CRITICAL,
        "answers wrongly: {{ $labels.state }}",
        "An error of the server or of a proxy, a certificate, or something else at that port.",
    ),
    of_state(
        "OllamaOverloaded",
        (State.OVERLOADED,),
        "10m",
        WARNING,
        "is overloaded",
        "The queue is full; requests are turned away with status 503.",
    ),
    of_state(
        "OllamaStartingForLong",
        (State.STARTING,),
        "15m",
        WARNING,
        "has been starting for long",
        "The server runs and does not answer yet.",
    ),
    of_state(
        "OllamaCpuFallback",
        (State.CPU_FALLBACK,),
        "10m",
        WARNING,
        "runs a model on the CPU though a GPU is there",
        "Answers are slow by an order of magnitude until the GPU is used.",
    ),
    of_state(
        "OllamaPartialOffload",
        (State.PARTIAL_OFFLOAD,),
        "30m",
        WARNING,
        "runs a model partly on the CPU",
        "The model, its context or its parallel requests do not fit the GPU's memory.",
    ),
    of_state(
        "OllamaModelMissing",
        (State.MODEL_MISSING,),
        "15m",
        WARNING,
        "lacks a model that it should have",
        "A model of the inventory is not on disk.",
    ),
    of_state(
        "OllamaDegraded",
        (State.DEGRADED,),
        "15m",
        WARNING,
        "answers, and differs from its settings",
        "The probe says what differs.",
    ),
    Alert(
        "OllamaOomKill",
        "increase(reaper_ops_host_oom_kills_total[15m]) > 0",
        "0s",
        WARNING,
        "{{ $labels.host }} lost a process to the kernel's OOM killer",
        "It may answer again; whoever was asking got an error.",
        "reaper-ops doctor -i INVENTORY -l {{ $labels.host }}",
    ),
)
FLEET_ALERTS = (
    Alert(
        "OllamaFleetUnreachable",
        'sum by (job, instance) (reaper_ops_host_state{state=~"timeout|unreachable|dns"})'
        " / count by (job, instance) (reaper_ops_host_cause) > 0.5"
        " and count by (job, instance) (reaper_ops_host_cause) > 1",
        "5m",
        CRITICAL,
        "{{ $value | humanizePercentage }} of the hosts cannot be reached",
        "More than half at once: the network, the name service or this controller is the likelier cause.",
        "reaper-ops probe -i INVENTORY",
    ),
    Alert(
        "ReaperOpsHostUnknown",
        'reaper_ops_host_state{state="unknown"} == 1',
        "30m",
        WARNING,
        "{{ $labels.host }} could not be checked",
        "Its server is asked on the host, and the host could not be read.",
        "reaper-ops probe -i INVENTORY -l {{ $labels.host }}",
    ),
    Alert(
        "ReaperOpsTooManyUnknown",
        'sum by (job, instance) (reaper_ops_host_state{state="unknown"})'
        " / count by (job, instance) (reaper_ops_host_cause) > 0.2",
        "10m",
        CRITICAL,
        "{{ $value | humanizePercentage }} of the hosts could not be checked",
        "Alerts of these hosts cannot fire. SSH, keys or the inventory are the likely cause.",
        "reaper-ops probe -i INVENTORY",
    ),
    Alert(
        "ReaperOpsDataStale",
        f"time() - max by (job, instance) (reaper_ops_probe_timestamp_seconds) > {STALE_S}",
        "1m",
        CRITICAL,
        "the last probe is {{ $value | humanizeDuration }} old",
        "The watch or the timer that writes the textfile hangs; every other alert shows the past.",
        "reaper-ops watch -i INVENTORY",
    ),
    Alert(
        "ReaperOpsDown",
        f"{DOWN} or absent(reaper_ops_probe_timestamp_seconds) unless on () {DOWN}",
        "5m",
        CRITICAL,
        "nobody watches the fleet",
        "The metrics cannot be scraped, or there are none.",
        "reaper-ops watch -i INVENTORY --metrics ADDR:PORT",
    ),
)
ALERTS = HOST_ALERTS + FLEET_ALERTS
