"""C sources as the rules in this directory read them: no parser, but enough
for code that pgindent has laid out; and which files are shell scripts."""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# All of src/, whatever folder it is in.
C_FILES = "src/**/*.[ch]"
HEADERS = "src/**/*.h"

_COMMENT = r"/\*.*?\*/"
_STRING = r"\"(?:\\.|[^\"\\\n])*\""
_CHAR = r"'(?:\\.|[^'\\\n])*'"
_TOKENS = re.compile(f"({_COMMENT})|({_STRING}|{_CHAR})", re.DOTALL)


def sources(*patterns):
    """(name, text) of each file that matches, in order."""
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            yield str(path.relative_to(ROOT)), path.read_text()


def scripts():
    """(name, text) of each shell script, wherever it lies."""
    for place in (".ci", "test"):
        for path in sorted(ROOT.glob(f"{place}/**/*")):
            if not path.is_file() or path.suffix not in ("", ".sh"):
                continue
            text = path.read_text(errors="replace")
            if path.suffix or re.match(r"#!\S+[/ ](?:ba|da)?sh\b", text):
                yield str(path.relative_to(ROOT)), text


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text):
    """The text with blanks for comments, so that positions stay."""
    return _TOKENS.sub(lambda m: m[2] or _blank(m[1]), text)


def code_only(text):
    """The same with blanks for what is quoted, too."""
    return _TOKENS.sub(
        lambda m: m[2][0] + _blank(m[2][1:-1]) + m[2][0] if m[2]
        else _blank(m[1]), text)


def calls(text, code, names):
    """(offset, name, arguments) of each call of one of these functions."""
    for match in re.finditer(rf"\b({names})\s*\(", code):
        depth, at = 1, match.end()
        while depth and at < len(code):
            depth += {"(": 1, ")": -1}.get(code[at], 0)
            at += 1
        yield match.start(), match[1], text[match.end():at - 1]


def functions(text):
    """(line, length) of each function, from its name to its last brace."""
    lines = code_only(text).split("\n")
    start = None
    for number, line in enumerate(lines, 1):
        # in this layout nothing but functions and types has a brace there
        if re.match(r"\w+\s*\(", line):
            start = number
        elif line.rstrip() == "}" and start:
            yield start, number - start + 1
            start = None
        elif re.match(r"typedef|struct|enum|union|static const|\};", line):
            start = None


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


class Faults:
    """What a rule found; prints as it goes."""

    def __init__(self):
        self._count = 0

    def add(self, name, line, what):
        self._count += 1
        print(f"{name}:{line}: {what}")

    def leave(self):
        sys.exit(1 if self._count else 0)
