"""The table's rows of what domowf costs while there is nothing to do: one
worker, and 50 databases with one each."""

import time

from clients import Backend
from processes import cpu_seconds_exactly, private_kb, wake_ups
from queue_server import wait_until
from server import Server
from table import Row

# How long nothing is done. As long as it takes until a worker has done what
# it does after a start, or a delivery.
SECONDS = 60
SETTLING = 10

DATABASES = 50
PORT = 5999

MOST_KB = 6 * 1024

POLL_INTERVAL = """SELECT setting::float8 / 1000 FROM pg_settings
    WHERE name = 'domowf.poll_interval'"""

WORKERS = """SELECT pid FROM pg_stat_activity
    WHERE backend_type = 'domowf worker'"""


class Watched:
    """Processes, and what they do while they are watched."""

    def __init__(self, pids):
        time.sleep(SETTLING)
        before = [self.look(pid) for pid in pids]
        start = time.monotonic()
        time.sleep(SECONDS)
        seconds = time.monotonic() - start
        after = [self.look(pid) for pid in pids]
        self.cpu, self.wakes = (
            sum(b[i] - a[i] for a, b in zip(before, after)) / seconds
            for i in range(2)
        )
        self.kilobytes = [private_kb(pid) for pid in pids]

    def look(self, pid):
        return cpu_seconds_exactly(pid), wake_ups(pid)


class IdleWorker:
    """One that has just been started, and one that has delivered."""

    name = "an idle worker"
    delivered = 50000
    connections = 128

    def measure(self, bench):
        queue = bench.queue
        interval = float(queue.run(POLL_INTERVAL))
        queue.empty()
        queue.configure(bench.nginx.http, self.connections)
        queue.resume()
        rows = self.make_rows("new", queue, interval)
        queue.pause()
        queue.configure(bench.nginx.tls, self.connections)
        queue.fill(self.delivered)
        queue.deliver(self.delivered)
        queue.empty()
        queue.resume()
        rows += self.make_rows(
            "after {:,} requests over {} TLS connections".format(
                self.delivered, self.connections
            ),
            *(queue, interval),
        )
        queue.pause()
        return rows

    def make_rows(self, when, queue, interval):
        worker = queue.worker()
        seen = Watched([worker])
        wakes = seen.wakes * interval
        return [
            Row(
                "%s, %s: wake-ups in poll_interval" % (self.name, when),
                "%.2f, and %.2f ms of CPU a second" % (wakes, 1e3 * seen.cpu),
                goal="at most 1",
                # one may fall on either end of the minute
                reached="yes"
                if wakes <= 1 + interval / SECONDS
                else "no",
            ),
            Row(
                "%s, %s: private memory" % (self.name, when),
                "{:,} kB, {} descriptors".format(
                    seen.kilobytes[0], queue.descriptors()
                ),
                goal="below {:,} kB".format(MOST_KB),
                reached="yes" if seen.kilobytes[0] < MOST_KB else "no",
            ),
        ]


class IdleDatabases:
    """On a server that may have so many workers."""

    name = "%d idle databases" % DATABASES

    def measure(self, bench):
        server = Server(
            *(bench.directory, "idle", PORT),
            (
                "shared_preload_libraries = 'domowf'",
                "max_worker_processes = %d" % (DATABASES + 14),
            ),
        )
        session = Backend(bench.nginx.bundle, port=PORT)
        for i in range(DATABASES):
            session.run("CREATE DATABASE idle%d" % i)
            Backend(bench.nginx.bundle, "idle%d" % i, PORT).run_last(
                "CREATE EXTENSION domowf"
            )
        wait_until(
            "each has a worker",
            lambda: len(self.workers(session)) == DATABASES,
        )
        interval = float(session.run(POLL_INTERVAL))
        seen = Watched(self.workers(session))
        session.close()
        server.stop()
        most = max(seen.kilobytes)
        wakes = seen.wakes * interval / DATABASES
        return Row(
            self.name + ", a worker each",
            "{:,.0f} MB private memory, {:,} kB at most for one; {:.1f} ms of "
            "CPU a second; {:.2f} wake-ups in poll_interval each".format(
                sum(seen.kilobytes) / 1024, most, 1e3 * seen.cpu, wakes
            ),
            goal="each below {:,} kB, at most 1 wake-up".format(MOST_KB),
            reached="yes"
            if most < MOST_KB and wakes <= 1 + interval / SECONDS
            else "no",
        )

    def workers(self, session):
        return [int(pid) for pid in session.run(WORKERS).split()]


def make_idles():
    return [IdleWorker(), IdleDatabases()]
