"""The table's rows of what a delivered request costs: CPU of the worker, WAL,
flushes. All but the flushes are of the time between the filling of the queue
and the end of the delivery, with autovacuum off, so that nobody else writes.
"""

import time

from clients import Failed
from processes import cpu_seconds
from table import Row

COUNT = 30000

# With what PostgreSQL brings to read its WAL.
RECORDS = """SELECT "resource_manager/record_type" || ' ' ||
        round(count / {count}::numeric, 2) || ' of ' ||
        round(combined_size / count) || ' B'
    FROM pg_get_wal_stats('{start}', '{end}', true)
    WHERE count > {count} / 50 ORDER BY count DESC"""

TOTALS = """SELECT sum(count), sum(record_size), sum(fpi_size)
    FROM pg_get_wal_stats('{start}', '{end}')"""

# Since 18 they are counted there.
FLUSHES = {
    True: "SELECT sum(fsyncs) FROM pg_stat_io WHERE object = 'wal'",
    False: "SELECT wal_sync FROM pg_stat_wal",
}


class DeliveryCost:
    most_cpu = 32e-6
    most_bytes = 1200
    most_records = 7

    def __init__(self, name, url, connections):
        self.name = "delivery, %s, a request's " % name
        self.url = url
        self.connections = connections

    def set_autovacuum(self, queue, value):
        queue.run("ALTER SYSTEM SET autovacuum = %s" % value)
        queue.configure(self.url, self.connections)

    def measure(self, bench):
        queue = bench.queue
        self.set_autovacuum(queue, False)
        # connections, caches, and what the worker does once
        queue.empty()
        queue.fill(COUNT // 10)
        queue.deliver(COUNT // 10)
        queue.empty()
        self.poke(queue)
        queue.run("CHECKPOINT")
        queue.fill(COUNT)
        flushes = self.flushes(queue)
        worker = queue.worker()
        cpu, start = cpu_seconds(worker), self.flushed(queue)
        queue.deliver(COUNT)
        left = queue.length()
        cpu = (cpu_seconds(worker) - cpu) / COUNT
        end = self.flushed(queue)
        self.poke(queue)
        flushes = (self.flushes(queue) - flushes) / COUNT
        if left > 0 or queue.worker() != worker:
            raise Failed("not all was delivered by one worker")
        queue.empty()
        self.set_autovacuum(queue, True)
        return [
            self.cpu_row(cpu, self.cpu_of_raw(bench)),
            *self.wal_rows(bench, start, end),
            Row(self.name + "flushes of WAL", "%.3f" % flushes),
        ]

    def flushed(self, queue):
        # what is not flushed yet is the end of what went before
        queue.run("SELECT pg_switch_wal()")
        return queue.run("SELECT pg_current_wal_flush_lsn()")

    def poke(self, queue):
        """A process tells of its flushes once a second at most, where it does
        anything; so one more request is sent, by which it does."""
        time.sleep(1.1)
        queue.fill(1)
        queue.deliver(1)

    def flushes(self, queue):
        version = int(queue.run("SHOW server_version_num"))
        return int(queue.run(FLUSHES[version >= 180000]))

    def cpu_of_raw(self, bench):
        pid = bench.raw.process.pid
        before = cpu_seconds(pid)
        bench.raw.time(self.url, "multi", COUNT, self.connections)
        return (cpu_seconds(pid) - before) / COUNT

    def cpu_row(self, ours, theirs):
        return Row(
            self.name + "CPU of the worker",
            *("%.1f us" % (1e6 * x) for x in (ours, theirs)),
            "%.2f x" % (ours / theirs),
            goal="at most %.0f us" % (1e6 * self.most_cpu),
            reached="yes" if ours <= self.most_cpu else "no",
        )

    def wal_rows(self, bench, start, end):
        queue = bench.queue
        queue.run("CREATE EXTENSION IF NOT EXISTS pg_walinspect")
        where = {"start": start, "end": end, "count": COUNT}
        records, size, images = (
            float(x) / COUNT
            for x in queue.run(TOTALS.format(**where)).split("|")
        )
        kinds = queue.run(RECORDS.format(**where)).split("\n")
        bench.facts.append(
            self.name + "WAL records: " + ", ".join(kinds)
        )
        return [
            Row(
                self.name + "WAL",
                "%.0f B, %.0f of them full pages" % (size + images, images),
                goal="at most {:,} B".format(self.most_bytes),
                reached="yes" if size + images <= self.most_bytes else "no",
            ),
            Row(
                self.name + "WAL records",
                "%.1f" % records,
                goal="at most %d" % self.most_records,
                reached="yes" if records <= self.most_records else "no",
            ),
        ]
