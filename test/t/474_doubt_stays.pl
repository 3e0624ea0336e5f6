
# A start of which an attempt may have been executed stays one, whatever becomes
# of it later: Domo refuses the next attempt, its time is over, the role that
# asked for it is dropped.  It is in doubt then, holds its key and its order key,
# and says both; rejected and expired mean that nothing was started.

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
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
END
my $session = Domowf->session($node);
my $hour = q{now() + interval '1 hour'};
my $id;

sub value
{
	return $session->value(@_);
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

# One that Domo has executed and may be sent again, in an hour.
sub executed_once
{
	my ($what, %option) = @_;
	my $request;

	$domo->script('retry-after-executed:503:3600', count => 1, contains => "\"$what\"");
	$request = $session->enqueue('retry', $what, %option);
	until_true("SELECT state = 'queued' AND attempts = 1 FROM domowf.queue WHERE id = $request",
		"$what: executed, and to be sent again");
	return $request;
}

# It is due now.
sub make_due
{
	value("UPDATE domowf.queue SET due = clock_timestamp(), run_at = clock_timestamp()"
		  . " WHERE id = $_[0]");
	return;
}

# Its time, and that of others, is over.
sub expire
{
	value('UPDATE domowf.queue SET expires_at = clock_timestamp() WHERE id IN ('
		  . join(', ', @_)
		  . ')');
	return;
}

sub counted
{
	return value('SELECT coalesce(sum(n), 0) FROM domowf.counter'
		  . " WHERE outcome = '$_[0]' AND operation = 'start'");
}

# In doubt, with its key, and nobody starts it anew by that.
sub is_held
{
	my ($what, $request, $error) = @_;
	my ($key, $order_key) = ("'key of $what'", "'order of $what'");

	is($session->outcome($request), 'in_doubt', "$what: in doubt");
	like(value("SELECT error FROM domowf.request WHERE id = $request"),
		$error, '... which says why');
	is($session->enqueue('retry', $what, key => $key), $request, '... its key is held');
	is( value(q{SELECT waits_for FROM domowf.request WHERE id = }
			  . $session->enqueue('retry', "behind $what", order_key => $order_key)),
		$request,
		'... and its order key');
	is($domo->started($what), 1, '... it is started once');
	is(value("SELECT domowf_discard($request)"), 't', '... until somebody settles it');
	return;
}

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('retry', 'model', '1.0.0', 'Start it', 'retry');
CREATE TABLE orders (id int PRIMARY KEY, state text);
CREATE TRIGGER send AFTER INSERT ON orders FOR EACH ROW
EXECUTE FUNCTION domowf_trigger('retry', 'n=id', 'state<-state');
CREATE ROLE gone;
GRANT USAGE ON SCHEMA domowf TO gone;
GRANT EXECUTE ON FUNCTION domowf_enqueue TO gone
END

sub keys_of
{
	return (key => "'key of $_[0]'", order_key => "'order of $_[0]'");
}

# ---- Domo refuses what is sent again

$domo->script([ 'status-executed:502', 'status:404' ], contains => '"refused"');
is_held('refused', $session->enqueue('retry', 'refused', keys_of('refused')),
	qr/^An earlier attempt may have been executed; then: .*404/);
is( value(q{SELECT errors->0->>'class', errors->1->>'class', attempts FROM domowf.log
	WHERE request->'data'->>'n' = 'refused'}),
	'in doubt|rejected|2',
	'errors have both attempts');

# a person who sends one that waits again has decided nothing
$id = executed_once('hurried', keys_of('hurried'));
$domo->script('status:404', count => 1, contains => '"hurried"');
is(value("SELECT domowf_retry($id)"), 't', 'one that waits is sent at once');
is_held('hurried', $id, qr/404/);

# who sends one in doubt again has
$domo->script([ 'status-executed:502', 'status:404', 'status:404' ], contains => '"decided"');
$id = $session->enqueue('retry', 'decided', key => q{'key of decided'});
is($session->outcome($id), 'in_doubt', 'in doubt');
is(value("SELECT domowf_retry($id)"), 't', '... and sent again by a person');
is($session->outcome($id, 'state, attempts'), 'rejected|1', '... is what comes of that');
isnt($session->enqueue('retry', 'anew', key => q{'key of decided'}), $id, '... its key is free');

# what is harmless to repeat is refused
my $instance = value(Domowf->start_sql('model'));
$domo->script([ 'status-executed:502', 'status:404' ], contains => $instance);
is( $session->outcome(
		value(qq{SELECT domowf_enqueue_call('cancel', '{"id": "$instance"}')}), 'state, attempts'),
	'rejected|2',
	'a cancel is rejected');

# ---- its time is over

my ($expired, $doubted) = (counted('expired'), counted('in_doubt'));
my $never = $session->enqueue('retry', 'never', run_at => $hour, keys_of('never'));
$id = executed_once('late', keys_of('late'));
$domo->script('retry-after-executed:503:3600', count => 1, contains => $instance);
my $cancel = value(qq{SELECT domowf_enqueue_call('cancel', '{"id": "$instance"}')});
until_true("SELECT state = 'queued' AND attempts = 1 FROM domowf.queue WHERE id = $cancel",
	'a cancel that is to be sent again');
expire($never, $id, $cancel);
is($session->outcome($cancel), 'expired', '... expires');
is($session->outcome($never), 'expired', '... as what was never sent');
is_held('late', $id,
	qr/^An earlier attempt may have been executed \(.*503.*\); then it expired$/);
isnt($session->enqueue('retry', 'anew', key => q{'key of never'}),
	$never, '... which gives its key back');
is(counted('expired') - $expired, 1, 'one expired is counted');
is(counted('in_doubt') - $doubted, 1, '... and one in doubt');

# the way back, and a count of what waits that comes out even
$domo->script('retry-after-executed:503:3600', count => 1, contains => '"n": 1}');
value('INSERT INTO orders VALUES (1)');
until_true('SELECT attempts = 1 FROM domowf.queue WHERE source IS NOT NULL', 'a row of a table');
expire(value('SELECT id FROM domowf.queue WHERE source IS NOT NULL'));
until_true(q{SELECT state = 'in_doubt' FROM orders}, '... is told that its time is over');
value('SELECT domowf_discard(id) FROM domowf.queue WHERE source IS NOT NULL');

# where each goes by itself, since the log refuses one
$never = $session->enqueue('retry', 'refused by the log', run_at => $hour);
value("INSERT INTO domowf.log SELECT (jsonb_populate_record(l,
	jsonb_build_object('id', $never, 'key', null, 'order_key', null))).*
	FROM domowf.log l LIMIT 1");
$id = executed_once('apart', keys_of('apart'));
expire($never, $id);
is($session->outcome($never), 'in_doubt', 'one that the log refuses');
is_held('apart', $id, qr/then it expired$/);
value("DELETE FROM domowf.log WHERE id = $never; SELECT domowf_discard($never)");

# ---- the role that asked for it is dropped

value('SET SESSION AUTHORIZATION gone');
$id = executed_once('dropped', keys_of('dropped'));
value('RESET SESSION AUTHORIZATION; DROP OWNED BY gone; DROP ROLE gone');
make_due($id);
is($session->outcome($id), 'in_doubt', 'the role was dropped: in doubt');
like(value("SELECT error FROM domowf.request WHERE id = $id"),
	qr/^An earlier attempt may have been executed; then: the role .* was dropped$/, '... and says why');
is($domo->started('dropped'), 1, '... it is started once');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
