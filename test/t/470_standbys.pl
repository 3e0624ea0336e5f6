
# What is not known to be committed as safely as was asked is not sent.  A
# commit's wait for a standby ends early, and PostgreSQL then goes on as if all
# were well, where the postmaster dies, where the process is told to end, where
# the standbys' names are taken away.  A standby that takes over has no such
# claim, and sends the request, too.

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
	streaming => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
END
my $asked = 0;

$node->safe_psql('postgres', <<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('hold', 'model', '1.0.0', 'Start it')
END

sub value
{
	return $node->safe_psql('postgres', "SET synchronous_commit = local; $_[0]");
}

# A line of the configuration, whatever a commit would wait for.
sub configure
{
	my ($name, $value) = @_;

	$node->append_conf('postgresql.auto.conf', "$name = '$value'\n");
	return;
}

# From now on commits wait for a standby that is not there.
sub lose_standby
{
	configure('synchronous_standby_names', 's1');
	$node->reload;
	Domowf->until_commits_wait($node);
	return;
}

sub worker
{
	my ($where) = @_;

	$node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM pg_stat_activity
			WHERE backend_type = 'domowf worker' AND } . ($where // 'true'))
	  or die 'no such worker';
	return value(q{SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'domowf worker'});
}

# Enqueues one that is claimed while no standby is there, over a connection
# that stands: what is sent is sent at once.
sub claim_one
{
	my $id = value(Domowf->enqueue_sql('hold', ++$asked));

	return ($id, worker(q{wait_event = 'SyncRep'}));
}

sub starts_of
{
	my ($n) = @_;

	return scalar grep { $_->{data}{n} eq $n } $domo->executed;
}

sub is_settled
{
	my ($id, $name) = @_;

	is(value(Domowf->outcome_sql($id)), 'done', "$name: it is done");
	return is(starts_of($asked), 1, "$name: it was started once");
}

sub warm_up
{
	my $id = value(Domowf->enqueue_sql('hold', ++$asked));

	return value(Domowf->outcome_sql($id)) eq 'done';
}

# ---- the names are taken away, or others are named

ok(warm_up(), 'a request is sent');
lose_standby();
worker();
my ($id, $pid) = claim_one();
my $offset = Domowf->log_size($node);

value("SELECT pg_cancel_backend($pid)");
configure('synchronous_standby_names', 's2');
$node->reload;
$node->wait_for_log(qr/parameter "synchronous_standby_names" changed to "s2"/,
	$offset);
is(worker(q{wait_event = 'SyncRep'}), $pid,
	'neither a cancel nor other names end the wait');
is(starts_of($asked), 0, '... and nothing is sent');
configure('synchronous_standby_names', '');
$node->reload;
is_settled($id, 'names taken away');
ok( Domowf->log_since($node, $offset) =~
	  /requests are claimed again before they are sent/,
	'... but what had been claimed for a standby was claimed again');

# ---- the worker is told to end

lose_standby();
($id, $pid) = claim_one();
value("SELECT pg_terminate_backend($pid, 60000)");
is(starts_of($asked), 0, 'terminated: nothing is sent');
configure('synchronous_standby_names', '');
$node->reload;
value(Domowf->outcome_sql($id));
cmp_ok(starts_of($asked), '<=', 1, '... and not twice in the end');

# ---- the postmaster dies

foreach my $level (qw(remote_write on remote_apply local off))
{
	configure('synchronous_commit', $level);
	Domowf->until_taken_up($node) or die 'not taken up';
	ok(warm_up(), "$level: a request is sent");
	lose_standby();
	($id, $pid) = claim_one();
	$node->kill9;
	ok(Domowf->wait_for_end($pid), "$level: without its postmaster the worker ends");
	is(starts_of($asked), 0, "$level: ... and sends nothing");
	configure('synchronous_standby_names', '');
	$node->start;
	is(value(Domowf->outcome_sql($id)),
		'in_doubt', "$level: ... which the same server cannot know");
}

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$node->stop;
done_testing();
