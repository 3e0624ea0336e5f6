"""Two ways to do the same, done in turns, and a row of the table from it."""

import statistics


class Comparison:
    """A row of the table.

    `target` is the least rate, as a share of the yardstick's; None: the row is
    there to be read. A subclass says how each of the two does `count` of what
    is measured.
    """

    # what takes long is not done more often than that
    most_rounds = 100

    def __init__(self, name, count, target):
        self.name = name
        self.count = count
        self.target = target

    def prepare(self, bench):
        pass

    def run_ours(self, bench):
        """Returns the seconds that it took, as run_theirs() does."""
        raise NotImplementedError

    def run_theirs(self, bench):
        raise NotImplementedError

    def tidy(self, bench):
        pass

    def measure(self, bench):
        ours, theirs = [], []

        def take_ours():
            ours.append(self.run_ours(bench))

        def take_theirs():
            theirs.append(self.run_theirs(bench))

        self.prepare(bench)
        for i in range(min(bench.rounds, self.most_rounds) + 1):
            turns = [take_ours, take_theirs]
            for turn in turns[:: -1 if i % 2 else 1]:
                turn()
        self.tidy(bench)
        # the first round only warms up
        return self.make_row(ours[1:], theirs[1:])

    def make_row(self, ours, theirs):
        ratios = [self.ratio(a, b) for a, b in zip(ours, theirs)]
        median = statistics.median(ratios)
        return [
            self.name,
            "{:,.0f}/s".format(self.count / statistics.median(ours)),
            "{:,.0f}/s".format(self.count / statistics.median(theirs)),
            self.show(median),
            self.show(min(ratios)) + " to " + self.show(max(ratios)),
            *self.judge(median),
        ]

    def make_flat_row(self, ours, theirs):
        """The row of rates at the beginning and at the end of something."""
        first, last = (a / b for a, b in zip(ours, theirs))
        ratio = last / first
        return [
            self.name,
            "{:,.0f}/s to {:,.0f}/s".format(*ours),
            "{:,.0f}/s to {:,.0f}/s".format(*theirs),
            self.show(ratio),
            "",
            *self.judge(ratio),
        ]

    def judge(self, ratio):
        if self.target is None:
            return ["", ""]
        return [
            self.bound + self.show(self.target),
            "yes" if self.is_reached(ratio) else "no",
        ]

    bound = "at least "

    def ratio(self, ours, theirs):
        return theirs / ours

    def show(self, ratio):
        return "%.0f %%" % (100 * ratio)

    def is_reached(self, ratio):
        return ratio >= self.target


class AtMost:
    """Mixed into a comparison: its target is the most time, as a multiple of
    the yardstick's."""

    bound = "at most "

    def ratio(self, ours, theirs):
        return ours / theirs

    def show(self, ratio):
        return "%.2f x" % ratio

    def is_reached(self, ratio):
        return ratio <= self.target
