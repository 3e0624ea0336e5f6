
# A return that is under way when the extension is dropped and made anew is none of
# the new one's: it removes nothing there, and counts as failed.  Exists because
# numbers begin again, so that it removed the entry of another request, which was
# never returned.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.return_timeout = '10min'
END
my $session = Domowf->session($node);
my $holder = Domowf->session($node);

# A function that waits for a row of somebody's, as any slow one, and then does as
# it is told.
sub equip
{
	$session->value(<<'END');
CREATE FUNCTION f(r domowf.request) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM FROM public.gate FOR UPDATE;
	INSERT INTO public.told VALUES (r.enqueued_at);
	IF (SELECT fails FROM public.gate) AND r.key IS NULL THEN
		RAISE 'not now';
	END IF;
END $$;
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)
VALUES ('it', 'model', '1.0.0', 'Start it', 'f(domowf.request)')
END
	return;
}

$session->value('CREATE TABLE gate (fails boolean); INSERT INTO gate VALUES (false);'
	  . ' CREATE TABLE told (at timestamptz)');
equip();
foreach my $fails ('false', 'true')
{
	my $how = $fails eq 'true' ? 'fails' : 'is done';

	# each round has a process of its own, which says one thing a minute
	ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'domowf returns'}),
		"nobody is at it before one that $how");
	$session->value("TRUNCATE told; UPDATE gate SET fails = $fails");
	$holder->value('BEGIN; SELECT FROM gate FOR UPDATE');
	$session->value(q{SELECT domowf_enqueue('it')});
	ok($node->poll_query_until('postgres',
			q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'domowf returns' AND wait_event_type = 'Lock'}),
		"one that $how is under way");
	my $entry = $session->value('SELECT id FROM domowf.return_entry');
	$session->value('DROP EXTENSION domowf CASCADE; CREATE EXTENSION domowf');
	equip();
	$session->value("SELECT setval('domowf.return_id', $entry - 1, false)");
	my $new = $session->value(q{SELECT domowf_enqueue('it', key => 'new')});
	is($session->outcome($new), 'done', '... a request of the new extension is done');
	is($session->value('SELECT id FROM domowf.return_entry'), $entry, '... its return is noted, as the old one was');
	$session->value("UPDATE domowf.return_entry SET due = now() + interval '1 h'") if $fails eq 'true';
	$holder->value('COMMIT');
	if ($fails eq 'true')
	{
		ok($node->wait_for_log(qr/cannot be returned to function:public\.f\(domowf\.request\): not now/), '... the old one fails');
		ok($node->poll_query_until('postgres', q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'domowf returns'}),
			'... and that is written');
		is($session->value(q{SELECT count(*) FROM domowf.return_entry WHERE error ~ 'not now'}), 0, '... but not of the new one');
		$session->value('UPDATE gate SET fails = false; UPDATE domowf.return_entry SET due = now()');
	}
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.return_entry'), '... and it goes');
	is($session->value('SELECT count(*) FROM told, domowf.log WHERE at = enqueued_at'), 1, '... the function was told of it');
}
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $holder, $session;
$node->stop;
done_testing();
