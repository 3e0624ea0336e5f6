"""Rows of text as a table, for a terminal or for a README."""

from typing import NamedTuple


class Row(NamedTuple):
    what: str
    domowf: str
    yardstick: str = ""
    ratio: str = ""
    lowest_to_highest: str = ""
    scatter: str = ""
    goal: str = ""
    reached: str = ""


HEADINGS = Row(
    *("what", "domowf", "yardstick", "ratio", "lowest to highest"),
    *("scatter", "goal", "reached"),
)

# What ends the scatter of a yardstick that was too much, twice.
MARK = " (!)"

EXPLANATION = (
    "ratio: the median of the rounds. scatter: from the yardstick's lowest "
    "round to its highest, of its median."
)

EXPLANATION_OF_MARK = (
    "(!): scatter above %.0f %%, or others had much of the one core, also when "
    "the row was measured again: the time says little, CPU more."
)


def print_table(rows, facts, markdown, most_scatter):
    """`facts`: lines that follow, in an order that is theirs."""
    if markdown:
        lines = [HEADINGS, ["---"] * len(HEADINGS), *rows]
        for row in lines:
            print("| " + " | ".join(row) + " |")
    else:
        columns = list(zip(HEADINGS, *rows))
        widths = [max(map(len, column)) for column in columns]
        for row in (HEADINGS, ["-" * width for width in widths], *rows):
            cells = [cell.ljust(width) for cell, width in zip(row, widths)]
            print("  ".join(cells).rstrip())
    print()
    print(EXPLANATION)
    if any(MARK in row.scatter for row in rows):
        print(EXPLANATION_OF_MARK % (100 * most_scatter))
    for fact in facts:
        print(fact)
