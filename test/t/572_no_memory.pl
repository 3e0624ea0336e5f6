
# Memory that is refused: about each hundredth allocation of libcurl, of libcjson, of
# domowf, of PostgreSQL fails (scarce.c), in a backend that calls and in the
# worker.  Each failure is told by a code and in words, nothing is lost, nothing
# is sent twice, what Domo has executed is told, and nothing leaks.
#
# By hand (DOMOWF_NO_MEMORY=1): it takes half a minute, and unit/http_memory has
# each of libcurl's allocations fail in CI.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Asker;
use Domo;
use Domowf;
use Ledger;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Scarce;
use Test::More;

use constant CALLS => 100;
use constant PLACES => 8;

plan skip_all => 'by hand: DOMOWF_NO_MEMORY=1' unless $ENV{DOMOWF_NO_MEMORY};

# Not round numbers: what is called in turns of it would fail at one place.
my %every = (libcurl => 101, libcjson => 101, domowf => 7, postgres => 101);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $scarce = Scarce->new;
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<"END");
domowf.poll_interval = '200ms'
domowf.connect_timeout = '10min'
backtrace_functions = 'FloatExceptionHandler'
domowf.max_connections = @{[ PLACES ]}
track_commit_timestamp = on
END
my $ledger = Ledger->new(max_in_flight => PLACES);
my $asker = Asker->new($ledger);
my $session = Domowf->session($node);
my ($tx, $number) = (0, 0);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('hold', 'model', '1.0.0', 'Start it');
CREATE TABLE marks (n text, tx int, id bigint, order_key text)
END

# what there was no memory for is told in libcurl's words, which change
Domowf->expect_in_log(qr/[Oo]ut of memory|could not send start of workflow|is in doubt/);

# Kilobytes of a process.
sub size_of
{
	my ($pid) = @_;
	my ($size) = slurp_file("/proc/$pid/status") =~ /^RssAnon:\s+(\d+)/m;

	return $size;
}

# One call; what is not as it should be, and what came of it.
sub call
{
	my ($who) = @_;
	my $n = 'call ' . ++$number;
	my $got = $session->run(Domowf->start_sql('model', "{\"n\": \"$n\"}"));
	my $started = $domo->executed(contains => "\"$n\"");
	my $arrived = $domo->record(contains => "\"$n\"");
	my $code = $got->{sqlstate};
	my $warned = grep { $_->{message} =~ /Domo has executed its calls/ } @{ $got->{warnings} };
	my $right =
		$code eq '' ? $started == 1 && $arrived == 1
	  : $code eq '38U01' ? $arrived == 0
	  : $code eq '38U02' ? $arrived <= 1
	  : $code =~ /^53[02]00$/ ? ($warned ? $started == 1 : $arrived == 0)
	  : 0;

	diag "$who: $n: arrived $arrived, $got->{err}" unless $right;
	return ($right, $code);
}

# Twenty starts at once; whether each is told as it was.
sub call_many
{
	my ($who) = @_;
	my $n = 'many ' . ++$number;
	my $offset = Domowf->log_size($node);
	my $got = $session->run(sprintf q{SELECT count(*) FILTER (WHERE sqlstate IS NULL),
		count(*) FILTER (WHERE sqlstate = '38U02'), count(*) FROM domowf_start_all(array_fill(
		'{"messageName": "Start it", "version": "1.0.0", "modelId": "model",
		"data": {"n": "%s"}}'::jsonb, ARRAY[20]), 8)}, $n);
	my $started = $domo->executed(contains => "\"$n\"");
	my ($done, $doubtful, $all) = split /\|/, $got->{out} || '0|0|0';

	if ($got->{sqlstate} eq '')
	{
		return 1 if $done <= $started && $done + $doubtful >= $started && $all == 20;
	}
	elsif ($got->{sqlstate} =~ /^53[02]00$/)
	{
		my ($list) = map { $_->{message} =~ /calls: (.*)/ ? $1 : () } @{ $got->{warnings} };

		$done = () = ($list // '') =~ /\bstarted \S/g;
		$doubtful = $got->{detail} =~ /executed (\d+) requests/ ? $1 : 0;

		# what was a row in doubt is in the server's log alone
		$doubtful += () = Domowf->log_since($node, $offset) =~ /domowf: 38U02: /g;
		return 1 if $done <= $started && $done + $doubtful >= $started;
	}
	diag "$who: $n: started $started, told $done and $doubtful, $got->{out} $got->{err}";
	return 0;
}

foreach my $who (qw(libcurl libcjson domowf postgres))
{
	my (%codes, $wrong, $before);

	$scarce->set(backend => $session->pid);
	foreach my $half (1, 2)
	{
		$scarce->fail($who => $every{$who});
		foreach (1 .. CALLS / 2)
		{
			my ($right, $code) = call($who);

			$codes{$code}++;
			$wrong += !$right;
		}
		$wrong += !call_many($who) foreach 1 .. 5;
		$scarce->fail($who => 0);
		$before = size_of($session->pid) if $half == 1;
	}
	my $grown = size_of($session->pid) - $before;

	is($wrong, 0, "$who: each call is told as it was");
	note sprintf '%s: %d failed; %s; %d kB more', $who, $scarce->failed($who),
	  join(', ', map { "$codes{$_} " . ($_ || 'done') } sort keys %codes), $grown;
	cmp_ok($grown, '<', 2000, '... and nothing leaks');
	is((call($who))[1], '', '... and then all is well');
}

foreach my $who (qw(libcurl libcjson domowf postgres))
{
	my $failed = $scarce->failed($who);

	$scarce->set(backend => 0);
	$scarce->fail($who => $every{$who}, 40);
	foreach (1 .. CALLS / 10)
	{
		my $sql = 'BEGIN;';

		$tx++;
		$sql .= $asker->start($tx) . ';' foreach 1 .. 10;
		my $got = $session->run("$sql COMMIT");
		$ledger->hear($tx, $got);
	}
	ok( $node->poll_query_until('postgres',
			q{SELECT count(*) = 0 FROM domowf.queue WHERE state <> 'in_doubt'}),
		"$who, in the worker: all requests come to an end");
	$scarce->fail($who => 0);
	note sprintf '%s: %d failed; %d in doubt', $who, $scarce->failed($who) - $failed,
	  $session->value('SELECT count(*) FROM domowf.queue');
}

is( $session->value(q{SELECT count(*) FROM domowf.request WHERE error ~ 'not JSON|writing output'}),
	0, 'nobody takes for nonsense what there was no memory to read');
$ledger->read_marks($session->value('SELECT n, id, order_key FROM marks'));
$ledger->read_rows($session->value(Ledger->rows_sql));
$ledger->read_record(grep { ($_->{data}{n} // '') =~ /^n\d+$/ } $domo->record);
is_deeply([ $ledger->broken ], [], 'nothing was lost, nothing was sent twice');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
