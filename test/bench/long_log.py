"""The table's rows of a database that has been in use for long, with millions of
rows in its log and its queue, against one that is new: what people ask each day,
calls, enqueueing, delivery, the removal of old rows, and a worker that has
nothing due. All with a log that is filled once.
"""

import statistics
import time

from calls import SECONDS, SERIAL
from clients import Backend
from comparison import Comparison
from idle import Watched
from queue_server import DATA, ENQUEUE, Queue, wait_until
from table import Row

CONNECTIONS = 32

# One row in 1,000 is of the role that sees no others.
READER = "bench_reader"

FILL_LOG = """INSERT INTO domowf.log
    SELECT -g, 'start', 'w', 'done', 'request', NULL, NULL, NULL, 1, 200,
        gen_random_uuid()::text, 'a8afdc89-9491-4ee4-b7c3-b9e9b86c0138',
        'AddTwoNumbers', '1.1.0', NULL, NULL, NULL, '8811501', t, '8811501',
        t, NULL, NULL, '{{"data": {{"parameter1": 13, "parameter2": 7}}}}',
        '{{"id": "2052e10a-d142-4391-a731-2be1ab1c0188"}}', NULL, NULL,
        r.rolname, r.oid, t, t, t, (g / 100)::text::xid8, 'hold', 12
    FROM (SELECT g, now() - g * interval '20 days' / {count} AS t
          FROM generate_series({count}, 1, -1) g) s
        JOIN pg_roles r ON r.rolname = CASE WHEN g % 1000 = 0
            THEN '{reader}' ELSE current_user END"""

# So many labels have been counted, as in a database of many workflows.
FILL_COUNTERS = """INSERT INTO domowf.counter (operation, workflow, requested_by,
        requested_by_oid, class, outcome, slot, n, attempts, waited, took,
        waited_5, took_4, folded)
    SELECT 'start', 'w' || i, r.rolname, r.oid, 'done', 'done',
        now() - s * interval '5 min', 10, 10, 400000, 150000, 10, 10, s > 0
    FROM generate_series(1, 100) i, generate_series(0, 12) s
        JOIN pg_roles r ON r.rolname IN (current_user, '{reader}')"""

READER_RIGHTS = (
    "CREATE ROLE %s" % READER,
    "GRANT USAGE ON SCHEMA domowf TO %s" % READER,
    "GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO %s" % READER,
)

# The first of each order key is not due, and the other waits behind it.
FILL_KEYS = (
    """SELECT count(domowf_enqueue('w', '%s', order_key => 'k' || g,
        run_at => now() + '1 day')) FROM generate_series(1, {count}) g"""
    % DATA,
    """SELECT count(domowf_enqueue('w', '%s', order_key => 'k' || g))
        FROM generate_series(1, {count}) g""" % DATA,
)

ASKED = {
    "all of stats": "SELECT * FROM domowf.stats",
    "the newest 20 requests": "SELECT * FROM domowf.request "
    "ORDER BY id DESC LIMIT 20",
    "what is not done": "SELECT * FROM domowf.request WHERE state <> 'done'",
    "one instance id": "SELECT * FROM domowf.request "
    "WHERE instance_id = '{instance}'",
    "one request": "SELECT * FROM domowf.request WHERE id = {id}",
    "the requests of one batch": "SELECT * FROM domowf.request "
    "WHERE batch = '{batch}'",
    "one batch": "SELECT * FROM domowf.batch WHERE batch = '{batch}'",
    "the running batches": "SELECT * FROM domowf.batch WHERE waiting > 0",
    "the newest 20 batches": "SELECT * FROM domowf.batch "
    "ORDER BY batch DESC LIMIT 20",
    "the metrics": "SELECT * FROM domowf.metric",
}

MOST_SECONDS = 0.05

# What they cost has to do with what was counted, not with the log.
GOALLESS = {"the metrics"}

# Per second, of a worker with nothing due.
MOST_IDLE_CPU = 0.01


def ask(session, names):
    """Medians of the seconds that each of ASKED takes, as psql sees them."""
    times = {}
    for name, statement in ASKED.items():
        statement = statement.format(**names)
        session.run(statement)
        times[name] = statistics.median(
            session.seconds(statement) for _ in range(5)
        )
    return times


class BesideNew(Comparison):
    """`old` and `new` are the databases; the new one's is the yardstick."""

    most_rounds = 5

    def __init__(self, name, count, target, old, new):
        super().__init__(name, count, target)
        self.old = old
        self.new = new

    def run_ours(self, bench):
        return self.run_in(bench, self.old)

    def run_theirs(self, bench):
        return self.run_in(bench, self.new)


class CallsBeside(BesideNew):
    slices = 5

    def run_in(self, bench, queue):
        return queue.session.time(
            bench.nginx.http, SERIAL.replace("{seconds}", SECONDS), self.count
        )


class EnqueueBeside(BesideNew):
    """What is enqueued is removed again, by a statement that leaves it there
    as dead rows until they are vacuumed, as it is in use."""

    slices = 4

    def run_in(self, bench, queue):
        start = time.monotonic()
        first = queue.run(
            "SELECT min(%s) FROM generate_series(1, %d)"
            % (ENQUEUE, self.count)
        )
        seconds = time.monotonic() - start
        queue.run("DELETE FROM domowf.queue WHERE id >= " + first)
        return seconds


class DeliveryBeside(BesideNew):
    """Of requests that are enqueued for it. What else is in the queue is not
    due."""

    def run_in(self, bench, queue):
        first = queue.fill(self.count)
        return queue.deliver(self.count, first)


class BacklogBeside(BesideNew):
    """Of what is queued already, which is due."""

    def run_ours(self, bench):
        if self.old.length() < 2 * self.count:
            self.old.fill(10 * self.count)
        return self.old.deliver(self.count)

    def run_theirs(self, bench):
        self.new.empty()
        self.new.fill(self.count)
        return self.new.deliver(self.count)


class Removal(Comparison):
    """Delivery while all rows of the log that are older than a day are removed,
    against delivery while none are."""

    most_rounds = 3

    def __init__(self, name, queue):
        super().__init__(name, 20000, 0.99)
        self.queue = queue
        self.removed = 0

    def retain(self, days):
        """Waits until it is so."""
        queue = self.queue
        queue.run("ALTER SYSTEM SET domowf.log_retention = '%dd'" % days)
        queue.run("SELECT pg_reload_conf()")
        queue.resume()
        wait_until(
            "old rows are %s" % ("removed" if days else "kept"),
            lambda: queue.run(
                "SELECT count(*) > 0 FROM pg_stat_activity "
                "WHERE backend_type = 'domowf upkeep' "
                "AND query LIKE '%removes%' AND datname = current_database()"
            )
            == ("t" if days else "f"),
        )
        queue.pause()

    def oldest(self):
        """Rows that are so old and are there."""
        return int(
            self.queue.run(
                "SELECT count(*) FROM domowf.log "
                "WHERE settled_at < now() - interval '1 day'"
            )
        )

    def deliver(self):
        return self.queue.deliver(
            self.count, self.queue.fill(self.count)
        )

    def run_ours(self, bench):
        before = self.oldest()
        self.retain(1)
        seconds = self.deliver()
        self.retain(0)
        self.removed += before - self.oldest()
        return seconds

    def run_theirs(self, bench):
        return self.deliver()

    def tidy(self, bench):
        bench.facts.append(
            "%s: %s rows removed beside, in all rounds."
            % (self.name, "{:,}".format(self.removed))
        )


class LongLog:
    """All of that, one after the other, since each needs what the one before
    has made."""

    def __init__(self, queued, logged):
        self.queued = queued
        self.logged = logged
        self.name = "{:,} logged".format(logged)

    def prepare(self, bench):
        queue = bench.queue
        bench.backend.run("CREATE DATABASE small")
        self.small = Queue(bench.nginx.bundle, "small")
        queue.empty()
        queue.run("ALTER SYSTEM SET domowf.log_retention = 0")
        queue.configure(bench.nginx.http, CONNECTIONS)
        self.small.restart_worker()
        self.reader = Backend(bench.nginx.bundle)
        for statement in READER_RIGHTS:
            queue.run(statement)
        self.reader.run("SET ROLE " + READER)
        for statement in (FILL_LOG, FILL_COUNTERS):
            queue.run(statement.format(count=self.logged, reader=READER))
        queue.run("VACUUM ANALYZE domowf.log, domowf.counter")
        # a snapshot that is held as long as anything is measured
        self.holder = Backend(bench.nginx.bundle)
        self.holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.holder.run("SELECT pg_current_xact_id()")

    def measure(self, bench):
        queue = bench.queue
        self.prepare(bench)
        yield from self.ask_all(queue)
        yield self.compare(bench, CallsBeside, "calls with the log", 5000)
        yield from self.measure_keys(bench)
        queue.run("TRUNCATE domowf.queue")
        queue.fill(self.queued)
        name = "delivery, {:,} queued and due, {}".format(
            self.queued, self.name
        )
        yield BacklogBeside(
            name + ", a snapshot held, against a new database",
            *(self.queued // 10, 0.9, queue, self.small),
        ).measure(bench)
        self.holder.run("COMMIT")
        queue.run("TRUNCATE domowf.queue")
        yield Removal(
            "delivery, %s, all but a day's being removed, against none"
            % self.name,
            queue,
        ).measure(bench)
        self.tidy(bench)

    def compare(self, bench, kind, what, count):
        name = "%s, %s, a snapshot held, against a new database"
        return kind(
            *(name % (what, self.name), count, 0.9),
            *(bench.queue, self.small),
        ).measure(bench)

    def ask_all(self, queue):
        id, instance, batch = queue.run(
            "SELECT id, instance_id, batch FROM domowf.log WHERE id = %d"
            % -(self.logged // 2 // 1000 * 1000)
        ).split("|")
        names = {"id": id, "instance": instance, "batch": batch}
        ours = ask(queue.session, names)
        theirs = ask(self.reader, names)
        for what in ASKED:
            row = Row(
                "%s, %s" % (what, self.name),
                "%.1f ms, and %.1f ms by a role that asked for 1 in 1,000"
                % (1000 * ours[what], 1000 * theirs[what]),
            )
            if what in GOALLESS:
                yield row
                continue
            is_reached = max(ours[what], theirs[what]) < MOST_SECONDS
            yield row._replace(
                goal="below %.0f ms" % (1000 * MOST_SECONDS),
                reached="yes" if is_reached else "no",
            )

    def measure_keys(self, bench):
        """With half of what is queued behind as many order keys."""
        queue = bench.queue
        keys = self.queued // 2
        for statement in FILL_KEYS:
            queue.run(statement.replace("{count}", str(keys)))
        queue.run("ANALYZE domowf.queue")
        what = "{:,} queued, half behind as many order keys".format(
            self.queued
        )
        queue.resume()
        cpu = Watched([queue.worker()]).cpu
        queue.pause()
        yield Row(
            "a worker with nothing due, %s, %s" % (what, self.name),
            "%.1f ms of CPU a second" % (1000 * cpu),
            goal="at most %.0f ms" % (1000 * MOST_IDLE_CPU),
            reached="yes" if cpu <= MOST_IDLE_CPU else "no",
        )
        yield self.compare(bench, EnqueueBeside, "enqueue, " + what, 20000)
        yield self.compare(bench, DeliveryBeside, "delivery, " + what, 20000)

    def tidy(self, bench):
        queue = bench.queue
        self.holder.close()
        self.reader.close()
        self.small.close()
        bench.backend.run("DROP DATABASE small")
        queue.empty()
        queue.run("TRUNCATE domowf.counter")
        queue.run("DROP OWNED BY %s; DROP ROLE %s" % (READER, READER))
        queue.run("ALTER SYSTEM RESET domowf.log_retention")
        queue.configure(bench.nginx.http, CONNECTIONS)


def make_long_logs(full):
    size = (1000000, 10000000) if full else (100000, 1000000)
    return [LongLog(*size)]
