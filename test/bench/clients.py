"""What works for the measurements: sessions of the server, and raw libcurl."""

import os
import re
import subprocess
import time

from nginx import START

TOKEN = "bench-token-0123456789abcdef"

# What is sent, as jsonb prints it and so as domowf sends it.
DATA = '{"parameter1": 13, "parameter2": 7}'
BODY = (
    '{"messageName":"Start AddTwoNumbers","version":"1.1.0",'
    '"modelId":"a8afdc89-9491-4ee4-b7c3-b9e9b86c0138","data":%s}' % DATA
)


def find_version():
    """As src/base/domowf.h, beside the copy of this directory, has it."""
    path = os.path.join(os.path.dirname(__file__), "../../src/base/domowf.h")
    with open(path) as header:
        return re.search(r'DWF_VERSION\s+"(.*)"', header.read()).group(1)


# The headers that domowf sends.
HEADERS = (
    "X-DOMO-Developer-Token: " + TOKEN,
    "Content-Type: application/json",
    "Accept: application/json",
    "User-Agent: domowf/" + find_version(),
    "Expect:",
)

REQUEST = "'%s'::jsonb" % BODY


class Failed(Exception):
    """Something did not do what is measured."""


class Backend:
    """One session of psql. PGHOST and the like say where."""

    def __init__(self, bundle, dbname="postgres", port=None):
        where = ["-d", dbname, *(["-p", str(port)] if port else [])]
        self.psql = subprocess.Popen(
            ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1", *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.run("SET client_min_messages = warning")
        self.run("SET domowf.token = '%s'" % TOKEN)
        self.run("SET domowf.ca_file = '%s'" % bundle)
        self.pid = int(self.run("SELECT pg_backend_pid()"))

    def send(self, statement):
        """Sends a statement; finish() waits for its end."""
        self.psql.stdin.write(statement + ";\n\\echo .\n")
        self.psql.stdin.flush()
        self.sent = statement

    def finish(self):
        answer = ""
        while (line := self.psql.stdout.readline()) != ".\n":
            if line == "":
                shown = self.sent.replace(TOKEN, "********")
                raise Failed("a statement failed: " + shown)
            answer += line
        return answer.strip()

    def run(self, statement):
        self.send(statement)
        return self.finish()

    def run_last(self, statement):
        self.run(statement)
        self.close()

    def seconds(self, statement):
        """How long a statement takes."""
        start = time.monotonic()
        self.run(statement)
        return time.monotonic() - start

    def time(self, base_url, statement, count, parallel=1):
        """Seconds that `count` calls take, as the statement says: it returns
        how many have succeeded, and that."""
        for name, value in (
            ("{request}", REQUEST),
            ("{count}", str(count)),
            ("{parallel}", str(parallel)),
        ):
            statement = statement.replace(name, value)
        self.run("SET domowf.base_url = '%s'" % base_url)
        succeeded, seconds = self.run(statement).split("|")
        if succeeded != str(count):
            raise Failed("%s of %d calls succeeded" % (succeeded, count))
        return float(seconds)

    def memory_kb(self, pid=None):
        """What a process, this one by default, has allocated, shared memory
        not counted."""
        with open("/proc/%d/status" % (pid or self.pid)) as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
        raise Failed("no RssAnon in /proc")

    def descriptors(self, pid=None):
        """Open descriptors, without the server's own files, of which every
        process keeps some open, as it needs them."""
        data = self.run("SHOW data_directory")
        directory = "/proc/%d/fd" % (pid or self.pid)
        count = 0
        for name in os.listdir(directory):
            file = os.readlink(os.path.join(directory, name))
            count += not file.startswith(data)
        return count

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()


class Raw:
    """raw.c, built here and kept running."""

    def __init__(self, directory, bundle):
        binary = os.path.join(directory, "raw")
        source = os.path.join(os.path.dirname(__file__), "raw.c")
        subprocess.run(
            [os.environ.get("CC", "cc"), "-O2", source]
            + ["-o", binary, "-lcurl"],
            check=True,
        )
        body = os.path.join(directory, "body.json")
        with open(body, "w") as out:
            out.write(BODY)
        self.process = subprocess.Popen(
            [binary, bundle, body, *HEADERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def time(self, base_url, mode, count, parallel=1):
        """Seconds that `count` requests take."""
        line = "%s %s %d %d\n" % (mode, base_url + START, count, parallel)
        self.process.stdin.write(line)
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if answer == "":
            raise Failed("raw libcurl failed: " + line)
        return float(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
