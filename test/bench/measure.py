#!/usr/bin/env python3
"""Measures domowf against raw libcurl and prints a table; see run.

Figures of this machine mean nothing elsewhere, so every row is a ratio of two
things done in turns, A B B A, and what is shown is the median of the rounds.
"""

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from clients import LOOP, PARALLEL, SERIAL, Backend, Failed, Raw
from nginx import Nginx
from table import print_table

# The leak row: so many calls, half of which fail.
LEAK_CALLS = 10000
LEAK_MAX_KB = 512


class Pair:
    """A row: the same requests by domowf and by raw libcurl.

    `target` is DESIGN.md's: the rate as a share of raw libcurl's, or, where
    `as_time`, the time as a multiple of its.
    """

    def __init__(self, name, url, sql, mode, count, parallel, target, **other):
        self.name = name
        self.url = url
        self.sql = sql
        self.mode = mode
        self.count = count
        self.parallel = parallel
        self.target = target
        self.as_time = other.get("as_time", False)

    def measure(self, backend, raw, rounds):
        ours, theirs = [], []
        for i in range(-1, rounds):
            turns = [
                lambda: ours.append(
                    backend.time(self.url, self.sql, self.count, self.parallel)
                ),
                lambda: theirs.append(
                    raw.time(self.url, self.mode, self.count, self.parallel)
                ),
            ]
            for turn in turns if i % 2 else reversed(turns):
                turn()
        # the first round only warms up
        return self.result(ours[1:], theirs[1:])

    def result(self, ours, theirs):
        if self.as_time:
            ratios = [a / b for a, b in zip(ours, theirs)]
            reached = statistics.median(ratios) <= self.target
            form, bound = "%.2f x", "at most "
        else:
            ratios = [100 * b / a for a, b in zip(ours, theirs)]
            reached = statistics.median(ratios) >= 100 * self.target
            form, bound = "%.0f %%", "at least "
        target = self.target if self.as_time else 100 * self.target
        return [
            self.name,
            "{:,.0f}/s".format(self.count / statistics.median(ours)),
            "{:,.0f}/s".format(self.count / statistics.median(theirs)),
            form % statistics.median(ratios),
            form % min(ratios) + " to " + form % max(ratios),
            bound + form % target,
            "yes" if reached else "no",
        ]


def make_pairs(nginx):
    serial = "one backend, %s, connection kept"
    many = "domowf_start_all, 8 in parallel, %s"
    return [
        Pair(serial % "HTTP", nginx.http, SERIAL, "serial", 5000, 1, 0.9),
        Pair(serial % "TLS", nginx.tls, SERIAL, "serial", 5000, 1, 0.9),
        Pair("the same from PL/pgSQL, HTTP", nginx.http, LOOP, "serial", 5000, 1, 0.9),
        Pair("the same from PL/pgSQL, TLS", nginx.tls, LOOP, "serial", 5000, 1, 0.9),
        Pair("a new TLS connection for each call", nginx.fresh, SERIAL, "fresh", 200, 1, 1.2, as_time=True),
        Pair(many % "HTTP", nginx.http, PARALLEL, "multi", 20000, 8, 0.6),
        Pair(many % "TLS", nginx.tls, PARALLEL, "multi", 20000, 8, 0.6),
    ]


LEAK = """DO $$
DECLARE instance domowf_instance;
BEGIN
    FOR i IN 1..{count} LOOP
        BEGIN
            PERFORM set_config('domowf.base_url', (ARRAY[{urls}])[i %% 4 + 1], true);
            instance := domowf_start(%s);
        EXCEPTION WHEN SQLSTATE '38404' OR SQLSTATE '38U01' THEN
        END;
    END LOOP;
END $$"""


def measure_leak(nginx, bundle):
    """Calls in one new backend, half of them failing: what is left behind."""
    backend = Backend(bundle)
    urls = (nginx.http, nginx.http + "/missing", nginx.tls, nginx.refused)
    quoted = ", ".join("'%s'" % url for url in urls)
    template = LEAK.replace("{urls}", quoted)
    backend.time(nginx.http, template, LEAK_CALLS // 10)
    memory, descriptors = backend.memory_kb(), backend.descriptors()
    backend.time(nginx.http, template, LEAK_CALLS)
    memory = backend.memory_kb() - memory
    descriptors = backend.descriptors() - descriptors
    backend.close()
    flat = memory <= LEAK_MAX_KB and descriptors <= 0
    return [
        "{:,} calls, half of them failing".format(LEAK_CALLS),
        "%+d kB, %+d descriptors" % (memory, descriptors),
        *("", "", ""),
        "flat",
        "yes" if flat else "no",
    ]


def facts(backend):
    """What the figures were measured on."""

    def first_line(*command):
        run = subprocess.run(command, capture_output=True, text=True)
        return (run.stdout + run.stderr).split("\n")[0]

    with open("/proc/cpuinfo") as info:
        models = [l.split(":")[1].strip() for l in info if "model name" in l]
    return "%d cores (%s), Linux %s, PostgreSQL %s, %s, %s" % (
        os.cpu_count(),
        models[0] if models else platform.machine(),
        platform.release(),
        backend.run("SHOW server_version").split()[0],
        " ".join(first_line("curl", "--version").split()[3:5])
        or "libcurl " + first_line("curl-config", "--version").split()[-1],
        first_line("nginx", "-v").split(": ")[-1],
    )


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split(";")[0])
    parser.add_argument("--user", required=True, help="nginx runs as this one")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", help="rows with this in their name")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory(prefix="domowf-bench-") as directory:
        os.chmod(directory, 0o755)
        nginx = Nginx(directory, arguments.user)
        try:
            backend, raw = Backend(nginx.bundle), Raw(directory, nginx.bundle)
            rows = [
                pair.measure(backend, raw, arguments.rounds)
                for pair in make_pairs(nginx)
                if arguments.only in pair.name
            ]
            if arguments.only in "leak":
                rows.append(measure_leak(nginx, nginx.bundle))
            print_table(rows, facts(backend), arguments.markdown)
            backend.close()
            raw.close()
        finally:
            nginx.stop()


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
