#!/usr/bin/env python3
"""Measures domowf against raw libcurl and prints a table.

A machine's figures mean nothing elsewhere, so every row is a ratio of two
things done in turns, A B B A, and what is shown is the median of the rounds.
To be started by run, in a directory that it may write to.
"""

import argparse
import os
import platform
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

from clients import Backend, Failed, Raw
from nginx import Nginx
from rows import make_pairs, measure_leak
from table import print_table


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
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    load = os.getloadavg()[0]
    directory = tempfile.mkdtemp(prefix="bench-")
    nginx = Nginx(directory)
    backend = Backend(nginx.bundle)
    raw = Raw(directory, nginx.bundle)
    rows = [
        pair.measure(backend, raw, arguments.rounds)
        for pair in make_pairs(nginx)
        if arguments.only in pair.name
    ]
    if arguments.only in "leak":
        rows.append(measure_leak(nginx))
    print_table(rows, describe_machine(backend, load), arguments.markdown)
    backend.close()
    raw.close()
    nginx.stop()


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
