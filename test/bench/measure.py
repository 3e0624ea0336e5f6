#!/usr/bin/env python3
"""Measures domowf against yardsticks and prints a table.

A machine's figures mean nothing elsewhere, so every row is a ratio of two
things done in turns, A B B A, and what is shown is the median of the rounds.
Where that cannot be, the yardstick is measured in the same minute.
To be started by run, in a directory that it may write to.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from calls import make_calls
from clients import Backend, Failed, Raw
from comparison import MOST_SCATTER, Comparison
from cores import Cores
from delivery import make_deliveries
from enqueue import make_enqueues
from fairness import make_fairness
from idle import make_idles
from latency import make_latencies
from long_log import make_long_logs
from nginx import Nginx
from peers import make_peers
from queue_server import Queue
from returns import make_returns
from table import Row, print_table
from trigger import make_triggers


class Bench:
    """What the rows need, made once for all of them."""

    def __init__(self, rounds):
        self.rounds = rounds
        self.directory = tempfile.mkdtemp(prefix="bench-")
        self.nginx = Nginx(self.directory)
        self.backend = Backend(self.nginx.bundle)
        self.raw = Raw(self.directory, self.nginx.bundle)
        self.cores = Cores(self.nginx, self.raw, self.backend)
        self.queue = Queue(self.nginx.bundle)
        # see calls.py
        self.has_used_memory = False
        # lines that follow the table
        self.facts = []

    def leave_out(self, name, reason):
        """The row of what is not measured."""
        return Row(name, "not measured: " + reason)

    def stop(self):
        self.queue.close()
        self.raw.close()
        self.backend.close()
        self.nginx.stop()


def first_line(*command):
    run = subprocess.run(command, capture_output=True, text=True)
    return (run.stdout + run.stderr).split("\n")[0]


def describe_machine(backend, load):
    """What the figures were measured on, and what else it had to do."""
    with open("/proc/cpuinfo") as info:
        models = [line.split(": ")[1] for line in info if "model name" in line]
    return ", ".join(
        [
            "%d cores" % os.cpu_count(),
            models[0].strip() if models else platform.machine(),
            "Linux " + platform.release(),
            "PostgreSQL " + backend.run("SHOW server_version").split()[0],
            first_line("curl-config", "--version"),
            " ".join(first_line("openssl", "version").split()[:2]),
            "nginx " + first_line(Nginx.BINARY, "-v").split("/")[-1],
            "load before %.1f" % load,
        ]
    )


def parse_arguments():
    parser = argparse.ArgumentParser(prog="test/bench/run")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", default="", metavar="TEXT")
    parser.add_argument("--full", action="store_true")
    parser.add_argument("--try", action="store_true", dest="is_trial")
    return parser.parse_args()


def measure_rows(bench, wanted):
    """One after the other; what is done is told at once, for those who wait."""
    rows = []
    for measurement in wanted:
        made = measurement.measure(bench)
        for row in [made] if isinstance(made, Row) else made:
            rows.append(row)
            print("  ".join(filter(None, row)), file=sys.stderr)
    return rows


def measure_all(bench, arguments, load):
    makers = (
        make_calls(bench.nginx),
        make_peers(bench.nginx),
        make_enqueues(arguments.full),
        make_triggers(),
        make_deliveries(bench.nginx),
        make_returns(),
        make_latencies(),
        make_fairness(arguments.full),
        make_idles(),
        make_long_logs(arguments.full),
    )
    every = [row for maker in makers for row in maker]
    wanted = [row for row in every if arguments.only in row.name]
    if not wanted:
        raise Failed("no row has %s in its name" % arguments.only)
    if arguments.is_trial:
        bench.rounds = 1
        wanted = [row for row in wanted if isinstance(row, Comparison)]
        for row in wanted:
            row.shrink()
    rows = measure_rows(bench, wanted)
    if len(wanted) < len(every):
        bench.facts.append(
            "Not measured: %d of %d rows%s."
            % (
                *(len(every) - len(wanted), len(every)),
                "" if arguments.is_trial else
                ", which have no %s in their names" % arguments.only,
            )
        )
    facts = [*bench.facts, describe_machine(bench.backend, load)]
    print_table(rows, facts, arguments.markdown, MOST_SCATTER)


def main():
    arguments = parse_arguments()
    load = os.getloadavg()[0]
    bench = Bench(arguments.rounds)
    try:
        measure_all(bench, arguments, load)
    finally:
        bench.stop()


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
