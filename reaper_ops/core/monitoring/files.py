"""The files for each of the three programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace

from reaper_ops import assets
from reaper_ops.core.monitoring.alerts import ALERTS, Alert
from reaper_ops.core.monitoring.dashboard import dashboard
from reaper_ops.core.monitoring.desired_state import Monitoring
from reaper_ops.core.provision.quoting import double_quoted


def prometheus(monitoring: Monitoring) -> dict[str, str]:
    alerts = tuple(replace(alert, wait=monitoring.wait or alert.wait) for alert in ALERTS)
    return {
        "prometheus.yml": _render("prometheus/prometheus.yml.j2", monitoring),
        "reaper_ops.rules.yml": _render("prometheus/reaper_ops.rules.yml.j2", monitoring, alerts),
    }


def alertmanager(monitoring: Monitoring) -> dict[str, str]:
    return {"alertmanager.yml": _render("alertmanager/alertmanager.yml.j2", monitoring)}


def grafana(monitoring: Monitoring) -> dict[str, str]:
    return {"reaper_ops.json": json.dumps(dashboard(), indent=1, ensure_ascii=False) + "\n"}


KINDS: Mapping[str, Callable[[Monitoring], dict[str, str]]] = {
    "prometheus": prometheus,
    "alertmanager": alertmanager,
    "grafana": grafana,
}


def _render(name: str, monitoring: Monitoring, alerts: tuple[Alert, ...] = ()) -> str:
    quoted = {name: double_quoted(value) for name, value in asdict(monitoring).items() if value}
    rows = [{key: double_quoted(value) for key, value in asdict(alert).items()} for alert in alerts]
    empty = {name: "" for name, value in asdict(monitoring).items() if not value}
    return assets.template(name).render(reaper={**quoted, **empty, "alerts": rows})
