"""What Domo's API page allows, and nothing else.

Pure functions from a request to its meaning and its faults. They know
nothing of connections, scenarios or the record. Whatever the page does not
say is a fault here, so that a test fails when domowf begins to send it.
"""

import json
import math
import re
import sys
import urllib.parse
from json.decoder import scanstring

MAX_DATA = 1024 * 1024  # "a variable can have a maximum size of 1 MB"
TOKEN_HEADER = "x-domo-developer-token"

# jsonb nests deeper than Python's default allows. From 3.12 on Python has a
# limit of its own for this; 1,000 levels pass everywhere.
sys.setrecursionlimit(20000)

_INSTANCES = "/api/workflow/v1/instances/"
_MODELS = "/api/workflow/v1/models/"
_ROUTES = (  # operation, method, path with the id as its group
    ("start", "POST", re.compile(_INSTANCES + r"(message)\Z")),
    ("cancel", "POST", re.compile(_INSTANCES + r"([^/]+)/cancel\Z")),
    (
        "set_permissions", "POST",
        re.compile(_MODELS + r"([^/]+)/permissions\Z"),
    ),
    ("read", "GET", re.compile(_INSTANCES + r"([^/]+)\Z")),
)
_PCHARS = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=:@%/]*\Z")
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_JSON_TYPE = re.compile(
    r"application/json(\s*;\s*charset=\"?utf-8\"?)?\Z", re.IGNORECASE
)
_SPACE = re.compile(r"[ \t\n\r]*")


class Fault(Exception):
    """Something that the page does not allow."""


# ---- the request line


def route(method, target):
    """(operation, id, faults). The id of a start is in its body: None."""
    faults = _target_faults(target)
    path = re.split(r"[?#]", target)[0]
    for operation, wanted, pattern in _ROUTES:
        match = pattern.match(path)
        if match and method == wanted:
            segment = None if operation == "start" else match.group(1)
            return operation, _decode(segment, faults), faults
    if any(pattern.match(path) for _, _, pattern in _ROUTES):
        faults.append(f"method {method} is not allowed here")
    else:
        faults.append("no such path")
    return "unknown", None, faults


def _target_faults(target):
    faults = []
    if not target.startswith("/"):
        faults.append("target is not a path")
    if "?" in target:
        faults.append("query string")
    if "whitelist/blocked" in target:
        faults.append("a redirect was followed")
    if "#" in target:
        faults.append("fragment in the target")
    if not _PCHARS.match(re.split(r"[?#]", target)[0]):
        faults.append("character in the path that needs percent-encoding")
    if target.startswith("/"):
        segments = re.split(r"[?#]", target)[0].split("/")[1:]
        if any(_unquote(s) in ("", ".", "..") for s in segments):
            faults.append("path is not normalised")
    return faults


def _unquote(segment):
    return urllib.parse.unquote(segment, errors="replace")


def _decode(segment, faults):
    """Percent-decodes an id once."""
    if segment is None:
        return None
    if _BAD_PERCENT.search(segment):
        faults.append("malformed percent-encoding")
    try:
        text = urllib.parse.unquote(segment, errors="strict")
    except UnicodeDecodeError:
        faults.append("path segment is not UTF-8")
        text = _unquote(segment)
    if "/" in text:
        faults.append("slash inside a path segment")
    if _CONTROL.search(text):
        faults.append("control character in a path segment")
    return text


# ---- the headers


def check_headers(head, operation, tokens):
    """(token_ok, faults)."""
    faults = []
    sent = head.all(TOKEN_HEADER)
    if len(sent) != 1:
        faults.append(f"{len(sent)} X-DOMO-Developer-Token headers")
    for name, _ in head.headers:
        if name.startswith("proxy-"):
            faults.append(f"header {name} at the origin")
    _check_secrecy(head, {*sent, *tokens}, faults)
    types = head.all("content-type")
    if len(types) > 1 or (types and not _JSON_TYPE.match(types[0])):
        faults.append("Content-Type is not application/json")
    if operation in ("start", "set_permissions"):
        if not types:
            faults.append("missing Content-Type")
        if head.length is None and not head.chunked and not head.unreadable:
            faults.append("neither Content-Length nor chunked")
    elif head.length or head.chunked:
        faults.append("a body where the page has none")
    return len(sent) == 1 and sent[0] in tokens, faults


def _check_secrecy(head, secrets, faults):
    """The token belongs into its header and nowhere else. Short ones are not
    looked for: they turn up by chance."""
    for secret in secrets:
        if len(secret) < 8:
            continue
        if secret in head.target or secret in _unquote(head.target):
            faults.append("the token is in the URL")
        for name, value in head.headers:
            if name != TOKEN_HEADER and secret in value:
                faults.append(f"the token is in header {name}")


# ---- the bodies


def check_body(operation, body, tokens):
    """What a complete body says, as fields for the record: {} where there is
    none, `model_id`, `message_name`, `version`, `data`, `data_text` of a
    start, `data` of set_permissions. Raises Fault."""
    if operation not in ("start", "set_permissions"):
        if body:
            raise Fault("a body where the page has none")
        return {}
    text = _decode_text(body)
    if any(len(t) >= 8 and t in text for t in tokens):
        raise Fault("the token is in the body")
    try:
        return _CHECKS[operation](text)
    except RecursionError:
        raise Fault("body nests too deep for the stand-in") from None
    except ValueError as error:
        raise Fault(f"body is not JSON: {error}") from None


def _decode_text(body):
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise Fault("body is not UTF-8") from None


def _check_start(text):
    members = _members(text)
    wanted = {"messageName", "version", "modelId", "data"}
    if set(members) != wanted:
        odd = ", ".join(sorted(set(members) ^ wanted))
        raise Fault(f"start body: missing or unknown: {odd}")
    for key in ("messageName", "version", "modelId"):
        if not isinstance(members[key][0], str) or not members[key][0]:
            raise Fault(f"start body: {key} is not a string with text")
    data, start, end = members["data"]
    if not isinstance(data, dict):
        raise Fault("start body: data is not an object")
    data_text = text[start:end]
    if len(data_text.encode()) > MAX_DATA:
        raise Fault("start body: data is larger than 1 MB")
    return {
        "model_id": members["modelId"][0],
        "message_name": members["messageName"][0],
        "version": members["version"][0],
        "data": data,
        "data_text": data_text,
    }


def _check_permissions(text):
    entries = _DECODER.decode(text)
    if not isinstance(entries, list):
        raise Fault("permissions body is not an array")
    for number, entry in enumerate(entries, 1):
        fault = _permission_fault(entry)
        if fault:
            raise Fault(f"permissions body: entry {number}: {fault}")
    return {"data": entries}


def _permission_fault(entry):
    if not isinstance(entry, dict):
        return "not an object"
    odd = set(entry) - {"id", "type", "permissions", "name"}
    if odd:
        return "unknown: " + ", ".join(sorted(odd))
    if not isinstance(entry.get("id"), str) or not entry["id"]:
        return "id is not a string with text"
    if entry.get("type") not in ("USER", "GROUP"):
        return "type is neither USER nor GROUP"
    names = entry.get("permissions")
    if not isinstance(names, list):
        return "permissions is not an array"
    if not all(isinstance(name, str) for name in names):
        return "permissions are not all strings"
    if "name" in entry and not isinstance(entry["name"], str):
        return "name is not a string"
    return None


_CHECKS = {"start": _check_start, "set_permissions": _check_permissions}


# ---- JSON, stricter than Python's


def _unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Fault("body: duplicate key")
    return members


def _refuse_constant(name):
    raise ValueError(f"{name} is not JSON")


# Numbers that Python or a reader of the record could not hold stay text. The
# digits as sent are in the record's `body` and `data_text` in any case.
def _integer(digits):
    return int(digits) if len(digits) <= 400 else digits


def _real(digits):
    value = float(digits)
    return value if math.isfinite(value) else digits


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique,
    parse_constant=_refuse_constant,
    parse_int=_integer,
    parse_float=_real,
)


def _members(text):
    """The members of the object in `text`: {key: (value, start, end)}, with
    the place of each value, which JSONDecoder does not tell."""
    members = {}
    at = _skip(text, _after(text, _skip(text, 0), "{"))
    while text[at : at + 1] != "}" or members:
        key, at = scanstring(text, _after(text, at, '"'), True)
        start = _skip(text, _after(text, _skip(text, at), ":"))
        value, at = _DECODER.raw_decode(text, start)
        if key in members:
            raise Fault(f"body: duplicate key {key}")
        members[key] = (value, start, at)
        at = _skip(text, at)
        if text[at : at + 1] != ",":
            break
        at = _skip(text, at + 1)
    if _skip(text, _after(text, at, "}")) != len(text):
        raise ValueError("text after the object")
    return members


def _skip(text, at):
    return _SPACE.match(text, at).end()


def _after(text, at, expected):
    if text[at : at + 1] != expected:
        raise ValueError(f"{expected} expected at character {at}")
    return at + 1
