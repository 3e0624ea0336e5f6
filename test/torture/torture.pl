
# One seed of `make torture` (run, in this folder): all that t/290 and t/291 do,
# in one course of events with one record, and returns and functions besides.
#
#   DOMOWF_SEED        which
#   TORTURE_ROUNDS     "1-20", or "3,7-9": only these, each as it was among all
#   TORTURE_BULK       how many requests each transaction asks for besides
#   TORTURE_UNTIL      seconds since 1970: no round is begun after that
#   TORTURE_REPORT     a file that gets a line of what there was
#
# Each round is seeded by itself, so that others can be left out to find the
# shortest course that fails.  Rounds after the last third have no standby any
# more: it has taken over.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::RealBin/../t", "$FindBin::RealBin/../domo";

use Around;
use Chance qw(chance one_of);
use Domo;
use Domowf;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $around;
my @rounds = map { /^(\d+)-(\d+)$/ ? ($1 .. $2) : $_ } split /,/,
  $ENV{TORTURE_ROUNDS} // '1-20';
my $last_with_standby = $rounds[ $#rounds * 2 / 3 ];

$around = Around->new(
	domo => $domo,
	rounds => scalar @rounds,
	bulk => $ENV{TORTURE_BULK} // 0,
	conf => "domowf.return_timeout = '10min'\nmax_worker_processes = 20\n",
	at_rest => \&judge_returns,
	disturb => sub {
		return $around->{blows}->strike($around->{blows}->choose) if chance(55);
		return $around->strike(one_of($around->names));
	});
my $chaos = $around->{chaos};

# ---- servers

# One for each kind, so that what all of them may have in flight counts, and an
# order key goes across two.
$chaos->value(sprintf <<'END', map { $domo->url, $domo->token } 1 .. 2);
CREATE SERVER one FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR CURRENT_USER SERVER one OPTIONS (token '%s');
CREATE SERVER two FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE USER MAPPING FOR CURRENT_USER SERVER two OPTIONS (token '%s');
UPDATE domowf.workflow SET server = 'one' WHERE name = 'retry';
UPDATE domowf.workflow SET server = 'two' WHERE name = 'few';
END

# ---- returns and functions

# Each state that the requests of `hold` come to is told once, and the rows that
# asked for them have it.
$chaos->value(<<'END');
CREATE TABLE effects (request_id bigint, state text);
CREATE FUNCTION note_effect(r domowf.request) RETURNS void LANGUAGE sql AS
	$$INSERT INTO public.effects VALUES (r.id, r.state)$$;
UPDATE domowf.workflow SET on_settled = 'note_effect(domowf.request)' WHERE name = 'hold';
ALTER TABLE orders ADD COLUMN instance text, ADD COLUMN state text, ADD PRIMARY KEY (n);
DROP TRIGGER start ON orders;
CREATE TRIGGER start AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('hold', 'n', '@key=key',
		'@order_key=order_key', 'instance<-id', 'state<-state');
END

# When nothing is to be sent any more.
sub judge_returns
{
	my $node = $chaos->{node};

	# one that was given up, since the clock was set, is asked for again
	$node->safe_psql('postgres', 'SELECT domowf_retry_return(request_id) FROM domowf.return_entry');
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.return_entry'),
		'all that is to be returned is returned in the end')
	  or diag $node->safe_psql('postgres', 'SELECT * FROM domowf.returns');
	is($node->safe_psql('postgres', <<'END'), '', 'rows have what became of their requests');
SELECT o.n, o.state, o.instance, r.state, r.instance_id FROM orders o
JOIN (SELECT id, request, state, instance_id FROM (
		SELECT id, request, state, NULL AS instance_id FROM domowf.queue
		UNION ALL SELECT id, request, outcome, instance_id FROM domowf.log) a) r
	ON r.request->'data'->>'n' = o.n
WHERE (o.state, o.instance) IS DISTINCT FROM (r.state, r.instance_id)
END

	# one that a person has opened again may come to the same state twice
	my @acted = keys %{ $chaos->{ledger}{acts} };
	my $acted = join ',', 0, @acted;

	is($node->safe_psql('postgres', <<"END"), '', 'a function has heard once of each');
SELECT r.id, r.state, e.heard FROM (
	SELECT id, state FROM domowf.queue WHERE workflow = 'hold'
	UNION ALL SELECT id, outcome FROM domowf.log WHERE workflow = 'hold' AND origin = 'request') r
LEFT JOIN LATERAL (SELECT count(*) FILTER (WHERE e.state = r.state) AS heard,
	count(*) AS total FROM effects e WHERE e.request_id = r.id) e ON true
WHERE e.heard = 0 OR (r.id NOT IN ($acted) AND e.total > 1)
END
	is($node->safe_psql('postgres', <<'END'), 0, '... and of none that is not there');
SELECT count(*) FROM effects e WHERE NOT EXISTS (SELECT FROM domowf.queue q WHERE q.id = e.request_id)
	AND NOT EXISTS (SELECT FROM domowf.log l WHERE l.id = e.request_id)
END
	return;
}

# ---- the course of events

$around->begin;
foreach my $round (@rounds)
{
	last if defined $ENV{TORTURE_UNTIL} && time > $ENV{TORTURE_UNTIL};
	$chaos->round($round);
	$around->fail_over if $round == $last_with_standby;
}
$around->end;

my %told = %{ $chaos->{told} };
my @events = grep { $_ ne 'nothing' } map { @$_ } values %told;
my %states = $chaos->{ledger}->states;
my $requests = 0;

$requests += $_ foreach values %states;
unless (Test::More->builder->is_passing)
{
	diag "round $_: ", join '; ', @{ $told{$_} } foreach sort { $a <=> $b } keys %told;
}
append_to_file($ENV{TORTURE_REPORT}, sprintf "seed %s: %d rounds, %d events, %d requests (%s), %d arrived at Domo\n",
	Chaos::SEED, scalar keys %told, scalar @events, $requests,
	join(', ', map { "$states{$_} $_" } sort keys %states), scalar $domo->record)
  if defined $ENV{TORTURE_REPORT};
done_testing();
