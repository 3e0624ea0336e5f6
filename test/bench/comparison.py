"""Two ways to do the same, done in turns, and a row of the table from it."""

import statistics

from table import MARK, Row

# A yardstick that scatters more than that was not alone on the machine.
MOST_SCATTER = 0.2


def scatter(seconds):
    return (max(seconds) - min(seconds)) / statistics.median(seconds)


class Comparison:
    """A row of the table.

    `target` is the least rate, as a share of the yardstick's; None: the row is
    there to be read. A subclass says how each of the two does `count` of what
    is measured. A round is a number of such slices, A B B A, so short that what
    else happens on the machine hits both, and counts by its sums.
    """

    # what takes long is not done more often than that
    most_rounds = 100
    slices = 1

    def __init__(self, name, count, target):
        self.name = name
        self.count = count // self.slices
        self.target = target

    def shrink(self):
        """So little is done that it only tells whether it can be."""
        self.count = max(self.count // 100, 10)
        self.slices = 1

    def prepare(self, bench):
        pass

    def begin_round(self, bench):
        pass

    def run_ours(self, bench):
        """Returns the seconds that it took, as run_theirs() does."""
        raise NotImplementedError

    def run_theirs(self, bench):
        raise NotImplementedError

    def end_round(self, bench):
        """Returns seconds of what belongs to all slices of ours."""
        return 0

    def tidy(self, bench):
        pass

    def measure(self, bench):
        self.prepare(bench)
        ours, theirs = self.run_rounds(bench)
        if bench.rounds > 1 and self.is_disturbed(ours, theirs):
            ours, theirs = self.run_rounds(bench)
        self.tidy(bench)
        return self.make_row(ours, theirs)

    def is_disturbed(self, ours, theirs):
        """Whether others used the machine, as far as can be seen."""
        return scatter(theirs) > MOST_SCATTER

    def run_rounds(self, bench):
        rounds = [
            self.run_round(bench, i)
            for i in range(min(bench.rounds, self.most_rounds) + 1)
        ]
        # the first one only warms up
        return [list(seconds) for seconds in zip(*rounds[1:])]

    def run_round(self, bench, number):
        """Seconds of ours and of theirs."""
        seconds = {self.run_ours: 0, self.run_theirs: 0}
        self.begin_round(bench)
        for i in range(number, number + self.slices):
            for run in list(seconds)[:: -1 if i % 2 else 1]:
                seconds[run] += run(bench)
        seconds[self.run_ours] += self.end_round(bench)
        return seconds.values()

    def make_row(self, ours, theirs):
        ratios = [self.ratio(a, b) for a, b in zip(ours, theirs)]
        median = statistics.median(ratios)
        count = self.count * self.slices
        return Row(
            self.name,
            "{:,.0f}/s".format(count / statistics.median(ours)),
            "{:,.0f}/s".format(count / statistics.median(theirs)),
            self.show(median),
            self.show(min(ratios)) + " to " + self.show(max(ratios)),
            "%.0f %%" % (100 * scatter(theirs))
            + (MARK if self.is_disturbed(ours, theirs) else ""),
            *self.judge(median),
        )

    def make_flat_row(self, ours, theirs):
        """The row of rates at the beginning and at the end of something."""
        first, last = (a / b for a, b in zip(ours, theirs))
        ratio = last / first
        return Row(
            self.name,
            "{:,.0f}/s to {:,.0f}/s".format(*ours),
            "{:,.0f}/s to {:,.0f}/s".format(*theirs),
            self.show(ratio),
            *("", ""),
            *self.judge(ratio),
        )

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
