
# What people read and do: who sees what of the worker, what notifications tell,
# the numbers of the views, domowf_check() in each state that is not good, how
# long keys and rows in doubt are kept, pauses.

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

Domowf->expect_in_log(qr/could not open domowf\.token_file: No such file/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.notify = on
END
my $session = Domowf->session($node);
my ($got, $id, %ids, @ids, $result);
my $hour = q{now() + interval '1 hour'};

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('other', 'model', '1.0.0', 'Start it', 'hold'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it', 'hold'),
	('doubtful', 'scenario:status:502', '1.0.0', 'Start it', 'hold'),
	('again', 'model', '1.0.0', 'Start it', 'retry');
CREATE ROLE alice;
CREATE ROLE watcher;
CREATE ROLE monitor IN ROLE pg_monitor;
CREATE ROLE reader IN ROLE pg_read_all_data;
GRANT USAGE ON SCHEMA domowf TO alice, watcher;
GRANT SELECT ON domowf.worker TO watcher;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO alice;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO alice
END

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub as_role
{
	my ($role, $sql) = @_;

	$session->value("SET ROLE $role");
	$result = $session->run($sql);
	$session->value('RESET ROLE');
	return $result;
}

# ---- who waits is told of what a person does, and need not look again

my $waiter = Domowf->session($node);
my $waited = 0;

@ids = map { $session->enqueue('plain', 'waited for', run_at => $hour) } 1 .. 8;
foreach my $request (@ids)
{
	$waiter->send("SELECT state FROM domowf_wait($request, '170 s')");
	$node->poll_query_until('postgres',
		q{SELECT wait_event_type = 'Extension' FROM pg_stat_activity WHERE pid = }
		  . $waiter->pid);
	my $start = time;
	$session->value($request % 2 ? "SELECT domowf_discard($request)" :
		  "SELECT domowf_resolve($request, 'by hand')");
	$waiter->wait;
	$waited += time - $start;
}
cmp_ok($waited, '<', @ids / 2, 'domowf_wait ends when a person gives up or resolves');
is( $session->value('SELECT string_agg(DISTINCT state, \' \') FROM domowf.request'),
	'discarded done', '... both were done');
$waiter->quit;

# ---- notifications

my $listener = Domowf->session($node);
$listener->value('LISTEN domowf');

# The notifications so far of a request, as "state instance".
my @told;

sub told
{
	my ($request) = @_;
	my $out = $listener->value('SELECT 1');

	push @told, $1 while $out =~ /"domowf" with payload "(.*)" received/g;
	return map {
		my ($state) = /"state": "(\w+)"/;
		my ($instance) = /"instance_id": (?:"(.*)"|null)/;
		join ' ', grep { defined } $state, $instance
	} grep { /"id": $request,/ } @told;
}

sub is_told
{
	my ($request, $expected, $name) = @_;
	my @got;

	my $until = time + $PostgreSQL::Test::Utils::timeout_default;

	do { @got = told($request) } while (@got < @$expected && time < $until);
	is_deeply(\@got, $expected, $name);
	return;
}

$domo->script([ 'status:502', 'reset-after' ], contains => 'n1 again');
%ids = (
	done => $session->enqueue('plain', 'n1'),
	rejected => $session->enqueue('refused', 'n1'),
	in_doubt => $session->enqueue('doubtful', 'n1'),
	again => $session->enqueue('again', 'n1 again'),
	expired => $session->enqueue('plain', 'n1', run_at => $hour,
		expires_at => 'clock_timestamp()'),
	discarded => $session->enqueue('plain', 'n1', run_at => $hour),
	'resolved by hand' => $session->enqueue('doubtful', 'n1'),
	'resolved at length' => $session->enqueue('doubtful', 'n1'));
$session->outcome($ids{$_}) foreach grep { $_ ne 'discarded' } keys %ids;
$session->value("SELECT domowf_discard($ids{discarded})");
$session->value(
	"SELECT domowf_resolve($ids{'resolved by hand'}, E'by \"hand\" \\u00e9')");
$session->value("SELECT domowf_resolve($ids{'resolved at length'},"
	  . q{ 'x' || repeat(E'\u00e9', 500))});
my $instance = $session->request($ids{done}, 'instance_id');
my $again = $session->request($ids{again}, 'instance_id');
is_told($ids{done}, ["done $instance"], 'notify: done');
is_told($ids{rejected}, ['rejected'], '... rejected');
is_told($ids{in_doubt}, ['in_doubt'], '... in doubt');
is_told($ids{again}, ["done $again"], '... not what is only put back');
is_told($ids{expired}, ['expired'], '... expired');
is_told($ids{discarded}, ['discarded'], '... discarded');
is_told(
	$ids{'resolved by hand'},
	[ 'in_doubt', "done by \\\"hand\\\" \x{e9}" ],
	'... resolved');
is_told(
	$ids{'resolved at length'},
	[ 'in_doubt', 'done x' . "\x{e9}" x 249 ],
	'... an id that is too long is cut between characters');
$session->run('BEGIN');
$id = $session->enqueue('plain', 'n2', run_at => $hour);
$session->run('COMMIT');
$session->run("BEGIN; SELECT domowf_discard($id); ROLLBACK");
is_told($session->outcome($session->enqueue('plain', 'n3'), 'id'),
	[ 'done ' . $session->value(
			q{SELECT instance_id FROM domowf.log ORDER BY id DESC LIMIT 1}) ],
	'... at the commit');
is_deeply([ told($id) ], [], '... and not what was rolled back');
$session->configure('domowf.notify', 'off');
ok(Domowf->until_taken_up($node), 'notify is off');
$session->value("SELECT domowf_discard($id)");
$session->outcome($session->enqueue('plain', 'n4'));
my $count = @told;
told(0);
is(scalar @told, $count, '... nothing is told');
$listener->quit;

# ---- numbers of the views

my $stats = <<'END';
SELECT operation, workflow, queued, sending, in_doubt, done, rejected, expired,
	discarded, attempts, oldest_waiting IS NOT NULL,
	latency_p50 <= latency_p95 AND latency_p95 <= latency_p99
	AND latency_p50 > interval '0'
FROM domowf.stats ORDER BY 1, 2
END
$session->value('TRUNCATE domowf.queue, domowf.log, domowf.key, domowf.counter');
$session->run('BEGIN');
@ids = (
	(map { $session->enqueue('plain', "s $_") } 1 .. 3),
	(map { $session->enqueue('refused', "s $_") } 1 .. 2),
	$session->enqueue('doubtful', 's'),
	$session->enqueue('plain', 's', run_at => $hour,
		expires_at => 'clock_timestamp()'),
	$session->enqueue('plain', 's', run_at => $hour),
	$session->enqueue('plain', 's', run_at => $hour));
push @ids, $session->value(q{SELECT domowf_enqueue_call('set_permissions',
	'{"modelId": "m1", "permissions": [{"id": "7", "type": "USER",
	"permissions": ["READ"]}]}')});
$session->run('COMMIT');
$session->value("SELECT domowf_discard($ids[7])");
$session->outcome($_) foreach @ids[ 0 .. 7, 9 ];
$domo->script('gate:stats', count => 1, contains => 's gated');
my $gated = $session->enqueue('plain', 's gated');
$domo->wait_for(held => 1);
is($session->value($stats), <<'END' =~ s/\n\z//r, 'stats: every number');
set_permissions||0|0|0|1|0|0|0|1|f|t
start|doubtful|0|0|1|0|0|0|0|1|f|
start|plain|1|1|0|3|0|1|1|3|f|t
start|refused|0|0|0|0|2|0|0|2|f|t
END
is( $session->value(
		'SELECT count(*), min(batch) = max(batch) FROM domowf.request'
		  . " WHERE id <> $gated"),
	'10|t',
	'request: all of them, of one batch');
is( $session->value(
		'SELECT total, done, failed, in_doubt, waiting, percent,'
		  . ' eta > interval $$0$$, progress FROM domowf.batch'
		  . ' WHERE total = 10'),
	'10|4|4|1|1|90.0|t|' . '#' x 45 . '.' x 5,
	'batch: every number');
$node->poll_query_until('postgres', 'SELECT in_flight = 1 FROM domowf.worker')
  or die 'the worker does not say what is in flight';
is( $session->value("SELECT state, in_flight, sent > 0, failed > 0,"
		  . ' started_at < now(), paused_until, pause_reason IS NULL'
		  . ' FROM domowf.worker'),
	'sending|1|t|t|t||t',
	'worker: every column');
my $before = $session->value('SELECT sent, failed FROM domowf.worker');
$domo->release('stats');
is($session->outcome($gated), 'done', '... the last one');
my ($sent, $failed) = split /\|/, $before;
until_true("SELECT sent = $sent + 1 AND failed = $failed AND in_flight = 0"
	  . ' FROM domowf.worker', 'worker: counts each attempt');
$session->run(Domowf->start_sql('model', '{"n": "a call"}'));
is( $session->value(q{SELECT (SELECT count(*) FROM domowf.log
		WHERE origin = 'call'), (SELECT count(*) FROM domowf.request
		WHERE id = (SELECT max(id) FROM domowf.log)), sum(done)
		FROM domowf.stats}),
	'1|0|5',
	'a call is in the log, and no request');

# ---- who sees what of the worker

until_true(q{SELECT last_error IS NOT NULL FROM domowf.worker},
	'there is an error to see');
my $worker = 'SELECT pid > 0, state, sent > 0, started_at IS NOT NULL,'
  . ' last_error IS NULL FROM domowf.worker';
is(as_role('watcher', $worker)->{out},
	't|idle|t|t|t',
	'SELECT on domowf.worker is all that it needs; no errors of others');
is(as_role('watcher', 'SELECT count(*) FROM domowf.stats')->{sqlstate},
	'42501', '... and no more than that');
is(as_role('watcher', 'SELECT * FROM domowf.worker_status')->{sqlstate},
	'42501', '... nor what is under it');
is(as_role('alice', $worker)->{out}, 't|idle|t|t|t', '... so with all tables');
is(as_role('alice', 'SELECT last_error IS NULL FROM domowf.worker_status')
	  ->{out}, 't', '... also under it');
foreach my $role (qw(monitor reader))
{
	is(as_role($role, $worker)->{out}, 't|idle|t|t|f',
		"$role: with the last error")
	  if $role eq 'monitor'
	  || $session->value('GRANT USAGE ON SCHEMA domowf TO reader') eq '';
}
is($session->value($worker), 't|idle|t|t|f', '... and the owner');
$domo->script('retry-after:429:600', count => 1, contains => 'throttled');
$id = $session->enqueue('plain', 'throttled');
until_true(q{SELECT state = 'paused' AND pause_reason ~ 'model'
	AND paused_until > now() + interval '30 s' FROM domowf.worker},
	'a pause by Domo, with its reason');
my $paused = q{SELECT state, paused_until > now(), pause_reason IS NULL
	FROM domowf.worker};
is(as_role('watcher', $paused)->{out},
	'paused|t|t', '... whose request it was is not for everybody');
is(as_role('monitor', $paused)->{out}, 'paused|t|f', '... but for pg_monitor');
is( $session->value(
		q{SELECT ok, detail ~ 'paused' FROM domowf_check() WHERE check_name = 'worker'}
	),
	'f|t',
	'... domowf_check tells of it');
my $checked = q{SELECT detail ~ 'is paused: .*model', detail ~ 'is paused$'
	FROM domowf_check() WHERE check_name = 'worker'};
is($session->value($checked), 't|f', '... with the reason');
is(as_role('alice', $checked)->{out}, 'f|t', '... but not to everybody');
$session->value('SELECT domowf_resume()');
is($session->outcome($session->enqueue('plain', 'resumed')), 'done',
	'domowf_resume ends an automatic pause');
is($session->request($id), 'queued', '... the request itself waits as long as Domo said');
is($session->value("SELECT domowf_retry($id)"), 't', '... or is retried');
is($session->outcome($id, 'state, attempts'), 'done|1', '... and done');
$session->value(q{SELECT domowf_pause(repeat(E'\u00e9', 300))});
until_true(q{SELECT pause_reason = repeat(E'\u00e9', 127) FROM domowf.worker},
	'a long reason is cut between characters');
is(as_role('watcher', $paused)->{out},
	'paused|t|f', "... a person's reason is for all who may see the view");
$session->value('SELECT domowf_resume()');

# ---- a function that is cheaper than the view's own condition

$session->value(<<'END');
CREATE FUNCTION peek(text) RETURNS boolean LANGUAGE plpgsql STABLE COST 1e-7 AS
	'BEGIN RAISE WARNING ''peeked at %'', $1; RETURN true; END'
END
is($session->value(q{SELECT count(*) > 0 FROM domowf.stats WHERE workflow = 'plain'}),
	't', 'there is something to peek at');
$got = as_role('alice', 'SELECT count(*) FROM domowf.stats WHERE peek(workflow)');
is("$got->{out} $got->{sqlstate} $got->{err}", '0  ', '... which nobody can');

# ---- what is kept, and until when

$session->value('TRUNCATE domowf.queue, domowf.log, domowf.key');
$id = $session->enqueue('doubtful', 'kept', key => q{'kept'});
is($session->outcome($id), 'in_doubt', 'a request is in doubt');
@ids = map { $session->enqueue('plain', "kept $_", key => "'kept $_'") } 1 .. 3;
$session->outcome($_) foreach @ids;
my $lost = $session->enqueue('refused', 'lost', key => q{'passed on'});
is($session->outcome($lost), 'rejected', '... one is rejected');
my $heir = $session->enqueue('refused', 'heir', key => q{'passed on'}, run_at => $hour);
isnt($heir, $lost, '... and has passed on its key');
$session->value("UPDATE domowf.queue SET enqueued_at = now() - interval '10 years',"
	  . " sent_at = now() - interval '10 years'");
$session->value("UPDATE domowf.log SET settled_at = now() - interval '$_->[1]'"
	  . " WHERE id = $_->[0]")
  foreach [ $ids[0], '61 min' ], [ $lost, '61 min' ], [ $ids[1], '50 min' ];
$session->configure('domowf.log_retention', '1h');
until_true("SELECT count(*) = 0 FROM domowf.log WHERE id IN ($ids[0], $lost)",
	'what is older than log_retention is removed');
is($session->request($ids[1]) . $session->request($ids[2]), 'donedone', '... and nothing else');
is($session->request($id), 'in_doubt', '... in doubt least of all');
is($session->enqueue('doubtful', 'kept', key => q{'kept'}), $id,
	'... which keeps its key');
is($session->enqueue('plain', 'kept 2', key => q{'kept 2'}),
	$ids[1], '... as does what is kept');
isnt($session->enqueue('plain', 'kept 1', key => q{'kept 1'}),
	$ids[0], '... the key of what is removed is free');
is($session->enqueue('refused', 'lost', key => q{'passed on'}),
	$heir, '... but for one that another request has by now');
$session->value("SELECT domowf_discard($heir)");
$session->configure('domowf.log_retention', 0);
ok(Domowf->until_taken_up($node), 'log_retention = 0');
$session->value("UPDATE domowf.log SET settled_at = now() - interval '10 years'"
	  . " WHERE id = $ids[1]");

# what expires does at a poll
is( $session->outcome(
		$session->enqueue('plain', "poll $_", run_at => $hour,
			expires_at => 'clock_timestamp()')),
	'expired', '... after a poll')
  foreach 1 .. 2;
is($session->request($ids[1]), 'done', '... keeps all');
$session->configure('domowf.log_retention', '30d');

# ---- pauses

$session->value(q{SELECT domowf_pause()});
until_true(q{SELECT state = 'paused' AND paused_until = 'infinity'
	AND pause_reason = 'paused by domowf_pause()' FROM domowf.worker},
	'paused without a reason');
$id = $session->enqueue('plain', 'paused');
$session->quit;
$node->stop('immediate');
$node->start;
$session = Domowf->session($node);
until_true(q{SELECT state = 'paused' FROM domowf.worker},
	'... also after a crash');
is($session->request($id), 'queued', '... nothing is sent');
$session->run('BEGIN; SELECT domowf_resume(); ROLLBACK');
is($session->value("SELECT state FROM domowf_wait($id, '600 ms')"),
	'queued', '... nor when resuming is rolled back');
$session->value('SELECT domowf_resume()');
is($session->outcome($id), 'done', '... until it is resumed');
$session->value('SELECT domowf_resume()');
is($session->outcome($session->enqueue('plain', 'resumed twice')), 'done', '... twice is once');
is(as_role('watcher', 'SELECT domowf_pause()')->{sqlstate},
	'42501', 'whoever may not pause cannot');

# a turn that has begun before the pause, and claims after it
my $offset = Domowf->log_size($node);
my $logfile = $node->logfile;
Domowf->set_test_point($node, 'before-turn=wait');
ok(Domowf->until_taken_up($node), 'a turn');

# it may be sent in the turn that reads what a reload has changed, which does not wait
my $waits;
until ($waits)
{
	$id = $session->enqueue('plain', 'before the pause');
	$node->poll_query_until('postgres',
		"SELECT pg_read_file('$logfile', $offset, 1000000) ~ '\"before-turn\" waits'"
		  . " OR EXISTS (SELECT FROM domowf.log WHERE id = $id)")
	  or last;
	$waits = slurp_file($node->logfile, $offset) =~ /"before-turn" waits/;
}
ok($waits, '... that waits');
$session->value('SELECT domowf_pause()');
my $after = $session->enqueue('plain', 'after the pause');
Domowf->set_test_point($node, '');
until_true(q{SELECT state = 'paused' FROM domowf.worker}, '... is paused before it claims');
is($session->request($after), 'queued', '... and what was asked for since is not sent');
$session->value('SELECT domowf_resume()');
is($session->outcome($_), 'done', '... until it is resumed') foreach $id, $after;

# ---- domowf_check

my $wrong = q{SELECT check_name, detail FROM domowf_check() WHERE NOT ok ORDER BY 1};
is($session->value($wrong), '', 'domowf_check: all is well');
is($session->value('SELECT string_agg(check_name, $$ $$) FROM domowf_check()'),
	'connection dumps preload objects privileges returns servers tables tracking triggers version worker',
	'... so many checks');
is(as_role('watcher', 'SELECT domowf_check()')->{sqlstate},
	'42501', '... not for everybody');
my $where = q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'connection'};
is($session->value($where), 't|calls and requests go to ' . $domo->url, '... where requests go');
$session->value(q{SET domowf.base_url = 'http://127.0.0.1:9'; SET domowf.token = 'another-token-0123456789'});
like($session->value($where), qr{^t\|calls of this session, which has domowf\.base_url of its own, go to http://127\.0\.0\.1:9; requests},
	'... and that a session sends its calls elsewhere');
is($session->outcome($session->enqueue('plain', 'as configured')), 'done', '... and no requests');
$session->value('RESET domowf.base_url; RESET domowf.token');
$session->quit;
foreach my $case (
	[ "domowf.base_url = ''", 'connection', qr/no Domo instance is set/ ],
	[ "domowf.token = ''", 'connection', qr/no Domo token is set/ ],
	[
		"domowf.token = ''\ndomowf.token_file = '/nowhere/token'",
		'connection', qr/domowf\.token_file/
	])
{
	my ($conf, $name, $detail) = @$case;
	my $file = $node->data_dir . '/postgresql.conf';
	my $kept = slurp_file($file);

	$node->append_conf('postgresql.conf', $conf);
	$node->restart;
	until_true(q{SELECT state = 'paused' AND paused_until = 'infinity'
		FROM domowf.worker}, "$conf: the worker is paused");
	my %rows = map { split /\|/, $_, 2 } split /\n/,
	  $node->safe_psql('postgres', $wrong);
	is_deeply([ sort keys %rows ], [ 'connection', 'worker' ],
		'... domowf_check says so');
	like($rows{$_}, $detail, "... and why: $_") foreach sort keys %rows;
	open my $handle, '>', $file or die "open: $!";
	print $handle $kept;
	close $handle;
}
$node->restart;
$session = Domowf->session($node);
is($session->outcome($session->enqueue('plain', 'all is well again')), 'done', 'all is well again');
is($session->value($wrong), '', '... domowf_check finds so');
$session->value('ALTER TABLE domowf.state RENAME TO status');
is($session->value("SELECT ok FROM domowf_check() WHERE check_name = 'tables'"),
	'f', 'a table that is missing');
$session->value('ALTER TABLE domowf.status RENAME TO state');
# a worker that has looked meanwhile is paused until it looks again
until_true('SELECT NOT EXISTS (SELECT FROM domowf_check() WHERE NOT ok)', '... and is there again');
my @as_restored = map { "ALTER TABLE domowf.$_->[0] ENABLE TRIGGER $_->[1]" }
  ([qw(queue refuse_replication)], [qw(workflow registry_changed)],
	[qw(workflow_input registry_truncated)]);
foreach my $sql (@as_restored)
{
	$session->value($sql);
	is($session->value($wrong =~ s/, detail//r), 'triggers',
		'triggers that a restore made ordinary ones');
	$session->value($sql =~ s/ENABLE/ENABLE ALWAYS/r);
}
is($session->value($wrong), '', '... and that fire always again');

# ---- roles that go, and what they own

$session->quit;
$node->restart;
$session = Domowf->session($node);
until_true(q{SELECT state = 'idle' FROM domowf.worker}, 'a worker');
$session->value(<<'END');
CREATE ROLE carol;
CREATE ROLE dave;
GRANT EXECUTE ON FUNCTION domowf_enqueue TO carol;
CREATE TABLE of_carol ();
ALTER TABLE of_carol OWNER TO carol
END
@ids = map {
	as_role('carol',
		"SELECT domowf_enqueue('plain', '{\"n\": \"carol $_\"}', run_at => $hour)")
	  ->{out}
} 1 .. 2;
$session->value('REASSIGN OWNED BY carol TO dave; DROP OWNED BY carol');
$session->value("SELECT domowf_retry($ids[0])");
is($session->outcome($ids[0], 'state, requested_by'),
	'done|carol', 'REASSIGN OWNED, DROP OWNED: who asked is who asked');
$session->value('ALTER ROLE carol RENAME TO caroline');
is(as_role('caroline', 'SELECT 1')->{out}, 1, 'a role is renamed');
$session->value("SELECT domowf_retry($ids[1])");
is($session->outcome($ids[1]), 'done', '... what it asked for is sent');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
