"""What is looked at every few seconds during a soak, a row of figures each."""

import time

from latency import percentile
from processes import cpu_seconds_exactly, fields_of_stat, private_kb

# Of what is counted, what was added since the last sample, a second.
COUNTED = """SELECT
    (SELECT coalesce(sum(value), 0) FROM domowf.metric
     WHERE name = 'domowf_requests_enqueued_total'),
    (SELECT coalesce(sum(value), 0) FROM domowf.metric
     WHERE name = 'domowf_requests_total'),
    pg_current_wal_insert_lsn() - '0/0', wal_records FROM pg_stat_wal"""

SIZES = """SELECT
    (SELECT count(*) FROM domowf.queue),
    (SELECT count(*) FROM domowf.return_entry),
    pg_table_size('domowf.queue'), pg_indexes_size('domowf.queue'),
    pg_table_size('domowf.log'), pg_indexes_size('domowf.log'),
    pg_total_relation_size('domowf.counter'),
    pg_total_relation_size('domowf.return_entry'),
    pg_total_relation_size('orders'),
    pg_database_size(current_database())"""

PROCESSES = """SELECT backend_type, pid FROM pg_stat_activity
    WHERE backend_type LIKE 'domowf%'"""

# Those of which everything that can be known is: a probe is complete when the
# outcome is written into its row.
PROBES = """DELETE FROM probe USING orders WHERE probe.n = orders.id
    AND orders.returned_at IS NOT NULL AND settled_at IS NOT NULL
    RETURNING probe.n, after, extract(epoch FROM settled_at),
        extract(epoch FROM returned_at)"""

COLUMNS = (
    *("second", "phase", "enqueued_rate", "sent_rate", "settled_rate"),
    *("arrival_p50_ms", "arrival_p99_ms", "settled_p50_ms", "settled_p99_ms"),
    *("returned_p50_ms", "returned_p99_ms"),
    *("queued", "to_be_returned"),
    *("worker_kb", "worker_descriptors", "others_kb", "others"),
    *("worker_cpu_ms", "server_cpu_ms", "wal_kb", "wal_records"),
    *("queue_kb", "queue_indexes_kb", "log_kb", "log_indexes_kb"),
    *("counter_kb", "returns_kb", "orders_kb", "database_kb"),
)


class Samples:
    def __init__(self, life, queue, retention):
        self.life = life
        self.queue = queue
        self.retention = retention
        self.postmaster = self.find_postmaster()
        self.start = time.time()
        self.rows = []
        # by id of the order, when it arrived first; how often more
        self.arrived = {}
        self.again = 0
        # (second, seconds) of each probe
        self.ways = {"arrival": [], "settled": [], "returned": []}
        # (when, the largest id by then), for the removal of old orders
        self.marks = []
        self.before = self.count()

    def find_postmaster(self):
        with open(self.queue.run("SHOW data_directory") + "/postmaster.pid") as f:
            return int(f.readline())

    def processes(self):
        lines = self.queue.run(PROCESSES).split("\n")
        return [line.split("|") for line in lines if line]

    def worker_cpu(self):
        try:
            return cpu_seconds_exactly(self.queue.worker())
        except OSError:
            return 0

    def server_cpu(self):
        """Of all its processes, also of those that have ended."""
        pids = [self.postmaster]
        pids += [
            int(pid)
            for pid in self.queue.run("SELECT pid FROM pg_stat_activity").split()
        ]
        ended = sum(map(int, fields_of_stat(self.postmaster)[13:15])) / 100
        total = ended
        for pid in pids:
            try:
                total += cpu_seconds_exactly(pid)
            except OSError:
                # it has ended meanwhile
                continue
        return total

    def count(self):
        """What is compared with the next sample's."""
        counted = [float(x) for x in self.queue.run(COUNTED).split("|")]
        return [
            time.time(),
            len(self.arrived) + self.again,
            self.worker_cpu(),
            self.server_cpu(),
            *counted,
        ]

    def take(self, phase):
        self.take_arrivals()
        now = self.count()
        seconds = now[0] - self.before[0]
        sent, worker, server, enqueued, settled, wal, records = (
            (b - a) / seconds for a, b in zip(self.before[1:], now[1:])
        )
        self.before = now
        second = now[0] - self.start
        ways = self.follow_probes()
        sizes = [int(x) for x in self.queue.run(SIZES).split("|")]
        row = [
            *(round(second, 1), phase),
            *(round(x, 1) for x in (enqueued, sent, settled)),
            *ways,
            *sizes[:2],
            *self.memory(),
            *(round(1000 * x, 2) for x in (worker, server)),
            *(round(wal / 1024, 1), round(records)),
            *(size // 1024 for size in sizes[2:]),
        ]
        self.rows.append(row)
        self.remove_old_orders(second)
        return dict(zip(COLUMNS, row))

    def take_arrivals(self):
        for number, when in self.life.arrivals():
            if number in self.arrived:
                self.again += 1
            else:
                self.arrived[number] = when

    def memory(self):
        """The worker's private memory and descriptors; and of domowf's other
        processes, and how many they are."""
        worker, descriptors, others, count = 0, 0, 0, 0
        for kind, pid in self.processes():
            try:
                kilobytes = private_kb(int(pid))
                if kind == "domowf worker":
                    worker = kilobytes
                    descriptors = self.queue.session.descriptors(int(pid))
                else:
                    others += kilobytes
                    count += 1
            except OSError:
                continue
        return worker, descriptors, others, count

    def follow_probes(self):
        """p50 and p99 of each way, ms; '' where no probe came to its end. Each
        counts for when it was committed."""
        found = {name: [] for name in self.ways}
        lines = self.queue.run(PROBES).split("\n")
        # what has been written back has arrived before
        self.take_arrivals()
        for line in filter(None, lines):
            number, *times = line.split("|")
            after, settled, returned = map(float, times)
            ends = {"settled": settled, "returned": returned}
            if int(number) in self.arrived:
                ends["arrival"] = self.arrived[int(number)]
            for name, end in ends.items():
                found[name].append(end - after)
                self.ways[name].append((after - self.start, end - after))
        figures = []
        for name, values in found.items():
            figures += [
                round(1000 * percentile(values, part), 3) if values else ""
                for part in (0.5, 0.99)
            ]
        return figures

    def remove_old_orders(self, second):
        """As the application would, of what is older than what the log keeps
        and done."""
        largest = self.queue.run("SELECT coalesce(max(id), 0) FROM orders")
        self.marks.append((second, largest))
        if self.marks[0][0] < second - self.retention:
            _, old = self.marks.pop(0)
            self.queue.run(
                "DELETE FROM orders WHERE id <= %s AND state = 'done'" % old
            )
