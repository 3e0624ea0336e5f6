
# The ways in which a request comes into the queue: in functions, COPY, cursors,
# prepared transactions, an apply worker, by hand.  Each is found, each is sent
# once, and what does not commit is not.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $conf = Domowf::RETRY_AT_ONCE . <<'END';
domowf.poll_interval = '500ms'
max_prepared_transactions = 10
END
my $node = Domowf->start_node('main', $domo, preload => 1,
	streaming => 'logical', conf => $conf);
my $session = Domowf->session($node);
my ($id, $got);

my $setup = <<'END';
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'model', '1.0.0', 'Start it');
CREATE TABLE orders (id int PRIMARY KEY, n text);
CREATE FUNCTION ask() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.domowf_enqueue('plain', jsonb_build_object('n', NEW.n));
	RETURN NULL;
END $$;
CREATE TRIGGER ask AFTER INSERT OR UPDATE ON orders
	FOR EACH ROW EXECUTE FUNCTION ask()
END
$session->value($setup);

# Waits until these have arrived, and nothing is left to be sent.
sub are_sent
{
	my ($name, @n) = @_;

	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM domowf.queue WHERE run_at < now()}),
		"$name: nothing is left");
	is($domo->arrived($_), 1, "... sent once: $_") foreach @n;
	return;
}

# ---- statements of all kinds

$session->value(q{INSERT INTO orders SELECT g, 'insert ' || g
	FROM generate_series(1, 3) g});
$session->value(q{INSERT INTO orders VALUES (3, 'x'), (4, 'x')
	ON CONFLICT (id) DO UPDATE SET n = 'conflict ' || orders.id});
$session->value(q{MERGE INTO orders o USING (VALUES (1), (5)) v (id)
	ON o.id = v.id WHEN MATCHED THEN UPDATE SET n = 'merge 1'
	WHEN NOT MATCHED THEN INSERT VALUES (v.id, 'merge 5')});
$session->value(q{WITH w AS (INSERT INTO orders VALUES (6, 'cte') RETURNING id)
	SELECT domowf_enqueue('plain', '{"n": "beside cte"}') FROM w});
my $file = PostgreSQL::Test::Utils::tempdir . '/rows';
append_to_file($file, "7\tcopy 7\n8\tcopy 8\n");
$session->value("COPY orders FROM '$file'");
$session->run('BEGIN');
$session->value(q{DECLARE c CURSOR FOR SELECT domowf_enqueue('plain',
	jsonb_build_object('n', 'cursor ' || g)) FROM generate_series(1, 5) g});
$session->value('FETCH 2 FROM c');
$session->run('COMMIT');
$session->value(q{PREPARE p AS SELECT domowf_enqueue('plain', $1)});
$session->value(qq{EXECUTE p('{"n": "prepared statement $_"}')}) foreach 1 .. 7;
are_sent(
	'statements',
	(map { "insert $_" } 1 .. 3),
	'conflict 3', 'x', 'merge 1', 'merge 5', 'cte', 'beside cte', 'copy 7',
	'copy 8', 'cursor 1', 'cursor 2',
	map { "prepared statement $_" } 1 .. 7);
is($domo->arrived($_), 0, "... not what was not evaluated: $_")
  foreach 'cursor 3', 'conflict 4';

# ---- what does not commit

$session->run(q{INSERT INTO orders VALUES (20, 'fails'), (20, 'fails')});
$session->run(q{BEGIN; INSERT INTO orders VALUES (21, 'rolled back'); ROLLBACK});
$session->value(q{DO $$ BEGIN
	FOR i IN 1 .. 3 LOOP
		BEGIN
			INSERT INTO orders VALUES (30 + i, 'block ' || i);
			IF i = 2 THEN RAISE 'no'; END IF;
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$});
$session->run(q{BEGIN; SAVEPOINT a; INSERT INTO orders VALUES (40, 'a');
	SAVEPOINT b; INSERT INTO orders VALUES (41, 'b'); RELEASE b;
	SAVEPOINT c; INSERT INTO orders VALUES (42, 'c'); ROLLBACK TO c;
	RELEASE a; INSERT INTO orders VALUES (43, 'd'); COMMIT});
$session->run(q{BEGIN; SAVEPOINT a; INSERT INTO orders VALUES (50, 'e');
	SAVEPOINT b; INSERT INTO orders VALUES (51, 'f'); RELEASE b;
	ROLLBACK TO a; COMMIT});
$session->run('ALTER TABLE orders ADD CONSTRAINT late UNIQUE (n)'
	  . ' DEFERRABLE INITIALLY DEFERRED');
$got = $session->run(q{BEGIN; INSERT INTO orders VALUES (60, 'fails late'),
	(61, 'fails late'); COMMIT});
is($got->{sqlstate}, '23505', 'a COMMIT that fails');
$session->run('ROLLBACK');
are_sent('blocks and savepoints', 'block 1', 'block 3', 'a', 'b', 'd');
is($domo->arrived($_), 0, "... not what did not commit: $_")
  foreach 'fails', 'rolled back', 'block 2', 'c', 'e', 'f', 'fails late';

# ---- prepared transactions

foreach my $end ('COMMIT', 'ROLLBACK')
{
	$session->run('BEGIN');
	$session->value("INSERT INTO orders VALUES"
		  . ($end eq 'COMMIT' ? '(70' : '(71')
		  . ", 'prepared $end')");
	is($session->run("PREPARE TRANSACTION '$end'")->{sqlstate},
		'', 'a prepared transaction');
}
$id = $session->value(
	q{SELECT domowf_enqueue('plain', '{"n": "beside prepared"}')});
is($session->outcome($id), 'done', '... others go on');
$session->value("$_ PREPARED '$_'") foreach 'COMMIT', 'ROLLBACK';
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM domowf.log
			WHERE request->'data'->>'n' = 'prepared COMMIT'}),
	'COMMIT PREPARED: found by a poll');
are_sent('prepared', 'prepared COMMIT', 'beside prepared');
is($domo->arrived('prepared ROLLBACK'), 0, '... not what was rolled back');

# ---- by hand: rows that nobody tells of

$session->value(q{SELECT domowf_pause()});
$id = $session->value(q{SELECT domowf_enqueue('plain', '{"n": "to move"}')});
$session->value(<<'END');
CREATE TABLE moved AS SELECT * FROM domowf.queue;
DELETE FROM domowf.queue;
SELECT domowf_resume()
END
ok( $node->poll_query_until('postgres',
		q{SELECT state <> 'paused' FROM domowf.worker}), 'resumed');
$id = $session->value(q{SELECT domowf_enqueue('plain', '{"n": "later one"}')});
is($session->outcome($id), 'done', '... later ones go');
$session->value('INSERT INTO domowf.queue SELECT * FROM moved');
are_sent('INSERT INTO domowf.queue', 'to move');
$file = PostgreSQL::Test::Utils::tempdir . '/queue';
$session->value("UPDATE moved SET id = nextval('domowf.request_id'),"
	  . ' request = jsonb_set(request, $${data,n}$$, $$"copied"$$);'
	  . " COPY moved TO '$file'; COPY domowf.queue FROM '$file'");
are_sent('COPY domowf.queue', 'copied');

# put back by hand, as somebody does who does not know domowf_retry()
$id = $session->value(q{SELECT domowf_enqueue('plain', '{"n": "brought forward"}',
	run_at => now() + interval '1 day')});
$session->value("UPDATE domowf.queue SET run_at = now(), due = now() WHERE id = $id");
is($session->outcome($id), 'done', 'UPDATE domowf.queue: found by a poll');

# ---- an apply worker

my $subscriber = Domowf->start_node('subscriber', $domo, preload => 1,
	conf => $conf);
$subscriber->safe_psql('postgres',
	"$setup; ALTER TABLE orders ENABLE ALWAYS TRIGGER ask");
$session->value('CREATE PUBLICATION p FOR TABLE orders');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION p CONNECTION '"
	  . $node->connstr
	  . " dbname=postgres' PUBLICATION p WITH (copy_data = false)");
$node->wait_for_catchup('p', 'replay', $node->lsn('insert'));
$session->value('DROP TRIGGER ask ON orders');
$session->value(q{INSERT INTO orders VALUES (80, 'applied')});
$session->run(q{BEGIN; INSERT INTO orders VALUES (81, 'not applied'); ROLLBACK});
ok( $subscriber->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM domowf.log WHERE outcome = 'done'
			AND requested_by = current_user AND origin = 'request'}),
	'a trigger in an apply worker asks, too');
is($domo->arrived('applied') . $domo->arrived('not applied'), '10', '... sent once');
is($session->value(
		q{SELECT count(*) FROM domowf.log WHERE request->'data'->>'n' = 'applied'}),
	0, '... by the subscriber');
$subscriber->stop;

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
