"""Replies that repeat the client's token: in each place of a reply, in each
way to write it.
"""

import base64
from dataclasses import replace

from http_server import Reply
from model import dumps
from replies import HTML, TEXT

_MARK = "@TOKEN@"


def _escapes(pattern):
    return lambda secret: "".join(pattern % ord(c) for c in secret)


def _encoded(encode, before):
    """Without padding, behind so many other bytes."""

    def write(secret):
        data = b"y" * before + secret.encode() + b"z"
        return encode(data).decode().rstrip("=")

    return write


# How the token may be written, within a string of JSON too.
FORMS = {
    "plain": str,
    "json": _escapes("\\u%04x"),
    "json-twice": _escapes("\\\\u%04X"),
    "percent": _escapes("%%%02X"),
    "percent-lower": _escapes("%%%02x"),
    "percent-twice": _escapes("%%25%02X"),
    "html": _escapes("&#%d;"),
    "base64-0": _encoded(base64.b64encode, 0),
    "base64-1": _encoded(base64.b64encode, 1),
    "base64-2": _encoded(base64.b64encode, 2),
    "base64url-0": _encoded(base64.urlsafe_b64encode, 0),
    "base64url-1": _encoded(base64.urlsafe_b64encode, 1),
    "base64url-2": _encoded(base64.urlsafe_b64encode, 2),
}


def _good(**fields):
    return lambda x: Reply(200, dumps(x.instance() | fields))


def _error(**fields):
    return lambda x: x.error(403, **fields)


def _header(status, name):
    return lambda x: replace(x.error(status), headers=((name, _MARK),))


# Where it may stand: replies with a mark in its place.
PLACES = {
    "retry-after": _header(429, "Retry-After"),
    "location": _header(303, "Location"),
    "content-type": lambda x: replace(x.error(403), content_type=_MARK),
    "message": lambda x: x.error(403, f"bad {_MARK}!"),
    "reason": lambda x: x.error(403, None, statusReason=f"bad {_MARK}!"),
    "path": _error(path=f"/{_MARK}"),
    "toe": _error(toe=f"TOE-{_MARK}"),
    "unknown": _error(other=[{_MARK: _MARK}]),
    "text": lambda x: Reply(403, f"[bad] {_MARK}!".encode(), TEXT),
    "html": lambda x: Reply(
        502, f"<html><title>bad {_MARK}</title></html>".encode(), HTML
    ),
    "id": _good(id=_MARK),
    "model-name": _good(modelName=f"of {_MARK}."),
    "status": _good(status=_MARK),
    "key": _good(**{_MARK: "x"}),
    "deep": _good(other=[[{"a": _MARK}]]),
    "numbers": _good(other=[1.10, _MARK]),
    "permissions": lambda x: Reply(200, dumps([{"id": _MARK}])),
}

# Those whose reply is a success.
GOOD = {"id", "model-name", "status", "key", "deep", "numbers", "permissions"}


def build(place, form, x):
    """The Reply with the token in its place."""
    reply = PLACES[place](x)
    secret = FORMS[form](x.sent_token)

    def put(value):
        return value.replace(_MARK, secret) if value else value

    return replace(
        reply,
        body=reply.body.replace(_MARK.encode(), secret.encode()),
        content_type=put(reply.content_type),
        headers=tuple((name, put(value)) for name, value in reply.headers),
    )
