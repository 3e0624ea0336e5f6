"""Which scenario a request gets, and the gates at which scenarios wait.

Three sources, the first that has something wins: a rule programmed through
the control port, the request's own text (`scenario:NAME:ARG`), normal.
"""

import asyncio
import collections
from dataclasses import dataclass

from scenarios import resolve

PREFIX = "scenario:"
OPERATIONS = ("start", "cancel", "set_permissions", "read")


@dataclass
class Rule:
    """`left` requests still get this scenario; None: all, until cleared."""

    scenario: str
    left: int | None = 1
    operation: str | None = None
    contains: str | None = None

    def matches(self, operation, target, body):
        if self.operation not in (None, operation):
            return False
        if self.contains is None:
            return True
        return self.contains in target or self.contains.encode() in body


class Script:
    def __init__(self):
        self.rules = []

    def add(self, program):
        """Takes what POST /script was sent. Raises ValueError."""
        names = program.pop("scenarios", None)
        if names is None:
            names = [program.pop("scenario")]
        count = program.pop("count", 1)
        operation = program.pop("operation", None)
        contains = program.pop("contains", None)
        if program:
            raise ValueError("unknown: " + ", ".join(program))
        if count is not None and (type(count) is not int or count < 1):
            raise ValueError("count is a positive integer, or null: for ever")
        if operation not in (None, *OPERATIONS):
            raise ValueError(f"unknown operation {operation}")
        calls = [resolve(name) for name in names]  # refuses unknown names
        self.rules += [Rule(n, count, operation, contains) for n in names]
        return calls

    def clear(self):
        self.rules.clear()

    def listing(self):
        return [vars(rule) for rule in self.rules]

    def _find(self, operation, target, body):
        """Rules for so many requests go before those for ever."""
        for forever in (False, True):
            for rule in self.rules:
                if (rule.left is None) == forever and rule.matches(
                    operation, target, body
                ):
                    return rule
        return None

    def take(self, operation, target, body):
        """The scenario for a complete request, or None. Uses up its rule."""
        rule = self._find(operation, target, body)
        if rule is None:
            return None
        if rule.left is not None:
            rule.left -= 1
            if rule.left == 0:
                self.rules.remove(rule)
        return rule.scenario

    def take_early(self, operation, target):
        """The same when only the head is in: only a scenario that acts
        before the body is taken, the rest keep until take()."""
        rule = self._find(operation, target, b"")
        if rule and resolve(rule.scenario).scenario.early:
            return self.take(operation, target, b"")
        return None


def in_band(*texts):
    """The scenario that one of a request's own texts names, or None."""
    for text in texts:
        if text and text.startswith(PREFIX):
            return text.removeprefix(PREFIX)
    return None


class Gates:
    """Named gates, shut until released: for good, or for so many."""

    def __init__(self):
        self._gates = collections.defaultdict(_Gate)

    async def enter(self, name):
        await self._gates[name].enter()

    def release(self, name, count=None):
        self._gates[name].release(count)

    def shut(self):
        """Shuts every gate; who waits goes on waiting."""
        for gate in self._gates.values():
            gate.permits = 0

    def listing(self):
        return {name: len(gate.waiting) for name, gate in self._gates.items()}


class _Gate:
    def __init__(self):
        self.permits = 0  # None: open
        self.waiting = collections.deque()

    async def enter(self):
        if self.permits is None:
            return
        if self.permits > 0:
            self.permits -= 1
            return
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        try:
            await future
        finally:
            if future in self.waiting:
                self.waiting.remove(future)

    def release(self, count):
        if count is None:
            self.permits = None
        elif self.permits is not None:
            self.permits += count
        while self.waiting and (self.permits is None or self.permits > 0):
            if self.permits is not None:
                self.permits -= 1
            future = self.waiting.popleft()
            if not future.done():
                future.set_result(None)
