"""What the stand-in was asked, in the order in which it arrived.

An entry is a dict. It joins the record when its request has been received,
and is written to record.jsonl whenever it has changed and a reply is about
to leave: what the client knows, the file knows too. A reader takes the last
line of each `seq`.
"""

import asyncio
import collections
import json


BY_OPERATION = ("requests", "executed", "violations")
COUNTS = (*BY_OPERATION, "connections", "proxied")


class Record:
    """`counts` maps (kind of COUNTS, operation or None for all) to a number.
    `gauges` are functions that the service adds: what is true at this moment
    (open connections, …)."""

    def __init__(self, path=None):
        self.entries = []
        self.counts = collections.Counter()
        self.gauges = {}
        self._file = open(path, "ab", buffering=0) if path else None
        self._last_seq = 0
        self._cleared_at = 0
        self._waiters = set()  # of (condition, future)

    def add(self, entry):
        self._last_seq += 1
        entry["seq"] = self._last_seq
        self.entries.append(entry)
        self._count("requests", entry)
        if entry["violations"]:
            self._count("violations", entry)
        self.changed()

    def violation(self, entry, text):
        """A fault found after the entry was added."""
        entry["violations"].append(text)
        if len(entry["violations"]) == 1:
            self._count("violations", entry)
        self.changed()

    def executed(self, entry):
        entry["executed"] = True
        self._count("executed", entry)
        self.changed()

    def bump(self, kind):
        """Counts something that is no entry."""
        self.counts[kind, None] += 1
        self.changed()

    def _count(self, kind, entry):
        if entry["seq"] > self._cleared_at:
            self.counts[kind, None] += 1
            self.counts[kind, entry["operation"]] += 1

    def write(self, entry):
        if self._file:
            self._file.write(json.dumps(entry).encode() + b"\n")

    def clear(self):
        """Forgets the entries, not the file. `seq` goes on."""
        self.entries.clear()
        self.counts.clear()
        self._cleared_at = self._last_seq

    # ---- questions

    def select(self, filters):
        """The entries whose fields equal `filters`, given as text: a boolean
        is 1 or 0. `since` means: a greater seq; `contains`: in the body or
        the target; `violations`: 1 for entries that have any."""
        filters = dict(filters)
        since = int(filters.pop("since", 0))
        needle = filters.pop("contains", "")
        tests = list(filters.items())
        return [
            entry
            for entry in self.entries
            if entry["seq"] > since
            and (needle in entry["body"] or needle in entry["target"])
            and all(_text(entry.get(key)) == text for key, text in tests)
        ]

    def tally(self, filters, by):
        """How often each value of the field `by` (a path such as data.n)
        occurs: what a test of "exactly once" wants to know."""
        values = collections.Counter(
            _text(_dig(entry, by.split("."))) for entry in self.select(filters)
        )
        repeated = {v: n for v, n in values.most_common(100) if n > 1}
        return {
            "total": values.total(),
            "distinct": len(values),
            "max": max(values.values(), default=0),
            "repeated": repeated,
        }

    # ---- waiting

    def value(self, name, operation=None):
        if name in self.gauges:
            return self.gauges[name]()
        return self.counts[name, operation]

    def changed(self):
        """Something that a waiter may wait for has moved."""
        for waiter in list(self._waiters):
            condition, future = waiter
            if condition():
                self._waiters.discard(waiter)
                if not future.done():
                    future.set_result(True)

    async def wait(self, condition, timeout):
        """Whether the condition came true in time."""
        if condition():
            return True
        future = asyncio.get_running_loop().create_future()
        waiter = (condition, future)
        self._waiters.add(waiter)
        try:
            return await asyncio.wait_for(future, timeout)
        except asyncio.TimeoutError:
            return False
        finally:
            self._waiters.discard(waiter)


def _dig(value, path):
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _text(value):
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None:
        return ""
    if isinstance(value, list):
        return "1" if value else "0"
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True)
    return str(value)
