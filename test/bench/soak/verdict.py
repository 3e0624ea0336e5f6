"""Whether what was sampled is flat: the first third against the last."""

import statistics

from latency import percentile
from samples import COLUMNS

# Of a column: how it is called, how much more it may be in the last third, of
# what it was and in its unit. A mean of rates, a median of the others.
GROWTH = (
    ("worker_kb", "worker, private memory, kB", 0.0, 512),
    ("worker_descriptors", "worker, descriptors", 0.0, 2),
    ("others_kb", "domowf's other processes, private memory, kB", 0.1, 512),
    ("worker_cpu_ms", "worker, CPU, ms a second", 0.1, 5),
    ("server_cpu_ms", "the whole server, CPU, ms a second", 0.1, 10),
    ("wal_kb", "WAL, kB a second", 0.1, 10),
    ("wal_records", "WAL, records a second", 0.1, 10),
    ("queued", "requests in the queue", 0.5, 50),
    ("to_be_returned", "outcomes to be written back", 0.5, 50),
    ("queue_kb", "queue, kB", 0.1, 64),
    ("queue_indexes_kb", "queue, indexes, kB", 0.1, 64),
    ("log_kb", "log, kB", 0.1, 64),
    ("log_indexes_kb", "log, indexes, kB", 0.1, 64),
    ("counter_kb", "counters, kB", 0.1, 64),
    ("returns_kb", "what is to be written back, kB", 0.1, 64),
    ("orders_kb", "the application's table, kB", 0.1, 64),
    ("database_kb", "the database, kB", 0.1, 64),
)
MEANS = {"worker_cpu_ms", "server_cpu_ms", "wal_kb", "wal_records"}

LEAST_RATE = 0.97

# A way's p50 and p99: how much longer in the last third, and milliseconds
# that are none.
WAYS = {
    "arrival": "COMMIT to arrival",
    "settled": "COMMIT to settlement",
    "returned": "COMMIT to the outcome in the row",
}
LONGER = ((0.5, 0.25, 0.2), (0.99, 0.5, 2))


class Verdict:
    """`first` and `last`: seconds from and to which samples are of a third."""

    def __init__(self, samples, first, last):
        self.samples = samples
        self.first = first
        self.last = last

    def of(self, column, third):
        at = COLUMNS.index(column)
        found = [
            row[at]
            for row in self.samples.rows
            if third[0] <= row[0] < third[1]
        ]
        return found or [0]

    def compare(self, name, first, last, is_flat, show="{:,.0f}"):
        change = "%+.1f %%" % (100 * (last / first - 1)) if first else ""
        return [
            *(name, show.format(first), show.format(last), change),
            "flat" if is_flat else "**not flat**",
        ]

    def rates(self):
        first, last = (
            statistics.mean(self.of("settled_rate", third))
            for third in (self.first, self.last)
        )
        yield self.compare(
            "settled a second", first, last, last >= LEAST_RATE * first
        )

    def latencies(self):
        for name, title in WAYS.items():
            for part, share, free in LONGER:
                first, last = (
                    1000 * percentile(self.way(name, third) or [0], part)
                    for third in (self.first, self.last)
                )
                yield self.compare(
                    "%s, p%.0f, ms" % (title, 100 * part),
                    *(first, last, last <= first * (1 + share) + free),
                    "{:,.2f}",
                )

    def way(self, name, third):
        return [
            value
            for second, value in self.samples.ways[name]
            if third[0] <= second < third[1]
        ]

    def growth(self):
        for column, name, share, free in GROWTH:
            middle = statistics.mean if column in MEANS else statistics.median
            first, last = (
                middle(self.of(column, third))
                for third in (self.first, self.last)
            )
            yield self.compare(
                *(name, first, last, last <= first * (1 + share) + free)
            )

    def table(self):
        lines = [
            ["", "first third", "last third", "change", ""],
            ["---"] * 5,
            *self.rates(),
            *self.latencies(),
            *self.growth(),
        ]
        return ["| " + " | ".join(line) + " |" for line in lines]
