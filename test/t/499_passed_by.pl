
# A row that somebody's trigger or check refuses to have changed is passed by, told
# of, and stops no other, in whatever is done to many rows or beside another one: a
# settlement that lets the next of its order key go, order keys, the takeover of a
# server (domowf.after_promotion = hold), the waits that are
# shortened when a worker begins, and moved when the clock is set, and what is to be
# returned.  Exists because one such row had what Domo had done in doubt, and kept
# whole databases from being sent, or from having anything returned.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use WrongClock;

# what the worker is refused
Domowf->expect_in_log(qr/not this one|violates check constraint/);

# before the stand-in, whose times the servers read
my $clock = WrongClock->new;
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.stall_after = '100ms'
END
my $session = Domowf->session($node);
my $hour = q{now() + interval '1 hour'};

sub value { return $session->value($_[0]); }

sub enqueue { return $session->enqueue('it', @_); }

# What became of requests, with whatever keeps them from it told.
sub outcomes { return join ' ', map { $session->outcome($_) } @_; }

# Rows of the queue whose requests say so are refused whatever is done to them.
sub poison
{
	value(q{CREATE TRIGGER mine BEFORE UPDATE ON domowf.queue FOR EACH ROW
		WHEN (NEW.request->'data'->>'n' LIKE 'bad%') EXECUTE FUNCTION refuse();
		ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER mine});
	return;
}

sub mend { return value('DROP TRIGGER mine ON domowf.queue'); }

# Waits until it is a stall, or not.
sub is_told
{
	my ($what, $name) = @_;

	return ok($node->poll_query_until('postgres',
			"SELECT state ~ 'stalled: a row refuses to be changed, and is passed by: .*$what' FROM domowf.worker"),
		$name);
}

sub is_no_stall
{
	my ($name) = @_;

	return ok($node->poll_query_until('postgres',
			q{SELECT state !~ 'stalled' FROM domowf.worker}), $name);
}

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it');
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE 'not this one';
END $$
END

# ---- the next of an order key

# what goes before it: sent, expired, settled by a person
poison();
value('SELECT domowf_pause()');
my %first = (
	sent => enqueue('first', order_key => q{'sent'}),
	expired => enqueue('first', order_key => q{'expired'}, run_at => $hour,
		expires_at => q{clock_timestamp()}),
	settled => enqueue('first', order_key => q{'settled'}, run_at => $hour));
my @next = map { enqueue("bad $_", order_key => "'$_'") } sort keys %first;
my @third = map { enqueue("third $_", order_key => "'$_'") } sort keys %first;
value('SELECT domowf_resume()');
is(outcomes($first{sent}), 'done', 'what Domo has done is done, whatever the next of its order key refuses');
is(outcomes($first{expired}), 'expired', '... so is what expires expired');
is(value("SELECT domowf_discard($first{settled})"), 't', '... and what a person settles settled');
is_told('the next of its order key, cannot be let go: not this one', '... it is a stall');
is(outcomes(enqueue('other')), 'done', '... and others are sent');
is(value(q{SELECT count(*) FROM domowf.queue WHERE waiting}), 6, '... but none of these order keys');
mend();
is(outcomes(@next, @third), join(' ', ('done') x 6), '... which are when it is mended');
is_no_stall('... and the stall is over');
is_deeply([ map { $domo->arrived("bad $_") } sort keys %first ], [ 1, 1, 1 ], '... sent once each');

# one that nobody lets go, since what went before it was removed by hand
value('SELECT domowf_pause()');
my @kept = map { enqueue($_, order_key => q{'a'}) } 'first', 'bad a';
my @free = map { enqueue($_, order_key => q{'b'}) } 'first', 'good b';
value("DELETE FROM domowf.queue WHERE id IN ($kept[0], $free[0])");
poison();
value('SELECT domowf_resume()');
is(outcomes($free[1]), 'done', 'an order key whose next is refused keeps no other from being looked at');
is_told('the next of its order key, cannot be let go: not this one', '... it is a stall');
mend();
is(outcomes($kept[1]), 'done', '... which is over when it is mended');
is_no_stall('... as it says');

# ---- waits that are shortened when a worker begins

$session->set_worker('off');
my @wait = map { enqueue($_) } map { ("bad $_", "waits $_") } 1 .. 5;
value("UPDATE domowf.queue SET failures = 1, run_at = $hour, due = $hour");
poison();
my $new = enqueue('new');
my $offset = Domowf->log_size($node);
$session->configure('domowf.worker', 'on');
is(outcomes($new), 'done', 'a wait that may not be shortened keeps no worker from beginning');
is(outcomes(@wait[ grep { $_ % 2 } 0 .. $#wait ]), join(' ', ('done') x 5),
	'... and no other from being shortened');
ok($node->wait_for_log(qr/request \d+ cannot be dated anew after the clock was set: not this one/, $offset),
	'... which the log says');
mend();
is(value("SELECT count(*) FROM domowf.queue WHERE due > now() + interval '50 min'"), 5, '... it waits on');
value('SELECT domowf_discard(id) FROM domowf.queue');

# ---- the clock is set back: what waits after a failure, and what does not

value('SELECT domowf_pause()');
my @failed = map { enqueue($_) } map { ("bad $_", "failed $_") } 1 .. 3;
value(q{UPDATE domowf.queue SET failures = 1, run_at = now() + interval '1 s', due = now() + interval '1 s'});
my @plain = map { enqueue($_) } map { ("bad plain $_", "plain $_") } 1 .. 3;
poison();
$offset = Domowf->log_size($node);
$clock->set(-3600);
$node->wait_for_log('the clock was set back', $offset);
value('SELECT domowf_resume()');
is(outcomes(@failed[ grep { $_ % 2 } 0 .. $#failed ]), 'done done done',
	'the clock is set back: a wait that may not be moved keeps no other');
is(outcomes(@plain[ grep { $_ % 2 } 0 .. $#plain ]), 'done done done', '... nor does what is not to wait');
mend();
value('SELECT domowf_discard(id) FROM domowf.queue');
$offset = Domowf->log_size($node);
$clock->set(0);
$node->wait_for_log('the clock was set forward', $offset);

# ---- a server takes over, and holds what may have been sent

$session->set_worker('off');
$session->configure('domowf.after_promotion', 'hold');
my @held = map { enqueue($_) } map { ("bad held $_", "held $_") } 1 .. 3;
value(q{ALTER TABLE domowf.queue ADD CONSTRAINT mine
	CHECK (state <> 'in_doubt' OR request->'data'->>'n' NOT LIKE 'bad%');
	UPDATE domowf.state SET timeline = 7});	# any other one is a takeover
$session->quit;
$node->restart;
$session = Domowf->session($node);
$offset = Domowf->log_size($node);
my $states = "SELECT string_agg(state, ' ' ORDER BY id) FROM domowf.queue";
foreach my $time ('a takeover', 'the next worker')
{
	$session->configure('domowf.worker', 'on');
	is(outcomes(map { enqueue("new $_ of $time") } 1 .. 3), 'done done done',
		"$time: what may not be held keeps no new one from being sent");
	is(value($states), 'queued in_doubt queued in_doubt queued in_doubt', '... nor others from being held');
	is_told('request \d+, which may have been sent before this server took over, cannot be put in doubt, and is not sent',
		'... it is a stall');
	$session->set_worker('off') if $time eq 'a takeover';
}
like(Domowf->log_since($node, $offset), qr/took over, on timeline 1: 3 requests are in doubt/, '... the log says how many are');
is_deeply([ map { $domo->arrived("bad held $_") + $domo->arrived("held $_") } 1 .. 3 ], [ 0, 0, 0 ], '... none is sent');
my $late = enqueue('late', run_at => $hour);
value("UPDATE domowf.queue SET expires_at = now() WHERE id = $late OR state = 'queued'");
is(outcomes($late), 'expired', 'what expires ends beside them');
is(value($states), 'queued in_doubt queued in_doubt queued in_doubt',
	'... but they do not: another server may have sent them');
value('UPDATE domowf.queue SET expires_at = NULL');
value('ALTER TABLE domowf.queue DROP CONSTRAINT mine');
ok($node->poll_query_until('postgres', 'SELECT timeline = 1 FROM domowf.state'), 'mended, all of it is taken over');
is(value($states), join(' ', ('in_doubt') x 6), '... and held');
is_no_stall('... which is no stall');
value('SELECT domowf_discard(id) FROM domowf.queue');
is(outcomes(enqueue('after all')), 'done', '... and new ones are sent');
is_deeply([ map { $domo->arrived("bad held $_") + $domo->arrived("held $_") } 1 .. 3 ], [ 0, 0, 0 ], '... not those');

# ---- what is to be returned: given up, its clock set back, removed

value(<<'END');
CREATE TABLE asked (id int PRIMARY KEY, state text CHECK (id <> 1 OR state IS NULL));
CREATE TRIGGER go AFTER INSERT ON asked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it', 'n=id', 'state<-state');
CREATE FUNCTION f(r domowf.request) RETURNS void LANGUAGE sql AS '';
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)
VALUES ('telling', 'model', '1.0.0', 'Start it', 'f(domowf.request)');
INSERT INTO asked VALUES (1)
END

# Asks for some, and waits until they are told.
sub are_returned
{
	my ($name, @ids) = @_;

	value("INSERT INTO asked VALUES ($_)") foreach @ids;
	return ok($node->poll_query_until('postgres',
			sprintf "SELECT count(*) = %d FROM asked WHERE id IN (%s) AND state = 'done'",
			scalar @ids, join ',', @ids), $name);
}

sub refuse_change
{
	my ($condition) = @_;

	value("ALTER TABLE domowf.return_entry ADD CONSTRAINT mine CHECK ($condition) NOT VALID");
	return;
}

sub allow_change { return value('ALTER TABLE domowf.return_entry DROP CONSTRAINT mine'); }

ok($node->poll_query_until('postgres', 'SELECT tries > 1 FROM domowf.return_entry'), 'one fails');
are_returned('... and keeps no other', 2);
value(q{DELETE FROM asked WHERE id > 1; INSERT INTO domowf.return_entry
	SELECT (jsonb_populate_record(e, jsonb_build_object('id', nextval('domowf.return_id'), 'request_id', e.request_id + 1000000))).*
		FROM domowf.return_entry e});
my $id = value('SELECT min(request_id) FROM domowf.return_entry');
refuse_change("request_id <> $id OR due < 'infinity'");
value("UPDATE domowf.return_entry SET since = since - interval '31 d'");
is_told('entry \d+ of domowf.return_entry cannot be changed: ', 'one that may not be given up is a stall');
are_returned('... and keeps no other from being returned', 3);
ok($node->poll_query_until('postgres',
		'SELECT count(*) = 0 FROM domowf.return_entry WHERE request_id > 1000000'),
	'... nor from being given up, and removed');
is(value("SELECT due < 'infinity' FROM domowf.return_entry WHERE request_id = $id"), 't', '... it is not');
allow_change();
ok($node->poll_query_until('postgres',
		"SELECT due = 'infinity' FROM domowf.return_entry WHERE request_id = $id"), '... until it is mended');
is_no_stall('... and the stall is over');
value('DELETE FROM domowf.return_entry');

refuse_change(q{error IS NULL OR error !~ 'does not exist'});
value(q{ALTER FUNCTION f RENAME TO g; SELECT domowf_enqueue('telling') FROM generate_series(1, 3)});
is_told('entry \d+ of domowf.return_entry cannot be changed: ', 'one whose function is gone, which may not be said, is');
are_returned('... and keeps no other', 4);
allow_change();
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 3 FROM domowf.returns WHERE error ~ 'does not exist'}), '... mended, it is said');
value(q{ALTER FUNCTION g RENAME TO f; SELECT domowf_retry_return(request_id) FROM domowf.return_entry});

# counted as tried
ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.return_entry'), 'all is returned');
refuse_change(q{returns_to IS NULL OR returns_to->'values'->>0 NOT IN ('5', '7') OR tries = 0});
$offset = Domowf->log_size($node);
value('INSERT INTO asked VALUES (5), (6), (7), (8)');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM asked WHERE id IN (6, 8) AND state = 'done'}),
	'those that may not be counted as tried keep no other of their owner');
ok($node->wait_for_log(qr/what came of request \d+ cannot be returned to table:\d+: it cannot be counted as tried: /, $offset),
	'... which the log says');
is(value('SELECT count(*) FROM asked WHERE id IN (5, 7) AND state IS NOT NULL'), 0, '... and are not returned');
allow_change();
ok($node->poll_query_until('postgres', q{SELECT count(*) = 2 FROM asked WHERE id IN (5, 7) AND state = 'done'}),
	'... until that is mended');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
