"""The table's rows of latency: from COMMIT to the arrival of the request.

A session enqueues a request in each of many transactions, with pauses, and
notes when COMMIT began and when it came back; peer.py notes the arrivals. Both
read the same clock. What is compared with the target counts from when COMMIT
came back, because that is when the request is promised. The yardstick is what
a bare request needs, sent on a kept connection at the same pace.

On this way is one flush to disk, of the claim, which takes as long as the
disk pleases. So it is also measured with fsync off, where nothing waits for
the disk: what is left is domowf's own.
"""

import os
import random
import re
import socket
import subprocess
import sys
import time

from clients import BODY
from nginx import INSTANCE, START
from queue_server import wait_until
from table import Row

TRAFFIC_RATE = 200
SAMPLES = 400

# Between two samples, seconds.
PAUSE = 0.01, 0.03

SAMPLE = """DO $$
DECLARE before float8;
BEGIN
    FOR i IN 1..{count} LOOP
        PERFORM domowf_enqueue('w', jsonb_build_object('n', i));
        before := extract(epoch FROM clock_timestamp());
        COMMIT;
        INSERT INTO sample VALUES (i, before,
            extract(epoch FROM clock_timestamp()));
        COMMIT;
        PERFORM pg_sleep({least} + random() * ({most} - {least}));
    END LOOP;
END $$"""

TRAFFIC = "SELECT domowf_enqueue('w', '{}');\n"

# Other sessions.
SESSIONS = 4


class Peer:
    """peer.py, running."""

    def __init__(self, port=0):
        script = os.path.join(os.path.dirname(__file__), "peer.py")
        self.process = subprocess.Popen(
            [sys.executable, script, INSTANCE, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.process.stdout.readline())
        self.url = "http://127.0.0.1:%d" % self.port

    def arrivals(self):
        """By number, since the last time."""
        return dict(self.all_arrivals())

    def all_arrivals(self):
        """(number, when) of each, since the last time."""
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.read_arrivals()

    def read_arrivals(self):
        found = []
        while (line := self.process.stdout.readline()) != "\n":
            number, when = line.split()
            found.append((int(number), float(when)))
        return found

    def stop(self):
        """Returns what arrived since the last time."""
        self.process.stdin.close()
        found = self.read_arrivals()
        self.process.wait()
        return found


class Traffic:
    """Other sessions that enqueue, so many a second; 0: none do."""

    def __init__(self, directory, rate):
        self.process = None
        if rate == 0:
            return
        path = os.path.join(directory, "traffic.sql")
        with open(path, "w") as out:
            out.write(TRAFFIC)
        self.process = subprocess.Popen(
            ["pgbench", "-n", "-M", "prepared", "-f", path, "-T", "3600"]
            + ["-c", str(SESSIONS), "-R", str(rate)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def stop(self):
        if self.process is not None:
            self.process.terminate()
            self.process.wait()


def percentile(values, part):
    return sorted(values)[int(part * (len(values) - 1))]


def show(seconds):
    return "p50 %.2f ms, p99 %.2f ms" % tuple(
        1000 * percentile(seconds, part) for part in (0.5, 0.99)
    )


def measure_loopback(peer):
    """Seconds from a bare request's writing to its arrival."""
    body = re.sub(r'"data":.*', '"data":{"n": %d}}', BODY)
    sent = {}
    with socket.create_connection(("127.0.0.1", peer.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(SAMPLES):
            text = body % i
            request = "POST %s HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s"
            request %= START, len(text), text
            sent[i] = time.time()
            connection.send(request.encode())
            connection.recv(65536)
            time.sleep(random.uniform(*PAUSE) / 10)
    arrived = peer.arrivals()
    return [arrived[i] - sent[i] for i in sent]


def set_fsync(queue, value):
    """To be followed by queue.configure(), which reloads the settings."""
    queue.run("ALTER SYSTEM SET fsync = %s" % value)


class Latency:
    most_p50, most_p99 = 0.001, 0.005

    def __init__(self, name, rate, fsync):
        self.name = "COMMIT to arrival, " + name
        if not fsync:
            self.name += ", fsync off"
        self.rate = rate
        self.fsync = fsync

    def sample(self, bench):
        queue = bench.queue
        queue.run("CREATE TABLE sample (n int, before float8, after float8)")
        queue.resume()
        traffic = Traffic(bench.directory, self.rate)
        if self.rate > 0:
            wait_until(
                "there is traffic",
                lambda: int(queue.run("SELECT count(*) FROM domowf.log"))
                > self.rate,
            )
        queue.run(
            SAMPLE.format(count=SAMPLES, least=PAUSE[0], most=PAUSE[1])
        )
        traffic.stop()
        wait_until("all are sent", lambda: queue.length() == 0)
        queue.pause()
        rows = queue.run("SELECT * FROM sample").split("\n")
        queue.run("DROP TABLE sample")
        queue.empty()
        return [[float(x) for x in row.split("|")] for row in rows]

    def measure(self, bench):
        peer = Peer()
        loopback = measure_loopback(peer)
        set_fsync(bench.queue, self.fsync)
        bench.queue.configure(peer.url)
        samples = self.sample(bench)
        arrived = peer.arrivals()
        set_fsync(bench.queue, True)
        bench.queue.configure(bench.nginx.http)
        peer.stop()
        since_before = [arrived[n] - before for n, before, _ in samples]
        since_after = [arrived[n] - after for n, _, after in samples]
        commit = [after - before for _, before, after in samples]
        reached = (
            percentile(since_after, 0.5) < self.most_p50
            and percentile(since_after, 0.99) < self.most_p99
        )
        return Row(
            self.name,
            "%s (with COMMIT itself %s)"
            % (show(since_after), show(since_before)),
            "a bare request %s; COMMIT %s" % (show(loopback), show(commit)),
            goal="p50 below 1 ms, p99 below 5 ms",
            reached="yes" if reached else "no",
        )


def make_latencies():
    steady = "while others enqueue %d a second" % TRAFFIC_RATE
    return [
        Latency(name, rate, fsync)
        for fsync in (True, False)
        for name, rate in (("idle", 0), (steady, TRAFFIC_RATE))
    ]
