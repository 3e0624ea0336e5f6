
# A disk that is full, of the data and of the WAL: whoever writes is told so,
# what needs no room goes on, the server may crash for it and not come up; when
# there is room again all gets on by itself, with nothing lost and nothing sent
# twice.  The disk is full where a file would have to grow (scarce.c).

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Asker;
use Domo;
use Domowf;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Scarce;
use Test::More;

use constant PLACES => 4;

# what the disk says, and what a panic is
Domowf->expect_in_log(qr/No space left on device/, qr/terminated by signal 6: Aborted/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $scarce = Scarce->new;
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<"END");
domowf.poll_interval = '200ms'
domowf.stall_after = '300ms'
domowf.max_connections = @{[ PLACES ]}
restart_after_crash = on
autovacuum = off
wal_recycle = off
track_commit_timestamp = on
END
my $ledger = Ledger->new(max_in_flight => PLACES);
my $asker = Asker->new($ledger);
my $session = Domowf->session($node);
my ($tx, $got) = (0);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('hold', 'model', '1.0.0', 'Start it');
CREATE TABLE marks (n text, tx int, id bigint, order_key text);
CREATE TABLE filler (t text);
ALTER TABLE filler ALTER t SET STORAGE PLAIN
END

# Asks for starts, in a transaction; what psql says.
sub ask
{
	my ($count) = @_;
	my $sql = 'BEGIN;';

	$tx++;
	$sql .= $asker->start($tx) . ';' foreach 1 .. $count // 1;
	my $result = $session->run("$sql COMMIT");
	$ledger->hear($tx, $result);
	return $result;
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub until_settled
{
	return until_true(
		q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'}, $_[0]);
}

is(ask(20)->{sqlstate}, '', 'some requests');
until_settled('... are done');

# ---- the data's

# what has been read is in memory, and needs no room
$domo->script('gate-executed:full', count => PLACES);
is(ask(200)->{sqlstate}, '', 'many requests');
$domo->wait_for(held => PLACES);
# since 19 a query may write the visibility map, which needs room where there is none
$session->value('VACUUM domowf.queue, domowf.log');
$scarce->set(data_is_full => 1);
foreach my $what ('INSERT INTO filler SELECT repeat($$x$$, 5000) FROM generate_series(1, 50)',
	'SELECT count(domowf_enqueue($$hold$$, $${"n": "never"}$$)) FROM generate_series(1, 2000)')
{
	$got = $session->run($what);
	is($got->{sqlstate}, '53100', 'a full disk: a statement that needs room is told so')
	  or diag $got->{err};
}
like($got->{message}, qr/^could not extend file .*No space left on device/, '... in words');
$domo->release('full', PLACES);
until_true(
	q{SELECT state ~ '^stalled: .*the disk is full' FROM domowf.worker},
	'the worker sends until it cannot write what came of it, and says so');
$node->wait_for_log(qr/domowf: the worker .* has not got on for \d+ s: .*the disk is full/);
is( $session->value(
		q{SELECT ok, detail ~ 'Make room there' FROM domowf_check() WHERE check_name = 'worker'}),
	'f|t', '... so does the check, and what to do');
$got = $session->run('SELECT count(*) > 0 FROM domowf.request');
is($got->{out}, 't', 'others read') or diag $got->{err};
$session->value('SET domowf.log_calls = off');
is($session->run(Domowf->start_sql('model', '{"n": "call"}'))->{sqlstate},
	'', '... and call Domo');
$session->value('RESET domowf.log_calls');

# a call that is to be logged is made before its row can be known to have room
my $calls = 0;
do
{
	$got = $session->run(Domowf->start_sql('model', '{"n": "logged call"}'));
} while ($got->{sqlstate} eq '' && ++$calls < 100);
is($got->{sqlstate}, '53100', 'a call that cannot be logged fails');
my ($last) = grep { $_->{executed} } reverse $domo->record(contains => '"logged call"');
like($got->{warnings}[0]{message} // '',
	qr/rolled back, but Domo has executed its calls: .*\Q$last->{instance}\E/,
	'... and the warning names the instance');
is($domo->executed(contains => '"logged call"'), $calls + 1, '... which was started once');
$scarce->set(data_is_full => 0);
until_settled('there is room again: all requests are settled');
is($session->value(q{SELECT count(*) FROM domowf.log WHERE outcome <> 'done'}), 0, '... done');
is($session->value('SELECT count(*) FROM domowf.queue'), 0, '... none in doubt');
until_true(q{SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok}, '... and all is well');

# the worker ends meanwhile, with what it could not write
$domo->script('gate-executed:full', count => PLACES);
is(ask(30)->{sqlstate}, '', 'more requests');
$domo->wait_for(held => PLACES);
$scarce->set(data_is_full => 1);
$domo->release('full', PLACES);
until_true(
	q{SELECT state ~ '^stalled: .*the disk is full' FROM domowf.worker},
	'a full disk once more');
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
$scarce->set(data_is_full => 0);
until_settled('... and a worker that ends: the next one goes on');
cmp_ok($session->value('SELECT count(*) FROM domowf.queue'), '<=', PLACES,
	'... and what was in flight may be in doubt, no more');

# ---- the WAL's: the server crashes, and cannot come up again

$domo->script('gate-executed:wal', count => PLACES);
is(ask(20)->{sqlstate}, '', 'requests, some in flight');
$domo->wait_for(held => PLACES);
my $postmaster = slurp_file($node->data_dir . '/postmaster.pid');
($postmaster) = split /\n/, $postmaster;
$scarce->set(wal_is_full => 1);
eval { $session->run('SELECT pg_switch_wal()'); ask(); };
ok(Domowf->wait_for_end($postmaster), 'a full disk of the WAL: the server goes down');
like(slurp_file($node->logfile),
	qr/PANIC:  could not write to file "pg_wal.*No space left on device/, '... by a panic');
is($session->run('SELECT 1')->{sqlstate}, '08006', '... and nobody takes silence for success');
$domo->release('wal', PLACES);
$node->_update_pid(-1);
is($node->start(fail_ok => 1), 0, '... and does not come up');
my @crashes = slurp_file($node->logfile) =~ /terminated by signal 6: Aborted/g;
my @panics = slurp_file($node->logfile) =~ /PANIC:  could not write to file "pg_wal/g;
cmp_ok(scalar @crashes, '<=', scalar @panics, '... and crashes for nothing else');
$scarce->set(wal_is_full => 0);
$node->start;
$session->quit;
$session = Domowf->session($node);
until_settled('there is room again: it comes up, and goes on');
is($session->run(Domowf->start_sql('model'))->{sqlstate}, '', '... with calls');
is(ask()->{sqlstate}, '', '... and requests');
until_settled('... which are done');
until_true(q{SELECT bool_and(ok) FROM domowf_check()}, '... and all is well');

# ---- what came of it

my $doubtful = $session->value('SELECT count(*) FROM domowf.queue');
cmp_ok($doubtful, '<=', 2 * PLACES, "in doubt is what was in flight: $doubtful");
$ledger->read_marks($session->value('SELECT n, id, order_key FROM marks'));
$ledger->read_rows($session->value(Ledger->rows_sql));
$ledger->read_record(grep { ($_->{data}{n} // '') =~ /^n\d+$/ } $domo->record);
is_deeply([ $ledger->broken ], [], 'nothing was lost, nothing was sent twice');
is($domo->arrived('never'), 0, 'what was refused was never sent');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
