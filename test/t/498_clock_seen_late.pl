
# The worker sees that the clock was set, and cannot move the waits in its queue
# yet: those that it makes meanwhile are right, and not moved with the others.
# Exists because a request waited for three hours in place of some milliseconds.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use Test::More;
use WrongClock;

use constant HOURS => 3 * 3600;

# before the stand-in, whose times the servers read
my $clock = WrongClock->new;
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END');
domowf.poll_interval = '200ms'
domowf.retry_base = '1h'
domowf.retry_cap = '1h'
END
my $session = Domowf->session($node);

sub value { return $session->value($_[0]); }

# Asks for a start of a workflow of its own; what it does at Domo comes first.
sub ask
{
	my ($name, $scenario) = @_;

	value("INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)"
		  . " VALUES ('$name', 'model', '1.0.0', 'Start it', 'retry')");
	$domo->script($scenario, contains => "\"$name\"", count => 1);
	return $session->enqueue($name, $name);
}

sub until_failed
{
	my ($id) = @_;

	$node->poll_query_until('postgres',
		"SELECT failures = 1 AND state = 'queued' FROM domowf.queue WHERE id = $id")
	  or die 'no attempt has failed';
	return;
}

my $before = ask('before', 'retry-after:503:3600');
until_failed($before);

foreach my $step ([ forward => HOURS ], [ back => 0 ])
{
	my ($way, $to) = @$step;
	my $offset = Domowf->log_size($node);
	my $late = ask("late, $way", 'gate:shut');

	# nothing is sent from now on, that waits stay what they are
	$domo->wait_for(held => 1);
	value('SELECT domowf_pause()');
	Domowf->set_test_point($node, 'redate=error');
	Domowf->until_taken_up($node) or die 'not taken up';
	$clock->set($to);
	$node->wait_for_log("the clock was set $way", $offset);
	$domo->close_all;
	until_failed($late);
	Domowf->set_test_point($node, '');
	ok($node->poll_query_until('postgres',
		"SELECT due - clock_timestamp() BETWEEN '50 min' AND '60 min' FROM domowf.queue WHERE id = $before"
	), "set $way: a wait of before is moved");
	is(value("SELECT due - clock_timestamp() BETWEEN '-10 min' AND '60 min' AND run_at = due FROM domowf.queue WHERE id = $late"),
		't', '... and what has failed since waits as long as it should');
	value('SELECT domowf_resume()');
}
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
