"""The Grafana dashboard, as the value that its JSON holds."""

from __future__ import annotations

from typing import Any

HOST = '{host=~"$host"}'
SICK = (
    '(reaper_ops_host_state{state!="healthy",host=~"$host"} == 1)'
    " * on (job, instance, host) group_left (cause) reaper_ops_host_cause"
)
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
GREEN, YELLOW, RED, PURPLE = "green", "yellow", "red", "purple"
COLOURS = {
    "healthy": GREEN,
    "starting": YELLOW,
    "overloaded": YELLOW,
    "partial-offload": YELLOW,
    "unknown": PURPLE,
}
Panel = dict[str, Any]


def dashboard() -> dict[str, Any]:
    panels = [*_numbers(), *_states(), *_room()]
    return {
        "title": "reaper_ops: Ollama fleet",
        "uid": "reaper-ops-fleet",
        "tags": ["ollama", "reaper_ops"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "timezone": "",
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [_source(), _hosts()]},
        "panels": [{"id": place, **panel} for place, panel in enumerate(panels, 1)],
    }


def _source() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _hosts() -> dict[str, Any]:
    query = "label_values(reaper_ops_host_cause, host)"
    return {
        "name": "host",
        "label": "Host",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": "hosts"},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
    }


def _numbers() -> list[Panel]:
    rows = (
        ("Hosts", f"count(reaper_ops_host_cause{HOST})", "short", ()),
        ("Healthy", 'sum(reaper_ops_host_state{state="healthy",host=~"$host"})', "short", ()),
        ("Sick", 'sum(reaper_ops_host_state{state!~"healthy|unknown",host=~"$host"})', "short", ((1, RED),)),
        ("Not checked", 'sum(reaper_ops_host_state{state="unknown",host=~"$host"})', "short", ((1, PURPLE),)),
        ("OOM kills, 24 h", f"sum(increase(reaper_ops_host_oom_kills_total{HOST}[24h]))", "short", ((1, RED),)),
        ("Last probe", "time() - max(reaper_ops_probe_timestamp_seconds)", "s", ((900, RED),)),
    )
    return [
        {**_panel("stat", title, (4 * place, 0, 4, 4), [(expr, "")]), "fieldConfig": _field(unit, steps)}
        for place, (title, expr, unit, steps) in enumerate(rows)
    ]


def _states() -> list[Panel]:
    over_time = _panel(
        "timeseries",
        "Hosts by state",
        (0, 4, 12, 8),
        [(f"sum by (state) (reaper_ops_host_state{HOST}) > 0", "{{state}}")],
    )
    over_time["fieldConfig"] = _stacked()
    table = _panel("table", "Sick hosts and their cause", (12, 4, 12, 8), [(SICK, "")])
    table["targets"][0] |= {"format": "table", "instant": True}
    hidden = dict.fromkeys(("Time", "Value", "job", "instance"), True)
    order = {"host": 0, "state": 1, "cause": 2}
    table["transformations"] = [{"id": "organize", "options": {"excludeByName": hidden, "indexByName": order}}]
    healthy = [('max by (host) (reaper_ops_host_state{state="healthy",host=~"$host"})', "{{host}}")]
    timeline = _panel("state-timeline", "Healthy or not, by host", (0, 12, 24, 8), healthy)
    words = {"0": {"text": "sick", "color": RED}, "1": {"text": "healthy", "color": GREEN}}
    timeline["fieldConfig"] = {"defaults": {"mappings": [{"type": "value", "options": words}]}, "overrides": []}
    return [over_time, table, timeline]


def _room() -> list[Panel]:
    memory = f"1 - reaper_ops_host_memory_available_bytes{HOST} / reaper_ops_host_memory_size_bytes{HOST}"
    vram = f"reaper_ops_host_gpu_memory_used_bytes{HOST} / reaper_ops_host_gpu_memory_size_bytes{HOST}"
    rows = (
        ("Memory in use", memory, "{{host}}", "percentunit"),
        ("GPU memory in use", vram, "{{host}} GPU {{gpu}}", "percentunit"),
        ("Loaded models", f"reaper_ops_host_models_loaded{HOST}", "{{host}}", "short"),
        ("Time to answer /api/version", f"reaper_ops_host_response_seconds{HOST}", "{{host}}", "s"),
    )
    return [
        {
            **_panel("timeseries", title, (12 * (place % 2), 20 + 8 * (place // 2), 12, 8), [(expr, legend)]),
            "fieldConfig": _field(unit),
        }
        for place, (title, expr, legend, unit) in enumerate(rows)
    ]


def _panel(kind: str, title: str, place: tuple[int, int, int, int], queries: list[tuple[str, str]]) -> Panel:
    left, top, width, height = place
    return {
        "type": kind,
        "title": title,
        "datasource": SOURCE,
        "gridPos": {"x": left, "y": top, "w": width, "h": height},
        "targets": [
            {"refId": "ABCD"[at], "datasource": SOURCE, "expr": expr, "legendFormat": legend}
            for at, (expr, legend) in enumerate(queries)
        ],
    }


def _field(unit: str, steps: tuple[tuple[int, str], ...] = ()) -> dict[str, Any]:
    thresholds = [{"color": GREEN, "value": None}, *({"color": colour, "value": at} for at, colour in steps)]
    defaults = {"unit": unit, "min": 0, "thresholds": {"mode": "absolute", "steps": thresholds}}
    return {"defaults": defaults, "overrides": []}


def _stacked() -> dict[str, Any]:
    """Stacked areas; a state that is not named is an error, and red."""
    red = {"mode": "fixed", "fixedColor": RED}
    custom = {"stacking": {"mode": "normal"}, "fillOpacity": 60, "lineWidth": 0}
    overrides = [
        {
            "matcher": {"id": "byName", "options": state},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}],
        }
        for state, colour in COLOURS.items()
    ]
    return {"defaults": {"unit": "short", "min": 0, "color": red, "custom": custom}, "overrides": overrides}
