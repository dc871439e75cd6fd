"""What Prometheus, Alertmanager and Grafana are given to watch a fleet by our metrics."""
