"""The table's rows of fairness: one server's requests, while there are many for
another one that does not take them, against the same by themselves; and many
lanes against one.

The other one is a server that takes connections and never answers, one that
answers 429, one that is at its rate limit, or a port where nobody listens.
"""

import socket
import statistics

from clients import TOKEN, Failed
from comparison import AtMost, Comparison
from latency import PAUSE, SAMPLE, Peer, percentile
from queue_server import DATA, wait_until
from table import Row

CONNECTIONS = 32
LANES = 1000

# As queue_server.WORKFLOW.
WORKFLOWS = """INSERT INTO domowf.workflow
    (name, model_id, version, message_name, server)
    SELECT n, 'a8afdc89-9491-4ee4-b7c3-b9e9b86c0138', '1.1.0',
        'Start AddTwoNumbers', s
    FROM (VALUES {rows}) v(n, s)
    ON CONFLICT (name) DO UPDATE SET server = excluded.server"""

SETTLED = """SELECT count(*), count(*) FILTER (WHERE outcome = 'done'),
    extract(epoch FROM max(settled_at) - min(settled_at))
    FROM domowf.log WHERE workflow = 'good' AND enqueued_at >= '{start}'"""


class Pair:
    """Two servers in the database: `good`, at `url`, and `bad`."""

    # what the view `connection` says of the bad one when it is in its way
    READY = {
        "does not answer": "in_flight > 0",
        "answers 429": "state = 'paused'",
        "is at its rate limit": "sent > 0",
        "is down": "failed > 2",
    }

    def __init__(self, bench, url, kind):
        self.queue = bench.queue
        self.kind = kind
        self.mute = socket.create_server(("127.0.0.1", 0), backlog=1024)
        bad = {
            "does not answer": "http://127.0.0.1:%d"
            % self.mute.getsockname()[1],
            "answers 429": bench.nginx.throttled,
            "is at its rate limit": bench.nginx.http,
            "is down": bench.nginx.refused,
        }[kind]
        self.drop()
        rate = ", rate_limit '60'" if "rate" in kind else ""
        for name, options in (
            ("good", "base_url '%s'" % url),
            ("bad", "base_url '%s'%s" % (bad, rate)),
        ):
            self.queue.run(
                "CREATE SERVER bench_%s FOREIGN DATA WRAPPER domowf "
                "OPTIONS (%s)" % (name, options)
            )
            self.queue.run(
                "CREATE USER MAPPING FOR CURRENT_USER SERVER bench_%s "
                "OPTIONS (token '%s')" % (name, TOKEN)
            )
        self.queue.run(
            WORKFLOWS.format(
                rows="('good', 'bench_good'::name), ('bad', 'bench_bad')"
            )
        )

    def fill(self, name, count):
        self.queue.run(
            "SELECT count(domowf_enqueue('%s', '%s')) "
            "FROM generate_series(1, %d)" % (name, DATA, count)
        )

    def begin(self, count):
        """So many requests for the bad one; 0: none."""
        if count > 0:
            self.fill("bad", count)
        self.queue.resume()
        if count > 0:
            wait_until(
                "the other server " + self.kind,
                lambda: self.queue.run(
                    "SELECT count(*) FROM domowf.connection "
                    "WHERE server = 'bench_bad' AND " + self.READY[self.kind]
                )
                != "0",
            )

    def end(self):
        """What is in flight will not be waited for."""
        self.queue.run("SELECT domowf_pause()")
        self.queue.restart_worker()
        self.queue.empty()

    def drop(self):
        self.queue.run("DROP SERVER IF EXISTS bench_good CASCADE")
        self.queue.run("DROP SERVER IF EXISTS bench_bad CASCADE")

    def close(self):
        self.drop()
        self.mute.close()


class RateBeside(Comparison):
    """Seconds from the first settlement to the last of the good one's."""

    most_rounds = 3

    def __init__(self, kind, queued):
        super().__init__(
            "delivery to a server, {:,} queued for one that {}, "
            "against none".format(queued, kind),
            10000,
            0.9,
        )
        self.kind = kind
        self.queued = queued

    def shrink(self):
        super().shrink()
        self.queued //= 100

    def prepare(self, bench):
        bench.queue.configure(bench.nginx.http, CONNECTIONS)
        self.pair = Pair(bench, bench.nginx.http, self.kind)

    def deliver(self, bench, queued):
        queue = bench.queue
        self.pair.begin(queued)
        start = queue.run("SELECT clock_timestamp()")
        self.pair.fill("good", self.count)
        wait_until(
            "all are sent",
            lambda: queue.run(
                "SELECT count(*) FROM domowf.log WHERE workflow = 'good'"
            )
            == str(self.count),
        )
        settled, done, seconds = queue.run(SETTLED.format(start=start)).split(
            "|"
        )
        self.pair.end()
        if done != settled:
            raise Failed("%s of %s requests are done" % (done, settled))
        return float(seconds)

    def run_ours(self, bench):
        return self.deliver(bench, self.queued)

    def run_theirs(self, bench):
        return self.deliver(bench, 0)

    def tidy(self, bench):
        self.pair.close()


class LatencyBeside(AtMost):
    """The good one's COMMIT to arrival; the time counts and not the rate."""

    rounds = 2
    samples = 200
    target = 1.1

    def __init__(self, kind, queued):
        self.name = (
            "COMMIT to arrival at a server, {:,} queued for one that {}, "
            "against none".format(queued, kind)
        )
        self.kind = kind
        self.queued = queued

    def sample(self, bench, peer, queued):
        queue = bench.queue
        queue.run("CREATE TABLE sample (n int, before float8, after float8)")
        self.pair.begin(queued)
        text = SAMPLE.format(count=self.samples, least=PAUSE[0], most=PAUSE[1])
        queue.run(text.replace("'w'", "'good'"))
        wait_until(
            "all are sent",
            lambda: queue.run(
                "SELECT count(*) FROM domowf.log WHERE workflow = 'good'"
            )
            == str(self.samples),
        )
        rows = queue.run("SELECT n, after FROM sample").split("\n")
        queue.run("DROP TABLE sample")
        self.pair.end()
        arrived = peer.arrivals()
        return [
            arrived[int(n)] - float(after)
            for n, after in (row.split("|") for row in rows)
        ]

    def measure(self, bench):
        peer = Peer()
        bench.queue.configure(bench.nginx.http, CONNECTIONS)
        self.pair = Pair(bench, peer.url, self.kind)
        ours, theirs = [], []
        for i in range(self.rounds):
            turns = [(ours, self.queued), (theirs, 0)]
            for samples, queued in turns[:: -1 if i % 2 else 1]:
                samples.extend(self.sample(bench, peer, queued))
        self.pair.close()
        peer.stop()
        ratio = statistics.median(ours) / statistics.median(theirs)
        return Row(
            self.name,
            *(
                "p50 %.2f ms, p99 %.2f ms"
                % tuple(1000 * percentile(x, part) for part in (0.5, 0.99))
                for x in (ours, theirs)
            ),
            self.show(ratio),
            goal=self.bound + self.show(self.target) + " (p50)",
            reached="yes" if self.is_reached(ratio) else "no",
        )


class Lanes(Comparison):
    """Requests of many workflows, a lane each, against those of one."""

    most_rounds = 3

    def __init__(self):
        super().__init__(
            "delivery, {:,} lanes against one".format(LANES), 10000, 0.9
        )

    def prepare(self, bench):
        bench.queue.configure(bench.nginx.http, CONNECTIONS)
        bench.queue.run(
            WORKFLOWS.replace("VALUES {rows}", "{rows}").format(
                rows="SELECT 'lane' || g, NULL::name "
                "FROM generate_series(1, %d) g" % LANES
            )
        )

    def run_ours(self, bench):
        bench.queue.empty()
        bench.queue.run(
            "SELECT count(domowf_enqueue('lane' || 1 + g %% %d, '%s')) "
            "FROM generate_series(1, %d) g" % (LANES, DATA, self.count)
        )
        return bench.queue.deliver(self.count)

    def run_theirs(self, bench):
        bench.queue.empty()
        bench.queue.fill(self.count)
        return bench.queue.deliver(self.count)

    def tidy(self, bench):
        bench.queue.empty()


def make_fairness(full):
    rows = [Lanes()]
    for kind in ("does not answer", "answers 429", "is at its rate limit"):
        rows.append(RateBeside(kind, 100000))
        rows.append(LatencyBeside(kind, 100000))
    rows.append(RateBeside("is down", 1000000 if full else 100000))
    return rows
