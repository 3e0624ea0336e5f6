"""The table of bodies for the scenario reply:KEY.

Each entry builds a Reply from the exchange that it answers. A 2xx means that
Domo did the thing, everything else that it did not, unless the scenario's
suffix says otherwise.
"""

import json
from dataclasses import replace

from http_server import Reply
from model import USER, dumps

HTML = "text/html;charset=UTF-8"
TEXT = "text/plain;charset=UTF-8"

BLOCKED_PAGE = b"""<!DOCTYPE html>
<html><head><title>Domo - Blocked</title></head>
<body><h1>Your IP address is not on the list of allowed addresses.</h1></body>
</html>
"""

# Key → (status, function from the exchange to a body or a whole Reply).
REPLIES = {}


def _reply(key, status=200):
    def register(build):
        assert key not in REPLIES
        REPLIES[key] = (status, build)
        return build

    return register


def build(key, x):
    """The Reply for a key of the table."""
    status, function = REPLIES[key]
    body = function(x)
    return body if isinstance(body, Reply) else Reply(status, body)


# ---- bodies that differ from Domo's own in some fields

_FIELDS = {
    "status-json-null": {"status": None},
    "status-string-null": {"status": "null"},
    "status-in-progress": {"status": "IN_PROGRESS"},
    "status-not-started": {"status": "NOT_STARTED"},
    "status-canceled": {"status": "CANCELED"},
    "status-cancelled": {"status": "CANCELLED"},
    "status-completed": {"status": "COMPLETED"},
    "status-failed": {"status": "FAILED"},
    "status-unknown": {"status": "PONDERING"},
    "epoch-ms": {"createdOn": 1700062137479, "updatedOn": 1700062138001},
    "times-other-zone": {"createdOn": "2023-11-15T16:28:57.479+01:00"},
    "times-without-ms": {"createdOn": "2023-11-15T15:28:57Z"},
    "times-nonsense": {"createdOn": "yesterday", "updatedOn": 1e300},
    "all-null": dict.fromkeys(
        "modelId modelName modelVersion createdBy createdOn updatedBy "
        "updatedOn status isTestRun deploymentId".split()
    ),
    "wrong-types": {
        "modelName": 7,
        "modelVersion": {"major": 1},
        "createdBy": 8811501,
        "createdOn": True,
        "updatedBy": [USER],
        "status": 4,
        "isTestRun": "no",
    },
    "extra-fields": {
        "surprise": {"nested": [1, 2.5, None, "x"]},
        "engine": "zeebe",
        "Id": "not the id",
    },
    "id-number": {"id": 4711},
    "id-null": {"id": None},
    "id-empty": {"id": ""},
    "id-object": {"id": {"value": "x"}},
    "id-long": {"id": "i" * 100_000},
    "id-dots": {"id": ".."},
    "id-odd": {"id": "a/b?c#d%20e'f\"g\\h ü"},
    "unicode": {"modelName": "Größe 流程 🚀 \u202eabc", "createdBy": "Zoë"},
}


def _with_fields(fields):
    return lambda x: dumps(x.instance() | fields)


for _key, _fields in _FIELDS.items():
    _reply(_key)(_with_fields(_fields))


@_reply("only-id")
def _only_id(x):
    return dumps({"id": x.instance()["id"]})


@_reply("no-id")
def _no_id(x):
    instance = x.instance()
    del instance["id"]
    return dumps(instance)


@_reply("full")
def _full(x):
    """Pretty-printed, and with every field of the page's two objects."""
    instance = x.instance()
    instance.setdefault("deploymentId", "d-1")
    instance.setdefault("bpmnProcessId", "Process_1")
    instance.setdefault("bpmnProcessName", "Process one")
    instance.setdefault("isTestRun", True)
    return json.dumps(instance, indent=4).encode()


# ---- bodies with text that a JSON printer would not print


def _spliced(text):
    """A good instance object with `text` as one more member."""
    return lambda x: dumps(x.instance())[:-1] + b', "odd": ' + text + b"}"


DEEP = 100_000

for _key, _odd in {
    "duplicate-nested": b'{"a": 1, "a": 2}',
    "invalid-utf8": b'"\xff\xfe\xc3\x28"',
    "nul-byte": b'"a\x00b"',
    "nul-escape": rb'"a\u0000b"',
    "deep": b"[" * DEEP + b"]" * DEEP,
    "deep-unclosed": b"[" * DEEP,
    "deep-objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "lone-surrogate": rb'"a\ud800b"',
    "nul-escape-key": rb'{"a\u0000b": true}',
    "lone-surrogate-key": rb'{"a\ud800b": true}',
    "huge-number": b"1e400",
    "huge-exponent": b"1e400000",
    "long-integer": b"9" * 5000,
    "nested": rb'{"b": [true, false, null, [], {"": "\u00e9\n"}], "a": {}}',
    "nested-number": b'{"b": [{"c": "x"}, [1.10]], "a": {}}',
    "long-decimal": b"0.1234567890123456789012345678901234567890",
    "raw-control": b'"a\x01b\tc"',
    "number-01": b"01",
    "nan": b"NaN",
    "single-quotes": b"'x'",
    "comment": b"1 /* one */",
    "trailing-comma": b"[1,]",
    "bad-escape": rb'"\x41"',
}.items():
    _reply(_key)(_spliced(_odd))


def _replaced_id(text):
    """A good object whose id is `text`, as it stands."""
    return lambda x: dumps(x.instance() | {"id": "@"}).replace(b'"@"', text, 1)


_reply("nul-escape-id")(_replaced_id(rb'"a\u0000b"'))
_reply("lone-surrogate-id")(_replaced_id(rb'"a\ud800b"'))
_reply("invalid-utf8-id")(_replaced_id(b'"a\xffb"'))



def _replaced_name(text):
    """The same for the name of the model."""
    return lambda x: dumps(x.instance() | {"modelName": "@"}).replace(b'"@"', text, 1)


_reply("nul-escape-name")(_replaced_name(rb'"a\u0000b"'))
_reply("lone-surrogate-name")(_replaced_name(rb'"a\udc00b"'))


@_reply("duplicate-id")
def _duplicate_id(x):
    return dumps(x.instance())[:-1] + b', "id": "another-one"}'


@_reply("truncated")
def _truncated(x):
    return dumps(x.instance())[:-20]


@_reply("bom")
def _bom(x):
    return b"\xef\xbb\xbf" + dumps(x.instance())


@_reply("trailing-garbage")
def _trailing_garbage(x):
    return dumps(x.instance()) + b" and more"


@_reply("two-objects")
def _two_objects(x):
    return dumps(x.instance()) * 2


# ---- bodies that have nothing to do with an instance

for _key, _body in {
    "array": b'[{"id": "1"}]',
    "empty-array": b"[]",
    "object": b'{"ok": true}',
    "empty-object": b"{}",
    "string": b'"2052e10a-d142-4391-a731-2be1ab1c0188"',
    "number": b"42",
    "null": b"null",
    "true": b"true",
    "blank": b"  \r\n ",
    "one-brace": b"{",
}.items():
    _reply(_key)(lambda x, body=_body: body)

for _key, _status, _type, _body in (
    ("empty", 200, "application/json;charset=UTF-8", b""),
    ("empty-untyped", 200, None, b""),
    ("204", 204, None, b""),
    ("text", 200, TEXT, b"fine\n"),
    ("html", 200, HTML, b"<html><body>fine</body></html>\n"),
):
    _reply(_key, _status)(lambda x, r=Reply(_status, _body, _type): r)


@_reply("201", 201)
def _201(x):
    return replace(x.normal(), status=201)


@_reply("202", 202)
def _202(x):
    return replace(x.normal(), status=202)


@_reply("untyped")
def _untyped(x):
    return replace(x.normal(), content_type=None)


@_reply("wrong-type")
def _wrong_type(x):
    return replace(x.normal(), content_type=TEXT)


# ---- error bodies


@_reply("echo-token", 403)
def _echo_token(x):
    secret = x.sent_token
    return x.error(403, f"token {secret} is refused", path=f"/?t={secret}",
                   toe=f"TOE-{secret}", statusReason=f"no {secret}")


@_reply("echo-token-text", 403)
def _echo_token_text(x):
    return Reply(403, f"token {x.sent_token} is refused".encode(), TEXT)


@_reply("echo-token-cut", 403)
def _echo_token_cut(x):
    # a client that reads 1024 bytes has all of the token but its last one
    text = "refused:".ljust(1024 - len(x.sent_token) + 1) + x.sent_token
    return Reply(403, text.encode(), TEXT)


@_reply("echo-token-ok")
def _echo_token_ok(x):
    return dumps(x.instance() | {"modelName": f"named {x.sent_token}"})


@_reply("echo-token-senseless")
def _echo_token_senseless(x):
    return Reply(200, f"hello {x.sent_token}".encode(), TEXT)


@_reply("echo-token-header", 403)
def _echo_token_header(x):
    return replace(x.error(403), headers=(("X-Echo", x.sent_token),))


@_reply("toe-null", 403)
def _toe_null(x):
    return x.error(403, "no toe", toe=None)


@_reply("error-nulls", 403)
def _error_nulls(x):
    return x.error(403, None, path=None, toe=None, status=None,
                   statusReason=None)


@_reply("error-wrong-types", 403)
def _error_wrong_types(x):
    return x.error(403, {"a": 1}, toe=17, status="403", statusReason=[])


@_reply("error-array", 403)
def _error_array(x):
    return b'["no"]'


@_reply("error-truncated", 403)
def _error_truncated(x):
    return x.error(403).body[:-10]


@_reply("error-unicode", 403)
def _error_unicode(x):
    return x.error(403, "kein Zugriff auf 流程 🚀", toe="TÖE")


@_reply("error-newlines", 403)
def _error_newlines(x):
    return x.error(403, "one\r\ntwo\tthree\x1b[31mred", toe="A\nB")


@_reply("error-invalid-utf8", 403)
def _error_invalid_utf8(x):
    return b'{"status":403,"message":"a\xff\xfeb","toe":"TOE-1"}'


@_reply("error-nul", 403)
def _error_nul(x):
    return rb'{"status":403,"message":"a\u0000b","toe":"T\u0000E"}'


@_reply("long-message", 403)
def _long_message(x):
    return x.error(403, "long " * 20_000)


@_reply("long-toe", 403)
def _long_toe(x):
    return x.error(403, "long toe", toe="T" * 100_000)
