
# A publication FOR ALL TABLES, with the extension on both sides and the first
# copy that is the default: what each of domowf's tables makes of it.  Exists
# because every row that meets one of the subscriber's own, as the row of
# domowf.state always does, ends a subscription for good, and because a
# subscriber must neither send what its publisher sends nor lose what it was
# asked for.

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
my $hour = q{now() + interval '1 hour'};
my %at;
my ($id, %sent);

foreach my $name ('publisher', 'subscriber')
{
	$at{$name} = Domowf->start_node($name, $domo,
		preload => 1,
		streaming => $name eq 'publisher',
		conf => Domowf::RETRY_AT_ONCE . "wal_level = logical\ndomowf.poll_interval = '200ms'\n");
	value($name, <<"SQL");
CREATE TABLE plain (i int PRIMARY KEY);
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('shared', 'model of the $name', '1.0.0', 'Start it'),
	('of the $name', 'model', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input (workflow, name, type)
VALUES ('shared', 'n', 'text'), ('of the $name', 'n', 'text')
SQL
}

sub value
{
	my ($name, $sql) = @_;

	return $at{$name}->safe_psql('postgres', $sql);
}

# Enqueues one that is done; its id.
sub start
{
	my ($name, $n, %option) = @_;
	my $request = value($name, Domowf->enqueue_sql('shared', $n, %option));

	$sent{$n}++;
	is(value($name, Domowf->outcome_sql($request)), 'done', "the $name sends: $n");
	return $request;
}

sub log_of
{
	my ($name, $request) = @_;

	return value($name,
		"SELECT outcome, request->'data'->>'n' FROM domowf.log WHERE id = $request");
}

sub catch_up
{
	$at{publisher}->wait_for_catchup('everything', 'replay', $at{publisher}->lsn('insert'));
	return;
}

# ---- every table is one of these

is( value('subscriber', <<'SQL'), '', 'each table has a trigger that says what replication may do to it');
SELECT string_agg(c.relname, ' ') FROM pg_class c
WHERE c.relnamespace = 'domowf'::regnamespace AND c.relkind = 'r'
	AND NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = c.oid
		AND tgenabled = 'A' AND tgname IN ('refuse_replication', 'keep_own'))
	OR c.relnamespace = 'domowf'::regnamespace AND c.relkind = 'r'
		AND (SELECT count(*) FROM pg_trigger WHERE tgrelid = c.oid
			AND tgenabled = 'A' AND tgname IN ('refuse_truncation', 'undo_truncation')) <> 2
SQL
is( value('subscriber', <<'SQL'), '', '... and a primary key, without which a publication refuses changes, or all of a row is its identity');
SELECT string_agg(c.relname, ' ') FROM pg_class c
WHERE c.relnamespace = 'domowf'::regnamespace AND c.relkind = 'r'
	AND c.relreplident <> 'f'
	AND NOT EXISTS (SELECT FROM pg_index WHERE indrelid = c.oid AND indisprimary)
SQL

# ---- what both have when they meet

my %own;
my %theirs;

start('publisher', "p $_") foreach 1 .. 6;
$own{log} = start('subscriber', 's 1', key => q{'k'});
$theirs{key} = start('publisher', 'p key', key => q{'k'});
$theirs{later} = value('publisher',
	Domowf->enqueue_sql('shared', 'p later', run_at => $hour, key => q{'later'}));
$own{later} = value('subscriber',
	Domowf->enqueue_sql('shared', 's later', run_at => $hour));
$domo->script('status:400', count => 1, contains => 'p rejected');
$theirs{rejected} = value('publisher', Domowf->enqueue_sql('shared', 'p rejected'));
is(value('publisher', Domowf->outcome_sql($theirs{rejected})), 'rejected', 'one is rejected');
$sent{'p rejected'}++;
is($own{log}, 1, 'they have the same ids');
value('publisher', q{INSERT INTO plain VALUES (1); SELECT domowf_pause('the publisher')});

value('publisher', 'CREATE PUBLICATION everything FOR ALL TABLES');
value('subscriber', "CREATE SUBSCRIPTION everything CONNECTION '"
	  . $at{publisher}->connstr . " dbname=postgres' PUBLICATION everything");
$at{subscriber}->wait_for_subscription_sync($at{publisher}, 'everything');
is(value('subscriber', 'SELECT count(*) FROM plain'), 1, 'the first copy comes to its end');

is(value('subscriber', 'SELECT string_agg(id::text, $$ $$) FROM domowf.queue'),
	$own{later}, '... it brings no request');
is(value('subscriber', 'SELECT string_agg(key, $$ $$) FROM domowf.key'),
	'k', '... nor keys');
is(value('subscriber', 'SELECT paused FROM domowf.state'), 'f', '... nor a pause');
is(log_of('subscriber', $own{log}), 'done|s 1', '... its own log stays');
is(log_of('subscriber', $own{later}), '', '... no id of the queue gets into it');
is(log_of('subscriber', $theirs{key}), 'done|p key', '... but what has other ids does');
is( value('subscriber', "SELECT string_agg(name || ': ' || model_id, ', ' ORDER BY name) FROM domowf.workflow"),
	'of the publisher: model, of the subscriber: model, shared: model of the subscriber',
	'... a workflow that is registered stays');
is(value('subscriber', 'SELECT count(*) FROM domowf.workflow_input'), 3, '... and its inputs');

# ---- and from then on

value('publisher', 'SELECT domowf_resume()');
$id = start('publisher', 'p after');
catch_up();
is(log_of('subscriber', $id), 'done|p after', 'what comes later is logged');
my $next = start('subscriber', 's after');
ok($next > $id, '... and a new id is behind it');
value('publisher', "SELECT domowf_retry($theirs{rejected})");
is(value('publisher', Domowf->outcome_sql($theirs{rejected})), 'done', 'one is sent again');
$sent{'p rejected'}++;
catch_up();
is(log_of('subscriber', $theirs{rejected}), 'done|p rejected', '... and the log has the newer row');
value('publisher', "DELETE FROM domowf.log WHERE id = $own{log}");
value('publisher', "DELETE FROM domowf.key WHERE key = 'k'");
value('publisher', "UPDATE domowf.log SET outcome = 'wrong' WHERE id IN (2, 3)");
value('publisher', "UPDATE domowf.workflow SET version = '1.0.1' WHERE name = 'of the publisher'");
value('publisher', "UPDATE domowf.workflow SET name = 'of the subscriber' WHERE name = 'of the publisher'");
value('publisher', 'INSERT INTO plain VALUES (2)');
catch_up();
is(value('subscriber', 'SELECT count(*) FROM plain'), 2, 'nothing of this ends the subscription');
is(log_of('subscriber', $own{log}), 'done|s 1', '... its own log stays');
is(value('subscriber', Domowf->enqueue_sql('shared', 's again', key => q{'k'})),
	$own{log}, '... and its keys, so that nothing is asked for twice');
is(value('subscriber', "SELECT version FROM domowf.workflow WHERE name = 'of the subscriber'"),
	'1.0.0', '... and its workflows');

# what the publisher does to a workflow that came from there, and to its inputs
my $inputs = q{SELECT string_agg(concat_ws(' ', name, type), ', ' ORDER BY name)
	FROM domowf.workflow_input WHERE workflow = 'passing'};
value('publisher', q{INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('passing', 'model', '1.0.0', 'Start it')});
value('publisher', q{INSERT INTO domowf.workflow_input (workflow, name, type)
	VALUES ('passing', 'a', 'text'), ('passing', 'b', 'text')});
catch_up();
is(value('subscriber', $inputs), 'a text, b text', 'a new workflow comes with its inputs');
value('subscriber', q{INSERT INTO domowf.workflow_input (workflow, name, type)
	VALUES ('passing', 'own', 'date')});
value('publisher', q{UPDATE domowf.workflow_input SET type = 'number' WHERE workflow = 'passing' AND name = 'a'});
value('publisher', q{UPDATE domowf.workflow_input SET name = 'own' WHERE workflow = 'passing' AND name = 'b'});
catch_up();
is(value('subscriber', $inputs), 'a number, b text, own date',
	'... a change of one is taken, but not to the name of one that is there');
value('publisher', q{DELETE FROM domowf.workflow_input WHERE workflow = 'passing' AND name = 'a'});
catch_up();
is(value('subscriber', $inputs), 'b text, own date', '... nor does one stay that is removed');
value('publisher', q{DELETE FROM domowf.workflow WHERE name = 'passing'});
catch_up();
is(value('subscriber', q{SELECT count(*) FROM domowf.workflow WHERE name = 'passing'}),
	0, '... nor the workflow');

# ... and to one that both have registered: by its name, as README has it
foreach my $name ('subscriber', 'publisher')
{
	value($name, qq{INSERT INTO domowf.workflow (name, model_id, version, message_name)
		VALUES ('both', 'model of the $name', '1.0.0', 'Start it')});
}
my $both = q{SELECT model_id, version FROM domowf.workflow WHERE name = 'both'};
catch_up();
is(value('subscriber', $both), 'model of the subscriber|1.0.0', 'a workflow that both register stays');
value('publisher', q{UPDATE domowf.workflow SET version = '1.0.1' WHERE name = 'both'});
catch_up();
is(value('subscriber', $both), 'model of the publisher|1.0.1', '... until the publisher changes it');
value('publisher', q{DELETE FROM domowf.workflow WHERE name = 'both'});
catch_up();
is(value('subscriber', $both), '', '... or removes it');

# ---- a batch is a transaction of one side: two of the same number do not mix

my ($mine, $batch) = split /\|/, value('subscriber', <<"SQL");
WITH e AS MATERIALIZED (SELECT domowf_enqueue('shared', '{"n": "s batch"}', run_at => $hour) AS id
	FROM generate_series(1, 2))
SELECT string_agg(id::text, ','), pg_current_xact_id() FROM e
SQL
my $theirs_too = value('publisher', <<"SQL");
INSERT INTO domowf.log SELECT (jsonb_populate_record(l, jsonb_build_object(
	'id', 5000, 'batch', '$batch', 'key', NULL))).*
FROM domowf.log l WHERE id = $theirs{key} RETURNING id
SQL
catch_up();
my $batches = "SELECT batch, total, done, waiting FROM domowf.batch WHERE batch IN ('$batch', '"
  . ($batch + (1 << 62)) . q{') ORDER BY batch};
is(log_of('subscriber', $theirs_too), 'done|p key', 'a row of a batch that has the number of one here');
is(value('subscriber', $batches), "$batch|2|0|2\n" . ($batch + (1 << 62)) . '|1|1|0', '... is not of that one');
value('publisher', "UPDATE domowf.log SET instance_status = 'COMPLETED' WHERE id = $theirs_too");
catch_up();
is(value('subscriber', "SELECT instance_status FROM domowf.log WHERE id = $theirs_too"),
	'COMPLETED', '... and what comes of it is');
value('subscriber', "SELECT domowf_discard(id) FROM domowf.queue WHERE id IN ($mine)");
is(value('subscriber', $batches), "$batch|2|0|0\n" . ($batch + (1 << 62)) . '|1|1|0', '... nor when all is settled');

value('publisher', "SELECT domowf_discard($theirs{later})");
value('subscriber', "SELECT domowf_retry($own{later})");
$sent{'s later'}++;
is(value('subscriber', Domowf->outcome_sql($own{later})), 'done', 'the subscriber sends its own');
my $offset = Domowf->log_size($at{subscriber});
my $kept = value('subscriber', Domowf->enqueue_sql('shared', 's kept', run_at => $hour));

# ---- a publisher that empties its tables

my @tables = split /\n/, value('subscriber', q{SELECT relname FROM pg_class
	WHERE relnamespace = 'domowf'::regnamespace AND relkind = 'r' ORDER BY 1});

# All rows of the subscriber's tables, as they stand there.
sub all_rows
{
	return value('subscriber', join "\nUNION ALL\n",
		map { "(SELECT '$_ ' || t FROM domowf.$_ t ORDER BY 1)" } @tables);
}

# a value that stands aside, a column of somebody's own, and a trigger that copies
value('subscriber', <<"SQL");
UPDATE domowf.log SET error = (SELECT string_agg(md5(g::text), '') FROM generate_series(1, 500) g)
WHERE id = $own{log};
ALTER TABLE domowf.log ADD COLUMN own text;
UPDATE domowf.log SET own = 'own';
CREATE TABLE copied (id bigint);
CREATE FUNCTION copy_outcome() RETURNS trigger LANGUAGE plpgsql AS
'BEGIN INSERT INTO public.copied VALUES (NEW.id); RETURN NULL; END';
CREATE TRIGGER copy_outcome AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION copy_outcome();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER copy_outcome;
SELECT domowf_pause('the subscriber')
SQL
my $all = all_rows();
like($all, qr/^$_ /m, "rows are in $_") foreach qw(counter key log queue state workflow workflow_input);
my $reader = Domowf->session($at{subscriber});
$reader->value('BEGIN ISOLATION LEVEL REPEATABLE READ');
$reader->value('SELECT 1');
value('publisher', 'TRUNCATE domowf.log');
value('publisher', 'BEGIN; INSERT INTO plain VALUES (3); TRUNCATE domowf.log; TRUNCATE domowf.log; COMMIT');
value('publisher', 'TRUNCATE ' . join ', ', map { "domowf.$_" } @tables);
value('publisher', 'INSERT INTO plain VALUES (4)');
catch_up();
is(value('subscriber', 'SELECT count(*) FROM plain'), 4, 'no TRUNCATE ends the subscription');
is(all_rows(), $all, '... all that was there still is, of every table');
is(value('subscriber', 'SELECT count(*) FROM copied'), 0, '... and was not put in, for triggers');
is($reader->value("SELECT count(*) FROM domowf.log WHERE id = $own{log}"), 1,
	'... for a snapshot of before, too');
$reader->value('COMMIT');
is( value('subscriber', <<"SQL"), '1|2|1', '... and in the indexes');
SET enable_seqscan = off;
SELECT (SELECT count(*) FROM domowf.log WHERE id = $own{log}), (SELECT count(*) FROM domowf.log WHERE key = 'k'),
	(SELECT count(*) FROM domowf.queue WHERE id = $kept)
SQL
value('subscriber', q{DROP TRIGGER copy_outcome ON domowf.log; ALTER TABLE domowf.log DROP COLUMN own;
	SELECT domowf_resume()});
is(value('subscriber', Domowf->enqueue_sql('shared', 's again', key => q{'k'})),
	$own{log}, '... and nothing is asked for twice');

# where it cannot be put in again, it is refused
value('subscriber', 'ALTER TABLE domowf.queue DISABLE TRIGGER undo_truncation');
is(value('subscriber', q{SELECT detail FROM domowf_check() WHERE check_name = 'triggers'}),
	'trigger undo_truncation of domowf.queue does not fire always: see ALTER TABLE ... ENABLE ALWAYS TRIGGER',
	'domowf_check() names a trigger that does not fire');
value('publisher', 'TRUNCATE domowf.queue');
$at{subscriber}->wait_for_log(qr/a TRUNCATE of table domowf\.queue is not taken/, $offset);
is(value('subscriber', "SELECT state FROM domowf.queue WHERE id = $kept"),
	'queued', '... without which a TRUNCATE is refused');
value('subscriber', 'ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER undo_truncation');
value('publisher', 'INSERT INTO plain VALUES (5)');
catch_up();
is(value('subscriber', 'SELECT count(*) FROM plain'), 5, '... and with which it goes on');
is(value('subscriber', "SELECT state FROM domowf.queue WHERE id = $kept"), 'queued', '... the queue as it was');
value('subscriber', 'ALTER SUBSCRIPTION everything DISABLE');
value('subscriber', 'ALTER SUBSCRIPTION everything SET (slot_name = NONE)');
value('subscriber', 'DROP SUBSCRIPTION everything');
ok($at{subscriber}->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok'),
	'domowf_check() finds nothing wrong');

is($domo->arrived($_), $sent{$_}, "sent as often as asked: $_") foreach sort keys %sent;
is($domo->arrived($_), 0, "never sent: $_") foreach 'p later', 's kept', 's again';
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->stop foreach values %at;
done_testing();
