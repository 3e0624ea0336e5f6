"""The table's rows of delivery: the worker against raw libcurl's multi loop,
and what the worker takes."""

from comparison import Comparison
from delivery_cost import DeliveryCost
from table import Row

CONNECTIONS = 32


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


def make_deliveries(nginx):
    return [
        Delivery("HTTP, 32 in flight", nginx.http, 0.35),
        Delivery("TLS, 32 in flight", nginx.tls, 0.5),
        DeliveryCost("HTTP", nginx.http, CONNECTIONS),
        DeliveryCost("TLS", nginx.tls, CONNECTIONS),
        WorkerSize(),
    ]
