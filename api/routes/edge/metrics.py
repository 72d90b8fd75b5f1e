"""What a scraper sees: requests, durations, the ledger's own counts and the process, in Prometheus text format.

Each process has its own registry. Under several granian workers a scrape is answered by whichever worker takes it,
and shows that worker alone: run one worker per address and scrape each, or read the numbers as a sample.
Labels come from closed sets (route templates, known methods), never from what a client typed.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Numbers = Mapping[str, float]
_NO_ROUTE = "none"
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics:
    """Counts of one process, kept in a registry of their own so that two apps in one process do not collide."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._requests = _Requests()
        self._registry.register(self._requests)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def observe(self, *, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one answered request. `route` is the template, or None where no handler was reached."""
        self._requests.observe(method if method in _METHODS else "other", route or _NO_ROUTE, status, seconds)

    def observe_ledger(self, get: Callable[[], Numbers]) -> None:
        """Ask `get` at every scrape; a name ending in `_total` is a counter, any other a gauge, all prefixed `ledger_`."""
        self._registry.register(_Scraped((), lambda: [((), get())]))

    def observe_each(self, label: str, get: Callable[[], Iterable[tuple[str, Numbers]]]) -> None:
        """Do as `observe_ledger` for several of a kind: `get` gives each one's name, the value of `label`, and numbers."""
        self._registry.register(_Scraped((label,), lambda: [((one,), numbers) for one, numbers in get()]))

    def render(self) -> tuple[bytes, str]:
        """Give the body and its content type."""
        return generate_latest(self._registry), CONTENT_TYPE_LATEST


class _Requests(Collector):
    """Counts requests as plain numbers, in one thread, and makes metric families of them at scrape time.

    The library's own counters, made for many threads, took a tenth of the time of a read.
    """

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str, int]] = Counter()
        # For each route how many took up to each of the bounds, and longer than all, and seconds in all.
        self._durations: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._counts[method, route, status] += 1
        if route not in self._durations:
            self._durations[route] = [0] * (len(_SECONDS) + 1)
        self._durations[route][bisect_left(_SECONDS, seconds)] += 1
        self._seconds[route] = self._seconds.get(route, 0.0) + seconds

    def collect(self) -> Iterable[Metric]:
        requests = CounterMetricFamily(
            "ledger_http_requests",
            "Requests answered, by method, route template and status.",
            labels=("method", "route", "status"),
        )
        for (method, route, status), count in self._counts.items():
            requests.add_metric((method, route, str(status)), count)
        yield requests
        durations = HistogramMetricFamily(
            "ledger_http_request_duration_seconds",
            "Time from the request's head to the last byte of the answer, by route template.",
            labels=("route",),
        )
        bounds = [*map(floatToGoString, _SECONDS), "+Inf"]
        for route, counts in self._durations.items():
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            durations.add_metric((route,), buckets, self._seconds[route])
        yield durations


class _Scraped(Collector):
    """Turns numbers into metric families at scrape time."""

    def __init__(self, labels: tuple[str, ...], get: Callable[[], Iterable[tuple[tuple[str, ...], Numbers]]]) -> None:
        self._labels, self._get = labels, get

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for values, numbers in self._get():
            for name, value in numbers.items():
                if name not in families:
                    families[name] = _family(name)(f"ledger_{name}", _words(name), labels=self._labels)
                families[name].add_metric(values, value)
        return families.values()


def _family(name: str) -> type[CounterMetricFamily | GaugeMetricFamily]:
    return CounterMetricFamily if name.endswith("_total") else GaugeMetricFamily


def _words(name: str) -> str:
    words = name.removesuffix("_total").replace("_", " ")
    return f"The ledger's {words}, as this process knows it."
