
# A call cannot be rolled back: when its transaction is, a WARNING names what
# Domo has executed all the same, to the client and in the server's log.
# Exists because this is the only trace that such an instance leaves, so every
# way in which a transaction can end without a commit is tried.

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
my $node = Domowf->start_node('main', $domo,
	conf => "max_prepared_transactions = 5\n");
my $session = Domowf->session($node);
my $admin = Domowf->session($node);
my ($offset, $unique) = (0, 0);

# A start that no other equals.
sub start
{
	$unique++;
	return Domowf->start_sql("model-$unique");
}

# Runs statements.  Returns what psql got; the instances started are in
# @started, the log's new part in $log.
my (@started, $log);

sub run
{
	my (@statements) = @_;
	my $seen = ($domo->record)[-1];

	$offset = Domowf->log_size($node);
	my $got = $session->run(join ";\n", @statements);
	@started = map { $_->{instance} }
	  $domo->executed(since => $seen ? $seen->{seq} : 0);
	$log = Domowf->log_since($node, $offset);
	return $got;
}

# That there is one warning, with these words before the instances and these
# instances, and that the server's log has it.
sub warns
{
	my ($name, $got, $what, @phrases) = @_;
	my @warnings = @{ $got->{warnings} };
	my $message = "the $what was rolled back, but Domo has executed its calls: "
	  . join ', ', @phrases;

	is(scalar @warnings, 1, "$name: one warning") or diag $got->{err};
	is($warnings[0]{message}, $message, "$name: the client is told");
	like($log, qr/WARNING: .*\Q$message\E/, "$name: the server's log tells");
	return;
}

sub warns_not
{
	my ($name, $got) = @_;

	is_deeply($got->{warnings}, [], "$name: no warning");
	unlike($log, qr/WARNING/, "$name: none in the server's log");
	return;
}

# ---- commits

warns_not('autocommit', run(start()));
warns_not('commit', run('BEGIN', start(), start(), 'COMMIT'));
warns_not('released savepoint, commit',
	run('BEGIN', 'SAVEPOINT a', start(), 'RELEASE a', 'COMMIT'));
warns_not('commit with an empty savepoint rolled back',
	run('BEGIN', start(), 'SAVEPOINT a', 'ROLLBACK TO a', 'COMMIT'));
warns_not('a rollback after that', run('BEGIN', 'ROLLBACK'));

# ---- rollbacks

my $got = run('BEGIN', start(), start(), 'ROLLBACK');
warns('rollback', $got, 'transaction', map { "started $_" } @started);

$got = run('SELECT 1 / (length(i.id) - length(i.id)) FROM (' . start() . ') i');
is($got->{sqlstate}, '22012', 'an error in the same statement');
is(scalar @started, 1, '... after the start');
warns('error in the same statement', $got, 'transaction', "started @started");

$got = run('BEGIN', start(), 'SELECT 1/0', 'COMMIT');
warns('COMMIT of what failed', $got, 'transaction', "started @started");

$session->run('CREATE TABLE parent (id int PRIMARY KEY);'
	  . ' CREATE TABLE child (id int REFERENCES parent'
	  . ' DEFERRABLE INITIALLY DEFERRED)');
$got = run('BEGIN', start(), 'INSERT INTO child VALUES (1)', 'COMMIT');
is($got->{sqlstate}, '23503', 'a constraint that fails at COMMIT');
warns('failure at COMMIT', $got, 'transaction', "started @started");

$got = run('BEGIN', Domowf->cancel_sql('no-such-instance'), 'ROLLBACK');
is($got->{sqlstate}, '38404', 'a call that Domo refused');
warns_not('a refused call', $got);

# ---- savepoints

$got = run(
	'BEGIN', start(), 'SAVEPOINT a', start(),
	'ROLLBACK TO a', start(), 'COMMIT');
is(scalar @started, 3, 'three starts around a savepoint');
warns('savepoint', $got, 'subtransaction', "started $started[1]");

$got = run(
	'BEGIN', start(), 'SAVEPOINT a', start(), 'RELEASE a', start(),
	'ROLLBACK');
warns('released savepoint, then rollback',
	$got, 'transaction', map { "started $_" } @started);

$got = run(
	'BEGIN', 'SAVEPOINT a', 'SAVEPOINT b', start(), 'RELEASE b', start(),
	'ROLLBACK TO a', 'COMMIT');
warns('released into a savepoint that is rolled back',
	$got, 'subtransaction', map { "started $_" } @started);

# a call at some depth and one further in, whose savepoint is released one by
# one, up to some depth that is then rolled back: what was called there or
# further in is named, and nothing else
foreach my $earlier (0 .. 2)
{
	foreach my $later ($earlier + 1 .. 3)
	{
		foreach my $back (0 .. $later - 1)
		{
			$got = run(
				'BEGIN',
				(map { "SAVEPOINT s$_" } 1 .. $earlier),
				start(),
				(map { "SAVEPOINT s$_" } $earlier + 1 .. $later),
				start(),
				(map { "RELEASE s$_" } reverse $back + 1 .. $later),
				$back ? ("ROLLBACK TO s$back", 'COMMIT') : 'ROLLBACK');
			warns("calls at depth $earlier and $later, back to $back",
				$got, $back ? 'subtransaction' : 'transaction',
				map { "started $_" }
				  $earlier < $back ? $started[1] : @started);
		}
	}
}

# ROLLBACK TO leaves the savepoint open: what follows is within it again
$got = run(
	'BEGIN', start(), 'SAVEPOINT a', start(), 'ROLLBACK TO a', start(),
	'ROLLBACK');
is_deeply(
	[ map { $_->{message} =~ s/.*: //r } @{ $got->{warnings} } ],
	[ map { "started $_" } @started[ 1, 2, 0 ] ],
	'rolled-back savepoints and then the transaction: each names its own');

my $in_block = start();
$got = run(
	"DO \$\$ BEGIN BEGIN PERFORM * FROM ($in_block) x; PERFORM 1/0;"
	  . ' EXCEPTION WHEN division_by_zero THEN NULL; END; END $$');
is($got->{sqlstate}, '', 'an exception block caught the error');
warns('PL/pgSQL exception block', $got, 'subtransaction',
	"started @started");

# ---- procedures that end transactions

my ($first, $second) = (start(), start());
$session->run(
	"CREATE PROCEDURE two() LANGUAGE plpgsql AS \$\$ BEGIN"
	  . " PERFORM * FROM ($first) x; COMMIT;"
	  . " PERFORM * FROM ($second) x; ROLLBACK; END \$\$");
$got = run('CALL two()');
is(scalar @started, 2, 'a procedure with COMMIT and ROLLBACK');
warns('ROLLBACK in a procedure', $got, 'transaction',
	"started $started[1]");

# ---- other calls

run(start(), start());
my ($kept) = @started;
$got = run('BEGIN', Domowf->cancel_sql($kept),
	Domowf->permissions_sql('model-x'), 'ROLLBACK');
warns('cancel and permissions', $got, 'transaction', "canceled $kept",
	'changed permissions of model-x');

# ---- many

$got = run(
	'BEGIN',
	q{SELECT count(i.id) FROM generate_series(1, 150) g, LATERAL domowf_start(
		jsonb_build_object('messageName', 'm', 'version', '1',
		'modelId', 'many-' || g, 'data', '{}'::jsonb)) i},
	'ROLLBACK');
is(scalar @started, 150, '150 starts');
warns('150 starts', $got, 'transaction',
	join(', ', map { "started $_" } @started[ 0 .. 99 ]) . ' and 50 more');

$got = run(
	'BEGIN',
	(
		map {
			("SAVEPOINT s$_", q{SELECT count(i.id) FROM generate_series(1, 60) g,
			LATERAL domowf_start(jsonb_build_object('messageName', 'm',
			'version', '1', 'modelId', 'many-' || g, 'data', '{}'::jsonb)) i},
			"RELEASE s$_")
		} 1 .. 3
	),
	'ROLLBACK');
warns('180 starts in three savepoints', $got, 'transaction',
	join(', ', map { "started $_" } @started[ 0 .. 99 ]) . ' and 80 more');

# ---- two-phase commit

$got = run('BEGIN', start(), q(PREPARE TRANSACTION 'x'));
is($got->{sqlstate}, '0A000', 'PREPARE TRANSACTION after a call is refused');
warns('PREPARE TRANSACTION', $got, 'transaction', "started @started");
is($session->value('SELECT count(*) FROM pg_prepared_xacts'),
	0, 'nothing is prepared');
$got = run('BEGIN', Domowf->cancel_sql('no-such-instance'), 'ROLLBACK',
	'BEGIN', 'SELECT 1', q(PREPARE TRANSACTION 'x'), q(COMMIT PREPARED 'x'));
is($got->{sqlstate}, '38404', 'PREPARE TRANSACTION without a success is fine');
unlike($got->{err}, qr/0A000/, '... and not refused');

# ---- a client that does not listen, and one that is gone

$session->run('SET client_min_messages = error');
$got = run('BEGIN', start(), 'ROLLBACK');
is_deeply($got->{warnings}, [], 'a client that wants no warnings gets none');
like($log, qr/WARNING: .*started @started/, '... but the log has it');
$session->run('RESET client_min_messages');

sub gone
{
	$node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM pg_stat_activity WHERE pid = '
		  . $session->pid)
	  or die 'the backend does not end';
	return Domowf->log_since($node, $offset);
}

run('BEGIN', start());
$admin->value('SELECT pg_terminate_backend(' . $session->pid . ')');
like(gone(), qr/WARNING: .*transaction was rolled back.*started @started/,
	'terminated after a success: the log names it');
$session->quit;

$session = Domowf->session($node);
run('BEGIN', start());
$session->quit;
like(gone(), qr/WARNING: .*transaction was rolled back.*started @started/,
	'the client left after a success: the log names it');
$admin->quit;

is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
