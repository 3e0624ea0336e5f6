"""The table's rows of delivery: the worker against raw libcurl's multi loop,
a large queue against a small one, and what the worker takes."""

from clients import Backend
from comparison import Comparison
from delivery_cost import DeliveryCost
from queue_server import Queue
from table import Row

CONNECTIONS = 32

FILL_LOG = """INSERT INTO domowf.log
    SELECT -g, 'start', 'w', 'done', 'request', NULL, NULL, NULL, 1, 200,
        gen_random_uuid()::text, 'a8afdc89-9491-4ee4-b7c3-b9e9b86c0138',
        'AddTwoNumbers', '1.1.0', NULL, NULL, NULL, '8811501', t, '8811501',
        t, NULL, NULL, '{"data": {"parameter1": 13, "parameter2": 7}}',
        '{"id": "2052e10a-d142-4391-a731-2be1ab1c0188"}', NULL, NULL,
        'postgres', 10, t, t, t, (g / 100)::text::xid8, 'hold', 12
    FROM (SELECT g, now() - g * interval '20 days' / %d AS t
          FROM generate_series(1, %d) g) s"""


class Delivery(Comparison):
    """Requests in the queue, at most 32 in flight, from the first settlement
    to the last."""

    most_rounds = 5
    slices = 5

    def __init__(self, name, url, target):
        super().__init__("delivery, " + name, 25000, target)
        self.url = url

    def prepare(self, bench):
        bench.queue.configure(self.url, CONNECTIONS)

    def run_ours(self, bench):
        bench.queue.empty()
        bench.queue.fill(self.count)
        return bench.queue.deliver(self.count)

    def run_theirs(self, bench):
        return bench.raw.time(self.url, "multi", self.count, CONNECTIONS)

    def tidy(self, bench):
        bench.queue.empty()


class Backlog(Comparison):
    """Delivery from a large queue with a long log, while somebody keeps a
    transaction open, against a small queue in a database of its own."""

    most_rounds = 5

    def __init__(self, queued, logged):
        super().__init__(
            "delivery, {:,} queued, {:,} logged, a transaction "
            "open, against {:,} queued".format(queued, logged, queued // 10),
            queued // 10,
            0.9,
        )
        self.queued = queued
        self.logged = logged

    def prepare(self, bench):
        bundle = bench.nginx.bundle
        bench.backend.run("CREATE DATABASE small")
        self.small = Queue(bundle, "small")
        bench.queue.configure(bench.nginx.http, CONNECTIONS)
        self.small.restart_worker()
        self.holder = Backend(bundle)
        self.holder.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        self.holder.run("SELECT pg_current_xact_id()")
        bench.queue.run(FILL_LOG % (self.logged, self.logged))
        bench.queue.run("ANALYZE domowf.log")
        bench.queue.fill(self.queued)

    def run_ours(self, bench):
        if bench.queue.length() < 2 * self.count:
            bench.queue.fill(self.queued)
        return bench.queue.deliver(self.count)

    def run_theirs(self, bench):
        self.small.empty()
        self.small.fill(self.count)
        return self.small.deliver(self.count)

    def tidy(self, bench):
        self.holder.run("COMMIT")
        self.holder.close()
        bench.queue.empty()
        self.small.close()
        bench.backend.run("DROP DATABASE small")


class WorkerSize:
    """What a worker has allocated and open after many requests, over TLS."""

    name = "memory and descriptors of the worker"
    few, many = 10000, 50000
    most_kb = 32 * 1024
    most_descriptors = CONNECTIONS + 16

    def measure(self, bench):
        queue = bench.queue
        queue.configure(bench.nginx.tls, CONNECTIONS)
        sizes = []
        for count in (self.few, self.many):
            queue.fill(count)
            queue.deliver(count)
            sizes.append(queue.memory_kb())
        descriptors = queue.descriptors()
        queue.empty()
        # a leak of a few bytes a request would be more than that
        flat = sizes[1] - sizes[0] <= 512
        small = max(sizes) < self.most_kb
        return Row(
            self.name,
            "{:,} kB after {:,} requests, {:,} kB after {:,} more; "
            "{} descriptors".format(
                sizes[0], self.few, sizes[1], self.many, descriptors
            ),
            goal="below 32 MB, flat; at most %d" % self.most_descriptors,
            reached="yes"
            if flat and small and descriptors <= self.most_descriptors
            else "no",
        )


def make_deliveries(nginx, full):
    backlog = (1000000, 10000000) if full else (100000, 1000000)
    return [
        Delivery("HTTP, 32 in flight", nginx.http, 0.35),
        Delivery("TLS, 32 in flight", nginx.tls, 0.5),
        DeliveryCost("HTTP", nginx.http, CONNECTIONS),
        DeliveryCost("TLS", nginx.tls, CONNECTIONS),
        Backlog(*backlog),
        WorkerSize(),
    ]
