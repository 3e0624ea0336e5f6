"""What goes on during a soak: a table with a trigger, those who insert into it,
a Domo that can go away, and probes whose way is followed."""

import math
import os
import subprocess

from clients import Backend, Failed
from latency import Peer

TABLE = (
    """CREATE TABLE orders (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text,
        total numeric(10,2), placed timestamptz DEFAULT clock_timestamp(),
        instance_id text, state text, problem text,
        settled_at timestamptz, returned_at timestamptz)""",
    """INSERT INTO domowf.workflow_input SELECT 'w', i.name, i.type, false, true
        FROM (VALUES ('n', 'number'), ('customer', 'text'),
              ('total', 'decimal'), ('placed', 'dateTime')) i (name, type)""",
    """CREATE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
        EXECUTE FUNCTION domowf_trigger('w', 'n=id', 'customer', 'total',
            'placed', 'instance_id<-id', 'state<-state', 'problem<-error',
            'settled_at<-settled_at')""",
    """CREATE FUNCTION note_return() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.returned_at := clock_timestamp();
            RETURN NEW;
        END $$""",
    """CREATE TRIGGER returned BEFORE UPDATE OF state ON orders FOR EACH ROW
        EXECUTE FUNCTION note_return()""",
    "CREATE TABLE probe (n bigint, before float8, after float8)",
)

# What each of the others does.
INSERT = """INSERT INTO orders (customer, total)
    VALUES ('customer ' || :client_id, random() * 1000);
"""

SESSIONS = 8

# Between two probes, seconds.
PAUSE = 0.1

PROBES = """DO $$
DECLARE before float8; n bigint;
BEGIN
    LOOP
        INSERT INTO orders (customer, total) VALUES ('probe', 1) RETURNING id
            INTO n;
        before := extract(epoch FROM clock_timestamp());
        COMMIT;
        INSERT INTO probe VALUES (n, before,
            extract(epoch FROM clock_timestamp()));
        COMMIT;
        EXIT WHEN EXISTS (SELECT FROM pg_class WHERE relname = 'probed');
        PERFORM pg_sleep(%s);
    END LOOP;
END $$""" % PAUSE


class Life:
    """Goes on from its making to stop()."""

    def __init__(self, directory, queue, rate):
        self.queue = queue
        self.domo = Peer()
        self.port = self.domo.port
        # by id, since the last time that it was asked
        self.arrived = []
        for statement in TABLE:
            queue.run(statement)
        path = os.path.join(directory, "insert.sql")
        with open(path, "w") as out:
            out.write(INSERT)
        self.command = ["pgbench", "-n", "-M", "prepared", "-f", path]
        self.command += ["-c", str(SESSIONS), "-R", str(rate)]
        self.prober = Backend(queue.bundle)

    def start(self, seconds):
        self.inserter = subprocess.Popen(
            # it is stopped, and does not end by itself
            [*self.command, "-T", str(2 * math.ceil(seconds))],
            stdout=subprocess.DEVNULL,
        )
        self.prober.send(PROBES)

    def arrivals(self):
        """(id, seconds) of each, since the last time."""
        if self.domo:
            self.arrived += self.domo.all_arrivals()
        arrived, self.arrived = self.arrived, []
        return arrived

    def take_domo_away(self):
        self.arrived += self.domo.stop()
        self.domo = None

    def bring_domo_back(self):
        self.domo = Peer(self.port)

    def stop(self):
        if self.inserter.poll() is not None:
            raise Failed("those who insert have ended before their time")
        self.inserter.terminate()
        self.inserter.wait()
        self.queue.run("CREATE TABLE probed ()")
        self.prober.finish()
        self.prober.close()
