
# Whoever may set where requests go gets no token that he may not read, in nobody
# else's session either: a function runs as its owner in whoever's session calls
# it, a table's maintenance in a superuser's or in autovacuum, and what it sets may
# outlast it.  Exists because a session was taken for one role.  Judged by what
# arrives elsewhere, whether or not the library is preloaded: a setting of one that
# is not is a placeholder until the first call.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $own = 'own-token-0123456789-abcdef';
my $domo = Domo->new(tokens => [ Domowf::TOKEN, $own ]);
my $stranger = Domo->new(tokens => [ Domowf::TOKEN, $own ]);
my $there = $stranger->url;
my $start = Domowf->start_sql('m');
my $diverted = qr/token of the server's configuration is not used, because domowf\.base_url is/;
my $others = qr/^domowf\.token is not used, because another role has set domowf\.base_url/;
my $stored = qr/^domowf\.token is not used, because another role may have stored domowf\.base_url/;
my ($node, $kind, $got);

sub requests
{
	return map { $_->stats->{requests} } $domo, $stranger;
}

# Runs statements, the last of which starts something.
sub arrivals
{
	my ($in, @statements) = @_;
	my @before = requests();

	$got = $in->run($_) foreach @statements;
	my @after = requests();
	return join ' ', map { $after[$_] - $before[$_] } 0, 1;
}

sub refused
{
	my ($name, $words, $in, @statements) = @_;

	is(arrivals($in, @statements), '0 0', "$kind: $name: nothing is sent");
	is($got->{sqlstate}, '55000', '... 55000') or diag $got->{err};
	like($got->{message}, $words, '... says why');
	return;
}

sub goes
{
	my ($where, $name, $in, @statements) = @_;

	is(arrivals($in, @statements), $where, "$kind: $name: is sent");
	is($got->{sqlstate}, '', '... and succeeds') or diag $got->{err};
	return;
}

sub with_session
{
	my ($user, $try) = @_;
	my $in = Domowf->session($node, user => $user);

	$try->($in);
	$in->quit;
	return;
}

# Functions of a chooser's: what they send, and what they only set.
sub make_functions
{
	my ($in) = @_;

	$in->value(<<"END");
CREATE FUNCTION own.set(local boolean) RETURNS text LANGUAGE sql
	SECURITY DEFINER AS \$\$ SELECT set_config('domowf.base_url', '$there', local) \$\$;
CREATE FUNCTION own.start() RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS \$\$
DECLARE r text; BEGIN PERFORM own.set(true); @{[ $start =~ s/i\.id/i.id INTO r/r ]};
RETURN r; END \$\$;
CREATE FUNCTION own.start_of_clause() RETURNS text LANGUAGE plpgsql SECURITY DEFINER
	SET domowf.base_url = '$there' AS \$\$
DECLARE r text; BEGIN @{[ $start =~ s/i\.id/i.id INTO r/r ]}; RETURN r; END \$\$;
CREATE FUNCTION own.f(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS \$\$ BEGIN
	IF session_user = 'chooser' THEN RETURN x; END IF;
	PERFORM set_config('domowf.base_url', '$there', true);
	PERFORM public.domowf_start('{"messageName": "m", "version": "1", "modelId": "m",
		"data": {}}'::jsonb);
	RAISE LOG 'own.f for %: sent', x;
	RETURN x;
EXCEPTION WHEN OTHERS THEN
	RAISE LOG 'own.f for %: %', x, SQLSTATE; RETURN x;
END \$\$;
CREATE TABLE own.t (x int) WITH (autovacuum_enabled = off);
CREATE INDEX ON own.t (own.f(x));
INSERT INTO own.t VALUES (1);
CREATE MATERIALIZED VIEW own.mv AS SELECT own.f(2)
END
	return;
}

# A superuser's maintenance, and autovacuum's.
sub try_maintenance
{
	my $offset = Domowf->log_size($node);

	with_session(undef, sub {
			my ($in) = @_;

			is(arrivals($in, 'ANALYZE own.t'), '0 0', "$kind: ANALYZE sends nothing");
			is(arrivals($in, 'REFRESH MATERIALIZED VIEW own.mv'), '0 0',
				"$kind: nor does REFRESH");
			is(arrivals($in, 'REINDEX TABLE own.t'), '0 0', "$kind: nor does REINDEX");
	});
	is_deeply([ Domowf->log_since($node, $offset) =~ /own\.f for (\d: \w+)/g ],
		[ '1: 55000', '2: 55000', '1: 55000' ], '... 55000 each time');

	my @before = requests();

	with_session('chooser', sub {
			$_[0]->value(<<'END') });
CREATE TABLE own.vacuumed (x int) WITH (autovacuum_analyze_threshold = 1);
CREATE INDEX ON own.vacuumed (own.f(x));
INSERT INTO own.vacuumed SELECT 3 FROM generate_series(1, 5)
END
	$node->wait_for_log(qr/own\.f for 3: /, $offset);
	unlike(Domowf->log_since($node, $offset), qr/own\.f for 3: sent/,
		"$kind: nor does autovacuum");
	is_deeply([ requests() ], \@before, '... not even somewhere');
	return;
}

# A superuser's session, in which he is free to send the configured token.
sub try_superuser
{
	with_session(undef, sub {
			my ($in) = @_;

			goes('1 0', 'a superuser', $in, $start);
			refused("a superuser, a chooser's function", $diverted, $in, 'SELECT own.start()');
			refused('... by SET of the function', $diverted, $in,
				'SELECT own.start_of_clause()');
			goes('1 0', '... and after it', $in, $start);
			refused('what it leaves behind', $diverted, $in, 'SELECT own.set(false)', $start);
			goes('1 0', '... after a RESET', $in, 'RESET domowf.base_url', $start);
			refused('what it leaves in the transaction', $diverted, $in, 'BEGIN',
				'SELECT own.set(true)', $start);
			$in->run('ROLLBACK');
			goes('0 1', 'what he sets himself', $in, "SET domowf.base_url = '$there'", $start);
			refused('... as another role', $diverted, $in, 'SET ROLE chooser', $start);
			goes('0 1', '... as himself', $in, 'RESET ROLE', $start);
			refused('what is set anew', $diverted, $in, 'SELECT own.set(false)', $start);
			refused('a token of his own', $others, $in, "SET domowf.token = '$own'", $start);
			goes('0 1', '... and a target of his own', $in,
				"SET domowf.base_url = '$there'", $start);
	});
	return;
}

# A token that a session brings, of one who may set no target.
sub try_victim
{
	with_session('victim', sub {
			my ($in) = @_;

			refused("a session's token, a chooser's function", $others, $in,
				"SET domowf.token = '$own'", 'SELECT own.start()');
			refused('... by SET of the function', $others, $in,
				'SELECT own.start_of_clause()');
			goes('1 0', '... and after it', $in, $start);
			refused('what it leaves behind', $others, $in, 'SELECT own.set(false)', $start);
			goes('1 0', '... after a RESET', $in, 'RESET ALL', "SET domowf.token = '$own'",
				$start);
			refused('what it leaves in a savepoint', $others, $in, 'BEGIN', 'SAVEPOINT s',
				'SELECT own.set(true)', $start);
			goes('1 0', '... which is rolled back', $in, 'ROLLBACK TO s', $start);
			$in->run('ROLLBACK');
			goes('0 1', "a superuser's function", $in, 'SELECT set_by_superuser()', $start);
	});
	return;
}

# Who may set both does, and who becomes another role brings his target along.
sub try_chooser
{
	with_session('chooser', sub {
			my ($in) = @_;

			refused('a chooser', $diverted, $in, "SET domowf.base_url = '$there'", $start);
			goes('0 1', 'a chooser with a token', $in, "SET domowf.token = '$own'", $start);
			goes('0 1', 'SET LOCAL', $in,
				"RESET ALL; BEGIN; SET LOCAL domowf.base_url = '$there'",
				"SET LOCAL domowf.token = '$own'", $start);
			$in->run('ROLLBACK');
			goes('1 0', '... is over', $in, $start);
			refused('... who is no member of the role that sets the token', $others, $in,
				"SET domowf.base_url = '$there'", 'SELECT token_of_victim()', $start);
			goes('0 1', '... and is one of the role that does', $in,
				'SET ROLE member', "SET domowf.token = '$own'", $start);
	});
	return;
}

# What is stored for a role or a database, by whom PostgreSQL does not keep: a
# superuser's only where nobody else might have.
sub try_stored
{
	my $super = Domowf->session($node);
	my $store = "SET domowf.base_url = '$there'";

	$super->value('REVOKE SET ON PARAMETER domowf.base_url FROM chooser');
	foreach ([ 'ALTER ROLE', 'ROLE victim' ], [ 'ALTER DATABASE', 'DATABASE postgres' ],
		[ 'ALTER ROLE IN DATABASE', 'ROLE victim IN DATABASE postgres' ])
	{
		my ($name, $what) = @$_;

		$super->value("ALTER $what $store");
		victim_goes("$name by a superuser");
		$super->value("ALTER $what RESET ALL");
	}
	$super->value("ALTER DATABASE postgres $store; CREATE ROLE admin SUPERUSER;"
		. 'GRANT SET ON PARAMETER domowf.base_url TO admin');
	victim_goes('... where other superusers were granted it');
	$super->value('ALTER ROLE admin NOSUPERUSER');
	victim_refused('... and where one is no superuser any more');
	$super->value('REVOKE SET ON PARAMETER domowf.base_url FROM admin; DROP ROLE admin;'
		. 'GRANT SET ON PARAMETER domowf.base_url TO PUBLIC');
	victim_refused('... and where everybody may');
	$super->value('REVOKE SET ON PARAMETER domowf.base_url FROM PUBLIC;'
		. 'GRANT SET ON PARAMETER domowf.base_url TO chooser');
	victim_refused('... and where somebody may');
	$super->value('ALTER DATABASE postgres RESET ALL');
	$super->value("ALTER ROLE ALL $store");
	victim_goes('ALTER ROLE ALL, which takes a superuser whatever was granted');
	$super->value('ALTER ROLE ALL RESET ALL');

	with_session('chooser', sub { $_[0]->value("ALTER ROLE chooser $store") });
	with_session('chooser', sub {
			my ($in) = @_;

			refused('ALTER ROLE by itself, another one\'s token', $stored, $in,
				'SELECT token_of_victim()', $start);
			refused('... and its own', $stored, $in, "SET domowf.token = '$own'", $start);
			goes('0 1', '... which goes with what it sets', $in, $store, $start);
	});
	$super->value('ALTER ROLE chooser RESET ALL');

	try_stored_by_chooser($super, 'the database', 'DATABASE postgres',
		'ALTER DATABASE postgres OWNER TO chooser',
		'ALTER DATABASE postgres OWNER TO victim');
	try_stored_by_chooser($super, 'a database of a group', 'DATABASE postgres',
		'CREATE ROLE owners ROLE chooser; ALTER DATABASE postgres OWNER TO owners',
		'ALTER DATABASE postgres OWNER TO CURRENT_USER');
	try_stored_by_chooser($super, 'a role that it may alter', 'ROLE victim',
		'ALTER ROLE chooser CREATEROLE', 'ALTER ROLE chooser NOCREATEROLE',
		$super->value('SHOW server_version_num') >= 160000 ?
		'GRANT victim TO chooser WITH ADMIN TRUE' : ());

	# what is left when the privilege is taken back can only be looked at
	like($super->value(q{SELECT ok || detail FROM domowf_check() WHERE check_name = 'connection'}),
		qr/^true.* go to ((?!stored).)*$/i, "$kind: nothing is stored, and domowf_check() tells of nothing");
	$super->value("ALTER DATABASE postgres $store; ALTER ROLE victim SET domowf.proxy = 'http://127.0.0.1:1';"
		. 'ALTER ROLE chooser SET work_mem = 64');
	like($super->value(q{SELECT ok || detail FROM domowf_check() WHERE check_name = 'connection'}),
		qr/^true.*Stored, by .*: domowf\.proxy for role victim, domowf\.base_url for database postgres: see/,
		"$kind: domowf_check() tells what is stored, and it is no fault");
	$super->value('ALTER DATABASE postgres RESET ALL; ALTER ROLE victim RESET ALL; ALTER ROLE chooser RESET ALL');
	$super->quit;
	return;
}

sub victim_goes
{
	my ($name) = @_;

	with_session('victim', sub { goes('0 1', $name, $_[0], "SET domowf.token = '$own'", $start) });
	return;
}

sub victim_refused
{
	my ($name) = @_;

	with_session('victim', sub {
			refused($name, $stored, $_[0], "SET domowf.token = '$own'", $start) });
	return;
}

# A chooser stores it for something that it may alter, then may no more.
sub try_stored_by_chooser
{
	my ($super, $name, $what, $before, $after, @more) = @_;

	$super->value($_) foreach $before, @more;
	with_session('chooser', sub { $_[0]->value("ALTER $what SET domowf.base_url = '$there'") });
	victim_refused("ALTER of $name by a chooser");
	if ($what =~ /DATABASE/)
	{
		with_session(undef, sub { refused('... for a superuser', $diverted, $_[0], $start) });
	}
	$super->value($after);
	victim_refused('... and where it may no more');
	$super->value("ALTER $what RESET ALL");
	return;
}

foreach (qw(preloaded lazy))
{
	$kind = $_;
	$node = Domowf->start_node(
		$kind, $domo,
		preload => $kind eq 'preloaded',
		conf => "domowf.worker = off\nautovacuum_naptime = '1s'\n"
		  . "log_min_error_statement = panic\n");
	$node->safe_psql('postgres', <<"END");
CREATE ROLE member;
CREATE ROLE chooser LOGIN IN ROLE member;
CREATE ROLE victim LOGIN;
GRANT SET ON PARAMETER domowf.base_url TO chooser;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO chooser, victim, member;
CREATE SCHEMA own AUTHORIZATION chooser;
GRANT USAGE ON SCHEMA own TO victim;
CREATE FUNCTION set_by_superuser() RETURNS text LANGUAGE sql SECURITY DEFINER
	AS \$\$ SELECT set_config('domowf.base_url', '$there', false) \$\$;
CREATE FUNCTION token_of_victim() RETURNS text LANGUAGE sql SECURITY DEFINER
	AS \$\$ SELECT set_config('domowf.token', '$own', false) \$\$;
ALTER FUNCTION token_of_victim() OWNER TO victim
END
	with_session('chooser', \&make_functions);
	try_maintenance();
	try_superuser();
	try_victim();
	try_chooser();
	try_stored();
	$node->stop;
}

is_deeply([ map { $_->{violations} } $domo->violations, $stranger->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr . $stranger->stderr, '', 'the stand-ins had no trouble');
done_testing();
