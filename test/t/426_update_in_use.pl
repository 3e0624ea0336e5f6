
# The library of today with 1.0's SQL, and ALTER EXTENSION UPDATE while the
# worker runs, sessions go on and columns of somebody's own are in the way.
# Exists because a package is updated in a minute, and databases when somebody
# gets to it: until then nothing may be lost, and then nothing done twice.

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
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf->own_installation . Domowf::RETRY_AT_ONCE
	  . "domowf.poll_interval = '500ms'\n");
my ($got, @ids, %id);

$node->safe_psql('postgres', "CREATE ROLE $_ LOGIN") foreach qw(app other);

sub value
{
	my ($sql) = @_;

	return $node->safe_psql('first', $sql);
}

sub state_of
{
	my ($id) = @_;

	return value("SELECT state FROM domowf.request WHERE id = $id");
}

$node->safe_psql('postgres', 'CREATE DATABASE first');
value(q{CREATE EXTENSION domowf VERSION '1.0'});
my $session = Domowf->session($node, dbname => 'first');
my $app = Domowf->session($node, dbname => 'first', user => 'app');
my $other = Domowf->session($node, dbname => 'first', user => 'other');

# where 1.1 would have its own
value("ALTER TABLE domowf.$_ ADD COLUMN mine text")
  foreach qw(queue log key state workflow workflow_input);
value('ALTER TABLE domowf.queue ADD COLUMN gone text; ALTER TABLE domowf.queue DROP COLUMN gone');

# ---- 1.0's SQL

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
VALUES ('plain', 'model', '1.0.0', 'Start it', NULL),
	('granted', 'granted model', '1.0.0', 'Start it', 'app');
INSERT INTO domowf.workflow_input (workflow, name, type, mine)
VALUES ('granted', 'n', 'text', 'yes');
GRANT EXECUTE ON FUNCTION domowf_start(text, jsonb),
	domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) TO app, other;
GRANT USAGE ON SCHEMA domowf TO app;
GRANT SELECT ON domowf.request, domowf.queue, domowf.log TO app;
CREATE TABLE orders (id text);
CREATE TRIGGER t AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('plain', 'n=id', '@key=id');
END
like($session->value(Domowf->start_sql('called')), qr/^[0-9a-f-]{36}$/, 'a call');
like($app->value(q{SELECT i.id FROM domowf_start('granted', '{"n": "x"}') i}),
	qr/^[0-9a-f-]{36}$/, '... of a registered workflow, granted to who calls');
is($other->run(q{SELECT domowf_start('granted', '{"n": "x"}')})->{sqlstate},
	'42501', '... and to nobody else');
is($app->run(q{SELECT domowf_start('granted', '{"n": 1}')})->{sqlstate},
	'22023', '... with declared inputs');
is(value(q{SELECT count(*), count(instance_id) FROM domowf.log}), '2|2', '... is in the log');

$id{$_} = $session->enqueue('plain', $_, order_key => q{'k'})
  foreach 'first of k', 'second of k';
$id{keyed} = $session->enqueue('plain', 'keyed', key => q{'one'});
is($session->enqueue('plain', 'again', key => q{'one'}), $id{keyed}, 'a key is held');
$id{granted} = $app->enqueue('granted', 'granted');
$id{call} = $session->value(q{SELECT domowf_enqueue_call('start', jsonb_build_object(
	'messageName', 'Start it', 'version', '1.0.0', 'modelId', 'other model',
	'data', '{"n": "call"}'::jsonb), order_key => 'k')});
$session->value(q{INSERT INTO orders VALUES ('row')});
$id{row} = value(q{SELECT request_id FROM domowf.key WHERE key = 'row'});
is(value('SELECT count(*), count(*) FILTER (WHERE waiting) FROM domowf.queue'), '6|2',
	'requests are stored, and wait behind those of their order key');
is($session->value("SELECT state FROM domowf_wait($id{keyed}, '0')"), 'queued',
	'... and can be waited for');
value(q{UPDATE domowf.queue SET mine = 'kept ' || id; UPDATE domowf.workflow SET mine = name});
ok( $node->poll_query_until('first',
		q{SELECT state = 'paused' AND pause_reason ~ 'ALTER EXTENSION domowf UPDATE' FROM domowf.worker}),
	'the worker says what it waits for');
is($domo->stats->{executed}, 2, '... and sends nothing');

# ---- updated while a session is in the middle of it

$session->value('BEGIN');
$id{'third of k'} = $session->enqueue('plain', 'third of k', order_key => q{'k'});
my $updater = Domowf->session($node, dbname => 'first');
$updater->send('ALTER EXTENSION domowf UPDATE');
ok( $node->poll_query_until('first',
		'SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid = ' . $updater->pid),
	'the update waits for who enqueues');
$session->value('COMMIT');
is($updater->wait->{err}, '', '... and is done');
$updater->quit;
$id{later} = $session->enqueue('plain', 'later', order_key => q{'k'});
$id{'app later'} = $app->enqueue('granted', 'app later');
foreach my $name (sort keys %id)
{
	ok( $node->poll_query_until('first',
			"SELECT outcome = 'done' FROM domowf.log WHERE id = $id{$name}"),
		"$name: done");
	is($domo->arrived($name), 1, '... once');
}
is( value(q{SELECT string_agg(request -> 'data' ->> 'n', ', ' ORDER BY sent_at) FROM domowf.log
	WHERE order_key = 'k' AND workflow IS NOT NULL}),
	'first of k, second of k, third of k, later',
	'... in the order of their key');
is($domo->arrived('again'), 0, 'what met a key is not sent');

# ---- with columns of somebody's own before ours

is( value(q{SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
	WHERE attrelid = 'domowf.queue'::regclass AND attnum > 26 AND NOT attisdropped}),
	'mine order_space lane server server_owner server_role track returns_to depth source_oid',
	'what is the extension\'s is behind somebody\'s own');
like(value(q{SELECT detail FROM domowf_check() WHERE check_name = 'dumps'}),
	qr/fails: domowf\.workflow\.mine, domowf\.workflow_input\.mine;/, '... which domowf_check tells of');
is(value(q{SELECT check_name, detail FROM domowf_check() WHERE NOT ok AND check_name <> 'dumps'}),
	'triggers|who made these triggers before version 1.1 is not known, who may have been'
	  . q{ somebody that has not the rights of the table's owner: t on public.orders;}
	  . ' look at each, then delete its row of domowf.earlier_trigger',
	'domowf_check finds nothing wrong but whose an earlier trigger is');
$domo->script('status:502', count => 1, contains => 'doubtful');
$session->value('BEGIN');
my $doubtful = $session->enqueue('plain', 'doubtful');
$session->value("UPDATE domowf.queue SET mine = 'still' WHERE id = $doubtful");
$session->value('COMMIT');
ok( $node->poll_query_until('first',
		"SELECT state = 'in_doubt' AND mine = 'still' FROM domowf.queue WHERE id = $doubtful"),
	'a row that changes keeps them');
is($session->value("SELECT domowf_retry($doubtful)"), 't', '... retried');
ok( $node->poll_query_until('first',
		"SELECT outcome = 'done' FROM domowf.log WHERE id = $doubtful"),
	'... and done');
is(value(q{SELECT string_agg(mine, ', ' ORDER BY name) FROM domowf.workflow}), 'granted, plain',
	'... in the registry, too');

# ---- the objects are those of a new installation, rows in place

$node->safe_psql('postgres', "CREATE DATABASE $_") foreach qw(second new);
$node->safe_psql('second', q{CREATE EXTENSION domowf VERSION '1.0'});
$node->safe_psql('second', q{INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('plain', 'model', '1.0.0', 'Start it')});
@ids = map {
	$node->safe_psql('second', Domowf->enqueue_sql('plain', "second $_", key => "'$_'"))
} 1 .. 20;
ok( $node->poll_query_until('second', q{SELECT pause_reason ~ 'UPDATE' FROM domowf.worker}),
	'a database of 1.0 with a queue, and its worker');
$node->safe_psql('second', 'ALTER EXTENSION domowf UPDATE');
$node->safe_psql('new', 'CREATE EXTENSION domowf');
is( Domowf->look($node, 'second', 'describe'),
	Domowf->look($node, 'new', 'describe'),
	'... has the objects of a new one');
ok( $node->poll_query_until('second',
		q{SELECT count(*) = 20 FROM domowf.log WHERE outcome = 'done'}),
	'... and all of it is sent');
is(scalar(grep { $domo->arrived("second $_") == 1 } 1 .. 20), 20, '... once');
is($node->safe_psql('second', q{SELECT count(*) FROM domowf.key}), '20', '... keys are held');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $session, $app, $other;
$node->stop;
done_testing();
