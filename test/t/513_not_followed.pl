
# Instances that nobody follows are told of, and given up in the end, whatever
# keeps them from being polled; and what nobody waits for any more is no fault.
# Exists because a server that was renamed left its instances in a table for ever
# while all looked healthy, and because an alarm that never ends hides the next one.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new;
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . Domowf::POLLED_WHEN_DUE . <<'END');
domowf.poll_interval = '100ms'
domowf.track_instances = on
END
my ($polled_when_due) = Domowf::POLLED_WHEN_DUE =~ /'(.*)'/;
my $session = Domowf->session($node);
my ($id, $other, $log);

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub until_check
{
	my ($check, $ok, $pattern, $name) = @_;

	return until_true(sprintf(
			q{SELECT ok = %s AND detail ~ %s FROM domowf_check() WHERE check_name = '%s'},
			$ok, Domowf->literal($pattern), $check), $name);
}

sub all_well
{
	my ($name) = @_;

	return until_true(q{SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok}, $name);
}

sub start
{
	my ($workflow, $n) = @_;
	my $request = $session->enqueue($workflow, $n);

	is($session->outcome($request), 'done', "$workflow is started");
	return $request;
}

sub due_now
{
	my ($request, $age) = @_;

	return $session->value(sprintf q{UPDATE domowf.tracked SET due = now()%s WHERE request_id = %s},
		$age ? ", started_at = now() - interval '$age'" : '', $request);
}

sub ended
{
	my ($request, $pattern, $name) = @_;

	until_true("SELECT NOT EXISTS (SELECT FROM domowf.tracked WHERE request_id = $request)"
		  . " AND instance_finished_at IS NOT NULL FROM domowf.log WHERE id = $request", "$name: it is over");
	return like($session->value("SELECT concat_ws('|', outcome, instance_status, error)"
			  . " FROM domowf.log WHERE id = $request"), $pattern, $name);
}

$session->value(sprintf <<'END', $domo->url, $domo->token, $domo->url, $domo->token);
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '%s');
CREATE SERVER asia FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR PUBLIC SERVER asia OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name, track, server) VALUES
	('there', 'm', '1.0.0', 's', true, 'eu'), ('here', 'm', '1.0.0', 's', true, NULL),
	('plain', 'm', '1.0.0', 's', false, 'eu');
END
until_check('tracking', 'true', '^no instance is followed$', 'nothing to follow');

# ---- a server that is gone

$id = start('there', 'cut off');
due_now($id);
until_true("SELECT instance_status = 'IN_PROGRESS' FROM domowf.log WHERE id = $id", 'it is polled');
until_check('tracking', 'true', '^instances are polled', 'it is followed');
$other = start('there', 'cut off, young');
$log = Domowf->log_size($node);
$session->value('ALTER SERVER eu RENAME TO us');
due_now($_) foreach $id, $other;
until_true(q{SELECT count(*) = 1 FROM domowf.connection
	WHERE server = 'eu' AND state = 'waiting' AND reason ~ '"eu" does not exist'}, 'the view has what waits');
until_check('tracking', 'false', '^instances of ".*" wait: .*"eu" does not exist', '... and domowf_check() tells of it');
until_check('servers', 'true', '^no request waits', '... which is no request');
like(Domowf->log_since($node, $log), qr/instances that are followed wait for a server: .*"eu"/,
	'... as the server\'s log has it');
due_now($id, '7 days 1 hour');
ended($id, qr/^done\|IN_PROGRESS\|.*no longer, after 7 days: .*"eu" does not exist/, 'after a week it is given up');
is($session->value("SELECT w.state FROM domowf_wait_finished($id, '170 s') w"), 'done', '... for who waits, too');
is($session->value("SELECT tries FROM domowf.tracked WHERE request_id = $other"), 0, 'one that is younger waits');

# more than are looked at, and than are given up, at a time
$session->value(sprintf q{WITH n AS (SELECT nextval('domowf.request_id') AS id, g FROM generate_series(1, 1500) g),
	l AS (INSERT INTO domowf.log (id, operation, outcome, origin, attempts, instance_id, requested_by,
			requested_by_oid, settled_at, batch)
		SELECT id, 'start', 'done', 'request', 1, g, current_user, current_user::regrole, now(),
			pg_current_xact_id() FROM n)
	INSERT INTO domowf.tracked (request_id, instance_id, lane, due, tries, started_at, server, server_owner,
			server_role)
		SELECT n.id, g, t.lane, t.due, 0,
			now() - CASE WHEN g > 1250 THEN interval '8 days' ELSE interval '6 days' END,
			t.server, t.server_owner, t.server_role
		FROM n, domowf.tracked t WHERE t.request_id = %s}, $other);
until_true(q{SELECT count(*) = 1251 AND min(started_at) > now() - interval '7 days' FROM domowf.tracked},
	'of many, too, and none that is younger');
$session->value("DELETE FROM domowf.tracked WHERE request_id <> $other");
$session->value('ALTER SERVER us RENAME TO eu');
until_true("SELECT tries = 1 FROM domowf.tracked WHERE request_id = $other", 'it is followed when the server is there again');
all_well('... and all is well');
until_true(q{SELECT count(*) = 0 FROM domowf.connection WHERE state = 'waiting'}, '... and nothing waits');

# ---- polls at rest

$session->configure('domowf.retry_base', '2h');
$session->configure('domowf.retry_cap', '2h');
ok(Domowf->until_taken_up($node), 'long rests');
$domo->script('status:401', operation => 'read', count => undef);
due_now($other);
until_true(q{SELECT count(*) = 1 FROM domowf.connection WHERE server = 'eu' AND state = 'idle'
	AND reason ~ '^polls of instances rest: .*401'}, 'the view tells that polls rest');
until_check('tracking', 'false', 'to server "eu" polls no instance: .*401', '... and so does domowf_check()');
until_check('servers', 'true', '^no request waits', '... while requests are sent');
if (Domowf::has_test_points())
{
	due_now($other, '7 days 1 hour');
	Domowf->set_test_point($node, "$polled_when_due,kept-polls=0");
	ended($other, qr/^done\|IN_PROGRESS\|.*after 7 days: its connection rests$/,
		'what cannot be polled for long is given up after a week, too');
	Domowf->set_test_point($node, $polled_when_due);
}
else
{
	$session->value('DELETE FROM domowf.tracked');
}
all_well('with nothing to follow it is no fault that polls rest');
$domo->clear_script;
$session->configure('domowf.retry_base', '10ms');
$session->configure('domowf.retry_cap', '50ms');
$session->value('SELECT domowf_resume()');

# ---- nobody polls: the setting is off, or the worker is paused

$id = start('here', 'paused');
$session->value(q{SELECT domowf_pause('a while')});
until_true(q{SELECT state = 'paused' FROM domowf.worker}, 'paused');
$session->value(q{UPDATE domowf.tracked SET due = now() - interval '10 min'});
until_check('tracking', 'true', '^instances are polled', 'a poll may be late');
$session->value(q{UPDATE domowf.tracked SET due = now() - interval '20 min'});
until_check('tracking', 'false', 'due to be polled for \d+ s', '... but not for long');
$session->value('SELECT domowf_resume()');
all_well('... until they are made again');
$session->configure('domowf.track_instances', 'off');
ok(Domowf->until_taken_up($node), 'off');
until_check('tracking', 'false', 'domowf.track_instances is off', 'what waits for the setting is told');
$session->value('DELETE FROM domowf.tracked');
all_well('... where something does');
$session->configure('domowf.triggers', 'off');
until_check('triggers', 'false', 'domowf.triggers is off', 'triggers that ask for nothing are told, too');
$session->value('ALTER SYSTEM RESET domowf.triggers; SELECT pg_reload_conf()');
all_well('... until they do');

# ---- what waited for a server that is gone, and waits no more

sub enqueue_to
{
	my ($server, $options) = @_;

	return $session->value(sprintf q{SELECT domowf_enqueue_call('start', '{%s "messageName": "S",
		"version": "1.0.0", "modelId": "m", "data": {}}'%s)}, $server ? qq("server": "$server",) : '', $options // '');
}

my $later = q{, run_at => now() + interval '1 hour'};
my @gone = map { enqueue_to($_, $later) } qw(eu eu asia);
$session->value('ALTER SERVER eu RENAME TO us; ALTER SERVER asia RENAME TO africa');
until_check('servers', 'false', 'does not exist \(and 1 more: see domowf.connection\)', 'two servers are gone');
$session->value("SELECT domowf_discard($gone[2])");
until_check('servers', 'false', '"eu" does not exist$', 'what waited for one is discarded: the other is told of');
$session->value("SELECT domowf_discard($gone[0])");
until_check('servers', 'false', '"eu" does not exist$', '... for as long as one request waits');
$session->value("UPDATE domowf.queue SET expires_at = now() WHERE id = $gone[1]");
is($session->outcome($gone[1]), 'expired', 'the last one expires');
all_well('nobody waits for a server any more');
until_true(q{SELECT count(*) = 0 FROM domowf.connection WHERE state = 'waiting'}, '... as the view has it');
$session->value('ALTER SERVER us RENAME TO eu; ALTER SERVER africa RENAME TO asia');

# ---- the settings, in a database of servers alone

$session->value(q{ALTER SYSTEM SET domowf.base_url = ''});
ok(Domowf->until_taken_up($node), 'no settings');
all_well('servers need none');
$id = enqueue_to(undef);
until_true(q{SELECT state = 'paused' FROM domowf.worker}, 'a request that names no server needs them');
$session->value("SELECT domowf_discard($id)");
until_true(q{SELECT state = 'idle' FROM domowf.worker}, '... and nobody does once it is discarded');
all_well('... all is well');
$session->value(q{ALTER SYSTEM RESET domowf.base_url});
ok(Domowf->until_taken_up($node), 'settings');

# ---- a pause that is over, with nothing to send

$session->value(q{ALTER USER MAPPING FOR PUBLIC SERVER eu OPTIONS (SET token 'another-token-0123456789')});
$id = enqueue_to('eu');
until_true(q{SELECT count(*) = 1 FROM domowf.connection WHERE server = 'eu' AND state = 'paused'},
	'a token that is refused pauses');
until_true("SELECT domowf_discard($id)", 'what was refused is discarded');
all_well('... which is the end of it');
until_true(q{SELECT count(*) = 1 FROM domowf.connection WHERE server = 'eu' AND state = 'idle'}, '... in the view, too');
$session->value(sprintf q{ALTER USER MAPPING FOR PUBLIC SERVER eu OPTIONS (SET token '%s')}, $domo->token);
is($session->outcome(enqueue_to('eu')), 'done', 'and all goes on');
done_testing();
