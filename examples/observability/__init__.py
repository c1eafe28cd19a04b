"""What patterns tell, and who looks at it.

`python -m examples.observability`, with `opentelemetry-exporter-prometheus` installed, lets some of them work on a
Redis of its own and shows what they tell at http://localhost:9464/metrics. Where to look:

- `shop.py`: patterns with their hooks, a worker that is measured, a queue that is asked how full it is
- `prometheus.yml`: fetches it, as `prometheus --config.file=examples/observability/prometheus.yml`
- `alerts.yml`: when to wake somebody
- `grafana.json`: a dashboard
"""
