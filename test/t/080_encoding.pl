
# Databases that are not in UTF-8.  Domo speaks UTF-8 only, and a reply holds
# whatever people named their workflows.  Exists because an instance that runs
# must not become an error, or lose its id, over a character that the database
# lacks, and because text in the database's encoding on the wire would be
# garbage in Domo.

use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use Encode ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo);
my $got;

foreach my $encoding (qw(LATIN1 SQL_ASCII EUC_JP))
{
	$node->safe_psql('postgres',
		"CREATE DATABASE \L$encoding\E ENCODING '$encoding'"
		  . q( LOCALE 'C' TEMPLATE template0));
	$node->safe_psql(lc $encoding, 'CREATE EXTENSION domowf');
}

# A start that calls itself by odd names.  Returns its entry of the record.
sub start
{
	my ($session, $text) = @_;
	my $seen = ($domo->record)[-1];

	$got = $session->run(sprintf q{SELECT i.id FROM domowf_start(
		jsonb_build_object('messageName', %1$s::text, 'version', '1',
		'modelId', %1$s::text, 'data',
		jsonb_build_object(%1$s::text, %1$s::text))) i},
		Domowf->literal($text));
	return ($domo->record(since => $seen ? $seen->{seq} : 0))[0];
}

# ---- what the database holds is sent as UTF-8

foreach my $case (
	[ 'postgres', 'Größe 流程 🚀' ],
	[ 'latin1', 'Größe ÿ ¡' ],
	[ 'sql_ascii', 'Größe 流程 🚀' ],
	[ 'euc_jp', '流程 ソース' ])
{
	my ($dbname, $text) = @$case;
	my $session = Domowf->session($node, dbname => $dbname);
	my $entry = start($session, $text);

	is($got->{sqlstate}, '', "$dbname: a start succeeds") or diag $got->{err};
	is($entry->{message_name}, $text, "$dbname: the message name arrives");
	is($entry->{model_id}, $text, "$dbname: the model id arrives");
	is_deeply($entry->{data}, { $text => $text }, "$dbname: data arrives");

	$session->run(Domowf->cancel_sql($text));
	is(($domo->record)[-1]{id}, $text, "$dbname: cancel's id arrives");
	$session->run(sprintf q{SELECT * FROM domowf_set_permissions('m',
		jsonb_build_array(jsonb_build_object('id', '1', 'type', 'USER',
		'permissions', '[]'::jsonb, 'name', %s::text)))},
		Domowf->literal($text));
	is($domo->permissions('m')->[0]{name},
		$text, "$dbname: a permission's name arrives");

	# errors with names of the database's own, and of Domo's
	$got = $session->run(Domowf->start_sql('scenario:reply:error-unicode'));
	is($got->{sqlstate}, '38403', "$dbname: an error with odd characters");
	like($got->{detail}, qr/kein Zugriff auf .+, toe "T.{1,2}E"/,
		"$dbname: which can be read");
	$session->quit;
}

# SQL_ASCII may hold anything, UTF-8 may not
my $session = Domowf->session($node, dbname => 'sql_ascii');
my $before = $domo->stats->{requests};
foreach my $call (
	q{domowf_cancel(E'\\xff')},
	q{domowf_cancel(jsonb_build_object('id', 'a', E'\\xff', 1))},
	q{domowf_cancel(jsonb_build_object('id', E'a\\xc3('))},
	q{domowf_start(jsonb_build_object('messageName', 'm', 'version', '1',
		'modelId', 'm', 'data', jsonb_build_object('x', E'\\xff')))})
{
	$got = $session->run("SELECT * FROM $call i");
	is($got->{sqlstate}, '22023', 'sql_ascii: no UTF-8 is refused')
	  or diag $got->{err};
	like($got->{message}, qr/not valid UTF-8/, '... and it says why');
}
is($domo->stats->{requests}, $before, '... and nothing is sent');
$session->quit;

# ---- what Domo replies

my %lacks = (postgres => 0, sql_ascii => 0, latin1 => 1, euc_jp => 1);
foreach my $dbname (sort keys %lacks)
{
	$session = Domowf->session($node, dbname => $dbname);
	$session->run('CREATE TABLE kept (LIKE domowf_instance)');
	$got = $session->run(
		'INSERT INTO kept '
		  . Domowf->start_sql('scenario:reply:unicode') =~ s/i\.id/i.*/r);
	is($got->{sqlstate}, '', "$dbname: a reply with characters of all kinds")
	  or diag $got->{err};
	is( $session->value('SELECT id FROM kept'),
		($domo->record)[-1]{instance},
		"$dbname: the instance id is there");
	is( $session->value(
			'SELECT model_name IS NULL, response IS NULL, model_id,'
			  . ' created_on IS NULL FROM kept'),
		join('|', ((qw(f t))[ $lacks{$dbname} ]) x 2,
			'scenario:reply:unicode', 'f'),
		"$dbname: what cannot be stored is null, the rest is there");
	is( ($session->value('SELECT model_name FROM kept') // ''),
		$lacks{$dbname} ? '' : "Größe 流程 🚀 \x{202e}abc",
		"$dbname: the name");
	cmp_ok(scalar @{ $got->{warnings} },
		$lacks{$dbname} ? '>' : '==', 0, "$dbname: warnings");
	like($_->{message}, qr/^part of Domo's reply cannot be stored/,
		"$dbname: ... say what is missing")
	  foreach @{ $got->{warnings} };

	# it is a success in every respect: named when rolled back
	$got = $session->run('BEGIN; '
		  . Domowf->start_sql('scenario:reply:unicode')
		  . '; ROLLBACK');
	is( scalar(
			grep { $_->{message} =~ /started \Q$got->{out}\E/ }
			  @{ $got->{warnings} }),
		1,
		"$dbname: and is named when it is rolled back");

	# an id of odd characters itself
	$got = $session->run(Domowf->start_sql('scenario:reply:id-odd'));
	is($got->{sqlstate}, '', "$dbname: an odd id") or diag $got->{err};
	$session->quit;
}

# ---- a client that has not all characters of its database

# A start whose message name has one that LATIN1 lacks; in ASCII.
sub odd_start
{
	my ($model, $name) = @_;

	return sprintf q{SELECT i.id FROM domowf_start(jsonb_build_object('messageName',
		U&'%s', 'version', '1', 'modelId', '%s', 'data', '{}'::jsonb)) i},
	  $name // 'Start \20ac', $model;
}

# That a call comes to what it does in UTF-8.
sub in_latin1
{
	my ($name, $sqlstate, $message, $sql) = @_;
	my $offset = Domowf->log_size($node);

	$got = $session->run($sql);
	is($got->{sqlstate}, $sqlstate, "LATIN1: $name") or diag $got->{err};
	like($sqlstate eq '' ? $got->{warnings}[0]{message} : $got->{message},
		$message, '... says so');
	my $log = Domowf->log_since($node, $offset);
	unlike($log, qr/while in ABORT state|22P05/, '... and nothing else goes wrong');
	return Encode::decode('UTF-8', $log);
}

my $odd = q{U&'\043c\20ac'};
my $permit = "SELECT count(*) FROM domowf_set_permissions($odd,"
  . q{ '[{"id": "1", "type": "USER", "permissions": ["READ"]}]')};
my $executed = qr/rolled back, but Domo has executed its calls: .+ \?\?$/;
my $has_log;

$session = Domowf->session($node);
$session->value(<<'END');
CREATE TABLE kept_on (n int);
CREATE FUNCTION inner_call(name text, model text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; BEGIN
	SELECT i.id INTO r FROM domowf_start(jsonb_build_object('messageName', name,
		'version', '1', 'modelId', model, 'data', '{}'::jsonb)) i; RETURN r;
END $$;
CREATE FUNCTION undone() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	PERFORM inner_call('m', 'm'); PERFORM 1 / 0;
EXCEPTION WHEN division_by_zero THEN INSERT INTO kept_on VALUES (4);
END $$;
CREATE FUNCTION outer_call(model text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
	RETURN inner_call('€', model); END $$;
CREATE FUNCTION outer_undone() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	PERFORM undone() WHERE '€' <> ''; END $$;
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	RAISE EXCEPTION 'no € here' USING ERRCODE = 'check_violation'; END $$
END
$session->value(q{SET client_encoding = 'LATIN1'});

in_latin1('a rollback', '', $executed, "BEGIN; $permit; ROLLBACK");
in_latin1('a savepoint', '', $executed,
	"BEGIN; INSERT INTO kept_on VALUES (1); SAVEPOINT a; $permit; ROLLBACK TO a;"
	  . ' INSERT INTO kept_on VALUES (2); COMMIT');
in_latin1('an exception', '', qr/the subtransaction was rolled back/, 'SELECT outer_undone()');
is($session->value(q{SELECT string_agg(n::text, ',' ORDER BY n) FROM kept_on}),
	'1,2,4', '... what was to go on did');

$has_log = in_latin1('in doubt', '38U02', qr/\(message "Start \?"\) is in doubt/,
	odd_start('scenario:reply:no-id'));
like($got->{detail}, qr/^Domo answered with HTTP status 200/, '... the detail is there');
like($got->{hint}, qr/^Domo may have started an instance/, '... and the hint');
like($has_log, qr/In full: .*\(message "Start €"\) is in doubt/, '... in full in the log');
in_latin1('refused', '38403', qr/^Domo refused start/,
	odd_start('scenario:reply:error-unicode', 'Start'));
like($got->{detail}, qr/kein Zugriff auf .*\?/, "... with Domo's words");
in_latin1('not sent at all', '22023', qr/not valid|expected/,
	q{SELECT * FROM domowf_start(jsonb_build_object(U&'\20ac', 1)) i});
in_latin1('what LATIN1 has', '38U02', qr/\(message "Gr[^?]+e"\)/,
	odd_start('scenario:reply:no-id', 'Gr\00f6\00dfe'));
in_latin1('in a function', '38U02', qr/\(message "\?"\) is in doubt/,
	q{SELECT outer_call('scenario:reply:no-id')});
like($got->{err}, qr/^CONTEXT:.*function inner_call.*^PL\/pgSQL function outer_call/ms,
	'... which the context tells');
$got = $session->run(q{SELECT s.sqlstate, s.error ~ U&'Start \20ac' FROM domowf_start_all(ARRAY[
	jsonb_build_object('messageName', U&'Start \20ac', 'version', '1',
		'modelId', 'scenario:reply:no-id', 'data', '{}'::jsonb)]) s});
is($got->{out}, '38U02|t', "LATIN1: domowf_start_all()'s row has it in full")
  or diag $got->{err};
in_latin1('an odd permission', '', qr/^permission "\?" is none/,
	q{SELECT count(*) FROM domowf_set_permissions('m', jsonb_build_array(
	jsonb_build_object('id', '1', 'type', 'USER', 'permissions', jsonb_build_array(U&'\20ac'))))});

# interrupted
{
	my $pid = $session->pid;

	$session->send(odd_start('scenario:hang'));
	$domo->wait_for(held => 1);
	$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid)");
	$got = $session->wait;
	is($got->{sqlstate}, '57014', 'LATIN1: interrupted') or diag $got->{err};
	like($got->{detail}, qr/\(message "Start \?"\) had been sent/, '... says what is in doubt');
}

# what cannot be logged is a success all the same
$node->safe_psql('postgres', <<'END');
CREATE TRIGGER refuse BEFORE INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER refuse
END
in_latin1('not in the log', '', qr/^the call has succeeded, but .*: no \? here$/,
	odd_start('m'));
$session->quit;

is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
