
# No function that calls Domo, enqueues or changes anything does so in a parallel
# worker.  They are PARALLEL UNSAFE, but a function around them may be marked
# otherwise, and nobody notices: the log's row fails once Domo has executed the
# start, and without a log the leader knows nothing of it, at a rollback or at
# PREPARE TRANSACTION.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# By type, what a function takes and none refuses for its form.
my %value = (
	'bigint' => 1,
	'integer' => 1,
	'interval' => q{'0'},
	'jsonb' => q{'{"id": "i", "modelId": "m", "messageName": "m", "version": "1", "data": {},
		"permissions": []}'},
	'jsonb[]' => q{ARRAY['{"modelId": "m", "messageName": "m", "version": "1", "data": {}}'::jsonb]},
	'name' => 'NULL',
	'text' => q{'w'},
	'timestamp with time zone' => 'now()');

# What only looks, or tells the launcher that there is something to look for.
my $harmless = qr/^(?:domowf_(?:check|metrics)|domowf\.(?:created|server_validator))\(/;

# A token that parallel workers have as well.
my $file = PostgreSQL::Test::Utils::tempdir . '/token';
my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);

append_to_file($file, Domowf::TOKEN . "\n");
chmod 0600, $file or die "chmod: $!";

my $node = Domowf->start_node(
	'main', undef,
	preload => 1,
	conf => <<"END");
domowf.base_url = '@{[ $domo->url ]}'
domowf.token_file = '$file'
domowf.track_instances = on
domowf.worker = off
END
my $session = Domowf->session($node);
my $got;

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
	VALUES ('w', 'm', '1.0.0', 'Start it');
SELECT domowf_enqueue('w', '{}', order_key => 'there')
END

my $forced = $session->value(
	q{SELECT name FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode')});

# Runs SQL in a parallel worker, in a transaction that is rolled back.
sub in_worker
{
	my ($sql, @settings) = @_;

	$session->value("CREATE OR REPLACE FUNCTION wrap(OUT pid int) LANGUAGE plpgsql PARALLEL SAFE"
		  . " AS \$\$ BEGIN $sql; pid := pg_backend_pid(); END \$\$");
	$session->run(join '; ', 'BEGIN', "SET LOCAL $forced = on", @settings);
	$got = $session->run('SELECT wrap()');
	$session->run('ROLLBACK');
	return $got->{out};
}

# All that a call or a change leaves.
sub traces
{
	return join ' ', $domo->stats->{requests},
	  $session->value(q{SELECT (SELECT count(*) FROM domowf.queue), (SELECT count(*) FROM domowf.log),
		(SELECT string_agg(l::text, ',') FROM domowf.queue l)});
}

isnt(in_worker('NULL'), $session->pid, 'it is a worker that runs it');

my %functions = map { split /\|/, $_, 2 } split /\n/, $session->value(<<'END');
SELECT oid::regprocedure, array_to_string(ARRAY(SELECT format_type(t, NULL)
	FROM unnest(proargtypes) WITH ORDINALITY a(t, n) ORDER BY n), ';')
FROM pg_proc JOIN pg_depend ON objid = pg_proc.oid AND classid = 'pg_proc'::regclass AND deptype = 'e'
WHERE refobjid = (SELECT oid FROM pg_extension WHERE extname = 'domowf')
	AND proparallel = 'u' AND prolang <> 14 AND prokind = 'f'
	AND prorettype NOT IN ('trigger'::regtype, 'event_trigger'::regtype,
		'internal'::regtype, 'fdw_handler'::regtype)
END

cmp_ok(scalar keys %functions, '>', 15, 'there are functions');
foreach my $function (sort keys %functions)
{
	next if $function =~ $harmless;

	my ($name) = $function =~ /^([^(]+)/;
	my $arguments = join ', ', map { "$value{$_}::$_" } split /;/, $functions{$function} // '';
	my $before = traces();

	foreach my $log (qw(on off))
	{
		in_worker("PERFORM FROM $name($arguments)", "SET LOCAL domowf.log_calls = $log");
		is($got->{sqlstate}, '25000', "$function, log $log: refused") or diag $got->{err};
		like($got->{message},
			qr/^cannot execute \Q$name\E\(\) during a parallel operation$/,
			'... by its name');
	}
	is(traces(), $before, '... and nothing happened');
}
$session->quit;
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
