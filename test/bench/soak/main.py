#!/usr/bin/env python3
"""Runs a soak and writes what came of it into a directory. Started by run, which
tells what is measured and what the settings SOAK_MINUTES and SOAK_RATE mean.

main.py DIRECTORY
"""

import csv
import os
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))

from clients import Failed
from life import Life
from nginx import BUNDLES
from plot import LogPlot, Plot
from queue_server import Queue
from samples import COLUMNS, Samples
from verdict import Verdict

MINUTES = float(os.environ["SOAK_MINUTES"])
RATE = int(os.environ["SOAK_RATE"])

# What happens, from which part of the time on; as long as a thirtieth of it.
EVENTS = (("pause", 0.4), ("outage", 0.52))
EVENT_MINUTES = max(MINUTES / 30, 0.1)

RETENTION_MINUTES = max(1, round(MINUTES / 10))

SECONDS_BETWEEN = 5 if MINUTES >= 10 else 2

# How long what is still queued at the end may take.
DRAIN_SECONDS = 300

PLOTS = (
    (
        *("rate", "enqueued and settled", "a second", 1),
        {"enqueued_rate": "enqueued", "settled_rate": "settled"},
    ),
    (
        *("latency", "from COMMIT on, medians", "ms", 1),
        {
            "arrival_p50_ms": "to arrival",
            "settled_p50_ms": "to settlement",
            "returned_p50_ms": "to the outcome in the row",
        },
    ),
    (
        *("waiting", "queued, and to be written back", "requests", 1),
        {"queued": "queued", "to_be_returned": "to be written back"},
    ),
    (
        *("memory", "private memory", "MB", 1024),
        {"worker_kb": "worker", "others_kb": "domowf's other processes"},
    ),
    (
        *("descriptors", "descriptors of the worker", "open", 1),
        {"worker_descriptors": "worker"},
    ),
    (
        *("sizes", "tables and indexes", "MB", 1024),
        {
            "log_kb": "log",
            "log_indexes_kb": "its indexes",
            "queue_kb": "queue",
            "queue_indexes_kb": "its indexes",
            "orders_kb": "the application's table",
            "counter_kb": "counters",
        },
    ),
    (
        *("cpu", "CPU", "ms a second", 1),
        {"worker_cpu_ms": "worker", "server_cpu_ms": "the whole server"},
    ),
    ("wal", "WAL", "MB a second", 1024, {"wal_kb": "WAL"}),
)

LOGARITHMIC = ("latency",)

LEFT = """SELECT
    (SELECT count(*) FROM domowf.queue WHERE state <> 'in_doubt'),
    (SELECT count(*) FROM domowf.return_entry)"""

OUTCOMES = """SELECT string_agg(format('%s %s', n, state), ', ' ORDER BY state)
    FROM (SELECT coalesce(state, 'without an outcome') AS state, count(*) AS n
          FROM orders GROUP BY 1) s"""

NOT_DONE = """SELECT count(*) FROM orders
    WHERE state IS NULL OR state NOT IN ('done', 'in_doubt')"""

UNSEEN = "SELECT id FROM orders WHERE state = 'done'"


class Soak:
    def __init__(self, directory):
        self.directory = directory
        bundle = next((name for name in BUNDLES if os.path.exists(name)), "")
        self.queue = Queue(bundle)
        self.life = Life(tempfile.mkdtemp(), self.queue, RATE)
        self.queue.run(
            "ALTER SYSTEM SET domowf.log_retention = '%dmin'"
            % RETENTION_MINUTES
        )
        self.queue.configure(self.life.domo.url)
        self.queue.resume()
        self.samples = Samples(self.life, self.queue, 60 * RETENTION_MINUTES)
        # (what, from minute, to minute)
        self.spans = []
        self.phase = "usual"

    def minute(self):
        return (time.time() - self.samples.start) / 60

    # ---- what happens in the middle

    def begin(self, what):
        if what == "pause":
            self.queue.run("SELECT domowf_pause('soak')")
        else:
            self.life.take_domo_away()
        self.phase = what
        self.spans.append([what, self.minute(), MINUTES])

    def end(self):
        if self.phase == "pause":
            self.queue.resume()
        else:
            self.life.bring_domo_back()
        self.phase = "usual"
        self.spans[-1][2] = self.minute()

    def follow_events(self):
        for number, (what, part) in enumerate(EVENTS):
            start = part * MINUTES
            if self.minute() >= start and len(self.spans) == number:
                self.begin(what)
            if self.minute() >= start + EVENT_MINUTES and self.phase == what:
                self.end()

    # ---- from the beginning to the end

    def run(self):
        self.life.start(60 * MINUTES)
        next_sample = time.time() + SECONDS_BETWEEN
        while self.minute() < MINUTES:
            self.follow_events()
            if time.time() >= next_sample:
                next_sample += SECONDS_BETWEEN
                self.tell(self.samples.take(self.phase))
            time.sleep(0.1)
        self.life.stop()
        return self.check()

    def tell(self, row):
        print(
            "{:7.0f} s  {:6}  {:6.0f}/s settled  {:>6} ms to arrival  "
            "{:6} queued  {:6} kB  {:7} kB of log".format(
                *(row["second"], row["phase"], row["settled_rate"]),
                *(row["arrival_p50_ms"], row["queued"], row["worker_kb"]),
                row["log_kb"],
            ),
            flush=True,
        )

    def check(self):
        """Waits for what is left. Returns what is to be said of all that was
        asked for, and whether that is as it must be."""
        deadline = time.time() + DRAIN_SECONDS
        while (left := self.queue.run(LEFT)) != "0|0":
            if time.time() > deadline:
                return "left, of requests and outcomes: " + left, False
            time.sleep(0.5)
        self.life.take_domo_away()
        self.samples.take_arrivals()
        unseen = [
            number
            for number in self.queue.run(UNSEEN).split()
            if int(number) not in self.samples.arrived
        ]
        said = (
            "{:,} orders arrived, {:,} of them more than once; {:,} are done "
            "and never arrived. In the table at the end: {}.".format(
                *(len(self.samples.arrived), self.samples.again, len(unseen)),
                self.queue.run(OUTCOMES),
            )
        )
        is_right = (
            self.queue.run(NOT_DONE) == "0"
            and not unseen
            and self.samples.again == 0
        )
        return said, is_right

    # ---- what is written

    def write_samples(self):
        with open(self.directory + "/soak.csv", "w", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(COLUMNS)
            writer.writerows(self.samples.rows)

    def write_plots(self):
        for file, title, unit, divisor, columns in PLOTS:
            series = [
                (name, self.points(column, divisor))
                for column, name in columns.items()
            ]
            kind = LogPlot if file in LOGARITHMIC else Plot
            kind(title, unit, series, self.spans).write(
                "%s/%s.svg" % (self.directory, file)
            )

    def points(self, column, divisor):
        at = COLUMNS.index(column)
        return [
            (row[0] / 60, row[at] / divisor)
            for row in self.samples.rows
            if row[at] != ""
        ]

    def write_table(self, said):
        """The first third without what happens until the log has as many rows
        as it keeps."""
        third = 60 * MINUTES / 3
        full = min(2 * 60 * RETENTION_MINUTES, third / 2)
        first, last = (full, third), (2 * third, 3 * third)
        lines = [
            "%g minutes at %d rows a second; the log keeps %d minutes; a pause "
            "and an outage of %g minutes each from minute %s on."
            % (
                *(MINUTES, RATE, RETENTION_MINUTES, EVENT_MINUTES),
                " and ".join("%.1f" % span[1] for span in self.spans),
            ),
            "First third: minutes %.1f to %.1f, since the log grows before. "
            "Last third: minutes %.1f to %.1f."
            % tuple(second / 60 for second in (*first, *last)),
            *("", *Verdict(self.samples, first, last).table(), "", said),
            "",
            "Not measured: the disk's own work, and what the server's other "
            "processes have in memory.",
            "",
            *("![%s](%s.svg)" % (title, file) for file, title, *_ in PLOTS),
        ]
        with open(self.directory + "/README.md", "w") as out:
            out.write("\n".join(lines) + "\n")
        print("\n" + "\n".join(lines))


def main():
    soak = Soak(sys.argv[1])
    said, is_right = soak.run()
    soak.write_samples()
    soak.write_plots()
    soak.write_table(said)
    if not is_right:
        sys.exit("Not every request came to its end as it must.")


if __name__ == "__main__":
    try:
        main()
    except Failed as failed:
        sys.exit(str(failed))
