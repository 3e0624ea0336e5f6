"""The table's rows of triggers: domowf_trigger against a plpgsql trigger that
INSERTs the same row into an ordinary table.

Equal: the table that is changed, the rows that are written, and the columns,
indexes and sequence of where they go (enqueue.py).
"""

from comparison import AtMost, Comparison
from enqueue import EQUAL_TABLE, INSERT, TENTHS

TABLE = """CREATE TABLE bench_{whose} (id bigint PRIMARY KEY, customer text,
    total numeric(10,2), placed timestamptz)"""

REGISTER = (
    """INSERT INTO domowf.workflow_input SELECT 'w', i.name, i.type, false, true
        FROM (VALUES ('id', 'number'), ('customer', 'text'),
              ('total', 'decimal'), ('placed', 'dateTime')) i (name, type)""",
    """CREATE TRIGGER start AFTER INSERT ON bench_ours FOR EACH ROW
        EXECUTE FUNCTION domowf_trigger('w')""",
)

COPY = (
    """CREATE FUNCTION bench_copy() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        {insert};
        RETURN NULL;
    END $$""".format(
        insert=INSERT.format(
            request="""jsonb_build_object('messageName', 'Start AddTwoNumbers',
                'version', '1.1.0',
                'modelId', 'a8afdc89-9491-4ee4-b7c3-b9e9b86c0138',
                'data', jsonb_build_object('id', NEW.id,
                    'customer', NEW.customer, 'total', NEW.total,
                    'placed', NEW.placed))""",
            source="'public.bench_theirs'",
        )
    ),
    """CREATE TRIGGER copy AFTER INSERT ON bench_theirs FOR EACH ROW
        EXECUTE FUNCTION bench_copy()""",
)

ROWS = """INSERT INTO bench_{whose}
    SELECT n, 'customer ' || n, n * 1.05, clock_timestamp()
    FROM generate_series(1, {count}) n"""

ROW = """INSERT INTO bench_{whose}
    VALUES (i, 'customer ' || i, i * 1.05, clock_timestamp());"""


class Trigger(Comparison):
    most_rounds = 5

    def prepare(self, bench):
        bench.queue.pause()
        for whose in ("ours", "theirs"):
            bench.queue.run(TABLE.format(whose=whose))
        for statement in EQUAL_TABLE + REGISTER + COPY:
            bench.queue.run(statement)

    def run_as(self, bench, whose, statement):
        """Seconds; the tables are empty before."""
        bench.queue.empty()
        bench.queue.run("TRUNCATE plain, bench_ours, bench_theirs")
        return bench.queue.session.seconds(
            statement.replace("{whose}", whose).replace(
                "{count}", str(self.count)
            )
        )

    def tidy(self, bench):
        bench.queue.run("DROP TABLE plain, bench_ours, bench_theirs")
        bench.queue.run("DROP FUNCTION bench_copy")
        bench.queue.run("DROP SEQUENCE plain_id")
        bench.queue.run("DELETE FROM domowf.workflow_input")
        bench.queue.empty()


class OneStatement(AtMost, Trigger):
    slices = 3

    def __init__(self, count):
        super().__init__(
            "trigger, {:,} rows of one statement, a start each "
            "(time)".format(count),
            *(self.slices * count, 1.0),
        )

    def run_ours(self, bench):
        return self.run_as(bench, "ours", ROWS)

    def run_theirs(self, bench):
        return self.run_as(bench, "theirs", ROWS)


class Flat(Trigger):
    """The rate of the last tenth of many transactions in one backend, as a
    share of that of the first tenth. The yardstick's share is taken off: its
    tables and indexes grow as well."""

    def __init__(self, count):
        super().__init__(
            "trigger, last tenth of {:,} transactions against the "
            "first".format(count),
            *(count, 0.9),
        )

    def measure(self, bench):
        self.prepare(bench)
        bench.queue.run("SET synchronous_commit = off")
        rates = {}
        for whose in ("theirs", "ours"):
            self.run_as(bench, whose, TENTHS.replace("{row}", ROW))
            tenths = bench.queue.run("SHOW bench.tenths").split()
            rates[whose] = [self.count / 10 / float(x) for x in tenths]
        bench.queue.run("RESET synchronous_commit")
        self.tidy(bench)
        return self.make_flat_row(rates["ours"], rates["theirs"])


def make_triggers():
    return [OneStatement(10000), Flat(100000)]
