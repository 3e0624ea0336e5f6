"""The control port: how a test programs the stand-in and asks what it saw.

A plain HTTP/JSON server, one request a connection, forgiving where the
stand-in itself is strict. Whoever calls it gets JSON; an error is a status
of 400 or 404 and {"error": …}.
"""

import asyncio
import json
import urllib.parse

from http_server import REASONS
from record import BY_OPERATION, COUNTS

MAX_WAIT = 300.0


class Control:
    def __init__(self, service, listeners):
        self._service = service
        self._listeners = listeners  # those that Domo's clients connect to
        self._routes = {
            ("GET", "record"): self._get_record,
            ("DELETE", "record"): self._delete_record,
            ("GET", "count"): self._count,
            ("GET", "stats"): self._stats,
            ("GET", "script"): self._get_script,
            ("POST", "script"): self._post_script,
            ("DELETE", "script"): self._delete_script,
            ("POST", "release"): self._release,
            ("GET", "wait"): self._wait,
            ("POST", "token"): self._token,
            ("GET", "instance"): self._get_instance,
            ("POST", "instance"): self._post_instance,
            ("DELETE", "instance"): self._delete_instance,
            ("POST", "course"): self._post_course,
            ("GET", "permissions"): self._get_permissions,
            ("POST", "close-idle"): self._close_idle,
            ("POST", "close-all"): self._close_all,
            ("POST", "stop-accepting"): self._stop_accepting,
            ("POST", "resume-accepting"): self._resume_accepting,
            ("POST", "reset"): self._reset,
        }
        self._first_tokens = set(service.tokens)
        self._is_narrow = False

    async def serve(self, reader, writer):
        """One connection of asyncio.start_server."""
        try:
            status, answer = await self._answer(reader)
            body = json.dumps(answer).encode()
            head = (
                f"HTTP/1.1 {status} {REASONS[status]}\r\n"
                "Content-Type: application/json\r\nConnection: close\r\n"
                f"Content-Length: {len(body)}\r\n\r\n"
            )
            writer.write(head.encode() + body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the test has gone away
        finally:
            writer.close()

    async def _answer(self, reader):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.split("\r\n")
        method, target, _ = request_line.split(" ")
        headers = {k.lower(): v.strip() for k, _, v in
                   (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        path, _, query = target.partition("?")
        name, _, id = path.lstrip("/").partition("/")
        handler = self._routes.get((method, name))
        if handler is None:
            return 404, {"error": f"no {method} {path}"}
        query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        try:
            given = json.loads(body) if body else {}
            answer = handler(urllib.parse.unquote(id), query, given)
            if asyncio.iscoroutine(answer):
                answer = await answer
            return 200, answer
        except Exception as error:
            return 400, {"error": f"{type(error).__name__}: {error}"}

    # ---- what was seen

    def _get_record(self, id, query, given):
        return self._service.record.select(query)

    def _delete_record(self, id, query, given):
        self._service.record.clear()
        return {}

    def _count(self, id, query, given):
        by = query.pop("by", "id")
        return self._service.record.tally(query, by)

    def _stats(self, id, query, given):
        record = self._service.record
        names = (*COUNTS, *record.gauges)
        stats = {name: record.value(name) for name in names}
        stats["operations"] = {
            operation: {
                kind: record.value(kind, operation)
                for kind in BY_OPERATION
            }
            for kind, operation in list(record.counts)
            if operation and kind == "requests"
        }
        stats["instances"] = len(self._service.model.instances)
        stats["gates"] = self._service.gates.listing()
        stats["rules"] = len(self._service.script.rules)
        return stats

    async def _wait(self, id, query, given):
        """Waits until every number given is reached. `open`, and a number
        written =N, have to be equal."""
        timeout = min(float(query.pop("timeout", 30)), MAX_WAIT)
        operation = query.pop("operation", None)
        record = self._service.record
        goals = [(name, *_goal(name, text)) for name, text in query.items()]
        for name, _, _ in goals:
            if name not in COUNTS and name not in record.gauges:
                raise ValueError(f"cannot wait for {name}")

        def reached():
            values = [
                (record.value(name, _narrowed(name, operation)), n, exact)
                for name, n, exact in goals
            ]
            return all(v == n if exact else v >= n for v, n, exact in values)

        done = await record.wait(reached, timeout)
        return {"reached": done, "stats": self._stats("", {}, {})}

    # ---- what is to happen

    def _get_script(self, id, query, given):
        return self._service.script.listing()

    def _post_script(self, id, query, given):
        calls = self._service.script.add(given)
        if any(call.scenario.early for call in calls):
            self._narrow(True)
        return {"rules": len(self._service.script.rules)}

    def _delete_script(self, id, query, given):
        self._service.script.clear()
        self._service.gates.shut()
        self._narrow(False)
        return {}

    def _narrow(self, on):
        """Scenarios that act before the body need a sender that is still
        sending then."""
        if on != self._is_narrow:
            self._is_narrow = on
            for listener in self._listeners:
                listener.narrow(on)

    def _release(self, id, query, given):
        count = query.get("count", given.get("count"))
        self._service.gates.release(id, None if count is None else int(count))
        return {}

    def _token(self, id, query, given):
        self._service.tokens = {str(token) for token in given["accept"]}
        return {}

    # ---- Domo's things

    def _get_instance(self, id, query, given):
        return self._service.model.instances[id]

    def _post_instance(self, id, query, given):
        instance = self._service.model.instances[id]
        if "states" in given:
            self._service.model.set_course(id, given["states"])
        else:
            self._service.model.set_status(id, given["status"])
        return instance

    def _delete_instance(self, id, query, given):
        return self._service.model.forget(id)

    def _post_course(self, id, query, given):
        self._service.model.set_course(None, given["states"])
        return {}

    def _get_permissions(self, id, query, given):
        return self._service.model.permissions.get(id)

    # ---- connections

    def _close_idle(self, id, query, given):
        idle = [c for c in self._service.open if c.idle]
        for connection in idle:
            connection.close()
        return {"closed": len(idle)}

    def _close_all(self, id, query, given):
        connections = list(self._service.open)
        for connection in connections:
            connection.reset()
        return {"closed": len(connections)}

    def _stop_accepting(self, id, query, given):
        for listener in self._listeners:
            listener.shut()
        return {}

    async def _resume_accepting(self, id, query, given):
        for listener in self._listeners:
            await listener.open()
        return {}

    async def _reset(self, id, query, given):
        """Back to the state after the start."""
        await self._resume_accepting(id, query, given)
        self._delete_script(id, query, given)
        self._close_all(id, query, given)
        self._service.model.__init__()
        self._service.tokens = set(self._first_tokens)
        return self._delete_record(id, query, given)


def _narrowed(name, operation):
    return operation if name in BY_OPERATION else None


def _goal(name, text):
    exact = name == "open" or text.startswith("=")
    return int(text.lstrip("=")), exact
