
# What one role does with keys, the length of the queue and domowf_wait is in
# no other one's way: nobody is given a request that he may not see in place of
# his own, nobody fills the queue for others, and who waits looks only when
# something has become of what he waits for.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Chance qw(chance dice one_of one_of_weighted start_dice);
use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not serialize access/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);

# nothing is counted anew but where a worker starts
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE
	  . "domowf.poll_interval = '1h'\nmax_prepared_transactions = 5\n"
	  . "domowf.max_attempts = 1\n");
my $session = Domowf->session($node);
my $hour = q{now() + interval '1 hour'};
my ($id, @ids, $got);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name) VALUES
	('plain', 'model', '1.0.0', 'Start it'),
	('other', 'model', '1.0.0', 'Start it'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it');
CREATE ROLE alice;
CREATE ROLE bob;
CREATE ROLE reader IN ROLE pg_read_all_data;
CREATE ROLE keeper;
CREATE ROLE heir;
CREATE ROLE clerk1;
CREATE ROLE clerk2;
GRANT USAGE ON SCHEMA domowf TO alice, bob;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice, bob;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO alice, bob, reader, keeper,
	clerk1, clerk2;
GRANT CREATE, USAGE ON SCHEMA public TO keeper, heir, bob
END

# Another session of a role.
sub session_of
{
	my ($role) = @_;
	my $new = Domowf->session($node);

	$new->value("SET ROLE $role");
	return $new;
}

# Runs a statement as another role.
sub as_role
{
	my ($role, $sql) = @_;

	$session->value("SET ROLE $role");
	my $result = $session->run($sql);
	$session->value('RESET ROLE');
	return $result;
}

sub enqueue_as
{
	my ($role, @request) = @_;

	return as_role($role, Domowf->enqueue_sql(@request));
}

# A new worker, which has counted anew by the time that it says to be paused.
sub restart_worker
{
	$session->value('SELECT domowf_pause()');
	$session->value(
		'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	$node->poll_query_until('postgres',
		q{SELECT state = 'paused' FROM domowf.worker});
	return;
}

sub is_refused
{
	my ($refused, $what) = @_;

	is($refused->{sqlstate}, '23505', $what) or diag $refused->{err};
	is($refused->{out}, '', '... and no id is told');
	unlike($refused->{err}, qr/\b(?:alice|bob|clerk1|$id)\b/,
		'... nor whose request it is');
	return;
}

restart_worker();

# ---- keys: who may have a request in place of his own

$id = enqueue_as('alice', 'plain', 'of alice', key => q{'k'})->{out};
$got = enqueue_as('bob', 'plain', 'of bob', key => q{'k'});
is_refused($got, 'the key of a request that the caller may not see');
is($got->{message}, 'key "k" of workflow "plain" is in use',
	'... the message names the key and its scope');
is(enqueue_as('alice', 'plain', 'again', key => q{'k'})->{out},
	$id, 'the caller himself gets the request that holds it');
is(enqueue_as('reader', 'plain', 'again', key => q{'k'})->{out},
	$id, '... a member of pg_read_all_data, too');
is($session->enqueue('plain', 'again', key => q{'k'}),
	$id, '... and the owner of the queue');
cmp_ok(enqueue_as('bob', 'other', 'of bob', key => q{'k'})->{out},
	'>', $id, 'another workflow has keys of its own');
$id = as_role('alice',
	q{SELECT domowf_enqueue_call('cancel', '{"id": "i"}', key => 'k')})->{out};
$got = as_role('bob',
	q{SELECT domowf_enqueue_call('cancel', '{"id": "i"}', key => 'k')});
is_refused($got, 'the key of an operation');
is($got->{message}, 'key "k" of operation "cancel" is in use',
	'... which the message names');
is( $session->value(
		q{SELECT count(*) FROM domowf.queue WHERE requested_by = 'bob'}),
	1, 'nothing of what was refused is there');

# a role that the caller is a member of is not himself, as in row security
$session->value('GRANT alice TO bob');
is_refused(enqueue_as('bob', 'plain', 'of bob', key => q{'k'}),
	'membership of its role lets nobody see a request');
$session->value('REVOKE alice FROM bob');

# one that is under way
my $alice = session_of('alice');
my $bob = session_of('bob');

sub race
{
	my ($begin, $end) = @_;
	my $key = dice(1_000_000_000);

	$bob->value("$begin; SELECT 1") if $begin;
	$id = $alice->value('BEGIN; '
		  . Domowf->enqueue_sql('plain', 'of alice', key => "'$key'"));
	$bob->send(Domowf->enqueue_sql('plain', 'of bob', key => "'$key'"));
	$node->poll_query_until('postgres',
		q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = }
		  . $bob->pid);
	$alice->value($end);
	my $result = $bob->wait;
	$bob->run('ROLLBACK') if $begin;
	return $result;
}
is_refused(race('', 'COMMIT'), 'one that is committed while another role waits');
is(race('', 'ROLLBACK')->{sqlstate}, '', '... that is rolled back: inserted');
is(race('BEGIN ISOLATION LEVEL REPEATABLE READ', 'COMMIT')->{sqlstate},
	'40001', '... above READ COMMITTED');
$id = $alice->value('BEGIN; '
	  . Domowf->enqueue_sql('plain', 'of alice', key => q{'prepared'})
	  . q{; PREPARE TRANSACTION 'p'; COMMIT PREPARED 'p'});
is_refused($bob->run(Domowf->enqueue_sql('plain', 'of bob', key => q{'prepared'})),
	'one of a prepared transaction');

# one that is settled
$session->value('SELECT domowf_resume()');
$id = enqueue_as('alice', 'plain', 'logged', key => q{'logged'})->{out};
is($session->outcome($id), 'done', 'a request is done');
is_refused($bob->run(Domowf->enqueue_sql('plain', 'of bob', key => q{'logged'})),
	'... its key is held');
is(enqueue_as('alice', 'plain', 'logged', key => q{'logged'})->{out},
	$id, '... for whom it belongs to');
my $old = enqueue_as('alice', 'refused', 'passed on', key => q{'passed on'})->{out};
is($session->outcome($old), 'rejected', 'one that is rejected');
$id = enqueue_as('bob', 'refused', 'passed on', key => q{'passed on'},
	run_at => $hour)->{out};
cmp_ok($id, '>', $old, '... gives its key to whoever asks for it');
is_refused(as_role('alice', "SELECT domowf_retry($old)"),
	'... and cannot be sent again');
$session->value('SELECT domowf_pause()');

# ---- keys of triggers: they belong to the owner of the table

foreach my $table ('orders', 'archive', 'parts')
{
	my $partitioned = $table eq 'parts' ? ' PARTITION BY LIST (id)' : '';

	as_role('keeper', <<"END");
CREATE TABLE $table (id text, note text)$partitioned;
GRANT ALL ON $table TO clerk1, clerk2;
CREATE TRIGGER start AFTER INSERT OR UPDATE ON $table FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('plain', 'id', '\@key=id')
END
}
as_role('keeper', 'CREATE TABLE part PARTITION OF parts DEFAULT');
as_role('bob', <<'END');
CREATE TABLE of_bob (id text);
CREATE TRIGGER start AFTER INSERT ON of_bob FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('plain', 'id', '@key=id')
END

sub of_key
{
	my ($key) = @_;

	return $session->value(
		"SELECT string_agg(requested_by, ' ') FROM domowf.request WHERE key = '$key'");
}

sub succeeds
{
	my ($role, $sql, $what) = @_;
	my $result = as_role($role, $sql);

	is($result->{sqlstate}, '', $what) or diag $result->{err};
	return;
}

succeeds('clerk1', q{INSERT INTO orders VALUES ('t1')}, 'a row of one user');
$id = $session->value(q{SELECT id FROM domowf.request WHERE key = 't1'});
succeeds('clerk2', q{UPDATE orders SET note = 'x'},
	'... that another user changes');
succeeds('clerk2', q{INSERT INTO archive VALUES ('t1')},
	'... that he puts into another table of its owner');
succeeds('keeper', q{UPDATE orders SET note = 'y'}, '... that the owner changes');
is(of_key('t1'), 'clerk1', '... is one request, of who made it');
is(enqueue_as('clerk1', 'plain', 'n', key => q{'t1'})->{out},
	$id, '... that he can have');
is_refused(enqueue_as($_, 'plain', 'n', key => q{'t1'}),
	"... and by himself not $_, who does not see it")
  foreach 'clerk2', 'keeper';
$got = as_role('bob', q{INSERT INTO of_bob VALUES ('t1')});
is_refused($got, '... nor another table, whoever owns it');
like($got->{detail}, qr/^The owner of public\.of_bob may not see/,
	'... and why is told');
succeeds('clerk1', q{INSERT INTO parts VALUES ('t2')}, 'a partition');
succeeds('clerk2', q{UPDATE parts SET note = 'x'}, '... belongs to its parent');
is(of_key('t2'), 'clerk1', '... with its keys');
$id = enqueue_as('alice', 'plain', 'n', key => q{'t3'})->{out};
is_refused(as_role('clerk1', q{INSERT INTO orders VALUES ('t3')}),
	'a key of somebody who has nothing to do with the table');

# what becomes of the table
$session->value('ALTER TABLE orders OWNER TO heir');
$session->value('GRANT ALL ON orders TO clerk1, clerk2');
succeeds('clerk2', q{UPDATE orders SET note = 'x'}, 'a table with a new owner');
$session->value('ALTER TABLE orders RENAME TO orders2');
succeeds('clerk2', q{UPDATE orders2 SET note = 'y'}, '... of a new name');
succeeds('clerk2', q{UPDATE archive SET note = 'z'},
	'... other ones of the old owner');
$session->value('DROP TABLE orders2');
succeeds('clerk2', q{UPDATE archive SET note = 'z'}, '... after it was dropped');
is(of_key('t1'), 'clerk1', '... have the same request');

# keys of version 1.0 do not say whose they are
succeeds('clerk1', q{INSERT INTO archive VALUES ('t4')}, 'a key');
$session->value(
	q{UPDATE domowf.key SET key_owner = NULL, source_oid = NULL WHERE key = 't4'});
succeeds('clerk2', q{UPDATE archive SET note = 'x' WHERE id = 't4'},
	'... of version 1.0');
$id = $session->value(q{SELECT id FROM domowf.request WHERE key = 't4'});
is_refused(as_role('bob', q{INSERT INTO of_bob VALUES ('t4')}),
	'... is not for everybody');

# ---- the length of the queue: within a transaction

$session->value('DELETE FROM domowf.queue; DELETE FROM domowf.key');
restart_worker();

sub queued
{
	return $session->value(
		q{SELECT count(*) FROM domowf.queue WHERE state <> 'in_doubt'});
}

# The SQL of so many requests.
sub many_sql
{
	my ($count) = @_;

	return "SELECT count(domowf_enqueue('plain', run_at => $hour))"
	  . " FROM generate_series(1, $count)";
}

$session->value('SET domowf.max_queue_length = 10');
$got = $session->run(many_sql(100_000));
is($got->{sqlstate}, '53400', 'one statement cannot enqueue more than may wait');
like($got->{detail}, qr/^About 10 requests wait/, '... it ends with the first row too many');
is(queued(), 0, '... and all of it is undone');
is($session->value(many_sql(4)), 4, 'as many as may wait can be enqueued');
$got = $session->run('BEGIN; '
	  . many_sql(3) . '; SAVEPOINT s; ' . many_sql(3) . '; ROLLBACK TO s; '
	  . many_sql(2) . '; SAVEPOINT t; ' . many_sql(1) . '; RELEASE t');
is($got->{sqlstate}, '', '... what a savepoint has undone does not count');
is($session->run(many_sql(1))->{sqlstate}, '53400', '... what it has kept does');
$session->run('ROLLBACK');
is(queued(), 4, '... nor what a transaction has undone');
is($session->value(many_sql(6)), 6, '... so that there is room for others');
is($session->run(many_sql(1))->{sqlstate}, '53400', '... and for no more');
is( $session->run(Domowf->enqueue_sql('plain', 'n', key => q{'full'}))->{sqlstate},
	'53400', '... with a key, too');
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');
as_role('keeper', 'GRANT ALL ON archive TO PUBLIC');
$got = $session->run("COPY archive (id) FROM STDIN;\n"
	  . join('', map { "copied $_\n" } 1 .. 11) . "\\.\n");
is($got->{sqlstate}, '53400', 'COPY of more rows than may wait');
$got = $session->run("COPY archive (id) FROM STDIN;\n"
	  . join('', map { "copied $_\n" } 1 .. 10) . "\\.\n");
is($got->{sqlstate}, '', '... and of as many') or diag $got->{err};
is(queued(), 10, '... is in the queue');
is($session->run(q{UPDATE archive SET note = 'full' WHERE id = 'copied 1'})->{sqlstate},
	'', '... which is in no way of what asks for the same again');
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');
$session->value('RESET domowf.max_queue_length');

# ---- by role

$session->configure('domowf.max_queue_length_per_role', 5);
$node->poll_query_until('postgres',
	q{SELECT setting = '5' FROM pg_settings WHERE name = 'domowf.max_queue_length_per_role'});
$got = as_role('alice', many_sql(6));
is($got->{sqlstate}, '53400', 'a limit by role: one statement');
is($got->{message}, 'too many requests of role "alice" wait', '... names the role');
is(as_role('alice', many_sql(5))->{out}, 5, '... as many as it may');
is(as_role('alice', many_sql(1))->{sqlstate}, '53400', '... and no more');
is(as_role('clerk1', q{INSERT INTO archive VALUES ('a row')})->{sqlstate},
	'', '... which is in no other one\'s way');
is(as_role('bob', many_sql(5))->{out}, 5, '... each has as many');
is( as_role('alice', 'SET domowf.max_queue_length_per_role = 0')->{sqlstate},
	'42501', '... and cannot give itself more');
is( as_role('alice',
		'SELECT domowf_discard(min(id)) FROM domowf.queue')->{out},
	't', 'who gives one up');
is(as_role('alice', many_sql(1))->{out}, 1, '... may have another one');

# what comes back is one more, too
$session->value('SELECT domowf_resume()');
@ids = map { enqueue_as('clerk1', 'refused', "again $_")->{out} } 1 .. 3;
is($session->outcome($_), 'rejected', 'a request is rejected') foreach @ids;
$session->value('SELECT domowf_pause()');
$session->value('SET domowf.max_queue_length_per_role = 2');
is($session->value("SELECT domowf_discard(id) FROM domowf.queue WHERE requested_by = 'clerk1'"),
	't', '... no other one waits') if $session->value(
	"SELECT count(*) FROM domowf.queue WHERE requested_by = 'clerk1'");
is($session->value("SELECT domowf_retry($ids[$_])"), 't', '... sent again')
  foreach 0, 1;
is($session->run("SELECT domowf_retry($ids[2])")->{sqlstate},
	'53400', '... as many as may wait');
is($session->request($ids[2]), 'rejected', '... the others stay as they are');
$session->configure('domowf.max_queue_length_per_role', 0);
$session->value('RESET domowf.max_queue_length_per_role');

# ---- what is enqueued by the writing of an outcome is not refused

# two for each, so that to be one less does not do
$session->value('SELECT count(domowf_discard(id)) FROM domowf.queue');
$session->value(<<'END');
CREATE FUNCTION enqueue_two() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.workflow = 'plain' THEN
		PERFORM public.domowf_enqueue('other', key => NEW.id || 'a'),
			public.domowf_enqueue('other', key => NEW.id || 'b');
	END IF;
	RETURN NULL;
END $$;
CREATE TRIGGER enqueue_two AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION enqueue_two();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER enqueue_two
END
foreach my $setting (qw(domowf.max_queue_length domowf.max_queue_length_per_role))
{
	restart_worker();
	@ids = map { $session->enqueue('plain', $_) } 1 .. 5;
	$session->configure($setting, 5);
	Domowf->until_taken_up($node, $session);
	is($session->run(q{SELECT domowf_enqueue('plain')})->{sqlstate}, '53400', "$setting: full");
	is($session->value("SELECT domowf_discard($ids[0])"), 't', '... one can be given up');
	is($session->run(Domowf->start_sql('model'))->{sqlstate}, '', '... a call can be made');
	is( $session->run(q{SELECT id FROM domowf_start('plain', '{}')})->{sqlstate},
		'', '... which enqueues, too');
	$session->value("UPDATE domowf.queue SET expires_at = clock_timestamp() WHERE id = $ids[1]");
	Domowf->until_taken_up($node, $session);
	is($session->outcome($ids[1]), 'expired', '... one expires');
	is($session->run(q{SELECT domowf_enqueue('plain')})->{sqlstate}, '53400', '... it is full all the same');
	$session->value('SELECT domowf_resume()');
	is(join(' ', map { $session->outcome($_) } @ids[ 2 .. 4 ]), 'done done done', '... all others are sent');
	$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.queue');
	is( $session->value(q{SELECT count(*) FROM domowf.log WHERE workflow = 'other'
		AND outcome = 'done' AND key ~ '^\d+[ab]$'}),
		12, '... and what comes of them');
	$session->value(q{DELETE FROM domowf.log WHERE workflow = 'other'});
	$session->configure($setting, 0);
	Domowf->until_taken_up($node, $session);
}
$session->value('DROP TRIGGER enqueue_two ON domowf.log; SELECT domowf_pause()');

# ---- the counts are those of the table, whatever happens

my $seed = $ENV{DOMOWF_SEED} // 1;
my @roles = qw(alice bob clerk1);
my $number = 0;

start_dice($seed, 0);
note "seed $seed";

# What is counted of a role, or of all: it is told where there is no room.
sub counted
{
	my ($role, $setting) = @_;
	my $refused = as_role_with($role, $setting);

	return $refused->{sqlstate} eq '' ? 0 : $refused->{detail} =~ /^About (-?\d+)/ && $1;
}

sub as_role_with
{
	my ($role, $setting) = @_;

	$session->value("BEGIN; SET LOCAL $setting = 1; SET LOCAL ROLE $role");
	my $result = $session->run(many_sql(1));
	$session->value('ROLLBACK');
	return $result;
}

# All counts, as told and as they are.
sub told
{
	return join ' ',
	  (map { "$_ " . counted($_, 'domowf.max_queue_length_per_role') } @roles),
	  'all ' . counted('alice', 'domowf.max_queue_length');
}

sub stored
{
	return $session->value(
		q{SELECT (SELECT string_agg(r || ' ' || (SELECT count(*) FROM domowf.queue
			WHERE state <> 'in_doubt' AND requested_by = r), ' ' ORDER BY r)
			FROM unnest('{alice,bob,clerk1}'::text[]) r) || ' all ' || count(*)
		FROM domowf.queue WHERE state <> 'in_doubt'});
}

# Requests of one of the ways in.
sub ask
{
	my $n = 'mix ' . ++$number;
	my $when = chance(50) ? ", run_at => $hour" : '';

	return one_of_weighted(
		50 => "SELECT domowf_enqueue('plain', '{\"n\": \"$n\"}'$when)",
		20 => "SELECT domowf_enqueue('refused', '{\"n\": \"$n\"}'$when)",
		10 => "INSERT INTO archive VALUES ('$n'), ('$n again')",
		10 => "COPY archive (id) FROM STDIN;\n$n a\n$n b\n$n c\n\\.\nSELECT 1",
		10 => "SELECT domowf_enqueue('plain', key => 'mix " . dice(5)
		  . q{', order_key => 'o')});
}

# What somebody does to a request.
sub meddle
{
	my $which = one_of(qw(queue log));
	my $verb = one_of('domowf_retry(id)', 'domowf_discard(id)',
		q{domowf_resolve(id, 'i')});

	return "SELECT $verb FROM (SELECT id FROM domowf.$which"
	  . ($which eq 'log' ? q{ WHERE outcome IN ('rejected', 'expired')} : '')
	  . " ORDER BY id * @{[ dice(1000) ]} % 1009 LIMIT 2) r";
}

sub step
{
	return chance(70) ? ask() : 'RESET ROLE; ' . meddle();
}

sub transaction
{
	my @steps;

	foreach (1 .. dice(4))
	{
		push @steps, 'SET LOCAL ROLE ' . one_of(@roles);
		push @steps, 'SAVEPOINT s', step(), 'SAVEPOINT t', step(),
		  one_of('ROLLBACK TO t', 'RELEASE t'), step(),
		  one_of('ROLLBACK TO s', 'RELEASE s')
		  if chance(40);
		push @steps, step();
	}
	return 'BEGIN; ' . join('; ', @steps) . '; '
	  . one_of('COMMIT', 'COMMIT', 'ROLLBACK');
}

# ---- what somebody has locked, whom the worker passes by, and gives back

restart_worker();
my $person = Domowf->session($node);
foreach my $end ('ROLLBACK', 'ROLLBACK TO s; COMMIT')
{
	foreach my $call ('retry', 'discard', 'resolve')
	{
		my $name = "$call, $end";

		$session->value('SELECT domowf_pause()');
		$id = $session->enqueue('plain', $name);
		$person->value("BEGIN; SAVEPOINT s; SELECT domowf_$call($id"
			  . ($call eq 'resolve' ? ", 'i')" : ')'));
		$session->value('SELECT domowf_resume()');
		is($session->outcome($session->enqueue('plain', "$name: next")),
			'done', "$name: the worker goes on");
		is($session->request($id), 'queued', '... with another one');
		$person->value($end);
		is($session->outcome($id), 'done', '... and with this one at the end');
	}
}
$person->quit;

# ---- all ways in and out

restart_worker();
is(told(), stored(), 'the counts are those of the table') or diag told();
$domo->script('status:502', count => 10, contains => '"mix 1');
foreach my $round (1 .. 6)
{
	$session->value('SELECT domowf_' . ($round % 2 ? 'pause' : 'resume') . '()');
	$session->run(transaction()) foreach 1 .. 15;
	$node->poll_query_until('postgres', <<'END') or die 'it does not settle';
SELECT NOT EXISTS (SELECT FROM domowf.queue WHERE state = 'sending')
	AND (EXISTS (SELECT FROM domowf.state WHERE paused) OR NOT EXISTS (
		SELECT FROM domowf.queue WHERE state = 'queued' AND due < now()))
END
	is(told(), stored(), "... after round $round of a random mix");
}
is($session->value(q{SELECT count(*) > 0 FROM domowf.queue WHERE state = 'in_doubt'}),
	't', '... some are in doubt');
$session->value('SELECT domowf_pause()');

# what expires, which the worker sees when it looks after the queue
$session->value('SET ROLE clerk1; '
	  . "SELECT domowf_enqueue('plain', run_at => $hour,"
	  . ' expires_at => clock_timestamp()) FROM generate_series(1, 3); RESET ROLE');
$session->value('SELECT pg_reload_conf()');
$node->poll_query_until('postgres',
	q{SELECT count(*) >= 3 FROM domowf.log WHERE outcome = 'expired'});
is(told(), stored(), '... of requests that have expired');

# what nobody tells, a recount finds
$session->value('BEGIN; SET LOCAL ROLE alice; '
	  . many_sql(3) . q{; PREPARE TRANSACTION 'p'});
is(told(), stored(), 'a prepared transaction counts for nothing');
$session->value(q{COMMIT PREPARED 'p'});
isnt(told(), stored(), '... nobody tells that it is committed');
$session->value(q{DELETE FROM domowf.queue WHERE id IN (SELECT id
	FROM domowf.queue WHERE requested_by = 'bob' LIMIT 2)});
$session->configure('domowf.poll_interval', '100ms');
foreach (1 .. 100 * $PostgreSQL::Test::Utils::timeout_default)
{
	last if told() eq stored();
}
is(told(), stored(), '... nor what was changed by hand, until a poll');
$session->configure('domowf.poll_interval', '1h');

# what a worker was sending when it died
$session->value('SELECT domowf_discard(id) FROM domowf.queue');
$session->value('SELECT domowf_resume()');
$domo->script('hang', count => 2, contains => '"dies');
enqueue_as('alice', 'plain', "dies $_") foreach 1, 2;
$domo->wait_for(held => 2);
as_role('alice', many_sql(5));
is(told(), 'alice 7 bob 0 clerk1 0 all 7', 'what is being sent is counted');
restart_worker();
$node->poll_query_until('postgres',
	q{SELECT count(*) = 2 FROM domowf.queue WHERE state = 'in_doubt'});
is(told(), 'alice 5 bob 0 clerk1 0 all 5', '... what is in doubt since it died is not');
$domo->close_all;
$session->value('SELECT domowf_resume()');
is( $session->value(
		q{SELECT count(domowf_retry(id)) FROM domowf.queue WHERE state = 'in_doubt'}),
	2,
	'... retried');
$node->poll_query_until('postgres', q{SELECT count(*) = 5 FROM domowf.queue});
is(told(), 'alice 5 bob 0 clerk1 0 all 5', '... done');
$session->value('SELECT domowf_discard(id) FROM domowf.queue');

# ---- more roles than can be counted (16 with test hooks)

$session->value('SELECT domowf_pause()');
$session->value(<<'END');
DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		EXECUTE 'CREATE ROLE r' || i;
		EXECUTE 'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO r' || i;
	END LOOP;
END $$;
SET domowf.max_queue_length_per_role = 2
END
my $offset = Domowf->log_size($node);
as_role("r$_", many_sql(2)) foreach 1 .. 20;
my @counted = grep { as_role("r$_", many_sql(1))->{sqlstate} eq '53400' } 1 .. 20;
is_deeply(\@counted, [ 1 .. @counted ], 'roles are counted as long as there is room');
cmp_ok(@counted, '<', 20, '... and not all of them');
is(as_role('r20', many_sql(3))->{sqlstate}, '53400',
	'... but what a transaction does itself');
restart_worker();
my @told = Domowf->log_since($node, $offset) =~ /there is no room to count the requests of every role/g;
is(scalar @told, 1, '... the log says so, once');
$session->value('SELECT domowf_discard(id) FROM domowf.queue');
restart_worker();
as_role('r20', many_sql(2));
is(as_role('r20', many_sql(1))->{sqlstate}, '53400',
	'... and again when others have nothing that waits');
$session->value('RESET domowf.max_queue_length_per_role');
$session->value('SELECT domowf_discard(id) FROM domowf.queue');

# ---- who waits is woken for his own request

$session->value('SELECT domowf_resume()');

# How often the tables of requests have been looked at in a transaction.
my $looks = q{SELECT sum(pg_stat_get_xact_numscans(c.oid)) FROM pg_class c
	LEFT JOIN pg_index i ON i.indexrelid = c.oid
	WHERE coalesce(i.indrelid, c.oid) IN ('domowf.queue'::regclass,
		'domowf.log'::regclass)};

# Begins to wait for a request.
sub wait_for
{
	my ($waiter, $request) = @_;

	$waiter->value('BEGIN');
	$waiter->send("SELECT state FROM domowf_wait($request, '170 s'); $looks");
	$node->poll_query_until('postgres',
		q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = }
		  . $waiter->pid);
	return;
}

# What it came to, and in how many looks.
sub waited
{
	my ($waiter) = @_;
	my $result = $waiter->wait->{out};

	$waiter->value('COMMIT');
	return $result;
}

my @waiters = map { Domowf->session($node) } 1 .. 9;
my $later = sub { $session->enqueue('plain', 'later', run_at => $hour) };

# what a session has counted before is not told apart
my $first = shift @waiters;

@ids = map { $later->() } 0 .. @waiters;
$id = pop @ids;
wait_for($first, $id);
$session->value("SELECT domowf_discard($id)");
my $alone = waited($first);
like($alone, qr/^discarded\n\d+$/, 'who waits is woken');
$first->quit;
wait_for($waiters[$_], $ids[$_]) foreach 0 .. $#waiters;
foreach my $round (1 .. 20)
{
	my $last;

	$last = $session->enqueue('plain', "others $round") foreach 1 .. 5;
	is($session->outcome($last), 'done', 'others are done') if $round == 20;
	$session->value("SELECT domowf_discard(@{[ $later->() ]})");
}
is($session->value('SELECT string_agg(DISTINCT wait_event_type, $$ $$) FROM'
		  . ' pg_stat_activity WHERE pid IN ('
		  . join(', ', map { $_->pid } @waiters) . ')'),
	'Extension', '... they wait');
$session->value("SELECT domowf_discard($_)") foreach @ids;
is(waited($_), $alone, '... which is nothing to who waits for something else')
  foreach @waiters;

# each way in which a request ends
my %ends = (
	done => sub { $session->value("SELECT domowf_retry($_[0])") },
	rejected => sub { $session->value("SELECT domowf_retry($_[0])") },
	in_doubt => sub { $session->value("SELECT domowf_retry($_[0])") },
	discarded => sub { $session->value("SELECT domowf_discard($_[0])") },
	resolved => sub { $session->value("SELECT domowf_resolve($_[0], 'i')") });
$domo->script('status:502', count => 1, contains => '"in_doubt"');
foreach my $end (sort keys %ends)
{
	$id = $session->enqueue($end eq 'rejected' ? 'refused' : 'plain', $end,
		run_at => $hour);
	wait_for($waiters[0], $id);
	$ends{$end}->($id);
	like(waited($waiters[0]), $end eq 'resolved' ? qr/^done\n/ : qr/^$end\n/,
		"who waits is woken: $end");
}

# several wait for one; what is rolled back wakes nobody who would not wait on
$id = $later->();
wait_for($_, $id) foreach @waiters;
$session->run("BEGIN; SELECT domowf_discard($id); ROLLBACK");
$session->run("BEGIN; SAVEPOINT s; SELECT domowf_discard($id); ROLLBACK TO s; COMMIT");
$session->value("SELECT domowf_discard($id)");
like(waited($_), qr/^discarded\n/, 'all who wait for a request') foreach @waiters;

# a change that tells nobody: looked at again after poll_interval
$session->configure('domowf.poll_interval', '100ms');
$node->poll_query_until('postgres',
	q{SELECT setting = '100' FROM pg_settings WHERE name = 'domowf.poll_interval'});
$id = $later->();
$waiters[0]->value('SELECT 1');
wait_for($waiters[0], $id);
$session->value("UPDATE domowf.queue SET state = 'in_doubt', due = 'infinity' WHERE id = $id");
like(waited($waiters[0]), qr/^in_doubt\n/, 'what nobody tells is seen, too');

# ---- waiting is seeing

$id = enqueue_as('alice', 'plain', 'seen', run_at => $hour)->{out};
is(as_role('bob', "SELECT domowf_wait($id)")->{sqlstate},
	'42704', 'nobody waits for what he may not see');
$session->value('GRANT pg_read_all_data TO bob');
$bob->send("SELECT state FROM domowf_wait($id, '170 s')");
$node->poll_query_until('postgres',
	q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = }
	  . $bob->pid);
$session->value('REVOKE pg_read_all_data FROM bob');
$got = $bob->wait;
is($got->{sqlstate}, '42704', '... nor goes on when he may no longer');
is($got->{message}, "request $id does not exist", '... as if it were not there');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $session, $alice, $bob, @waiters;
$node->stop;
done_testing();
