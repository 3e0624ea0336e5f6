
# The log that stays open from one call of a transaction to the next (t/046), and
# changes of tables that are no statement of the session: what a savepoint takes back,
# a table or an index that was made behind it among that, and a publisher's TRUNCATE,
# which an apply worker does below SQL.  Exists because a table that was taken back
# while it was open made ROLLBACK TO fail on PostgreSQL 18, and because an apply worker
# that had called Domo could not empty the log, and called again at each of its tries.

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
my %at;

foreach my $name ('publisher', 'subscriber')
{
	$at{$name} = Domowf->start_node(
		$name, $domo,
		preload => 1,
		streaming => $name eq 'publisher',
		conf => "wal_level = logical\nwal_retrieve_retry_interval = '100ms'\n");
}

sub value
{
	my ($where, $sql) = @_;

	return $at{$where}->safe_psql('postgres', $sql);
}

# ---- savepoints

my $unique = 0;
my $session = Domowf->session($at{subscriber});

# A start that no other equals.
sub start
{
	$unique++;
	return Domowf->start_sql("model-$unique");
}

# A change and calls, all taken back, then calls, of which the log has so many.
sub taken_back
{
	my ($change, $rows) = @_;
	my $offset = Domowf->log_size($at{subscriber});
	my $got;

	value('subscriber', 'TRUNCATE domowf.log');
	$got = $session->run(join ";\n", 'BEGIN', start(), 'SAVEPOINT a', $change, start(), start(),
		'ROLLBACK TO a', start(), 'SAVEPOINT b', $change, start(), 'RELEASE b',
		'ROLLBACK TO a', start(), start(), 'COMMIT');
	is($got->{sqlstate}, '', "taken back: $change") or diag $got->{err};
	is(value('subscriber', 'SELECT count(*) FROM domowf.log'), 3, '... the log has the rest');
	unlike(Domowf->log_since($at{subscriber}, $offset),
		qr/relcache|leak|still referenced|not closed|could not find pg_class/i, '... and nothing stayed open');
	return;
}

# what somebody adds is warned of, and so are calls that are taken back
$session->value('SET client_min_messages = error');
taken_back($_) foreach (
	'CREATE INDEX mine ON domowf.log (error)',
	'DROP EXTENSION domowf; CREATE EXTENSION domowf',
	'ALTER TABLE domowf.log ADD COLUMN mine text',
	'REINDEX TABLE domowf.log',
	'CLUSTER domowf.log USING log_pkey',
	'TRUNCATE domowf.log',
	'ALTER TABLE domowf.log ALTER COLUMN error SET STATISTICS 10');

foreach my $block ('ROLLBACK TO a', 'RELEASE a; SAVEPOINT b; ROLLBACK TO b')
{
	my $offset = Domowf->log_size($at{subscriber});
	my $back = $block =~ /^ROLLBACK/;

	$session->value('DROP EXTENSION domowf');
	my $got = $session->run(join ";\n", 'BEGIN', 'SAVEPOINT a', 'CREATE EXTENSION domowf', start(), start(), $block,
		$back ? () : start(), 'COMMIT');
	is($got->{sqlstate}, '', "an extension that is made behind a savepoint, then $block") or diag $got->{err};
	is(value('subscriber', q{SELECT count(*) FROM pg_extension WHERE extname = 'domowf'}), $back ? 0 : 1,
		'... is ' . ($back ? 'gone' : 'there'));
	unlike(Domowf->log_since($at{subscriber}, $offset), qr/relcache|leak|could not find pg_class/i,
		'... and nothing stayed open');
	$session->value('CREATE EXTENSION domowf') if $back;
}
is(value('subscriber', 'SELECT count(*) FROM domowf.log'), 3, '... with its calls');

# A block's error takes its index back, and the calls before and behind it stay.
value('subscriber', 'TRUNCATE domowf.log');
$session->value(<<'END');
DO $$
BEGIN
	FOR i IN 1..5 LOOP
		PERFORM domowf_start(format('{"messageName": "m", "version": "1", "modelId": "before %s", "data": {}}', i)::jsonb);
		BEGIN
			CREATE INDEX mine ON domowf.log (error);
			PERFORM domowf_start(format('{"messageName": "m", "version": "1", "modelId": "within %s", "data": {}}', i)::jsonb);
			PERFORM 1 / 0;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END LOOP;
END $$
END
is(value('subscriber', 'SELECT count(*) FROM domowf.log'), 5, 'blocks that fail take back what was theirs');
$session->quit;

# ---- a publisher's TRUNCATE

value($_, 'CREATE TABLE plain (i int PRIMARY KEY); CREATE TABLE behind (i int PRIMARY KEY)') foreach keys %at;
value('subscriber', 'TRUNCATE domowf.log');
value('subscriber', <<'END');
CREATE FUNCTION call_for() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	what text := TG_TABLE_NAME || ' ' || TG_OP;
BEGIN
	IF TG_OP = 'INSERT' THEN
		what := what || ' ' || NEW.i;
	END IF;
	PERFORM public.domowf_start(jsonb_build_object('messageName', 'Start it', 'version', '1.0.0',
		'modelId', what, 'data', jsonb_build_object('n', what)));
	RETURN NULL;
END $$;
CREATE TRIGGER call_for AFTER INSERT ON plain FOR EACH ROW EXECUTE FUNCTION call_for();
ALTER TABLE plain ENABLE ALWAYS TRIGGER call_for;
CREATE TRIGGER call_for BEFORE TRUNCATE ON behind FOR EACH STATEMENT EXECUTE FUNCTION call_for();
ALTER TABLE behind ENABLE ALWAYS TRIGGER call_for
END
value('publisher', 'CREATE PUBLICATION everything FOR ALL TABLES');
value('subscriber', "CREATE SUBSCRIPTION everything CONNECTION '"
	  . $at{publisher}->connstr
	  . " dbname=postgres' PUBLICATION everything");
$at{subscriber}->wait_for_subscription_sync($at{publisher}, 'everything');

# What was called for, in the log, once the subscriber has all.
sub arrives
{
	my ($name, $sql, @calls) = @_;
	my $offset = Domowf->log_size($at{subscriber});

	value('publisher', $sql);
	$at{publisher}->wait_for_catchup('everything', 'replay', $at{publisher}->lsn('insert'));
	is(value('subscriber', q{SELECT string_agg(model_id, ',' ORDER BY id) FROM domowf.log}), join(',', @calls), $name);
	unlike(Domowf->log_since($at{subscriber}, $offset), qr/being used by active queries|relcache|leak/,
		'... at the first try');
	return;
}

my @calls = ('plain INSERT 1');

arrives('what an apply worker calls', 'INSERT INTO plain VALUES (1)', @calls);
push @calls, 'plain INSERT 2', 'plain INSERT 3';
arrives('a TRUNCATE of the log between two calls of its transaction',
	'BEGIN; INSERT INTO plain VALUES (2); TRUNCATE domowf.log; INSERT INTO plain VALUES (3); COMMIT', @calls);

# its trigger writes what is emptied, as it comes behind what is kept of the log
push @calls, 'plain INSERT 4', 'plain INSERT 5';
arrives('... with a table whose trigger calls',
	'BEGIN; INSERT INTO plain VALUES (4); TRUNCATE domowf.log, behind; INSERT INTO plain VALUES (5); COMMIT', @calls);
push @calls, 'plain INSERT 6', 'behind TRUNCATE', 'plain INSERT 7';
arrives('... which goes before it',
	'BEGIN; INSERT INTO plain VALUES (6); TRUNCATE behind, domowf.log; INSERT INTO plain VALUES (7); COMMIT', @calls);
push @calls, 'plain INSERT 8';
arrives('... and of the registry',
	'BEGIN; INSERT INTO plain VALUES (8); TRUNCATE domowf.workflow, domowf.workflow_input; COMMIT', @calls);
is($domo->arrived("plain INSERT $_"), 1, "... called for once: $_") foreach 1 .. 8;
is($domo->arrived('behind TRUNCATE'), 2, '... and as often as was asked');

$_->stop foreach values %at;
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
done_testing();
