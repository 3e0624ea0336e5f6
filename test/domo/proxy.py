"""A forward proxy, to test that domowf uses the one that it was told of, and
none that only the environment names.

Goes to loopback and nowhere else. Understands CONNECT, and http:// targets,
for which it serves one request a connection.
"""

import asyncio
import re

_TARGET = re.compile(
    r"(?:http://)?(127\.0\.0\.1|localhost):(\d{1,5})(/\S*)?\Z"
)
_REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"


class Proxy:
    """Counts in the record what is asked of it, refusals too."""

    def __init__(self, record):
        self._record = record

    async def serve(self, reader, writer):
        """One connection of asyncio.start_server."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            self._record.bump("proxied")
            await self._forward(head.decode("latin-1"), reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # either side may break off
        finally:
            writer.close()

    async def _forward(self, head, reader, writer):
        request_line, _, headers = head.partition("\r\n")
        method, target, _ = request_line.split(" ")
        match = _TARGET.match(target)
        if not match:
            writer.write(_REFUSAL)
            return
        _, port, path = match.groups()
        upstream = await asyncio.open_connection("127.0.0.1", int(port))
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            first = f"{method} {path or '/'} HTTP/1.1\r\nConnection: close\r\n"
            upstream[1].write((first + _own(headers)).encode("latin-1"))
        await asyncio.gather(
            _pump(reader, upstream[1]), _pump(upstream[0], writer)
        )


def _own(headers):
    """Without what is meant for the proxy itself."""
    lines = headers.split("\r\n")
    mine = ("proxy-", "connection:")
    return "\r\n".join(x for x in lines if not x.lower().startswith(mine))


async def _pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
