"""What gcov has counted, for test/run/coverage: the map and the report.

counts.py DIRECTORY LOG

DIRECTORY has a directory for each test, as GCOV_PREFIX made it; LOG is what
test/run/check has printed, which tells how long each test took.  The map is
.build/coverage.json:

    sources   of each file of src/, a digest: a map of other sources is no map
    files     of each, its lines, its branches by line, and its functions
    tests     of each test, by what TESTS of test/run/check calls it: seconds,
              and of each file the lines and branches that it runs
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
MAP = ROOT / ".build" / "coverage.json"
SOURCE = re.compile(r".*/src/((?:\w+/)?\w+\.[ch])$")

# A branch is written as its line and its place among the line's.
BRANCHES = 1000

# Each has a branch that is not taken ever, or only where messages are not
# wanted: no test could take it.
MESSAGES = re.compile(r"\b(ereport|elog|errmsg|errdetail|errhint)\w*\(")


def digests():
    return {
        str(path.relative_to(ROOT / "src")):
            hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((ROOT / "src").glob("**/*.[ch]"))
    }


def load():
    """The map, or none where there is none of these sources."""
    try:
        known = json.loads(MAP.read_text())
    except (OSError, ValueError):
        return None
    return known if known["sources"] == digests() else None


def name_of(directory):
    """As TESTS names it."""
    if directory.startswith("test_"):
        return "unit/" + directory.removeprefix("test_")
    return "t/" + directory if directory[0].isdigit() else directory


def times(log):
    """Seconds by test; those of a server that several tests share together."""
    seconds = {}
    group = None
    for line in log.splitlines():
        if line.startswith("== "):
            group = line[3:]
        one = re.match(r"\[[\d:]+\] (\S+) \.+.*?(\d+) ms", line)
        if one:
            file = one[1].split("/")[-1].removesuffix(".pl")
            seconds[name_of(file)] = int(one[2]) / 1000
        part = re.search(r"\bok\b.* (\d+) ms$", line)
        if part and not one:
            seconds[group] = seconds.get(group, 0) + int(part[1]) / 1000
    return seconds


def gcov(counts):
    """gcov's documents on these files of counts, each beside its notes."""
    said = subprocess.run(
        ["gcov", "--json-format", "--stdout", "--branch-probabilities",
         *map(str, counts)], text=True, capture_output=True, check=True)
    for line in said.stdout.splitlines():
        if line:
            yield json.loads(line)


def of_sources(documents):
    """(name in src/, what gcov says of it), of one unit of compilation each."""
    for document in documents:
        for file in document["files"]:
            path = os.path.normpath(os.path.join(
                document["current_working_directory"], file["file"]))
            match = SOURCE.match(path)
            if match:
                yield match[1], file


def branches_of(file):
    """(line, counts of its branches), a line's from all of its functions."""
    found = {}
    for line in file["lines"]:
        found.setdefault(line["line_number"], []).extend(
            branch["count"] for branch in line["branches"])
    return found.items()


def read_counts(directory, notes):
    """What one test runs.  `notes` gets what there is to be run."""
    lines, branches = {}, {}
    counts = sorted(directory.glob("**/*.gcda"))
    for path in counts:
        beside = path.with_suffix(".gcno")
        if not beside.exists():
            beside.symlink_to("/" / beside.relative_to(directory))
    for name, file in of_sources(gcov(counts) if counts else ()):
        library = not directory.name.startswith("test_")
        note(notes.setdefault(name, {}), file, library)
        lines.setdefault(name, set()).update(
            line["line_number"] for line in file["lines"] if line["count"])
        branches.setdefault(name, set()).update(
            line * BRANCHES + at for line, taken in branches_of(file)
            for at, count in enumerate(taken) if count)
    return {
        "lines": {name: sorted(some) for name, some in lines.items()},
        "branches": {name: sorted(some) for name, some in branches.items()},
    }


def note(known, file, library):
    """What can be run is what the library has; a unit test has parts of it."""
    if not library:
        return
    known.setdefault("lines", {})
    known.setdefault("functions", {})
    for line, taken in branches_of(file):
        have = known["lines"].get(str(line), 0)
        known["lines"][str(line)] = max(have, len(taken))
    for function in file["functions"]:
        known["functions"][function["name"]] = [
            function["start_line"], function["end_line"]]


def ranges(lines, all_lines):
    """Lines that follow each other among those that have code, as pairs."""
    order = {line: at for at, line in enumerate(sorted(all_lines))}
    found = []
    for line in sorted(lines):
        if found and order[line] == order[found[-1][1]] + 1:
            found[-1][1] = line
        else:
            found.append([line, line])
    return found


def function_at(known, line):
    for name, (first, last) in known["functions"].items():
        if first <= line <= last:
            return name
    return "?"


def share(some, of):
    return f"{some} of {of} | {100 * some / of:.1f} %" if of else "none |"


class File:
    """Of one file, what the tests of a map have run together."""

    def __init__(self, name, known, tests):
        self.name = name
        self.known = known
        self.text = (ROOT / "src" / name).read_text().split("\n")
        self.lines = {int(line) for line in known["lines"]}
        self.run = self.lines.intersection(
            *[set().union(*(test["lines"].get(name, ()) for test in tests))])
        self.branches = {
            int(line) * BRANCHES + at
            for line, count in known["lines"].items() for at in range(count)
            if not MESSAGES.search(self.text[int(line) - 1])}
        self.taken = self.branches.intersection(
            *[set().union(*(test["branches"].get(name, ()) for test in tests))])

    def never(self):
        """Each range of lines that none runs, with the first one's text."""
        for first, last in ranges(self.lines - self.run, self.lines):
            yield (f"{self.name}:{first}" + (f"-{last}" if last > first else ""),
                   function_at(self.known, first), self.text[first - 1].strip())


def report(known):
    tests = known["tests"].values()
    files = [File(name, file, tests) for name, file in
             sorted(known["files"].items()) if file.get("lines")]
    print("| file of src/ | lines run | | branches taken | |\n"
          "| --- | --- | --- | --- | --- |")
    for file in files:
        print(f"| {file.name} | {share(len(file.run), len(file.lines))} | "
              f"{share(len(file.taken), len(file.branches))} |")
    total = [sum(len(getattr(file, what)) for file in files)
             for what in ("run", "lines", "taken", "branches")]
    print(f"| all | {share(*total[:2])} | {share(*total[2:])} |\n\n"
          f"Of {len(tests)} tests.  Never run:\n")
    for file in files:
        for place, function, text in file.never():
            print(f"{place}\t{function}()\t{text}")


def main():
    directory, log = map(pathlib.Path, sys.argv[1:])
    known = load() or {"sources": digests(), "files": {}, "tests": {}}
    seconds = times(log.read_text())
    for part in sorted(directory.iterdir()):
        if part.is_dir():
            name = name_of(part.name)
            known["tests"][name] = {
                "seconds": seconds.get(name, 60),
                **read_counts(part, known["files"])}
    MAP.parent.mkdir(exist_ok=True)
    MAP.write_text(json.dumps(known))
    report(known)


if __name__ == "__main__":
    main()
