"""Lines over time as an SVG, in plain Python."""

import math

WIDTH, HEIGHT = 860, 300
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 54, 34
COLOURS = ("#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df", "#57606a")
SHADES = {"pause": "#fff1c2", "outage": "#ffd8d3"}


def steps(most):
    """Some five round figures, from 0 up to `most` or just above."""
    power = 10 ** math.floor(math.log10(most / 5))
    size = next(
        part * power for part in (1, 2, 2.5, 5, 10) if part * power >= most / 5
    )
    return [i * size for i in range(math.ceil(most / size) + 1)]


def show(value):
    return "{:,.10g}".format(round(value, 9))


class Plot:
    """`series`: pairs of a name and its points, (minute, value). `spans`:
    (what, from minute, to minute), which are shaded."""

    def __init__(self, title, unit, series, spans):
        self.title = "%s (%s)" % (title, unit)
        self.series = [(name, points) for name, points in series if points]
        self.spans = spans
        self.last = max(
            [x for _, points in self.series for x, _ in points] or [1]
        )
        self.ticks = self.find_ticks(
            [y for _, points in self.series for _, y in points] or [1]
        )

    def find_ticks(self, values):
        return steps(max(*values, 1e-6))

    def share(self, value):
        """How far up it is, from 0 to 1."""
        return value / self.ticks[-1]

    def x(self, minute):
        return LEFT + minute / self.last * (WIDTH - LEFT - RIGHT)

    def y(self, value):
        height = HEIGHT - TOP - BOTTOM
        return HEIGHT - BOTTOM - self.share(value) * height

    def text(self, x, y, text, anchor="start", colour="#24292f"):
        return (
            '<text x="%.1f" y="%.1f" text-anchor="%s" fill="%s">%s</text>'
            % (x, y, anchor, colour, text)
        )

    def line(self, x1, y1, x2, y2):
        return (
            '<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" '
            'stroke="#d0d7de"/>' % (x1, y1, x2, y2)
        )

    def shades(self):
        for what, start, end in self.spans:
            left, right = self.x(start), self.x(end)
            yield (
                '<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
                % (
                    *(left, TOP, right - left, HEIGHT - TOP - BOTTOM),
                    SHADES[what],
                )
            )
            yield self.text((left + right) / 2, TOP + 12, what, "middle")

    def axes(self):
        for tick in self.ticks:
            y = self.y(tick)
            yield self.line(LEFT, y, WIDTH - RIGHT, y)
            yield self.text(LEFT - 6, y + 4, show(tick), "end")
        for minute in steps(self.last):
            if minute <= self.last:
                yield self.text(
                    *(self.x(minute), HEIGHT - BOTTOM + 16, show(minute)),
                    "middle",
                )
        yield self.text(WIDTH - RIGHT, HEIGHT - 4, "minutes", "end")

    def legend(self):
        at = LEFT
        for (name, _), colour in zip(self.series, COLOURS):
            yield self.text(at, 40, name, "start", colour)
            at += 16 + 7 * len(name)

    def curves(self):
        for (_, points), colour in zip(self.series, COLOURS):
            yield (
                '<polyline fill="none" stroke="%s" stroke-width="1.5" '
                'points="%s"/>'
                % (
                    colour,
                    " ".join(
                        "%.1f,%.1f" % (self.x(x), self.y(y)) for x, y in points
                    ),
                )
            )

    def write(self, path):
        with open(path, "w") as out:
            out.write(
                '<svg xmlns="http://www.w3.org/2000/svg" width="%d" '
                'height="%d" font-family="sans-serif" font-size="12">\n'
                '<rect width="100%%" height="100%%" fill="#ffffff"/>\n'
                % (WIDTH, HEIGHT)
            )
            for part in (
                *self.shades(),
                *self.axes(),
                self.text(LEFT, 20, self.title),
                *self.legend(),
                *self.curves(),
            ):
                out.write(part + "\n")
            out.write("</svg>\n")


class LogPlot(Plot):
    """For what is usually small and at times very large."""

    def find_ticks(self, values):
        values = [value for value in values if value > 0] or [1]
        low, high = math.floor(math.log10(min(values))), math.ceil(
            math.log10(max(values))
        )
        return [10.0**power for power in range(low, max(high, low + 1) + 1)]

    def share(self, value):
        low, high = (math.log10(self.ticks[i]) for i in (0, -1))
        return (math.log10(max(value, self.ticks[0])) - low) / (high - low)
