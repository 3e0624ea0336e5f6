"""The table's rows of calls, with the figures that they are to reach.

By default each call that succeeds also writes a row of domowf.log, which raw
libcurl has no counterpart for; so rows come with it and with no log.

Client, backend and server on one core is the steady measure, and comes first:
what domowf adds to a call is work, and there is nothing else to see. The times
are the backend's own, without psql, and of a round's COMMIT.
"""

import statistics

from clients import Backend, Failed
from comparison import AtMost, Comparison
from cores import ALL
from processes import cpu_seconds_exactly
from table import MARK, Row

# So far, of the statement.
SECONDS = "extract(epoch FROM clock_timestamp() - statement_timestamp())"

SERIAL = """SELECT count(domowf_start({request})), {seconds}
    FROM generate_series(1, {count})"""

LOOP = """DO $$
DECLARE instance domowf_instance;
BEGIN
    FOR i IN 1..{count} LOOP
        instance := domowf_start({request});
    END LOOP;
    PERFORM set_config('bench.seconds', ({seconds})::text, false);
END $$;
SELECT {count}, current_setting('bench.seconds')"""

PARALLEL = """SELECT count(*), {seconds} FROM domowf_start_all(
    (SELECT array_agg({request}) FROM generate_series(1, {count})), {parallel})
    WHERE sqlstate IS NULL"""

# What is to be reached of raw libcurl's rate, without the log and with it.
GOALS_ON_ONE_CORE = (0.75, 0.6)
GOALS = (0.9, 0.8)

# What both sides together have of the core that they share.
LEAST_OF_CORE = 0.9

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
END $$;
SELECT {count}, 0"""

LEAK_CALLS = 10000

# What "flat" allows for: a slow leak of 100 bytes a call would be twice this.
LEAK_MAX_KB = 512


class Calls(Comparison):
    """The same requests by domowf and by raw libcurl, a core each."""

    slices = 10

    def __init__(self, name, url, sql, raw, target, log_calls=True):
        super().__init__(
            "%s, %s" % (name, "with the log" if log_calls else "no log"),
            raw[1],
            target,
        )
        self.url = url
        self.sql = sql.replace("{seconds}", SECONDS)
        self.mode, _, self.parallel = raw
        self.log_calls = log_calls

    def measure(self, bench):
        if len(ALL) < 2:
            return bench.leave_out(self.name, "takes two cores")
        return super().measure(bench)

    def place(self, cores):
        cores.have_one_each()

    def prepare(self, bench):
        self.place(bench.cores)
        bench.backend.run("SET domowf.log_calls = %s" % self.log_calls)
        if self.log_calls:
            self.use_memory(bench)
        bench.backend.run("TRUNCATE domowf.log")

    def use_memory(self, bench):
        """A server that has been in use has had its buffers, its files of WAL
        and the memory of both in hand before. To get that from the kernel (and
        on a virtual machine from its host) takes as long as all of a log's
        row, where it is the first time; so all that will be used is."""
        if bench.has_used_memory:
            return
        for _ in range(bench.rounds + 1):
            for _ in range(self.slices):
                Calls.run_ours(self, bench)
        bench.has_used_memory = True

    def run_round(self, bench, number):
        """Both have sent what they say, as nginx tells."""
        before = bench.nginx.requests()
        seconds = super().run_round(bench, number)
        sent = bench.nginx.requests() - before
        if sent != 2 * self.slices * self.count:
            raise Failed("nginx has counted %d requests" % sent)
        return seconds

    def begin_round(self, bench):
        bench.backend.run("BEGIN")

    def run_ours(self, bench):
        return bench.backend.time(
            self.url, self.sql, self.count, self.parallel
        )

    def run_theirs(self, bench):
        return bench.raw.time(self.url, self.mode, self.count, self.parallel)

    def end_round(self, bench):
        return bench.backend.seconds("COMMIT")

    def tidy(self, bench):
        bench.backend.run("TRUNCATE domowf.log")
        bench.cores.free()


class CallsOnOneCore(Calls):
    """The same on one core. What both sides have used of it says the same as
    the time that it took, but that others on this core do not count; so it is
    shown, and judged where others were there."""

    def measure(self, bench):
        return Comparison.measure(self, bench)

    def place(self, cores):
        cores.share_one()

    def run_rounds(self, bench):
        self.used = {"ours": [], "theirs": []}
        return super().run_rounds(bench)

    def begin_round(self, bench):
        super().begin_round(bench)
        for rounds in self.used.values():
            rounds.append(0)

    def add(self, bench, whose, client, run):
        pids = (client, *bench.cores.servers)
        before = sum(map(cpu_seconds_exactly, pids))
        result = run(bench)
        self.used[whose][-1] += sum(map(cpu_seconds_exactly, pids)) - before
        return result

    def run_ours(self, bench):
        return self.add(bench, "ours", bench.backend.pid, super().run_ours)

    def run_theirs(self, bench):
        return self.add(
            bench, "theirs", bench.raw.process.pid, super().run_theirs
        )

    def end_round(self, bench):
        return self.add(bench, "ours", bench.backend.pid, super().end_round)

    def is_disturbed(self, ours, theirs):
        """Also where somebody else had much of the core."""
        used = sum(sum(rounds[1:]) for rounds in self.used.values())
        return (
            used < LEAST_OF_CORE * (sum(ours) + sum(theirs))
            or super().is_disturbed(ours, theirs)
        )

    def make_row(self, ours, theirs):
        row = super().make_row(ours, theirs)
        # without the round that warmed up
        used = [rounds[1:] for rounds in self.used.values()]
        cpu = statistics.median(self.ratio(a, b) for a, b in zip(*used))
        count = self.count * self.slices
        ours, theirs = (
            ", %.1f us CPU" % (1e6 * statistics.median(rounds) / count)
            for rounds in used
        )
        row = row._replace(
            domowf=row.domowf + ours,
            yardstick=row.yardstick + theirs,
            ratio=row.ratio + ", CPU " + self.show(cpu),
        )
        if MARK not in row.scatter or self.target is None:
            return row
        return row._replace(reached=self.judge(cpu)[1] + ", by CPU")


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
        return Row(
            self.name,
            "%+d kB, %+d descriptors" % (memory, descriptors),
            goal="flat",
            reached="yes" if flat else "no",
        )


def make_calls(nginx):
    kept = ("serial", 5000, 1)
    urls = (("HTTP", nginx.http), ("TLS", nginx.tls))
    rows = [
        kind(
            "calls, %s, %s, %s" % (places, scheme, language),
            *(url, sql, kept, goals[log_calls], log_calls),
        )
        for kind, places, goals in (
            (CallsOnOneCore, "one core", GOALS_ON_ONE_CORE),
            (Calls, "a core each", GOALS),
        )
        for scheme, url in urls
        for language, sql in (("plain SQL", SERIAL), ("PL/pgSQL", LOOP))
        for log_calls in (False, True)
    ]
    fresh = "a new TLS connection for each call (time)"
    rows.append(CallTimes(fresh, nginx.fresh, SERIAL, ("fresh", 200, 1), 1.2))
    many = "domowf_start_all, 8 in parallel, a core each, "
    multi = ("multi", 20000, 8)
    rows += [
        Calls(many + scheme, url, PARALLEL, multi, 0.75, log_calls)
        for scheme, url in urls
        for log_calls in (False, True)
    ]
    rows.append(Leak())
    return rows
