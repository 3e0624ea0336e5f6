"""Rows of text as a table, for a terminal or for a README."""

HEADINGS = (
    *("what", "domowf", "yardstick", "ratio", "lowest to highest"),
    *("target", "reached"),
)


def print_table(rows, facts, markdown):
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
    print(facts)
