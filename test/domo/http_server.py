"""HTTP/1.1 for the stand-in: bytes in, requests out.

Written by hand because the stand-in must see what a library would hide (two
Content-Length headers, obsolete folding, an Expect header) and do what a
library would refuse (stop in the middle of a reply, reset a connection).

Knows neither Domo nor scenarios: what a request means is decided by the
`service` that each connection is given, which has to offer opened(),
head_received(), request_received(), request_lost() and closed().
"""

import asyncio
import functools
import re
import socket
import struct
import time
from dataclasses import dataclass, field

MAX_HEAD = 64 * 1024
MAX_BODY = 8 * 1024 * 1024

# How long a connection that was answered early is still read, so that the
# reply is not destroyed by the reset that unread bytes would cause.
LINGER_SECONDS = 2.0

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*\Z")
_REQUEST_LINE = re.compile(r"([A-Z]+) ([\x21-\x7e]+) HTTP/(\d\.\d)\Z")
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_LENGTH = re.compile(r"[0-9]{1,10}\Z")


@dataclass(frozen=True)
class Head:
    """A parsed request head. `faults` names everything wrong with it;
    `unreadable` says that where its body ends cannot be known."""

    method: str
    target: str
    version: str
    headers: tuple  # of (lower-case name, value)
    faults: tuple
    length: int | None = None
    chunked: bool = False
    unreadable: bool = False

    def all(self, name):
        return [value for key, value in self.headers if key == name]

    def first(self, name):
        values = self.all(name)
        return values[0] if values else None


# The heads of one client hardly differ from request to request.
@functools.lru_cache(maxsize=512)
def parse_head(raw):
    """Parses the bytes before the empty line. Never raises."""
    faults = []
    lines = raw.decode("latin-1").split("\r\n")
    if "\n" in raw.decode("latin-1").replace("\r\n", ""):
        faults.append("bare line feed in the head")
    match = _REQUEST_LINE.match(lines[0])
    if not match:
        faults.append("malformed request line")
        return Head("", "", "", (), tuple(faults), unreadable=True)
    headers = _parse_headers(lines[1:], faults)
    head = Head(*match.groups(), tuple(headers), ())
    length, chunked, unreadable = _framing(head, faults)
    _check_protocol(head, faults)
    return Head(
        *match.groups(), tuple(headers), tuple(faults),
        length, chunked, unreadable,
    )


def _parse_headers(lines, faults):
    headers = []
    for line in lines:
        name, colon, value = line.partition(":")
        if line[:1] in (" ", "\t"):
            faults.append("folded header line")
        elif not colon or not _TOKEN.match(name):
            faults.append("malformed header line")
        elif not _VALUE.match(value):
            faults.append(f"control character in header {name}")
        else:
            headers.append((name.lower(), value.strip(" \t")))
    return headers


def _framing(head, faults):
    """Where the body ends: (length, chunked, unreadable)."""
    lengths = head.all("content-length")
    codings = head.all("transfer-encoding")
    if codings and lengths:
        faults.append("both Content-Length and Transfer-Encoding")
        return None, False, True
    if len(lengths) > 1:
        faults.append("more than one Content-Length")
        return None, False, True
    if lengths and not _LENGTH.match(lengths[0]):
        faults.append("malformed Content-Length")
        return None, False, True
    if codings and [c.lower() for c in codings] != ["chunked"]:
        faults.append("unknown Transfer-Encoding")
        return None, False, True
    return (int(lengths[0]) if lengths else None), bool(codings), False


def _check_protocol(head, faults):
    if head.version != "1.1":
        faults.append(f"HTTP/{head.version} instead of HTTP/1.1")
    hosts = len(head.all("host"))
    if hosts != 1:
        faults.append("missing Host" if hosts == 0 else "more than one Host")
    if head.all("expect"):
        faults.append("Expect header")


@dataclass
class Request:
    """One request on a connection. `nth` counts from 1 on its connection."""

    head: Head
    nth: int
    body: bytearray = field(default_factory=bytearray)
    faults: list = field(default_factory=list)
    complete: bool = False
    too_large: bool = False
    entry: dict | None = None  # what the record says of it
    chosen: str | None = None  # a scenario that was fixed with the head


REASONS = {
    100: "Continue", 103: "Early Hints", 200: "OK", 201: "Created",
    202: "Accepted", 204: "No Content", 301: "Moved Permanently",
    302: "Found", 303: "See Other", 304: "Not Modified",
    307: "Temporary Redirect", 308: "Permanent Redirect",
    400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
    404: "Not Found", 405: "Method Not Allowed", 408: "Request Timeout",
    409: "Conflict", 411: "Length Required", 413: "Content Too Large",
    415: "Unsupported Media Type", 422: "Unprocessable Content",
    429: "Too Many Requests", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 502: "Bad Gateway",
    503: "Service Unavailable", 504: "Gateway Timeout",
}


@dataclass
class Reply:
    """A reply that is not yet bytes. With `length` None no Content-Length
    is printed; `headers` are (name, value) pairs on top of the usual ones."""

    status: int
    body: bytes = b""
    content_type: str | None = "application/json;charset=UTF-8"
    headers: tuple = ()

    def head(self, length=True, extra=()):
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Odd')}"]
        if self.content_type:
            lines.append(f"Content-Type: {self.content_type}")
        if length is True:
            length = len(self.body)
        if length is not None and self.status not in (204, 304):
            lines.append(f"Content-Length: {length}")
        lines += [f"{name}: {value}" for name, value in self.headers]
        lines += [f"{name}: {value}" for name, value in extra]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def encode(self, extra=()):
        if self.status in (204, 304):
            return self.head(extra=extra)
        return self.head(extra=extra) + self.body


class Connection(asyncio.Protocol):
    """One accepted connection: a loop of head, body, answer.

    While a request is being answered (`busy`) further bytes only pile up in
    the buffer; finish() goes on with them."""

    def __init__(self, service, kind):
        self.service = service
        self.kind = kind  # which port: plain, tls, other, …
        self.number = service.accepted(self)
        self.transport = None
        self.buffer = bytearray()
        self.request = None
        self.requests = 0
        self.busy = False
        self.discarding = False
        self.close_next = None  # set by the scenario close-keepalive
        self.read_pause = 0.0  # set by the scenario slow-read
        self.task = None  # the scenario that is answering, when it waits
        self.peer = None
        self._writable = asyncio.Event()
        self._writable.set()

    # ---- called by asyncio

    def connection_made(self, transport):
        self.transport = transport
        self.peer = "%s:%d" % transport.get_extra_info("peername")[:2]
        self.service.opened(self)

    def eof_received(self):
        self._end()

    def connection_lost(self, exc):
        self._end()
        if self.task:
            self.task.cancel()
        self._writable.set()
        if self.request and not self.request.complete:
            self.service.request_lost(self, self.request)
        self.service.closed(self)

    def data_received(self, data):
        if self.discarding:
            return
        self.buffer += data
        self._advance()
        if self.read_pause:
            self._pause_reading()

    def pause_writing(self):
        self._writable.clear()

    def resume_writing(self):
        self._writable.set()

    # ---- reading

    @property
    def idle(self):
        """Nothing of a request here, but there has been one before."""
        return self.requests > 0 and not self.request and not self.buffer

    def _advance(self):
        while not self.busy and not self.discarding:
            if self.request is None and not self._take_head():
                return
            if self.busy or self.discarding or not self._take_body():
                return
            self.request.complete = True
            self.busy = True
            self.service.request_received(self, self.request)

    def _take_head(self):
        """True when a head was taken; it is then self.request."""
        if not self.buffer:
            return False
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return self._judge_partial_head()
        head = parse_head(bytes(self.buffer[:end]))
        del self.buffer[: end + 4]
        self._begin(head)
        return True

    def _judge_partial_head(self):
        """Does not wait for the end of what is no head, or a huge one."""
        fault = None
        if not 0x41 <= self.buffer[0] <= 0x5A:
            fault = "not HTTP"
        elif len(self.buffer) > MAX_HEAD:
            fault = "head too large"
        if fault:
            self._begin(Head("", "", "", (), (fault,), unreadable=True))
        return False

    def _begin(self, head):
        self.requests += 1
        self.request = Request(head, self.requests, faults=list(head.faults))
        self.service.head_received(self, self.request)

    def _take_body(self):
        """True when the body is complete."""
        head, body = self.request.head, self.request.body
        if head.chunked:
            return self._take_chunks()
        wanted = (head.length or 0) - len(body)
        body += self.buffer[:wanted]
        del self.buffer[:wanted]
        if len(body) > MAX_BODY:
            return self._refuse_large()
        return len(body) == (head.length or 0)

    def _take_chunks(self):
        while True:
            end = self.buffer.find(b"\r\n")
            if end < 0:
                return False
            if not _CHUNK_SIZE.match(self.buffer[:end]):
                return self._refuse("malformed chunk")
            size = int(self.buffer[:end], 16)
            stop = end + 2 + size
            if len(self.request.body) + size > MAX_BODY:
                return self._refuse_large()
            if len(self.buffer) < stop + 2:
                return False
            if self.buffer[stop : stop + 2] != b"\r\n":
                return self._refuse("malformed chunk, or a trailer")
            self.request.body += self.buffer[end + 2 : stop]
            del self.buffer[: stop + 2]
            if size == 0:
                return True

    def _refuse_large(self):
        self.request.too_large = True
        return self._refuse("body too large")

    def _refuse(self, fault):
        """Gives up on a body; the service answers and the rest is thrown
        away."""
        self.request.faults.append(fault)
        self.busy = True
        self.service.request_received(self, self.request)
        return False

    def stop_reading(self):
        """Takes no more bytes, so that the sender blocks. A peer that closes
        goes unnoticed from here on: its FIN waits behind the shut window."""
        self.read_sparingly(True)
        self.transport.pause_reading()

    def read_sparingly(self, on):
        """Keeps asyncio's TLS from reading 256 kB ahead."""
        set_limits = getattr(self.transport, "set_read_buffer_limits", None)
        if set_limits:
            set_limits(1 if on else None)

    def _pause_reading(self):
        def resume():
            if not self.transport.is_closing():
                self.transport.resume_reading()

        if self.request and not self.busy and not self.transport.is_closing():
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(self.read_pause, resume)

    # ---- writing

    def write(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self):
        await self._writable.wait()

    def finish(self):
        """The reply is written. Goes on with the next request, or closes
        where the client asked for it or its request was not read."""
        self._end()
        request, self.request = self.request, None
        self.busy = False
        self.task = None
        if self.read_pause:
            self.read_pause = 0.0
            self.read_sparingly(False)
        if not request.complete:
            self.close_gently()
        elif "close" in (request.head.first("connection") or "").lower():
            self.close()
        elif self.buffer:
            asyncio.get_running_loop().call_soon(self._advance)

    def _end(self):
        """The request at hand, if any, is in flight no longer."""
        entry = self.request and self.request.entry
        if entry and entry["ended"] is None:
            entry["ended"] = time.time()

    def close(self):
        self._end()
        self.discarding = True
        self.transport.close()

    def close_gently(self):
        """Closes for writing and throws away what still comes in."""
        self.discarding = True
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.transport.resume_reading()
        loop = asyncio.get_running_loop()
        loop.call_later(LINGER_SECONDS, self.transport.close)

    def reset(self):
        """Ends the connection with a RST."""
        self._end()
        self.discarding = True
        sock = self.transport.get_extra_info("socket")
        try:
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
        except (OSError, AttributeError):
            pass  # the peer was faster, or its TLS is already shutting down
        self.transport.abort()
