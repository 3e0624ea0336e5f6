
# Where a server has too little of something - connections, processes,
# descriptors, temporary files, time - whoever asks for more is told so, by a
# code and in words, the others go on, nothing is lost, nothing is sent twice,
# and all gets on by itself when there is enough again.  t/266_launcher has
# databases and slots, t/440_limits the length of the queue, t/571_full_disk
# disks, t/572_no_memory memory.

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
use Test::More;

use constant PLACES => 64;

# Connections for everybody, and for superusers beside.
use constant OPEN_TO_ALL => 8;

Domowf->expect_in_log(qr/Too many open files/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);

# all along, nobody of domowf's needs a temporary file or much memory
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<"END");
domowf.poll_interval = '200ms'
domowf.max_connections = @{[ PLACES ]}
max_connections = @{[ OPEN_TO_ALL + 2 ]}
superuser_reserved_connections = 2
max_wal_senders = 0
max_logical_replication_workers = 0
temp_file_limit = 0
work_mem = '64kB'
log_temp_files = 0
track_commit_timestamp = on
END
my $ledger = Ledger->new(max_in_flight => PLACES);
my $asker = Asker->new($ledger);
my $session = Domowf->session($node);
my ($tx, $got, $id, @sessions) = (0);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('hold', 'model', '1.0.0', 'Start it');
CREATE TABLE marks (n text, tx int, id bigint, order_key text);
CREATE ROLE alice LOGIN;
CREATE ROLE bob LOGIN;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO alice, bob;
GRANT USAGE ON SCHEMA domowf TO alice, bob;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice, bob;
GRANT ALL ON marks TO alice, bob
END

# A transaction that asks for a start and does more; what psql says.
sub ask
{
	my ($who, $option, $more) = @_;
	my $sql = 'BEGIN;' . $asker->start(++$tx, $option) . ';' . ($more // '');
	my $result = $who->run("$sql COMMIT");

	$ledger->hear($tx, $result);
	return $result;
}

# The id of what was asked for last.
sub last_id
{
	return $session->value("SELECT max(id) FROM marks WHERE tx = $tx");
}

# Others go on: bob's request is done.
sub bob_goes_on
{
	my ($name) = @_;
	my $bob = Domowf->session($node, user => 'bob');

	is(ask($bob)->{sqlstate}, '', "$name: another role asks");
	is($bob->outcome(last_id()), 'done', '... and is served');
	$bob->quit;
	return;
}

sub until_settled
{
	my ($name) = @_;

	return ok(
		$node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'}),
		$name);
}

# ---- connections

while (@sessions < OPEN_TO_ALL)
{
	my $alice = Domowf->session($node, user => 'alice');

	last unless $alice->pid;
	push @sessions, $alice;
}
$got = Domowf->session($node, user => 'alice');
ok(!$got->pid, 'max_connections: no more is let in');
is(ask($_)->{sqlstate}, '', '... who is in asks') foreach @sessions[ 0, -1 ];
is($sessions[0]->outcome(last_id()), 'done', '... and is served');
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is(ask($sessions[1])->{sqlstate}, '', '... also where the worker is a new one');
is($sessions[1]->outcome(last_id()), 'done', '... which needs no connection');
is($session->value(q{SELECT count(*) FROM domowf_check() WHERE NOT ok}), 0, '... and all is well');
$_->quit foreach @sessions;
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 0 FROM pg_stat_activity WHERE usename = 'alice'}),
	'... and they leave');
bob_goes_on('then');

# ---- time, of sessions: what was not committed was never sent

my %limits = (
	statement_timeout => [ '57014', 'SELECT pg_sleep(600);' ],
	lock_timeout => [ '55P03', 'LOCK TABLE taken;' ],
	idle_in_transaction_session_timeout => [ '25P03', "\\! sleep 0.2\nSELECT 1;" ],
	transaction_timeout => [ '25P04', 'SELECT pg_sleep(600);' ]);
my $locker = Domowf->session($node);

$locker->value('CREATE TABLE taken (); GRANT ALL ON taken TO alice; BEGIN; LOCK TABLE taken');
foreach my $name (sort keys %limits)
{
	my ($code, $sql) = @{ $limits{$name} };

	next if $session->value("SELECT current_setting('$name', true) IS NULL") eq 't';
	$session->value("ALTER ROLE alice SET $name = '100ms'");
	my $alice = Domowf->session($node, user => 'alice');

	# it has no time for more than that
	$alice->value("SELECT 1");
	$got = ask($alice, undef, $sql);
	is($got->{sqlstate}, $code, "$name: its code") or diag $got->{err};
	$session->value("ALTER ROLE alice RESET $name");
	$alice->quit;
}
$locker->quit;
bob_goes_on('meanwhile');

# ---- settings of a database in which nothing can be written, or all is serializable

$session->value(q{ALTER DATABASE postgres SET default_transaction_read_only = on});
my $reader = Domowf->session($node, user => 'alice');
foreach my $sql (q{SELECT domowf_enqueue('hold')}, Domowf->start_sql('model'),
	q{SELECT * FROM domowf_start_all('{}')}, q{SELECT domowf_retry(1)}, q{SELECT domowf_pause()})
{
	is($reader->run($sql)->{sqlstate}, '25006', "a database that is read only: $sql");
}
$reader->quit;
$session->value('ALTER DATABASE postgres RESET default_transaction_read_only');
$session->value(q{ALTER DATABASE postgres SET default_transaction_isolation = serializable});
my $alice = Domowf->session($node, user => 'alice');
is(ask($alice)->{sqlstate}, '', 'a database that is serializable: a request');
$id = last_id();
is($alice->run("SELECT domowf_wait($id)")->{sqlstate}, '25001', '... cannot be waited for');
is($session->outcome($id), 'done', '... but is done');
is($alice->run(Domowf->start_sql('model'))->{sqlstate}, '', '... a call, too');
$alice->quit;
$session->value('ALTER DATABASE postgres RESET default_transaction_isolation');

# ---- temporary files: a result that has no room, of calls that were made

# Starts at once, as many; their n is $n.
sub many_sql
{
	my ($columns, $n, $count, $parallel, $model) = @_;

	return sprintf q{SELECT %s FROM domowf_start_all(array_fill('{"messageName": "Start it",
		"version": "1.0.0", "modelId": "%s", "data": {"n": "%s"}}'::jsonb, ARRAY[%d]), %d)},
	  $columns, $model // 'model', $n, $count, $parallel;
}

$alice = Domowf->session($node, user => 'alice');
$got = $alice->run(many_sql('count(*)', 'few', 20, 8));
is($got->{out}, 20, 'temp_file_limit: a result that needs no file') or diag $got->{err};
$domo->script('delay:50', count => 2000, contains => '"many"');
$got = $alice->run(many_sql('count(*)', 'many', 2000, 8));
is($got->{sqlstate}, '53400', '... and one that does');
like($got->{message}, qr/temporary file size exceeds/, '... in words');
my $started = $domo->executed(contains => '"many"');
my ($named) = map { $_->{message} =~ /calls: (.*)/s ? $1 : () } @{ $got->{warnings} };
my $told = () = ($named // '') =~ /\bstarted \S/g;
$told += $1 if ($named // '') =~ / and (\d+) more/;
my ($doubtful) = $got->{detail} =~ /in doubt whether Domo has executed (\d+) requests/;
cmp_ok($told, '>', 0, '... of those that were started the warning tells');
cmp_ok($told + ($doubtful // 0), '>=', $started, '... and of those that may have been the error');
cmp_ok($told, '<=', $started, '... of no others');
is(ask($alice)->{sqlstate}, '', '... and the session goes on');
$alice->quit;

# ---- descriptors

sub restart_with
{
	my ($descriptors) = @_;

	$session->quit;
	$node->stop;
	system_or_bail('sh', '-c', "ulimit -n $descriptors; exec pg_ctl \"\$@\"", 'sh',
		'-w', '-D', $node->data_dir, '-l', $node->logfile, '-o', '--cluster-name=main', 'start');
	$node->_update_pid(1);
	$session = Domowf->session($node);
	return;
}

# What the worker has failed at last.
sub until_worker_says
{
	my ($pattern, $name) = @_;

	return ok(
		$node->poll_query_until('postgres', "SELECT last_error ~ '$pattern' FROM domowf.worker"),
		$name);
}

$session->value(q{DO $$ BEGIN FOR i IN 1 .. 100 LOOP EXECUTE format('CREATE TABLE t%s ()', i); END LOOP; END $$});
restart_with(100);
$domo->script('gate:many', count => undef, contains => '"n');
ask($session) foreach 1 .. 100;
until_worker_says('Too many open files', 'descriptors: what cannot be sent is said');
$domo->wait_for(held => 20);
pass('... but PostgreSQL\'s files leave room for some');
$domo->clear_script;
$domo->release('many');
until_settled('... and all is sent, in the end');
is($session->value('SELECT count(*) FROM domowf.queue'), 0, '... with nothing in doubt');
is($session->value('SELECT count(*) FROM domowf.log WHERE attempts > 1'), 0, '... and no attempt used');
bob_goes_on('then');

# a session that has all its files open
$session->value(join ';', map { "SELECT FROM t$_" } 1 .. 100);
is($session->run(many_sql('count(*), count(sqlstate)', 'sixteen', 32, 16, 'scenario:delay:100'))->{out},
	'32|0', '... and PostgreSQL\'s files leave room for calls');
$session->value(join ';', map { "SELECT FROM t$_" } 1 .. 100);
$got = $session->run(many_sql(q{count(*) FILTER (WHERE sqlstate IS NULL),
	count(*) FILTER (WHERE sqlstate = '38U01' AND error ~ 'Too many open files'), count(*)},
		'all', 100, 64, 'scenario:delay:100'));
my ($done, $unsent, $all) = split /\|/, $got->{out};
is($done + $unsent, $all, '... and where they do not it is told which were not sent') or diag $got->{out}, $got->{err};
is($domo->executed(contains => '"all"'), $done, '... and which were');
cmp_ok($unsent, '>', 0, '... both');

# ---- no process at all

$session->quit;
$node->append_conf('postgresql.conf', "max_worker_processes = 0\n");
$node->restart;
$session = Domowf->session($node);
is(ask($session)->{sqlstate}, '', 'max_worker_processes = 0: a request is taken');
$id = last_id();
is($session->run(Domowf->start_sql('model'))->{sqlstate}, '', '... and calls work');
is($session->value(q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'worker'}),
	'f|no worker runs: see the server\'s log, and max_worker_processes', '... the check says what is missing');
is($session->outcome($id, undef, '1 s'), 'queued', '... and it waits');
$session->quit;
$node->append_conf('postgresql.conf', "max_worker_processes = 8\n");
$node->restart;
$session = Domowf->session($node);
is($session->outcome($id), 'done', '... until there is one');

# ---- what came of it

$ledger->read_marks($session->value('SELECT n, id, order_key FROM marks'));
$ledger->read_rows($session->value(Ledger->rows_sql));
$ledger->read_record(grep { ($_->{data}{n} // '') =~ /^n\d+$/ } $domo->record);
is_deeply([ $ledger->broken ], [], 'nothing was lost, nothing was sent twice');
unlike(slurp_file($node->logfile), qr/domowf \w+ LOG:  temporary file/, 'nobody of domowf\'s has needed a temporary file');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
