"""Reads JSON, a value a line, and writes it anew: digits as they were, all else
as Python understood it, so that who compares the two compares parsers."""

import json
import sys


class Number(str):
    """A number's own digits."""


def write(value):
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{%s}" % ", ".join(f"{json.dumps(k)}: {write(v)}" for k, v in value.items())
    if isinstance(value, list):
        return "[%s]" % ", ".join(map(write, value))
    return json.dumps(value)


def refuse(word):
    raise ValueError(f"{word} is no JSON")


def unique(pairs):
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a key stands twice")
    return members


for line in sys.stdin:
    print(write(json.loads(line, parse_int=Number, parse_float=Number,
                           parse_constant=refuse, object_pairs_hook=unique)))
