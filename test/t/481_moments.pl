
# How long a request may wait is counted from when it may be sent, and a while
# that is beyond all years means never.  Exists because expire_after was counted
# from the enqueueing, so that what was to run in an hour expired before, and
# because 300000 years failed the statement of whoever changed a row.

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
	conf => "domowf.poll_interval = '200ms'\n");
my $session = Domowf->session($node);
my ($id, $got);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, expire_after)
VALUES ('minute', 'model', '1.0.0', 'Start it', '1 minute'),
	('soon', 'model', '1.0.0', 'Start it', '1 ms'),
	('long', 'model', '1.0.0', 'Start it', '300000 years'),
	('longest', 'model', '1.0.0', 'Start it', '178000000 years'),
	('days', 'model', '1.0.0', 'Start it', '2147483647 days'),
	('plain', 'model', '1.0.0', 'Start it', NULL);
CREATE TABLE orders (id int);
CREATE TRIGGER it AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('long', 'id')
END

# ---- from run_at on

sub window
{
	my ($workflow, %option) = @_;

	$id = $session->enqueue($workflow, 'n', %option);
	return $session->value("SELECT expires_at - run_at FROM domowf.queue WHERE id = $id");
}

my $hour = q{now() + interval '1 hour'};
is(window('minute', run_at => $hour), '00:01:00', 'counted from run_at on');
$session->configure('domowf.expire_after', '2min');
ok($node->poll_query_until('postgres', q{SELECT current_setting('domowf.expire_after') = '2min'}),
	'the setting is there');
is(window('plain', run_at => $hour), '00:02:00', '... by the setting as well');
is(window('plain', run_at => $hour, expires_at => "$hour + interval '5 s'"),
	'00:00:05', '... and what is asked for goes first');
$id = $session->enqueue('plain', 'n', run_at => q{'294276-12-31 12:00:00+00'});
is($session->value("SELECT expires_at FROM domowf.queue WHERE id = $id"),
	'infinity', 'a time that is none any more is never');
$session->value('SELECT domowf_pause()');
$id = $session->enqueue('minute', 'past', run_at => q{'2020-01-01'});
is($session->value("SELECT expires_at > now() + interval '50 s' FROM domowf.queue WHERE id = $id"),
	't', 'a run_at in the past counts as now');
$session->value('SELECT domowf_resume()');
is($session->outcome($id), 'done', '... so that it is sent');

my $soon = q{clock_timestamp() + interval '300 ms'};
$id = $session->enqueue('minute', 'later', run_at => $soon);
is($session->outcome($id), 'done', 'what may wait a minute is sent when its time has come');

# ---- for ever

foreach my $workflow (qw(long longest days))
{
	$got = $session->run(Domowf->enqueue_sql($workflow, $workflow, run_at => $hour));
	is($got->{sqlstate}, '', "$workflow: enqueued");
	is($session->value("SELECT expires_at FROM domowf.queue WHERE id = $got->{out}"),
		'infinity', '... and never expires');
}
$got = $session->run('INSERT INTO orders VALUES (1)');
is($got->{sqlstate}, '', 'nor does a trigger fail the statement');
$id = $session->value(q{SELECT max(id) FROM domowf.request WHERE workflow = 'long'
	AND source IS NOT NULL});
is($session->value("SELECT state FROM domowf_wait($id, '300000 years')"),
	'done', 'who waits as long waits, and it is sent');
is($session->run("SELECT state FROM domowf_wait($id, '-300000 years')")->{sqlstate},
	'', '... and one that is over is over');

done_testing();
