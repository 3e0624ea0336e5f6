"""The two that are compared: a backend with domowf, and raw libcurl."""

import os
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

# The headers that domowf sends.
HEADERS = (
    "X-DOMO-Developer-Token: " + TOKEN,
    "Content-Type: application/json",
    "Accept: application/json",
    "User-Agent: domowf/1.0.0",
    "Expect:",
)

REQUEST = "'%s'::jsonb" % BODY

SERIAL = "SELECT count(domowf_start(%s)) FROM generate_series(1, {count})"
LOOP = """DO $$
DECLARE instance domowf_instance;
BEGIN
    FOR i IN 1..{count} LOOP
        instance := domowf_start(%s);
    END LOOP;
END $$"""
PARALLEL = """SELECT count(*) FROM domowf_start_all(
    (SELECT array_agg(%s) FROM generate_series(1, {count})), {parallel})
    WHERE sqlstate IS NULL"""


class Failed(Exception):
    """Something did not do what is measured."""


class Backend:
    """One session of psql. PGHOST and the like say where."""

    def __init__(self, bundle):
        self.psql = subprocess.Popen(
            ["psql", "-qAtX", "-v", "ON_ERROR_STOP=1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.run("SET client_min_messages = warning")
        self.run("SET domowf.token = '%s'" % TOKEN)
        self.run("SET domowf.ca_file = '%s'" % bundle)
        self.pid = int(self.run("SELECT pg_backend_pid()"))

    def run(self, statement):
        self.psql.stdin.write(statement + ";\n\\echo .\n")
        self.psql.stdin.flush()
        answer = ""
        while (line := self.psql.stdout.readline()) != ".\n":
            if line == "":
                raise Failed("a statement failed: " + statement)
            answer += line
        return answer.strip()

    def time(self, base_url, template, count, parallel=1):
        """Seconds that `count` calls take."""
        self.run("SET domowf.base_url = '%s'" % base_url)
        statement = template.format(count=count, parallel=parallel) % REQUEST
        start = time.monotonic()
        answer = self.run(statement)
        seconds = time.monotonic() - start
        if answer not in ("", str(count)):
            raise Failed("%s of %d calls succeeded" % (answer, count))
        return seconds

    def memory_kb(self):
        """What the process has allocated, shared memory not counted."""
        with open("/proc/%d/status" % self.pid) as status:
            for line in status:
                if line.startswith("RssAnon:"):
                    return int(line.split()[1])
        raise Failed("no RssAnon in /proc")

    def descriptors(self):
        return len(os.listdir("/proc/%d/fd" % self.pid))

    def close(self):
        self.psql.stdin.close()
        self.psql.wait()


class Raw:
    """raw.c, built here and kept running."""

    def __init__(self, directory, bundle):
        binary = os.path.join(directory, "raw")
        source = os.path.join(os.path.dirname(__file__), "raw.c")
        subprocess.run(
            [os.environ.get("CC", "cc"), "-O2", "-o", binary, source, "-lcurl"],
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
