"""The table's rows of calls, with the figures that they are to reach.

By default each call that succeeds also writes a row of domowf.log, which raw
libcurl has no counterpart for; so rows come with it and with no log.
"""

from clients import Backend
from comparison import AtMost, Comparison

SERIAL = """SELECT count(domowf_start({request}))
    FROM generate_series(1, {count})"""

LOOP = """DO $$
DECLARE instance domowf_instance;
BEGIN
    FOR i IN 1..{count} LOOP
        instance := domowf_start({request});
    END LOOP;
END $$"""

PARALLEL = """SELECT count(*) FROM domowf_start_all(
    (SELECT array_agg({request}) FROM generate_series(1, {count})), {parallel})
    WHERE sqlstate IS NULL"""

# Half of these fail: one in four is refused by Domo, one by the kernel.
LEAK = """DO $$
DECLARE
    instance domowf_instance;
    urls text[] := ARRAY{urls};
BEGIN
    FOR i IN 1..{count} LOOP
        BEGIN
            PERFORM set_config('domowf.base_url', urls[i % 4 + 1], true);
            instance := domowf_start({request});
        EXCEPTION WHEN SQLSTATE '38404' OR SQLSTATE '38U01' THEN
        END;
    END LOOP;
END $$"""

LEAK_CALLS = 10000

# What "flat" allows for: a slow leak of 100 bytes a call would be twice this.
LEAK_MAX_KB = 512


class Calls(Comparison):
    """The same requests by domowf and by raw libcurl."""

    def __init__(self, name, url, sql, raw, target, log_calls=True):
        super().__init__(
            name + ("" if log_calls else ", no log"), raw[1], target
        )
        self.url = url
        self.sql = sql
        self.mode, _, self.parallel = raw
        self.log_calls = log_calls

    def prepare(self, bench):
        bench.backend.run("SET domowf.log_calls = %s" % self.log_calls)

    def run_ours(self, bench):
        seconds = bench.backend.time(
            self.url, self.sql, self.count, self.parallel
        )
        bench.backend.run("TRUNCATE domowf.log")
        return seconds

    def run_theirs(self, bench):
        return bench.raw.time(self.url, self.mode, self.count, self.parallel)


class CallTimes(AtMost, Calls):
    """The same, with the most time as its target."""


class Leak:
    """What many calls, half of them failing, leave behind in a backend."""

    name = "left by {:,} calls, half of them failing (leak)".format(LEAK_CALLS)

    def measure(self, bench):
        nginx = bench.nginx
        backend = Backend(nginx.bundle)
        urls = (
            nginx.http,
            nginx.http + "/missing",
            nginx.tls,
            nginx.refused,
        )
        statement = LEAK.replace("{urls}", repr(list(urls)))
        backend.time(nginx.http, statement, LEAK_CALLS // 10)
        memory, descriptors = backend.memory_kb(), backend.descriptors()
        backend.time(nginx.http, statement, LEAK_CALLS)
        memory = backend.memory_kb() - memory
        descriptors = backend.descriptors() - descriptors
        backend.close()
        flat = memory <= LEAK_MAX_KB and descriptors <= 0
        return [
            self.name,
            "%+d kB, %+d descriptors" % (memory, descriptors),
            *("", "", ""),
            "flat",
            "yes" if flat else "no",
        ]


def make_calls(nginx):
    serial = "one after the other, connection kept, "
    loop = "the same from PL/pgSQL, "
    fresh = "a new TLS connection for each (time)"
    many = "domowf_start_all, 8 in parallel, "
    kept = ("serial", 5000, 1)
    new = ("fresh", 200, 1)
    multi = ("multi", 20000, 8)
    rows = []
    for name, url in (("HTTP", nginx.http), ("TLS", nginx.tls)):
        rows += [
            Calls(serial + name, url, SERIAL, kept, 0.9),
            Calls(serial + name, url, SERIAL, kept, 0.9, log_calls=False),
            Calls(loop + name, url, LOOP, kept, 0.9, log_calls=False),
        ]
    rows.append(CallTimes(fresh, nginx.fresh, SERIAL, new, 1.2))
    for name, url in (("HTTP", nginx.http), ("TLS", nginx.tls)):
        rows += [
            Calls(many + name, url, PARALLEL, multi, 0.6),
            Calls(many + name, url, PARALLEL, multi, 0.6, log_calls=False),
        ]
    rows.append(Leak())
    return rows
