
# The promise when things die: the worker, a stop or an error at each point of
# a request's way.  Afterwards each committed request was executed exactly once
# and is done, or at most once and is in doubt; where its owner allowed
# repeating, it is done; a rolled-back one never reached Domo.  Exists because
# that is what the extension is for.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# A busy machine may take so long; waiting for a poll takes longer.
use constant SOON => 170;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '1h'
restart_after_crash = on
END

$node->safe_psql('postgres', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('hold', 'model', '1.0.0', 'Start it', 'hold'),
	('retry', 'model', '1.0.0', 'Start it', 'retry')
END

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

sub until_true
{
	my ($sql) = @_;

	return $node->poll_query_until('postgres', $sql);
}

sub wait_for_log
{
	my ($pattern, $offset) = @_;

	$node->wait_for_log($pattern, $offset);
	return;
}

# The worker's process, when it has nothing to do and holds no lock.
sub idle_worker
{
	until_true(q{SELECT a.wait_event IN ('Extension', 'DomowfMain')
		AND a.xact_start IS NULL AND w.state = 'idle'
		FROM domowf.worker w JOIN pg_stat_activity a USING (pid)})
	  or die 'the worker has not come to rest';
	return value('SELECT pid FROM domowf.worker');
}

my $cancelled = value(
	q{SELECT domowf_enqueue('hold', '{"n": "to cancel"}')});
$cancelled =
  value("SELECT instance_id FROM domowf_wait($cancelled, '170 s')");

# Enqueues more than can be in flight at once, with a transaction that is
# rolled back in between.  Returns ids by n.
sub enqueue_some
{
	my ($cell) = @_;
	my (%ids, @names);
	my $sql = "BEGIN;\nSELECT domowf_enqueue('hold', '{\"n\": \"$cell never\"}');"
	  . "\nROLLBACK;\nBEGIN;\n";

	foreach my $workflow (('hold') x 6, ('retry') x 3)
	{
		push @names, "$cell $workflow " . @names;
		$sql .= "SELECT domowf_enqueue('$workflow', '{\"n\": \"$names[-1]\"}');\n";
	}
	$sql .= "SELECT domowf_enqueue_call('cancel', '{\"id\": \"$cancelled\"}');\n"
	  . "COMMIT;\n";
	(undef, @ids{ @names, 'cancel' }) = split /\n/, value($sql);
	return %ids;
}

# Counts what became of the requests of a cell, and checks the promise.
sub check_promise
{
	my ($cell, %ids) = @_;
	my $list = join ',', values %ids;
	my (%executed, %states, @broken);
	my $start = time;

	ok( until_true("SELECT count(*) = 10 FROM domowf.request WHERE id IN ($list)"
			  . " AND state NOT IN ('queued', 'sending')"),
		"$cell: every request comes to an end");
	cmp_ok(time - $start, '<', SOON, "$cell: ... without waiting for a poll");
	my %state = map { split /\|/ }
	  split /\n/, value("SELECT id, state FROM domowf.request WHERE id IN ($list)");
	$executed{ $_->{data}{n} }++ foreach $domo->executed(operation => 'start');
	foreach my $n (sort keys %ids)
	{
		my $state = $state{ $ids{$n} } // 'lost';
		my $times = $executed{$n} // 0;
		my $kept =
			$n eq 'cancel' ? $state eq 'done'
		  : $n =~ /retry/ ? $state eq 'done' && $times >= 1
		  : $state eq 'done' ? $times == 1
		  : $state eq 'in_doubt' && $times <= 1;

		$states{$state}++;
		push @broken, "$n: $state, executed $times times" unless $kept;
	}
	is_deeply(\@broken, [], "$cell: the promise is kept");
	is( scalar(my @never = $domo->record(contains => "\"$cell never\"")),
		0, "$cell: nothing that was rolled back is sent");
	note "$cell: ", join ', ', map { "$states{$_} $_" } sort keys %states;
	return \%states;
}

# In doubt is for people: here, given up, so that the next cell starts clean.
sub tidy
{
	value('SELECT domowf_discard(id) FROM domowf.queue');
	is(value('SELECT count(*) FROM domowf.queue'), 0, 'no request is left over');
	return;
}

my %event = (
	'worker killed' => {
		action => 'kill',
		run => sub {
			my ($offset) = @_;
			wait_for_log(qr/terminated by signal 9/, $offset);
			Domowf->set_test_point($node, '');
		}
	},
	'immediate stop' => {
		action => 'wait',
		run => sub {
			$node->stop('immediate');
			Domowf->set_test_point($node, '');
			$node->start;
		}
	},
	'worker terminated' => {
		action => 'wait',
		run => sub {
			value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
			Domowf->set_test_point($node, '');
		}
	},
	'restart' => {
		action => 'wait',
		run => sub {
			$node->stop('fast');
			Domowf->set_test_point($node, '');
			$node->start;
		}
	},
	'error' => {
		action => 'error',
		run => sub {
			my ($offset) = @_;
			wait_for_log(qr/test point "[^"]*" was reached/, $offset);
			Domowf->set_test_point($node, '');
		}
	});

# Lets the worker come to the point with requests that are new to it: it is
# held still until both are there.
sub run_cell
{
	my ($name, $point) = @_;
	my $cell = "$name, $point";
	my $event = $event{$name};
	my $pid = idle_worker();
	my $offset = Domowf->log_size($node);

	kill 'STOP', $pid or die "kill: $!";
	my %ids = enqueue_some($cell);
	Domowf->set_test_point($node, "$point=$event->{action}");
	until_true("SELECT setting <> '' FROM pg_settings"
		  . " WHERE name = 'domowf.test_point'");
	kill 'CONT', $pid;
	wait_for_log(qr/test point "$point" waits/, $offset)
	  if $event->{action} eq 'wait';
	$event->{run}->($offset);

	my $states = check_promise($cell, %ids);
	is($states->{done}, 10, "$cell: nothing was sent yet, so nothing is in doubt")
	  if $point eq 'before-commit';
	is($states->{done}, 10, "$cell: an error leaves nothing in doubt")
	  if $name eq 'error' && $point =~ /^before/;
	cmp_ok($states->{in_doubt} // 0, '>', 0, "$cell: some are in doubt")
	  if $name ne 'error' && $point ne 'before-commit';
	is( value("SELECT count(*) FROM domowf.queue WHERE state = 'in_doubt'"
			  . " AND error = 'the worker ended while it was sending'"
			  . ' AND attempts = 1 AND jsonb_array_length(errors) = 1'),
		$states->{in_doubt} // 0,
		"$cell: the rows in doubt say why");
	tidy();
	return;
}

foreach my $point (qw(before-commit after-claim after-reply before-settle))
{
	run_cell($_, $point)
	  foreach 'worker killed', 'worker terminated', 'immediate stop', 'restart',
	  'error';
}

# ---- while Domo is thinking

sub hang_cell
{
	my ($name, $stop) = @_;
	my $cell = "$name, in flight";
	my $offset = Domowf->log_size($node);

	idle_worker();
	$domo->script('hang', count => 8, operation => 'start');
	my %ids = enqueue_some($cell);
	$domo->wait_for(held => 8);
	is(value("SELECT count(*) FROM domowf.queue WHERE state = 'sending'"),
		8, "$cell: no more are sending than may be in flight");
	$domo->clear_script;
	$stop->($offset);
	my $states = check_promise($cell, %ids);
	cmp_ok($states->{in_doubt}, '>=', 5, "$cell: what was in flight is in doubt");
	tidy();
	return;
}

hang_cell('worker killed', sub {
	my ($offset) = @_;
	kill 'KILL', value('SELECT pid FROM domowf.worker');
	wait_for_log(qr/terminated by signal 9/, $offset);
});
hang_cell('worker terminated', sub {
	value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
});
hang_cell('immediate stop', sub { $node->stop('immediate'); $node->start; });
hang_cell('restart', sub { $node->restart; });
hang_cell('network reset', sub { $domo->close_all; });

# ---- attempts and errors count on, over the end of a worker

value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name,
	on_doubt, max_attempts) VALUES ('once', 'model', '1.0.0', 'Start it',
	'retry', 1)});
$domo->script('hang', count => 2, contains => '"counts on ');
my @counted =
  map { value("SELECT domowf_enqueue('$_', '{\"n\": \"counts on $_\"}')") }
  'once', 'hold';
$domo->wait_for(held => 2);
value("UPDATE domowf.queue SET errors = (SELECT jsonb_agg(jsonb_build_object("
	  . "'n', g)) FROM generate_series(1, 100) g) WHERE id = $counted[1]");
value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is(value("SELECT state, attempts FROM domowf_wait($_, '170 s')"),
	'in_doubt|1', 'in doubt, with the attempt that the worker made')
  foreach @counted;
is(scalar(my @once = $domo->record(contains => '"counts on once"')),
	1, '... also one that may be repeated, but has no attempt left');
is( value("SELECT jsonb_array_length(errors), errors->0->>'n',"
		  . " errors->99->>'class' FROM domowf.queue WHERE id = $counted[1]"),
	'100|2|in doubt',
	'... the last hundred errors are kept');
$domo->close_all;
tidy();

# ---- what may always be repeated is, over the end of a worker

my %request = (
	cancel => "{\"id\": \"$cancelled\"}",
	set_permissions => '{"modelId": "model", "permissions": [{"id": "1",'
	  . ' "type": "USER", "permissions": ["READ"]}]}');
my @repeated;
foreach my $operation (sort keys %request)
{
	$domo->script('hang', count => 1, operation => $operation);
	push @repeated,
	  value("SELECT domowf_enqueue_call('$operation', '$request{$operation}')");
}
$domo->wait_for(held => 2);
value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is(value("SELECT operation, state, attempts FROM domowf_wait($_->[0], '170 s')"),
	"$_->[1]|done|2", "$_->[1]: sent again")
  foreach [ $repeated[0], 'cancel' ], [ $repeated[1], 'set_permissions' ];
$domo->close_all;

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();
