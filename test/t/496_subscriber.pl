
# Rows that domowf writes below SQL are published as others are: a subscriber
# whose tables are ordinary ones gets each request that is enqueued, claimed,
# settled, taken back, and each key; and its copies are the tables.  Exists
# because a row that is written without a word to the WAL's readers is missed by
# nobody until the copy is needed.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @tables = qw(key log queue);
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $publisher = Domowf->start_node(
	'publisher', $domo,
	preload => 1,
	streaming => 'logical',
	conf => Domowf::RETRY_AT_ONCE . "domowf.poll_interval = '200ms'\n");
my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');

$subscriber->init(extra => [ '-E', 'UTF8', '--locale=C' ], allows_streaming => 'logical');
$subscriber->start;

sub value
{
	my ($node, $sql) = @_;

	return $node->safe_psql('postgres', $sql);
}

foreach my $table (@tables)
{
	my ($columns, $key) = split /\|/, value($publisher, <<"SQL");
SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', ' ORDER BY attnum),
	(SELECT string_agg(quote_ident(attname), ', ') FROM pg_index, pg_attribute
	WHERE indrelid = 'domowf.$table'::regclass AND indisprimary AND attrelid = indrelid
		AND attnum = ANY (indkey))
FROM pg_attribute WHERE attrelid = 'domowf.$table'::regclass AND attnum > 0 AND NOT attisdropped
SQL
	value($subscriber, <<"SQL");
CREATE SCHEMA IF NOT EXISTS domowf;
CREATE TABLE domowf.$table ($columns, PRIMARY KEY ($key));
SQL
}
value($subscriber, <<'SQL');
CREATE TABLE came (n serial, line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	now_there jsonb := to_jsonb(NEW);
BEGIN
	INSERT INTO public.came (line) VALUES (concat_ws(' ', TG_TABLE_NAME, lower(TG_OP),
		coalesce(now_there->>'state', now_there->>'outcome', now_there->>'key')));
	RETURN NULL;
END $$
SQL
foreach my $table (@tables)
{
	value($subscriber, "CREATE TRIGGER note AFTER INSERT OR UPDATE OR DELETE ON domowf.$table
		FOR EACH ROW EXECUTE FUNCTION note(); ALTER TABLE domowf.$table ENABLE ALWAYS TRIGGER note");
}
value($publisher, q{INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('it', 'model', '1.0.0', 'Start it'), ('refused', 'scenario:status:404', '1.0.0', 'Start it'),
		('doubtful', 'scenario:status-executed:502', '1.0.0', 'Start it')});
value($publisher, 'CREATE PUBLICATION requests FOR TABLE domowf.queue, domowf.log, domowf.key');
value($subscriber, "CREATE SUBSCRIPTION requests CONNECTION '"
	  . $publisher->connstr . " dbname=postgres' PUBLICATION requests");
$subscriber->wait_for_subscription_sync($publisher, 'requests');

# What came since the last time, in order.
sub came
{
	$publisher->wait_for_catchup('requests', 'replay', $publisher->lsn('insert'));
	return value($subscriber,
		q{WITH d AS (DELETE FROM came RETURNING *) SELECT string_agg(line, ', ' ORDER BY n) FROM d});
}

# Whether the copies are the tables.
sub is_same
{
	my ($name) = @_;
	my $sql = "SELECT t::text FROM domowf.%s t ORDER BY 1";

	$publisher->wait_for_catchup('requests', 'replay', $publisher->lsn('insert'));
	foreach my $table (@tables)
	{
		is(value($subscriber, sprintf $sql, $table), value($publisher, sprintf $sql, $table),
			"$name: domowf.$table is the same");
	}
	return;
}

sub ask
{
	my ($workflow, $n, %option) = @_;
	my $id = value($publisher, Domowf->enqueue_sql($workflow, $n, %option));

	return ($id, value($publisher, Domowf->outcome_sql($id)));
}

# ---- done, rejected, in doubt

my ($id, $state) = ask('it', 1, key => q{'k'});
is($state, 'done', 'a request is done');
is(came(), 'key insert k, queue insert queued, queue update sending, log insert done, queue delete',
	'... and the subscriber had each step');
is_same('done');

($id, $state) = ask('refused', 2, key => q{'r'});
is($state, 'rejected', 'one is rejected');
is(came(), 'key insert r, queue insert queued, queue update sending, log insert rejected, queue delete, key delete',
	'... gives its key back there, too');
value($publisher, qq{UPDATE domowf.workflow SET model_id = 'model' WHERE name = 'refused'; SELECT domowf_retry($id)});
is(value($publisher, Domowf->outcome_sql($id)), 'done', '... and is sent again');
like(came(), qr/log delete/, '... so that the log has it no more there, either');
is_same('rejected');

($id, $state) = ask('doubtful', 3);
is($state, 'in_doubt', 'one is in doubt');
is(came(), 'queue insert queued, queue update sending, queue update in_doubt', '... there, too');
value($publisher, "SELECT domowf_resolve($id, 'mine')");
is_same('resolved');

# ---- what never was is not told

came();
value($publisher, q{BEGIN; SELECT domowf_enqueue('it', '{"n": "undone"}', key => 'u'); ROLLBACK});
value($publisher, q{BEGIN; SAVEPOINT s; SELECT domowf_enqueue('it', '{"n": "undone"}', key => 'u');
	ROLLBACK TO s; SELECT domowf_enqueue('it', '{"n": "later"}', run_at => now() + interval '1 h'); COMMIT});
is(came(), 'queue insert queued', 'what was rolled back is not told');

# ---- a call, and many at once

value($publisher, Domowf->start_sql('model'));
is(came(), 'log insert done', 'a call comes with its log');
value($publisher, q{SELECT domowf_enqueue('it', '{"n": "many"}', order_key => (g % 5)::text)
	FROM generate_series(1, 200) g});
ok( $publisher->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM domowf.queue WHERE state <> 'in_doubt'}), 'many are sent');
is_same('many');

# ---- rows that are gone for good

value($publisher, q{SELECT domowf_discard(id) FROM domowf.queue;
	UPDATE domowf.log SET settled_at = now() - interval '31 d' WHERE key IS NOT NULL});
ok($publisher->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.key'),
	'old rows of the log are removed, with their keys');
is_same('removed');

value($subscriber, 'DROP SUBSCRIPTION requests');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->stop foreach $publisher, $subscriber;
done_testing();
