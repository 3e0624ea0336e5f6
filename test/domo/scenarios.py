"""The table of scenarios: what may happen to a request instead of Domo's
own reply.

A scenario is called NAME or NAME:ARG[:ARG]. Whether the request is carried
out before the scenario goes on is a property of each, and can be turned
round by a suffix: NAME-executed, NAME-unexecuted.

A handler gets the exchange and its arguments. A plain function answers at
once; a coroutine may wait, and is cancelled when the client goes away.
"""

import asyncio
import email.utils
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import echoes
import replies
from http_server import Reply
from replies import BLOCKED_PAGE, HTML, TEXT

PIECE = 64 * 1024


class UnknownScenario(Exception):
    """No such scenario, or not with such arguments, or not here."""


@dataclass(frozen=True)
class Scenario:
    """`params`: a converter for each argument; the last argument may hold
    colons. `optional` of them have defaults in the handler. `executed`:
    whether Domo does the thing; a function is asked with the arguments.
    `early`: acts when only the head has been read. `prepare`: is called
    with the connection at that time, the handler after the body. `late`:
    the handler itself carries the request out."""

    handler: Callable
    params: tuple = ()
    optional: int = 0
    executed: bool | Callable = True
    early: bool = False
    prepare: Callable | None = None
    late: bool = False


@dataclass(frozen=True)
class Call:
    """A scenario with its arguments. `executes` is the suffix's or the
    scenario's own word on whether Domo does the thing."""

    scenario: Scenario
    args: tuple
    executes: bool
    at_once: bool

    def start(self, x):
        """None, or the coroutine that goes on answering."""
        if self.at_once:
            x.execute()
        return self.scenario.handler(x, *self.args)


_SUFFIXES = {"-executed": True, "-unexecuted": False}


def resolve(text):
    """Reads NAME:ARG…. Raises UnknownScenario."""
    name, _, rest = text.partition(":")
    forced = None
    for suffix, value in _SUFFIXES.items():
        if name not in SCENARIOS and name.endswith(suffix):
            name, forced = name.removesuffix(suffix), value
    scenario = SCENARIOS.get(name)
    if scenario is None or (forced and scenario.early):
        raise UnknownScenario(f"unknown scenario {text}")
    args = _arguments(scenario, text, rest)
    executes = scenario.executed
    if callable(executes):
        executes = executes(*args)
    if forced is not None:
        executes = forced
    at_once = executes and (not scenario.late or forced is True)
    return Call(scenario, args, executes, at_once)


def _arguments(scenario, text, rest):
    limit = len(scenario.params)
    args = rest.split(":", limit - 1) if rest and limit else []
    if len(args) < limit - scenario.optional or (rest and not limit):
        raise UnknownScenario(f"wrong number of arguments: {text}")
    try:
        return tuple(read(arg) for read, arg in zip(scenario.params, args))
    except (ValueError, KeyError):
        raise UnknownScenario(f"wrong argument: {text}") from None


# ---- converters of arguments


def code(text):
    value = int(text)
    if not 200 <= value <= 999:
        raise ValueError("an HTTP status from 200 to 999")
    return value


def number(text):
    value = int(text)
    if value < 0:
        raise ValueError("not negative")
    return value


def reply_key(text):
    if text not in replies.REPLIES:
        raise KeyError(text)
    return text


def place(text):
    if text not in echoes.PLACES:
        raise KeyError(text)
    return text


def form(text):
    if text not in echoes.FORMS:
        raise KeyError(text)
    return text


def _is_success(status, *_):
    return 200 <= status < 300


def _reply_is_success(key):
    return _is_success(replies.REPLIES[key][0])


def _echo_is_success(place, _form):
    return place in echoes.GOOD


# ---- whole replies


def normal(x):
    x.send(x.normal())


def reply(x, key):
    x.send(replies.build(key, x))


def echo(x, place, form):
    x.send(echoes.build(place, form, x))


def status(x, status):
    x.send(x.error(status))


def retry_after(x, status, value):
    """date+N is the HTTP date N seconds from now, date-N one in the past."""
    if value.startswith(("date+", "date-")):
        when = time.time() + int(value.removeprefix("date"))
        value = email.utils.formatdate(when, usegmt=True)
    x.send(replace(x.error(status), headers=(("Retry-After", value),)))


def text(x, status):
    x.send(Reply(status, f"upstream says {status}\n".encode(), TEXT))


def html(x, status):
    page = f"<html><body><h1>{status}</h1></body></html>\n"
    x.send(Reply(status, page.encode(), HTML))


def empty(x, status):
    x.send(Reply(status, b"", None))


def blocked(x):
    x.send(Reply(200, BLOCKED_PAGE, HTML))


def redirect(x, status=303):
    """To the page for addresses that are not allow-listed, on this host."""
    scheme = "https" if "tls" in x.connection.kind else "http"
    host = x.request.head.first("host")
    _redirect(x, status, f"{scheme}://{host}/auth/whitelist/blocked")


def redirect_host(x, status=302):
    """To another host and port, which must never see the token."""
    tls = "tls" in x.connection.kind
    port = x.service.ports["other_tls" if tls else "other"]
    scheme = "https" if tls else "http"
    _redirect(x, status, f"{scheme}://localhost:{port}{x.request.head.target}")


def _redirect(x, status, location):
    x.send(Reply(status, b"", None, (("Location", location),)))


def early_reply(x, status=413):
    """Answers before the body has been read, and closes."""
    x.send(x.error(status))


# ---- good replies in unusual framing


def chunked(x, size=7):
    """The normal reply in chunks of `size` bytes, with extensions."""
    reply = x.normal()
    x.begin(_chunked_head(reply), length=None)
    for at in range(0, len(reply.body), max(size, 1)):
        piece = reply.body[at : at + max(size, 1)]
        x.raw(b"%x;ext=1\r\n%s\r\n" % (len(piece), piece))
    x.raw(b"0\r\n\r\n")
    x.done()


def _chunked_head(reply):
    return replace(reply, headers=(("Transfer-Encoding", "chunked"),))


def until_close(x):
    """No length at all: the end of the connection is the end of the body."""
    reply = x.normal()
    x.begin(reply, length=None)
    x.raw(reply.body)
    x.close()


def close(x):
    """A good reply with Connection: close."""
    x.send(replace(x.normal(), headers=(("Connection", "close"),)))
    x.close()


def http10(x):
    """A good reply of an HTTP/1.0 server, which closes."""
    reply = x.normal()
    x.note(reply.status)
    x.raw(reply.encode().replace(b"HTTP/1.1", b"HTTP/1.0", 1))
    x.close()


def extra_bytes(x):
    """A good reply with bytes after it, on a connection that stays open."""
    reply = x.normal()
    x.note(reply.status)
    x.raw(reply.encode() + b"HTTP/1.1 500 Leftover\r\n\r\n")
    x.done()


def many_1xx(x, count=5):
    """Interim replies before the final one."""
    for turn in range(count):
        x.raw(b"HTTP/1.1 100 Continue\r\n\r\n")
        x.raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a%d>\r\n\r\n" % turn)
    x.send(x.normal())


async def trickle(x, ms):
    """The body one byte each `ms` milliseconds."""
    reply = x.normal()
    x.begin(reply)
    for byte in reply.body:
        await asyncio.sleep(ms / 1000)
        x.raw(bytes((byte,)))
    x.done()


async def delay(x, ms):
    """Carried out at once, answered after `ms` milliseconds."""
    x.note()
    await asyncio.sleep(ms / 1000)
    x.send(x.normal())


# ---- connections that break


def reset_before(x):
    x.note()
    x.reset()


def reset_after(x):
    x.note()
    x.reset()


def close_after(x):
    x.note()
    x.close()


def close_keepalive(x):
    """Good for the first request of a connection, and closes at the next
    one, whatever that one asks for: the race at which a careless client
    sends a second time by itself."""
    connection = x.connection
    if connection.close_next or x.request.nth > 1:
        x.note()
        x.close()
    else:
        connection.close_next = x.entry["scenario"]
        x.send(x.normal())


def half_headers(x):
    x.note(x.normal().status)
    x.raw(x.normal().head()[:40])
    x.close()


def half_body(x):
    reply = x.normal()
    x.begin(reply, length=len(reply.body) + 100)
    x.raw(reply.body[: len(reply.body) // 2])
    x.close()


def half_chunk(x):
    reply = x.normal()
    x.begin(_chunked_head(reply), length=None)
    x.raw(b"%x\r\n%s" % (len(reply.body) + 100, reply.body))
    x.close()


def missing_last_chunk(x):
    """The whole body, but not the chunk that says so."""
    reply = x.normal()
    x.begin(_chunked_head(reply), length=None)
    if reply.body:
        x.raw(b"%x\r\n%s\r\n" % (len(reply.body), reply.body))
    x.close()


def bad_chunk(x):
    """A chunk size that is none."""
    x.begin(_chunked_head(x.normal()), length=None)
    x.raw(b"zz\r\n{}\r\n0\r\n\r\n")
    x.close()


def garbage(x):
    """Bytes that are not HTTP."""
    x.note()
    x.raw(b"\x00\x01SSH-2.0-not-http\r\n\r\n" * 4)
    x.close()


# ---- connections that hang


async def hang(x):
    x.note()
    await x.hold()


async def hang_headers(x):
    """The head, and never a byte of the body."""
    reply = x.normal()
    x.begin(reply, length=max(len(reply.body), 100))
    await x.hold()


async def hang_body(x):
    """Half of the body, and never the rest."""
    reply = x.normal()
    x.begin(reply, length=max(len(reply.body), 100))
    x.raw(reply.body[: len(reply.body) // 2])
    await x.hold()


async def gate(x, name):
    """Waits for POST /release/NAME; then carries out, and answers."""
    x.note()
    await x.hold(x.service.gates.enter(name))
    if x.call.executes:
        x.execute()
    x.send(x.normal())


async def gate_throttled(x, name, value):
    """The same, and is refused: too many requests."""
    x.note()
    await x.hold(x.service.gates.enter(name))
    retry_after(x, 429, value)


async def no_read(x):
    if x.request.complete:
        raise UnknownScenario("no-read came after the body: script it")
    x.connection.stop_reading()
    x.note()
    await x.hold()


def prepare_slow_read(connection, ms):
    connection.read_pause = ms / 1000
    connection.read_sparingly(True)


def slow_read(x, ms):
    """Reads the body a few kB each `ms` milliseconds, then answers."""
    if not x.request.chosen:
        raise UnknownScenario("slow-read came after the body: script it")
    x.send(x.normal())


# ---- replies without end


def _padded(x, size):
    """A good object of exactly `size` bytes, as (start, padding, end)."""
    start = b'{"id": "%s", "padding": "' % str(x.instance()["id"]).encode()
    return start, max(size - len(start) - 2, 0), b'"}'


async def oversize(x, size):
    start, padding, end = _padded(x, size)
    x.begin(Reply(200), length=len(start) + padding + len(end))
    await x.stream(start)
    for at in range(0, padding, PIECE):
        await x.stream(b"x" * min(PIECE, padding - at))
    x.raw(end)
    x.done()


async def oversize_chunked(x, size):
    start, padding, end = _padded(x, size)
    x.begin(_chunked_head(Reply(200)), length=None)
    x.raw(b"%x\r\n%s\r\n" % (len(start), start))
    for at in range(0, padding, PIECE):
        piece = b"x" * min(PIECE, padding - at)
        await x.stream(b"%x\r\n%s\r\n" % (len(piece), piece))
    x.raw(b"%x\r\n%s\r\n0\r\n\r\n" % (len(end), end))
    x.done()


async def endless(x):
    """A body in chunks that never ends."""
    x.begin(_chunked_head(Reply(200)), length=None)
    while True:
        await x.stream(b"%x\r\n%s\r\n" % (PIECE, b"x" * PIECE))
        await asyncio.sleep(0)


async def endless_headers(x):
    x.note(200)
    x.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await x.stream(b"X-More: and more\r\n" * 500)
        await asyncio.sleep(0)


async def endless_1xx(x):
    x.note()
    while True:
        await x.stream(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        await asyncio.sleep(0.001)


SCENARIOS = {
    "normal": Scenario(normal),
    "reply": Scenario(reply, (reply_key,), executed=_reply_is_success),
    "echo": Scenario(echo, (place, form), executed=_echo_is_success),
    "status": Scenario(status, (code,), executed=_is_success),
    "retry-after": Scenario(retry_after, (code, str), executed=_is_success),
    "text": Scenario(text, (code,), executed=_is_success),
    "html": Scenario(html, (code,), executed=_is_success),
    "empty": Scenario(empty, (code,), executed=_is_success),
    "blocked": Scenario(blocked, executed=False),
    "redirect": Scenario(redirect, (code,), 1, executed=False),
    "redirect-host": Scenario(redirect_host, (code,), 1, executed=False),
    "early-reply": Scenario(early_reply, (code,), 1, False, early=True),
    "chunked": Scenario(chunked, (number,), 1),
    "until-close": Scenario(until_close),
    "close": Scenario(close),
    "http10": Scenario(http10),
    "extra-bytes": Scenario(extra_bytes),
    "many-1xx": Scenario(many_1xx, (number,), 1),
    "trickle": Scenario(trickle, (number,)),
    "delay": Scenario(delay, (number,)),
    "reset-before": Scenario(reset_before, executed=False, early=True),
    "reset-after": Scenario(reset_after),
    "close-after": Scenario(close_after),
    "close-keepalive": Scenario(close_keepalive),
    "half-headers": Scenario(half_headers),
    "half-body": Scenario(half_body),
    "half-chunk": Scenario(half_chunk),
    "missing-last-chunk": Scenario(missing_last_chunk),
    "bad-chunk": Scenario(bad_chunk),
    "garbage": Scenario(garbage),
    "hang": Scenario(hang),
    "hang-headers": Scenario(hang_headers),
    "hang-body": Scenario(hang_body),
    "gate": Scenario(gate, (str,), late=True),
    "gate-throttled": Scenario(gate_throttled, (str, str), executed=False),
    "no-read": Scenario(no_read, executed=False, early=True),
    "slow-read": Scenario(
        slow_read, (number,), early=True, prepare=prepare_slow_read
    ),
    "oversize": Scenario(oversize, (number,)),
    "oversize-chunked": Scenario(oversize_chunked, (number,)),
    "endless": Scenario(endless),
    "endless-headers": Scenario(endless_headers),
    "endless-1xx": Scenario(endless_1xx),
}
