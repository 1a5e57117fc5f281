"""What one app counted, as Prometheus text."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping

BUCKETS_MS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Counters:
    """Requests, predictions and latencies since the app began."""

    def __init__(self) -> None:
        self.responses: Counter[tuple[str, int]] = Counter()  # by route and status
        self.predictions: Counter[str] = Counter()  # by feature source
        self.fallbacks = 0
        self.reloads: Counter[str] = Counter()  # by outcome
        self._latencies = [0] * (len(BUCKETS_MS) + 1)
        self._latency_sum = 0.0

    def predicted(self, source: str, latency_ms: float) -> None:
        """One prediction was made."""
        self.predictions[source] += 1
        self._latencies[bisect_left(BUCKETS_MS, latency_ms)] += 1
        self._latency_sum += latency_ms

    def text(self, gauges: Iterable[tuple[str, str, float, Mapping[str, str]]] = ()) -> str:
        """All of it in the Prometheus text format, with further (name, help, value, labels) gauges."""
        lines = _family("btcfs_http_responses_total", "counter", "Responses by route and status.")
        lines += [
            _sample("btcfs_http_responses_total", count, {"route": route, "status": str(status)})
            for (route, status), count in sorted(self.responses.items())
        ]
        lines += _family("btcfs_predictions_total", "counter", "Predictions by where their features came from.")
        lines += [_sample("btcfs_predictions_total", n, {"source": s}) for s, n in sorted(self.predictions.items())]
        lines += _family("btcfs_prediction_fallbacks_total", "counter", "Predictions from features computed here.")
        lines.append(_sample("btcfs_prediction_fallbacks_total", self.fallbacks))
        lines += _family("btcfs_model_reloads_total", "counter", "Reloads of the active model by outcome.")
        lines += [_sample("btcfs_model_reloads_total", n, {"outcome": o}) for o, n in sorted(self.reloads.items())]
        lines += self._histogram()
        before = None
        for name, text, value, labels in gauges:
            lines += _family(name, "gauge", text) if name != before else []
            lines.append(_sample(name, value, labels))
            before = name
        return "\n".join(lines) + "\n"

    def _histogram(self) -> list[str]:
        name = "btcfs_prediction_latency_seconds"
        lines = _family(name, "histogram", "Time from the request's arrival to its answer.")
        total = 0
        for bound, count in zip(BUCKETS_MS, self._latencies, strict=False):
            total += count
            lines.append(_sample(f"{name}_bucket", total, {"le": f"{bound / 1000:g}"}))
        total += self._latencies[-1]
        lines.append(_sample(f"{name}_bucket", total, {"le": "+Inf"}))
        return [*lines, _sample(f"{name}_sum", self._latency_sum / 1000), _sample(f"{name}_count", total)]


def _family(name: str, kind: str, text: str) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]


def _sample(name: str, value: float, labels: Mapping[str, str] | None = None) -> str:
    inside = ",".join(f'{key}="{_escaped(text)}"' for key, text in (labels or {}).items())
    return f"{name}{{{inside}}} {value}" if inside else f"{name} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
