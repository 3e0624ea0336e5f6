"""The rows of the table, with the figures of DESIGN.md that they are for.

By default each call that succeeds also writes a row of domowf.log, which raw
libcurl has no counterpart for; so rows come with it and with no log.
"""

import statistics

from clients import Backend

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


class Pair:
    """The same requests by domowf and by raw libcurl.

    `target` is the least rate, as a share of raw libcurl's.
    """

    def __init__(self, name, url, sql, raw, target, log_calls=True):
        self.name = name + ("" if log_calls else ", no log")
        self.url = url
        self.sql = sql
        self.mode, self.count, self.parallel = raw
        self.target = target
        self.log_calls = log_calls

    def measure(self, backend, raw, rounds):
        ours, theirs = [], []
        work = self.count, self.parallel

        def run_ours():
            ours.append(backend.time(self.url, self.sql, *work))
            backend.run("TRUNCATE domowf.log")

        def run_theirs():
            theirs.append(raw.time(self.url, self.mode, *work))

        backend.run("SET domowf.log_calls = %s" % self.log_calls)
        for i in range(rounds + 1):
            turns = (run_theirs, run_ours) if i % 2 else (run_ours, run_theirs)
            for turn in turns:
                turn()
        # the first round only warms up
        return self.make_row(ours[1:], theirs[1:])

    def make_row(self, ours, theirs):
        ratios = [self.ratio(a, b) for a, b in zip(ours, theirs)]
        median = statistics.median(ratios)
        return [
            self.name,
            "{:,.0f}/s".format(self.count / statistics.median(ours)),
            "{:,.0f}/s".format(self.count / statistics.median(theirs)),
            self.show(median),
            self.show(min(ratios)) + " to " + self.show(max(ratios)),
            self.bound() + self.show(self.target),
            "yes" if self.is_reached(median) else "no",
        ]

    def ratio(self, ours, theirs):
        return theirs / ours

    def show(self, ratio):
        return "%.0f %%" % (100 * ratio)

    def bound(self):
        return "at least "

    def is_reached(self, ratio):
        return ratio >= self.target


class TimePair(Pair):
    """A pair whose target is the most time, as a multiple of raw libcurl's."""

    def ratio(self, ours, theirs):
        return ours / theirs

    def show(self, ratio):
        return "%.2f x" % ratio

    def bound(self):
        return "at most "

    def is_reached(self, ratio):
        return ratio <= self.target


def make_pairs(nginx):
    serial = "one after the other, connection kept, "
    loop = "the same from PL/pgSQL, "
    fresh = "a new TLS connection for each (time)"
    many = "domowf_start_all, 8 in parallel, "
    kept = ("serial", 5000, 1)
    new = ("fresh", 200, 1)
    multi = ("multi", 20000, 8)
    pairs = []
    for name, url in (("HTTP", nginx.http), ("TLS", nginx.tls)):
        pairs += [
            Pair(serial + name, url, SERIAL, kept, 0.9),
            Pair(serial + name, url, SERIAL, kept, 0.9, log_calls=False),
            Pair(loop + name, url, LOOP, kept, 0.9, log_calls=False),
        ]
    pairs.append(TimePair(fresh, nginx.fresh, SERIAL, new, 1.2))
    for name, url in (("HTTP", nginx.http), ("TLS", nginx.tls)):
        pairs += [
            Pair(many + name, url, PARALLEL, multi, 0.6),
            Pair(many + name, url, PARALLEL, multi, 0.6, log_calls=False),
        ]
    return pairs


def measure_leak(nginx):
    """What many calls, half of them failing, leave behind in a backend."""
    backend = Backend(nginx.bundle)
    urls = (nginx.http, nginx.http + "/missing", nginx.tls, nginx.refused)
    statement = LEAK.replace("{urls}", repr(list(urls)))
    backend.time(nginx.http, statement, LEAK_CALLS // 10)
    memory, descriptors = backend.memory_kb(), backend.descriptors()
    backend.time(nginx.http, statement, LEAK_CALLS)
    memory = backend.memory_kb() - memory
    descriptors = backend.descriptors() - descriptors
    backend.close()
    flat = memory <= LEAK_MAX_KB and descriptors <= 0
    return [
        "left by {:,} calls, half of them failing".format(LEAK_CALLS),
        "%+d kB, %+d descriptors" % (memory, descriptors),
        *("", "", ""),
        "flat",
        "yes" if flat else "no",
    ]
