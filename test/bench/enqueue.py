"""The table's rows of enqueueing: against a plain INSERT into an equal table.

Equal: the same columns and values, indexes and a sequence. The worker is
paused, but is told of each COMMIT as ever.
"""

from clients import BODY
from comparison import Comparison
from queue_server import ENQUEUE

EQUAL_TABLE = (
    "CREATE SEQUENCE plain_id",
    """CREATE TABLE plain (LIKE domowf.queue
        INCLUDING INDEXES INCLUDING STORAGE)""",
)

# Whatever has a value in a request that has just been enqueued.
INSERT = """INSERT INTO plain (id, state, waiting, operation, workflow, request,
        on_doubt, max_attempts, attempts, failures, claim, source, lane,
        requested_by, requested_by_oid, batch, enqueued_at, run_at, due)
    SELECT nextval('plain_id'), 'queued', false, 'start', 'w', {request},
        'hold', 12, 0, 0, 0, {source}, 1, current_user, 10,
        pg_current_xact_id(), clock_timestamp(), clock_timestamp(),
        clock_timestamp()"""

PLAIN = INSERT.format(request="'%s'::jsonb" % BODY, source="NULL")

# The same way of calling each.
STATEMENT = {
    "ours": "SELECT count(%s) FROM generate_series(1, {count})" % ENQUEUE,
    "theirs": PLAIN + " FROM generate_series(1, {count})",
}

ROW = {
    "ours": "PERFORM %s;" % ENQUEUE,
    "theirs": PLAIN + ";",
}

TRANSACTIONS = """DO $$ BEGIN
    FOR i IN 1..{count} LOOP
        {row}
        COMMIT;
    END LOOP;
END $$"""

# The seconds that the first and the last tenth took.
TENTHS = """DO $$
DECLARE times timestamptz[] := ARRAY[clock_timestamp()];
BEGIN
    FOR i IN 1..{count} LOOP
        {row}
        COMMIT;
        IF i %% ({count} / 10) = 0 THEN
            times := times || clock_timestamp();
        END IF;
    END LOOP;
    PERFORM set_config('bench.tenths', format('%s %s',
        extract(epoch FROM times[2] - times[1]),
        extract(epoch FROM times[11] - times[10])), false);
END $$""".replace("%%", "%")


class Enqueue(Comparison):
    most_rounds = 5
    slices = 4

    def __init__(self, name, count, target, one_statement, durable=True):
        super().__init__("enqueue, " + name, count, target)
        self.one_statement = one_statement
        self.durable = durable

    def prepare(self, bench):
        bench.queue.pause()
        for statement in EQUAL_TABLE:
            bench.queue.run(statement)
        if not self.durable:
            bench.queue.run("SET synchronous_commit = off")

    def run_as(self, bench, whose):
        statement = (
            STATEMENT[whose]
            if self.one_statement
            else TRANSACTIONS.replace("{row}", ROW[whose])
        )
        bench.queue.empty()
        bench.queue.run("TRUNCATE plain")
        return bench.queue.session.seconds(
            statement.replace("{count}", str(self.count))
        )

    def run_ours(self, bench):
        return self.run_as(bench, "ours")

    def run_theirs(self, bench):
        return self.run_as(bench, "theirs")

    def tidy(self, bench):
        bench.queue.run("RESET synchronous_commit")
        bench.queue.run("DROP TABLE plain")
        bench.queue.run("DROP SEQUENCE plain_id")
        bench.queue.empty()


class Flat(Enqueue):
    """The rate of the last tenth of many transactions in one backend, as a
    share of that of the first tenth. The yardstick's share is taken off: its
    table and indexes grow as well."""

    slices = 1

    def __init__(self, count):
        super().__init__(
            "last tenth of {:,} transactions against the first".format(count),
            count,
            0.9,
            one_statement=False,
            durable=False,
        )

    def measure(self, bench):
        self.prepare(bench)
        rates = {}
        for whose in ("theirs", "ours"):
            statement = TENTHS.replace("{row}", ROW[whose])
            bench.queue.run(statement.replace("{count}", str(self.count)))
            tenths = bench.queue.run("SHOW bench.tenths").split()
            rates[whose] = [self.count / 10 / float(x) for x in tenths]
            bench.queue.empty()
        self.tidy(bench)
        return self.make_flat_row(rates["ours"], rates["theirs"])


def make_enqueues(full):
    return [
        Enqueue("one statement", 20000, 0.4, one_statement=True),
        Enqueue("one row a transaction", 2000, 0.8, one_statement=False),
        Enqueue(
            "one row a transaction, synchronous_commit off",
            *(10000, None, False, False),
        ),
        Flat(200000 if full else 100000),
    ]
