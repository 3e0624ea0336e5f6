"""Between connections and scenarios: judges each request, records it, picks
its scenario and lets that answer.

An Exchange is one request being answered, as the scenarios see it.
"""

import asyncio
import sys
import time
import traceback

import contract
from model import Model, error_reply, short_form
from scenarios import UnknownScenario, resolve
from script import Gates, Script, in_band

# Ports that no request of a careful client ever reaches.
FORBIDDEN_PORTS = {
    "wrong_name": "request in spite of a certificate for another name",
    "unknown_ca": "request in spite of a certificate of an unknown CA",
    "other": "request at another host: a redirect was followed",
    "other_tls": "request at another host: a redirect was followed",
}


class Service:
    def __init__(self, record, tokens, ports):
        self.record = record
        self.tokens = set(tokens)
        self.ports = ports  # kind → port number, for Location headers
        self.model = Model()
        self.script = Script()
        self.gates = Gates()
        self.open = set()  # connections
        self.held = 0  # exchanges that wait for something
        self.accepts = 0  # since the start, numbers the connections
        record.gauges.update(
            open=lambda: len(self.open),
            idle=lambda: sum(c.idle for c in self.open),
            held=lambda: self.held,
        )

    # ---- called by Connection

    def accepted(self, connection):
        """A TCP connection, before any TLS handshake. Returns its number."""
        self.accepts += 1
        self.record.bump("connections")
        return self.accepts

    def opened(self, connection):
        self.open.add(connection)
        self.record.changed()

    def closed(self, connection):
        self.open.discard(connection)
        self.record.changed()

    def head_received(self, connection, request):
        """Judges the head; answers at once where the body cannot be waited
        for, or where a scenario acts before the body."""
        head = request.head
        operation, id, token_ok = "unknown", None, False
        if head.method:
            operation, id, faults = contract.route(head.method, head.target)
            request.faults += faults
            token_ok, faults = contract.check_headers(
                head, operation, self.tokens
            )
            request.faults += faults
        if connection.kind in FORBIDDEN_PORTS:
            request.faults.append(FORBIDDEN_PORTS[connection.kind])
        request.entry = self._entry(
            connection, request, operation, id, token_ok
        )
        if head.unreadable or head.all("expect"):
            connection.busy = True
            self.request_received(connection, request)
        elif token_ok and not request.faults:
            self._start_early(connection, request)

    def request_received(self, connection, request):
        """Answers a request whose body has been read, or given up."""
        entry = request.entry
        self._complete(entry, request)
        entry["violations"] = list(dict.fromkeys(request.faults))
        self.record.add(entry)
        exchange = Exchange(self, connection, request)
        reply = self._judge(entry, request)
        if reply:
            exchange.send(reply)
        else:
            self._run(exchange, self._choose(connection, entry, request))

    def request_lost(self, connection, request):
        """The connection ended in the middle of a request."""
        entry = request.entry
        if entry["seq"] is None:
            entry["body"] = _text(request.body)
            entry["violations"] = list(request.faults)
            self.record.add(entry)
            self.record.write(entry)

    # ---- judging

    def _entry(self, connection, request, operation, id, token_ok):
        head = request.head
        return {
            "seq": None,  # given when it joins the record
            "time": time.time(),
            "ended": None,
            "operation": operation,
            "id": id,
            "method": head.method,
            "target": head.target,
            "token_ok": token_ok,
            "headers": _headers_for_record(head, self.tokens),
            "body": "",
            "complete": False,
            "connection": connection.number,
            "nth": request.nth,
            "port": connection.kind,
            "peer": connection.peer,
            "scenario": None,
            "executed": False,
            "instance": None,
            "status": None,
            "violations": [],
        }

    def _complete(self, entry, request):
        """Adds what the body says."""
        entry["time"] = time.time()
        entry["body"] = _text(request.body)
        entry["complete"] = request.complete
        if not request.complete or entry["operation"] == "unknown":
            return
        try:
            entry |= contract.check_body(
                entry["operation"], request.body, self.tokens
            )
        except contract.Fault as fault:
            request.faults.append(str(fault))
        if entry["operation"] == "start":
            entry["id"] = entry.get("model_id")

    def _judge(self, entry, request):
        """The refusal that a request earns, or None."""
        path = request.head.target
        if not entry["token_ok"] and request.head.method:
            return error_reply(401, "Unauthorized", path)
        if request.too_large:
            return error_reply(413, "; ".join(entry["violations"]), path)
        if entry["violations"]:
            return error_reply(400, "; ".join(entry["violations"]), path)
        return None

    # ---- choosing and running

    def _choose(self, connection, entry, request):
        return (
            connection.close_next
            or request.chosen
            or self.script.take(
                entry["operation"], request.head.target, request.body
            )
            or in_band(entry["id"], entry.get("message_name"))
            or "normal"
        )

    def _start_early(self, connection, request):
        """Runs, or only prepares, a scenario that acts before the body."""
        if connection.close_next:
            return
        entry = request.entry
        name = self.script.take_early(entry["operation"], entry["target"])
        name = name or in_band(entry["id"])
        try:
            call = resolve(name) if name else None
        except UnknownScenario:
            return  # is said when the body is in
        if call and call.scenario.prepare:
            request.chosen = name
            call.scenario.prepare(connection, *call.args)
        elif call and call.scenario.early:
            connection.busy = True
            self.record.add(entry)
            self._run(Exchange(self, connection, request), name)

    def _run(self, exchange, name):
        """Lets a scenario answer; a waiting one gets a task of its own."""
        exchange.entry["scenario"] = name
        try:
            exchange.call = resolve(name)
            result = exchange.call.start(exchange)
        except Exception as error:
            exchange.fail(error)
            return
        if result is not None:
            exchange.connection.task = asyncio.ensure_future(
                self._watch(exchange, result)
            )

    async def _watch(self, exchange, coroutine):
        try:
            await coroutine
        except Exception as error:
            exchange.fail(error)


def _text(body):
    return body.decode("utf-8", "backslashreplace")


def _headers_for_record(head, tokens):
    """Without the token; repeated headers are joined by a comma."""
    headers = {}
    for name, value in head.headers:
        if name == contract.TOKEN_HEADER:
            value = "ok" if value in tokens else "bad"
        if name in headers:
            value = f"{headers[name]}, {value}"
        headers[name] = value
    return headers


class Exchange:
    """One request being answered. A scenario ends it in exactly one way:
    send(), done() after raw bytes, close() or reset()."""

    def __init__(self, service, connection, request):
        self.service = service
        self.connection = connection
        self.request = request
        self.entry = request.entry
        self.call = None  # the resolved scenario
        self._reply = None

    @property
    def sent_token(self):
        return self.request.head.first(contract.TOKEN_HEADER) or ""

    # ---- what Domo does

    def execute(self):
        """Carries the request out, once."""
        model = self.service.model
        if self.entry["executed"]:
            return
        if not model.exists(self.entry["operation"], self.entry["id"]):
            self._reply = self.error(404, "no such instance")
            return
        self._reply = model.perform(self.entry)
        self.service.record.executed(self.entry)

    def normal(self):
        """Domo's own reply, whether or not the request was carried out."""
        return self._reply or Model().perform(dict(self.entry))

    def instance(self):
        """The instance object that the reply has to tell of, as a copy."""
        entry, model = self.entry, self.service.model
        instance = model.instances.get(entry["instance"] or entry["id"])
        instance = dict(instance or model.blank(entry))
        if entry["operation"] == "start":
            return short_form(instance) | {"status": "null"}
        return instance | {"id": entry["id"]}

    def error(self, status, message="the stand-in was told so", /, **fields):
        return error_reply(status, message, self.request.head.target, **fields)

    # ---- what the client gets

    def note(self, status=None):
        """Writes the entry to the file: what comes next, the client sees."""
        if status is not None:
            self.entry["status"] = status
        self.service.record.write(self.entry)

    def send(self, reply):
        self.note(reply.status)
        extra = ()
        if not self.request.complete:
            extra = (("Connection", "close"),)
        self.connection.write(reply.encode(extra))
        self.done()

    def begin(self, reply, length=True):
        """Sends only the head of a reply; raw() sends the rest."""
        self.note(reply.status)
        self.connection.write(reply.head(length))

    def raw(self, data):
        self.connection.write(data)

    async def stream(self, data):
        """raw(), but no faster than the client reads."""
        self.connection.write(data)
        await self.connection.drain()

    def done(self):
        """The reply is complete."""
        self.connection.finish()

    def close(self):
        self.connection.close()

    def reset(self):
        self.connection.reset()

    async def hold(self, awaitable=None):
        """Waits, for ever where nothing is given. The task is cancelled when
        the client goes away."""
        self.service.held += 1
        self.service.record.changed()
        try:
            await (awaitable or asyncio.get_running_loop().create_future())
        finally:
            self.service.held -= 1
            self.service.record.changed()

    def fail(self, error):
        """A scenario that does not exist or does not work must be noticed."""
        if not isinstance(error, UnknownScenario):
            traceback.print_exception(error, file=sys.stderr)
        self.service.record.violation(self.entry, f"stand-in: {error}")
        self.send(self.error(500, f"stand-in: {error}"))
