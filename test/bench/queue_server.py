"""A database whose requests are measured, and the worker that sends them."""

import os
import time

from clients import DATA, TOKEN, Backend, Failed

# As clients.BODY, registered.
WORKFLOW = """INSERT INTO domowf.workflow
    (name, model_id, version, message_name) VALUES
    ('w', 'a8afdc89-9491-4ee4-b7c3-b9e9b86c0138', '1.1.0',
     'Start AddTwoNumbers') ON CONFLICT DO NOTHING"""

ENQUEUE = "domowf_enqueue('w', '%s')" % DATA

# Looks at few ids only: the queue is full of dead rows by then.
WAIT = """DO $$ BEGIN
    WHILE EXISTS (SELECT FROM domowf.queue
                  WHERE id BETWEEN {last} - 100 AND {last}) LOOP
        PERFORM pg_sleep(0.02);
    END LOOP;
END $$"""

SETTLED = """SELECT count(*), count(*) FILTER (WHERE outcome = 'done'),
    extract(epoch FROM max(settled_at) - min(settled_at))
    FROM domowf.log WHERE id >= {first} AND settled_at >= '{start}'"""

DEADLINE = 60


def wait_until(what, is_so):
    for _ in range(DEADLINE * 50):
        if is_so():
            return
        time.sleep(0.02)
    raise Failed("it takes too long until " + what)


class Queue:
    """One database. Paused but for deliver() and until resume()."""

    def __init__(self, bundle, dbname="postgres"):
        self.bundle = bundle
        self.session = Backend(bundle, dbname)
        self.run("CREATE EXTENSION IF NOT EXISTS domowf")
        self.run(WORKFLOW)
        self.pause()

    def run(self, statement):
        return self.session.run(statement)

    def configure(self, url, connections=8):
        """Settings for the worker, and a new worker that has them."""
        for name, value in (
            ("base_url", url),
            ("ca_file", self.bundle),
            ("token", TOKEN),
            ("max_connections", connections),
        ):
            self.run("ALTER SYSTEM SET domowf.%s = '%s'" % (name, value))
        self.run("SELECT pg_reload_conf()")
        wait_until(
            "the server has read its settings",
            lambda: self.run("SHOW domowf.max_connections") == str(connections)
            and self.run(
                "SELECT reset_val FROM pg_settings "
                "WHERE name = 'domowf.base_url'"
            )
            == url,
        )
        self.restart_worker()

    def worker(self):
        """Its process; 0: none just now."""
        return int(self.run("SELECT coalesce(max(pid), 0) FROM domowf.worker"))

    def restart_worker(self):
        before = self.worker()
        if before != 0:
            self.run("SELECT pg_terminate_backend(%d, 10000)" % before)
        wait_until(
            "there is a worker", lambda: self.worker() not in (0, before)
        )

    def pause(self):
        self.run("SELECT domowf_pause()")
        self.rest()

    def resume(self):
        self.run("SELECT domowf_resume()")

    def rest(self):
        """Waits until nothing is being sent."""
        wait_until(
            "nothing is being sent",
            lambda: self.run(
                "SELECT NOT EXISTS (SELECT FROM domowf.worker "
                "WHERE in_flight > 0) AND NOT EXISTS (SELECT FROM "
                "domowf.queue WHERE state = 'sending')"
            )
            == "t",
        )

    def empty(self):
        self.run("TRUNCATE domowf.queue, domowf.log")

    def fill(self, count):
        """Returns the first of their ids."""
        first = self.run(
            "SELECT min(%s) FROM generate_series(1, %d)" % (ENQUEUE, count)
        )
        self.run("ANALYZE domowf.queue")
        return int(first)

    def length(self):
        return int(self.run("SELECT count(*) FROM domowf.queue"))

    def deliver(self, count, first=None):
        """Seconds that so many take, from the first settlement on; `first`: the
        first of their ids, by default of those that there are. A few more may
        be sent before it pauses."""
        if first is None:
            first = self.run("SELECT min(id) FROM domowf.queue")
        first = int(first)
        start = self.run("SELECT clock_timestamp()")
        self.resume()
        self.run(WAIT.format(last=first + count - 1))
        self.pause()
        answer = self.run(SETTLED.format(first=first, start=start))
        settled, done, seconds = answer.split("|")
        if int(settled) < count or done != settled:
            raise Failed("%s of %d requests are done" % (done, count))
        return float(seconds) * count / int(settled)

    def memory_kb(self):
        return self.session.memory_kb(self.worker())

    def descriptors(self):
        return self.session.descriptors(self.worker())

    def close(self):
        self.session.close()
