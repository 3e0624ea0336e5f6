
# Two thousand calls in one backend, most of which fail in some way, leave its
# descriptors and its memory as they were.  Exists because all that libcurl
# holds is outside of PostgreSQL's memory contexts and resource owners: nothing
# else would notice that an error's path forgets some of it.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not send start of workflow "(?:refused|wrong name)"/);

# Of what is measured after the first round.
use constant MAX_MORE_DESCRIPTORS => 2;
use constant MAX_MORE_KB => 4096;

plan skip_all => 'needs /proc' unless -e "/proc/$$/fd";

my $domo = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo);
my $session = Domowf->session($node);
my $pid = $session->pid;

sub descriptors
{
	my @links = glob "/proc/$pid/fd/*";
	return scalar @links;
}

sub resident_kb
{
	my ($kb) = slurp_file("/proc/$pid/status") =~ /^VmRSS:\s+(\d+) kB/m;
	return $kb;
}

sub threads
{
	my ($count) = slurp_file("/proc/$pid/status") =~ /^Threads:\s+(\d+)/m;
	return $count;
}

# One call by name, its error swallowed; the plan of each is kept.
$session->value(<<'END');
CREATE FUNCTION try_start(model text, url text, turn int) RETURNS text
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('domowf.base_url', url, true);
	PERFORM i.id FROM domowf_start(jsonb_build_object('messageName', 'm',
		'version', '1', 'modelId', model,
		'data', jsonb_build_object('x', repeat('x', 10000)))) i;
	RETURN '00000';
EXCEPTION WHEN OTHERS OR query_canceled THEN
	RETURN SQLSTATE;
END $$;
END
$session->value(q(SET domowf.ca_file = ) . Domowf->literal($domo->ca_file));

# model, URL, expected
my @kinds = (
	([ 'good', $domo->url, '00000' ]) x 6,
	[ 'good', $domo->tls_url, '00000' ],
	([ 'scenario:status:404', $domo->url, '38404' ]) x 4,
	[ 'scenario:status:502', $domo->url, '38U02' ],
	[ 'scenario:close-after', $domo->url, '38U02' ],
	[ 'scenario:reset-after', $domo->tls_url, '38U02' ],
	[ 'scenario:half-body', $domo->url, '38U02' ],
	[ 'scenario:oversize:1100000', $domo->url, '38U02' ],
	[ 'refused', $domo->refused_url, '38U01' ],
	[ 'wrong name', $domo->wrong_name_url, '38U01' ],
	[ '..', $domo->url, '22023' ],
	[ 'bad URL', 'ftp://x', '22023' ]);
my $values = join ', ', map {
	'(' . join(', ', map { Domowf->literal($_) } @$_) . ')'
} @kinds;

# A statement that a slow machine may need more time for than there is.
sub until_done
{
	my ($sql) = @_;

	1 while $session->run($sql)->{sqlstate} eq '57014';
	return;
}

# 12 x 20 calls in one statement, then some of which interrupts end.
sub do_round
{
	my $got = $session->run(
		    'SELECT DISTINCT model, state, expected FROM (SELECT *,'
		  . ' try_start(model, url, turn) AS state'
		  . ' FROM generate_series(1, 12) turn,'
		  . " (VALUES $values) v (model, url, expected)) tried"
		  . ' WHERE state <> expected');
	my @interrupted;

	$session->run(q(SET statement_timeout = '50ms'));
	foreach my $url ($domo->url, $domo->tls_url, $domo->silent_url,
		$domo->blackhole_url)
	{
		until_done("SET domowf.base_url = '$url'");
		push @interrupted,
		  $session->run(Domowf->start_sql('scenario:hang'))->{sqlstate};
	}
	until_done($_) foreach 'RESET statement_timeout', 'RESET domowf.base_url';
	$session->run(<<'END');
SELECT count(*) FROM domowf_start_all(array_fill('{"messageName": "m",
	"version": "1", "modelId": "all", "data": {}}'::jsonb, ARRAY[20]), 10)
END
	return ($got->{out}, join ' ', @interrupted);
}

my ($odd, $interrupted) = do_round();
is($odd, '', 'calls end as expected');
is($interrupted, join(' ', ('57014') x 4), 'and so do interrupted ones');

my ($descriptors, $kb, $threads) = (descriptors(), resident_kb(), threads());
foreach my $round (2 .. 10)
{
	($odd, $interrupted) = do_round();
	is("$odd$interrupted", join(' ', ('57014') x 4),
		"round $round: calls end as expected");
}
cmp_ok(descriptors() - $descriptors,
	'<=', MAX_MORE_DESCRIPTORS, "descriptors are flat ($descriptors at first)");
SKIP:
{
	skip 'AddressSanitizer keeps what is freed', 1 if defined $ENV{ASAN_OPTIONS};
	cmp_ok(resident_kb() - $kb, '<=', MAX_MORE_KB, "memory is flat ($kb kB at first)");
}
is(threads(), $threads, 'no thread is left behind');
cmp_ok($domo->stats->{requests}, '>=', 2000, 'these were 2000 calls');

# the stand-in gives up what its clients gave up
$session->quit;
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
