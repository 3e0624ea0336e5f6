
# What must not stop a worker or make it send twice: replies that cannot be
# stored, rows that cannot be settled, triggers of others, a new token, limits,
# replication, a promotion.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not open domowf\.token_file: No such file/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 'logical',
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '500ms'
domowf.timeout = '10min'
END
my $session = Domowf->session($node);
my ($id, @ids, $got);
my $workflow = q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('plain', 'model', '1.0.0', 'Start it'),
	('poisoned', 'model', '1.0.0', 'Start it')};
my $hour = q{now() + interval '1 hour'};

$session->value($workflow);

sub outcome
{
	my ($request, $columns, $in) = @_;

	return ($in // $session)->outcome($request, $columns);
}

sub worker
{
	my ($at) = @_;

	($at // $node)->poll_query_until('postgres',
		'SELECT pid IS NOT NULL FROM domowf.worker');
	return ($at // $node)->safe_psql('postgres',
		'SELECT pid FROM domowf.worker');
}

# ---- replies

my @odd = qw(invalid-utf8 invalid-utf8-id nul-byte nul-escape nul-escape-id
  lone-surrogate lone-surrogate-id id-long id-odd deep deep-objects huge-number
  huge-exponent long-integer duplicate-id duplicate-nested unicode
  wrong-types extra-fields truncated two-objects null 204 only-id);
my $worker = worker();
$domo->script("reply:$_", count => 1, contains => "\"n\": \"$_\"")
  foreach @odd;
$session->run('BEGIN');
@ids = map { ($session->enqueue('plain', $_), $session->enqueue('plain', "beside $_")) } @odd;
$session->run('COMMIT');
my %state = map { $_ => outcome($_) } @ids;
foreach my $i (0 .. $#odd)
{
	my ($it, $neighbour) = @state{ @ids[ 2 * $i, 2 * $i + 1 ] };

	like($it, qr/^(?:done|in_doubt)$/, "reply $odd[$i]: done or in doubt");
	is($neighbour, 'done', '... and its neighbour is done');
	is($domo->arrived($odd[$i]) . $domo->arrived("beside $odd[$i]"),
		'11', '... each was sent once');
}
is(worker(), $worker, 'the worker has gone on');

# ---- another encoding

$session->value(q{CREATE DATABASE latin ENCODING 'LATIN1' LC_COLLATE 'C'
	LC_CTYPE 'C' TEMPLATE template0});
$node->safe_psql('latin', "CREATE EXTENSION domowf; $workflow");
my $latin = Domowf->session($node, dbname => 'latin');
$domo->script('reply:unicode', count => 1, contains => 'latin odd');
@ids = map { $latin->enqueue('plain', $_) } 'latin odd', 'latin';
my @states = map { outcome($_, 'state', $latin) } @ids;
is($states[0], 'done', 'a reply that the encoding cannot hold: done');
is($states[1], 'done', '... and so is the next one');
is( $latin->value('SELECT model_name IS NULL, response IS NULL'
		  . " FROM domowf.log WHERE id = $ids[0]"),
	't|t',
	'... what it cannot hold is NULL');
$domo->script('reply:error-unicode', count => 1, contains => 'latin refused');
$id = $latin->enqueue('plain', 'latin refused');
is(outcome($id, 'state', $latin), 'rejected', '... nor the text of an error');
$id = $latin->value(qq{SELECT domowf_enqueue('plain',
	'{"n": "latin \x{e9} \x{fc}"}')});
is(outcome($id, 'state', $latin), 'done', '... text of it is sent');
my @n = map { $_->{data}{n} // '' } $domo->executed(operation => 'start');
is(scalar(grep { $_ eq "latin \x{e9} \x{fc}" } @n), 1, '... as UTF-8');
$latin->quit;

# ---- a row that cannot be settled

$session->value(q{ALTER TABLE domowf.log ADD CONSTRAINT poison
	CHECK (workflow IS DISTINCT FROM 'poisoned')});
$session->run('BEGIN');
@ids = map { $session->enqueue($_ == 2 ? 'poisoned' : 'plain', "poison $_") } 0 .. 5;
$session->run('COMMIT');
is(outcome($ids[$_]), 'done', 'one row cannot be settled, another one can')
  foreach 0, 1, 3, 4, 5;
is($session->value("SELECT state FROM domowf.request WHERE id = $ids[2]"),
	'in_doubt', '... the first is in doubt');
is( $session->value(
		"SELECT errors->-1->>'outcome' FROM domowf.queue WHERE id = $ids[2]"),
	'done', '... with its outcome');
$session->value('ALTER TABLE domowf.log DROP CONSTRAINT poison');
is($domo->arrived("poison $_"), 1, '... each was sent once') foreach 0 .. 5;
is(worker(), $worker, '... by the same worker');

# ---- a row that somebody has locked

my $other = Domowf->session($node);
$session->value('SELECT domowf_pause()');
$node->poll_query_until('postgres',
	q{SELECT state = 'paused' FROM domowf.worker});
$id = $session->enqueue('plain', 'locked');
$other->run('BEGIN');
$other->value("SELECT id FROM domowf.queue WHERE id = $id FOR UPDATE");
$session->value('SELECT domowf_resume()');
is($session->value("SELECT (domowf_wait($id, '700 ms')).state"),
	'queued', 'a row that somebody has locked is left alone');
is(outcome($session->enqueue('plain', 'beside locked')), 'done', '... others are not');
$other->run('COMMIT');
is(outcome($id), 'done', '... and it is sent afterwards');
$other->quit;

# ---- triggers of others

$session->value(<<'END');
CREATE TABLE fired (what text, who text);
CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.fired VALUES (TG_TABLE_NAME || ' ' || TG_OP, current_user);
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER evil BEFORE INSERT OR UPDATE OR DELETE ON domowf.queue
	FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER evil BEFORE INSERT OR UPDATE OR DELETE ON domowf.log
	FOR EACH ROW EXECUTE FUNCTION fire();
CREATE TRIGGER evil BEFORE INSERT OR UPDATE OR DELETE ON domowf.key
	FOR EACH ROW EXECUTE FUNCTION fire()
END
$id = $session->enqueue('plain', 'triggers', key => q{'t'}, order_key => q{'t'});
is(outcome($id), 'done', 'a trigger on domowf\'s tables');
$id = $session->enqueue('plain', 'triggers', run_at => $hour);
$session->value("SELECT domowf_discard($id)");
is($session->value('SELECT count(*) FROM fired'),
	0, '... never runs with the rights of others');
$session->value('DROP FUNCTION fire() CASCADE; DROP TABLE fired');

# ---- a reload while a request hangs

$domo->script('hang', count => 1, contains => '"hangs"');
my $hangs = $session->enqueue('plain', 'hangs');
$domo->wait_for(held => 1);
$session->configure('domowf.max_connections', 4);
$id = $session->enqueue('plain', 'after the reload');
my $state = $session->value("SELECT (domowf_wait($id, '170 s')).state");
is($state, 'done', 'a reload while one request hangs holds up nobody');
$domo->close_all;
is(outcome($hangs), 'in_doubt', '... which is in doubt in the end');
is(outcome($id), 'done', '... and all go on');
$session->value("SELECT domowf_discard($hangs)");

# ---- a cancel: no statement of the worker's is anybody's to cancel

$domo->script('gate:cancelled', count => 1, contains => '"cancelled"');
$id = $session->enqueue('plain', 'cancelled');
$domo->wait_for(held => 1);
my $pid = worker();
is($session->value("SELECT pg_cancel_backend($pid)"), 't',
	'pg_cancel_backend() of the worker while a request hangs');
$domo->release('cancelled');
is(outcome($id), 'done', '... which is done all the same');
is(worker(), $pid, '... by the same worker');

# ---- limits

$session->configure('domowf.rate_limit', 600);
ok( $node->poll_query_until('postgres',
		q{SELECT setting = '600' FROM pg_settings WHERE name = 'domowf.rate_limit'}),
	'rate_limit is set');
outcome($session->enqueue('plain', 'settled')) foreach 1 .. 2;
$session->value(q{SELECT count(domowf_enqueue('plain',
	jsonb_build_object('n', 'rate ' || g))) FROM generate_series(1, 30) g});
ok( $node->poll_query_until('postgres',
		'SELECT done = total FROM domowf.batch WHERE total = 30'),
	'rate_limit: all are done');
my @times = map { $_->{time} } $domo->record(contains => '"rate ');
cmp_ok($times[-1] - $times[0], '>', 1.5, '... and not at once');
$session->configure('domowf.rate_limit', 0);

# in doubt is not counted
$domo->script('status:502', count => 5, contains => '"doubt ');
my @doubtful = map { $session->enqueue('plain', "doubt $_") } 1 .. 5;
is(outcome($_), 'in_doubt', 'in doubt') foreach @doubtful;

# a new worker counts anew: rows were deleted by hand above
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
worker();
$session->value(q{SELECT domowf_pause()});
$session->value('SET domowf.max_queue_length = 5');
@ids = grep { $_ } map {
	$session->run(Domowf->enqueue_sql('plain', "length $_", run_at => $hour))->{out}
} 1 .. 5;
is(scalar @ids, 5, 'max_queue_length: so many are accepted');
is($session->run(Domowf->enqueue_sql('plain', 'too many'))->{sqlstate},
	'53400', '... one more is refused');
$session->value("SELECT domowf_discard($_)") foreach @ids;
$got = $session->run(Domowf->enqueue_sql('plain', 'enough'));
is($got->{sqlstate}, '', '... and accepted when others are given up');
$session->value('RESET domowf.max_queue_length');
$session->value("SELECT domowf_discard($_)") foreach @doubtful;
$session->value('SELECT domowf_resume()');
is(outcome($session->enqueue('plain', 'drained')), 'done', '... resumed');
$session->value(<<'END');
DO $$ BEGIN
	FOR i IN 1 .. 20 LOOP
		BEGIN
			PERFORM domowf_enqueue('plain');
			RAISE 'no';
		EXCEPTION WHEN raise_exception THEN NULL;
		END;
	END LOOP;
END $$
END
ok( $node->poll_query_until('postgres',
		"SET domowf.max_queue_length = 15; SELECT domowf_enqueue('plain') > 0",
		"SET\nt"),
	'... what was rolled back does not count, after a poll');

# ---- retention: batch after batch, not one for each poll

$session->configure('domowf.poll_interval', '1h');
$session->value(<<'END');
WITH g AS (SELECT g FROM generate_series(1, 2500) g),
	k AS (INSERT INTO domowf.key SELECT 'start', 'old ' || g, -g FROM g)
INSERT INTO domowf.log (id, operation, outcome, origin, key, attempts,
	requested_by, requested_by_oid, settled_at, batch)
SELECT -g, 'start', 'done', 'request', 'old ' || g, 1, current_user, 10,
	now() - interval '31 days', '1'::xid8 FROM g
END
my $kept = $session->value('SELECT count(*) FROM domowf.log WHERE id > 0');
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
ok( $node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM domowf.log WHERE id < 0'),
	'retention: all old rows of the log are removed');
is($session->value("SELECT count(*) FROM domowf.key WHERE key LIKE 'old %'"),
	0, '... and their keys');
is($session->value('SELECT count(*) FROM domowf.log WHERE id > 0'),
	$kept, '... and nothing else');
worker();
$session->configure('domowf.poll_interval', '5s');

# ---- a new token in the file

my $token_file = $node->basedir . '/token';

sub write_token
{
	my ($token) = @_;

	unlink $token_file;
	append_to_file($token_file, "$token\n");
	chmod 0600, $token_file or die "chmod: $!";
	return;
}

write_token(Domowf::TOKEN);
$node->append_conf('postgresql.conf',
	"domowf.token = ''\ndomowf.token_file = '$token_file'\n");
$session->quit;
$node->restart;
$session = Domowf->session($node);
is(outcome($session->enqueue('plain', 'token 1')), 'done', 'the token of a file is used');
$domo->accept_tokens('second-token-0123456789');
$id = $session->enqueue('plain', 'token 2');
ok( $node->poll_query_until('postgres',
		"SELECT errors IS NOT NULL FROM domowf.queue WHERE id = $id"),
	'it is no longer good');
write_token('second-token-0123456789');
is(outcome($id, 'state, attempts'),
	'done|1', '... and the new one is read without a reload');
unlink $token_file;
$session->value('SELECT pg_reload_conf()');
ok( $node->poll_query_until('postgres',
		q{SELECT state = 'paused' AND pause_reason ~ 'token' FROM domowf.worker}),
	'no file: nothing is sent, and the worker says why');
$id = $session->enqueue('plain', 'token 3');
write_token('second-token-0123456789');
is(outcome($id, 'state, attempts'),
	'done|1', '... and it is found when it is back');
is($domo->arrived('token 3'), 1, '... sent once');

# ---- logical replication

my $subscriber = Domowf->start_node('subscriber', $domo, preload => 1,
	conf => "domowf.poll_interval = '500ms'\n");
foreach my $at ($node, $subscriber)
{
	$at->safe_psql('postgres', 'CREATE TABLE plain (i int PRIMARY KEY)');
}
$node->safe_psql('postgres', 'CREATE PUBLICATION everything FOR ALL TABLES');
$subscriber->safe_psql('postgres',
	"CREATE SUBSCRIPTION everything CONNECTION '"
	  . $node->connstr
	  . " dbname=postgres' PUBLICATION everything WITH (copy_data = false)");
$node->wait_for_catchup('everything', 'replay', $node->lsn('insert'));
my $before = $domo->arrived('published');
$session->run('BEGIN');
$id = $session->enqueue('plain', 'published');
my $later = $session->enqueue('plain', 'published later', run_at => $hour);
$session->value('INSERT INTO plain VALUES (1)');
$session->run('COMMIT');
is(outcome($id), 'done', 'a publisher sends');
ok($subscriber->poll_query_until('postgres', 'SELECT count(*) = 1 FROM plain'),
	'... a subscriber gets its rows');
is($subscriber->safe_psql('postgres', 'SELECT count(*) FROM domowf.queue'),
	0, '... but no requests');
is($domo->arrived('published'), 1, '... which are sent once');
$subscriber->stop;
$session->value('DROP PUBLICATION everything');

# ---- promotion

$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "domowf.after_promotion = pause\n");
$standby->start;
is($standby->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'domowf worker'}),
	0, 'no worker on a standby');
my ($status, $out, $err) =
  $standby->psql('postgres', q{SELECT domowf_enqueue('plain')},
	extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
like($err, qr/25006/, '... and nothing can be enqueued there');

$domo->script('hang', count => 1, contains => 'promoted 1');
$session->run('BEGIN');
@ids = map { $session->enqueue('plain', "promoted $_") } 1 .. 2;
my $promoted = $session->enqueue('plain', 'promoted 3', run_at => $hour);
$session->run('COMMIT');
is(outcome($ids[1]), 'done', 'the primary sends');
$domo->wait_for(held => 1);
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$session->quit;
$node->stop('immediate');
$standby->promote;
$session = Domowf->session($standby);
ok( $standby->poll_query_until('postgres',
		q{SELECT state = 'paused' AND pause_reason ~ 'promoted' FROM domowf.worker}),
	'after_promotion = pause: the worker waits');
is( $session->value(
		"SELECT string_agg(state, ' ' ORDER BY id) FROM domowf.request"
		  . " WHERE id IN ($ids[0], $ids[1])"),
	'in_doubt done',
	'... what the primary was sending is in doubt');
$session->value("SELECT domowf_retry($promoted)");
is($session->value("SELECT (domowf_wait($promoted, '600 ms')).state"),
	'queued', '... and nothing is sent');
$session->value('SELECT domowf_resume()');
is(outcome($promoted), 'done', '... it goes on when it is told to');
is($domo->arrived("promoted $_"), 1, '... each was sent once') foreach 1 .. 3;
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
worker($standby);
my $reason = $session->value(
	q{SELECT coalesce(pause_reason, 'none') FROM domowf.worker});
$id = $session->enqueue('plain', 'a worker later');
$state = $session->value("SELECT (domowf_wait($id, '5 s')).state");
is($state, 'done', '... and the next worker does not pause again');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$standby->stop;
done_testing();
