"""The small changes that test/run/mutants makes to C code.

all_changes(TEXT) lists them, each a Change: what to put in place of which part
of the text, and in words what that is.  None moves a line.  Whether the outcome
compiles, or means anything else than before, is for the compiler to say.

Must read C as pgindent lays it out, and no better.
"""

import collections
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "ci"))

from source import code_only, line_of  # noqa: E402

Change = collections.namedtuple("Change", "line start end put words")

OTHER = {
    "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==",
    "&&": "||", "||": "&&", "+": "-", "-": "+", "+=": "-=", "-=": "+=",
    "++": "--", "--": "++", "true": "false", "false": "true",
}

# An operator between operands has blanks around it; ++ and -- have none.
BETWEEN = re.compile(r"(?<= )(<=?|>=?|==|!=|&&|\|\||\+=?|-=?)(?=[ \n])")
STEP = re.compile(r"\+\+|--")
TRUTH = re.compile(r"\b(true|false)\b")
NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
CONDITION = re.compile(r"\b(if|while) (?=\()")
ELSE = re.compile(r"\belse\b")

# What follows an indent and is no declaration: a call, an assignment, a jump.
STATEMENT = re.compile(
    r"^\t+((?!(?:if|for|while|switch|return|else|do|case|goto|sizeof)\b)"
    r"(?:\(void\) ?)?(?:\*+|\(\*+\w+\) ?|(?:\+\+|--))?"
    r"[A-Za-z_][\w.\[\]>+-]*? ?(?:\(|[-+|&]?= |\+\+;|--;)"
    r"|(?:break|continue);)", re.MULTILINE)


def closing(code, at):
    """Where the parenthesis at `at` ends."""
    depth = 0
    for place in range(at, len(code)):
        depth += {"(": 1, ")": -1}.get(code[place], 0)
        if not depth:
            return place
    return None


def end_of_statement(code, at):
    """Behind its semicolon; None for what has braces, or ends otherwise."""
    depth = 0
    for place in range(at, len(code)):
        char = code[place]
        depth += {"(": 1, ")": -1}.get(char, 0)
        if char in "{}":
            return None
        if char == ";" and not depth:
            return place + 1
    return None


def plain_code(text):
    """Without comments, what is quoted, and directives."""
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*",
                  lambda m: re.sub(r"[^\n]", " ", m[0]),
                  code_only(text), flags=re.MULTILINE)


def swaps(code):
    for pattern in (BETWEEN, STEP, TRUTH):
        for match in pattern.finditer(code):
            yield (match.start(), match.end(), OTHER[match[0]],
                   f"{match[0]} becomes {OTHER[match[0]]}")


def numbers(code):
    for match in NUMBER.finditer(code):
        for put in {"0", str(int(match[0]) + 1)} - {match[0]}:
            yield (match.start(), match.end(), put,
                   f"{match[0]} becomes {put}")


def conditions(code, text):
    for match in CONDITION.finditer(code):
        end = closing(code, match.end())
        if end is not None:
            inner = text[match.end():end + 1]
            yield (match.end(), end + 1, f"(!{inner})",
                   f"{match[1]} asks for the contrary")


def omissions(code, text):
    for match in ELSE.finditer(code):
        yield match.start(), match.end(), "else if (0)", "no else"
    for match in STATEMENT.finditer(code):
        end = end_of_statement(code, match.start(1))
        if end is not None:
            gone = text[match.start(1):end]
            yield (match.start(1), end, "\n" * gone.count("\n") + ";",
                   f"without {' '.join(gone.split())}")


def all_changes(text):
    code = plain_code(text)
    found = [*swaps(code), *numbers(code), *conditions(code, text),
             *omissions(code, text)]
    return sorted(Change(line_of(text, start), start, end, put, words)
                  for start, end, put, words in found)


def apply(text, change):
    return text[:change.start] + change.put + text[change.end:]


def line_run(text, line, lines):
    """The line by which a change's is counted: of a statement of several lines,
    gcov counts some.  None: it is no code."""
    order = text.split("\n")
    for back in range(line, max(line - 12, 0), -1):
        if back in lines:
            return back
        if back < line and re.search(r"[;{}]\s*$", order[back - 1]):
            return None
    return None
