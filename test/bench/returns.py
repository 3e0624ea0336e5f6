"""The table's row of returns: outcomes that are written back into their rows, a
transaction each, against plain UPDATEs of as many rows by one session."""

from comparison import Comparison
from queue_server import wait_until

TABLE = (
    """CREATE TABLE returned (id bigint PRIMARY KEY, instance_id text, state text,
        problem text, settled_at timestamptz, at timestamptz)""",
    """CREATE FUNCTION bench_note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.at := clock_timestamp();
            RETURN NEW;
        END $$""",
    """CREATE TRIGGER start AFTER INSERT ON returned FOR EACH ROW
        WHEN (NEW.id > 0) EXECUTE FUNCTION domowf_trigger('w', 'n=id',
            'instance_id<-id', 'state<-state', 'problem<-error',
            'settled_at<-settled_at')""",
    """CREATE TRIGGER note BEFORE UPDATE ON returned FOR EACH ROW
        EXECUTE FUNCTION bench_note()""",
)

INSERT = "INSERT INTO returned SELECT {sign}g FROM generate_series(1, {count}) g"

UPDATES = """DO $$ BEGIN
    FOR i IN 1..{count} LOOP
        UPDATE returned SET instance_id = gen_random_uuid(), state = 'done',
            settled_at = now() WHERE id = -i;
        COMMIT;
    END LOOP;
END $$"""

SECONDS = """SELECT extract(epoch FROM max(at) - min(at)) FROM returned
    WHERE at IS NOT NULL"""


class Returns(Comparison):
    most_rounds = 3

    def __init__(self):
        super().__init__(
            "outcomes written back into rows, of plain UPDATEs", 2000, None
        )

    def prepare(self, bench):
        bench.queue.empty()
        for statement in TABLE:
            bench.queue.run(statement)
        bench.queue.configure(bench.nginx.http)

    def set_returns(self, bench, value):
        queue = bench.queue
        queue.run("ALTER SYSTEM SET domowf.returns = %s" % value)
        queue.run("SELECT pg_reload_conf()")
        wait_until(
            "the settings are read",
            lambda: queue.run("SHOW domowf.returns") == value,
        )

    def begin_round(self, bench):
        bench.queue.run("TRUNCATE returned")

    def run_ours(self, bench):
        """All have their outcomes before the first is written back."""
        queue = bench.queue
        self.set_returns(bench, "off")
        queue.empty()
        queue.run(INSERT.format(sign="", count=self.count))
        queue.deliver(self.count)
        self.set_returns(bench, "on")
        queue.resume()
        wait_until(
            "all is written back",
            lambda: queue.run("SELECT count(*) FROM domowf.return_entry")
            == "0",
        )
        queue.pause()
        seconds = float(queue.run(SECONDS))
        queue.run("TRUNCATE returned")
        return seconds

    def run_theirs(self, bench):
        bench.queue.run(INSERT.format(sign="-", count=self.count))
        bench.queue.run(UPDATES.format(count=self.count))
        seconds = float(bench.queue.run(SECONDS))
        bench.queue.run("TRUNCATE returned")
        return seconds

    def tidy(self, bench):
        bench.queue.run("DROP TABLE returned")
        bench.queue.run("DROP FUNCTION bench_note")
        bench.queue.run("ALTER SYSTEM RESET domowf.returns")
        bench.queue.empty()


def make_returns():
    return [Returns()]
