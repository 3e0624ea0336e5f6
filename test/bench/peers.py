"""The table's rows of pgsql-http and pg_net on the same work, where run has
built them (PEERS). What they have sent is counted by nginx.

pgsql-http makes calls: a row of it stands for what a row of domowf's without
the log does. pg_net has a worker, and a server of its own here: a row compares
how long the same requests take, from COMMIT until the outcome of the last is a
row of a table, that is as durable as that of either is.
"""

import os
import time

from calls import Calls, CallsOnOneCore, CallTimes
from clients import BODY, HEADERS, Backend, Failed
from nginx import START
from queue_server import ENQUEUE
from server import Server
from table import Row

# What run could build; for each of the others, why it could not.
BUILT = os.environ.get("BENCH_PEERS", "").split()

PGSQL_HTTP = """SELECT count(*) FILTER (WHERE status = 200), {seconds}
    FROM (SELECT (http(('POST', '{url}', ARRAY[{headers}],
                        'application/json', '{body}')::http_request)).status
          FROM generate_series(1, {count}) OFFSET 0) s"""

# As domowf's, but for Expect, which curl does not send for a body so small.
SENT_HEADERS = [
    header.split(": ")
    for header in HEADERS
    if header.split(":")[0] in ("X-DOMO-Developer-Token", "Accept")
]

PG_NET = """SELECT count(net.http_post('{url}', '{body}'::jsonb,
    headers => '{{"X-DOMO-Developer-Token": "{token}",
                  "Accept": "application/json",
                  "Content-Type": "application/json"}}',
    timeout_milliseconds => 30000)) FROM generate_series(1, {count})"""

PORT = 5998


class PeerCalls:
    """Mixed into calls: pgsql-http makes them in place of domowf. There is
    nothing to be reached."""

    def __init__(self, name, url, raw):
        super().__init__("pgsql-http, " + name, url, PGSQL_HTTP, raw, None)
        self.name = self.name.replace(", with the log", "")
        headers = ", ".join(
            "http_header('%s', '%s')" % tuple(pair) for pair in SENT_HEADERS
        )
        for name, value in (
            ("{url}", url + START),
            ("{headers}", headers),
            ("{body}", BODY),
        ):
            self.sql = self.sql.replace(name, value)

    keeps = True

    def prepare(self, bench):
        super().prepare(bench)
        for statement in (
            "CREATE EXTENSION IF NOT EXISTS http",
            # it knows its settings once its library is there
            "SELECT urlencode('')",
            "SET http.curlopt_tcp_keepalive = %d" % self.keeps,
            "SET http.curlopt_cainfo = '%s'" % bench.nginx.bundle,
        ):
            bench.backend.run(statement)


class PeerCallsOnOneCore(PeerCalls, CallsOnOneCore):
    pass


class PeerCallsApart(PeerCalls, Calls):
    pass


class PeerCallTimes(PeerCalls, CallTimes):
    keeps = False


class PgNet:
    """`batch_size`: None for what it has by itself."""

    count = 10000

    def __init__(self, batch_size=None):
        self.batch_size = batch_size
        self.name = "{:,} requests, from COMMIT to the last outcome: ".format(
            self.count
        ) + (
            "pg_net as it comes"
            if batch_size is None
            else "pg_net, batch_size %d" % batch_size
        )

    def measure(self, bench):
        server = Server(
            *(bench.directory, "pg_net%s" % (self.batch_size or ""), PORT),
            (
                "shared_preload_libraries = 'pg_net'",
                *(
                    ["pg_net.batch_size = %d" % self.batch_size]
                    if self.batch_size
                    else []
                ),
            ),
        )
        session = Backend(bench.nginx.bundle, port=PORT)
        session.run("CREATE EXTENSION pg_net")
        session.run("SELECT net.wait_until_running()")
        bench.queue.configure(bench.nginx.http, 32)
        bench.queue.empty()
        bench.queue.resume()
        ours = [self.deliver(bench)]
        theirs = self.deliver_by_pg_net(bench, session)
        ours.append(self.deliver(bench))
        bench.queue.pause()
        bench.queue.empty()
        session.close()
        server.stop()
        return Row(
            self.name,
            "%.2f s" % (sum(ours) / 2),
            "pg_net %.2f s" % theirs,
            "%.1f x as long" % (2 * theirs / sum(ours)),
            "%.1f to %.1f" % (theirs / max(ours), theirs / min(ours)),
        )

    def wait(self, bench, session, enqueue, outcomes):
        """Seconds from when the statement that enqueues has come back."""
        before = bench.nginx.requests()
        session.run(enqueue)
        start = time.monotonic()
        while session.run(outcomes) != str(self.count):
            if time.monotonic() > start + 600:
                raise Failed("not all outcomes come: " + outcomes)
            time.sleep(0.02)
        seconds = time.monotonic() - start
        sent = bench.nginx.requests() - before
        if sent != self.count:
            raise Failed("nginx has counted %d of %d" % (sent, self.count))
        return seconds

    def deliver(self, bench):
        bench.queue.empty()
        return self.wait(
            *(bench, bench.queue.session),
            "SELECT count(%s) FROM generate_series(1, %d)"
            % (ENQUEUE, self.count),
            "SELECT count(*) FROM domowf.log WHERE outcome = 'done'",
        )

    def deliver_by_pg_net(self, bench, session):
        return self.wait(
            *(bench, session),
            PG_NET.format(
                url=bench.nginx.http + START,
                body=BODY,
                token=SENT_HEADERS[0][1],
                count=self.count,
            ),
            "SELECT count(*) FROM net._http_response WHERE status_code = 200",
        )


class LeftOut:
    """A row that tells why it has no figures."""

    def __init__(self, name, reason):
        self.name = name
        self.reason = reason

    def measure(self, bench):
        return bench.leave_out(self.name, self.reason)


def missing(peer):
    """A row for each is enough."""
    return LeftOut(
        peer, os.environ.get("BENCH_WITHOUT_PEERS", "PEERS is not set")
    )


def make_peers(nginx):
    kept = ("serial", 5000, 1)
    urls = (("HTTP", nginx.http), ("TLS", nginx.tls))
    rows = []
    if "pgsql-http" in BUILT:
        rows += [
            kind("calls, %s, %s, plain SQL" % (places, scheme), url, kept)
            for kind, places in (
                (PeerCallsOnOneCore, "one core"),
                (PeerCallsApart, "a core each"),
            )
            for scheme, url in urls
        ]
        rows.append(
            PeerCallTimes(
                "a new TLS connection for each call (time)",
                *(nginx.fresh, ("fresh", 200, 1)),
            )
        )
    else:
        rows.append(missing("pgsql-http"))
    if "pg_net" in BUILT:
        rows += [PgNet(), PgNet(800)]
    else:
        rows.append(missing("pg_net"))
    return rows
