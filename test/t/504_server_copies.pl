
# Servers, mappings and what names them in dumps, and when the extension goes.
# Exists because a database that is restored has to reach the same Domos with the
# same tokens, which must not be in the hands of whoever makes a dump; and because
# servers hang on the extension, which somebody will drop with all that there is.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my @tokens = map { "$_-0123456789-abcdef" } qw(home-token app-token all-token file-token);
my ($home_token, $app_token, $all_token, $file_token) = @tokens;
my $home = Domo->new(tokens => [$home_token]);
my $eu = Domo->new(tokens => [ $app_token, $all_token, $file_token ]);
my $node = Domowf->start_node(
	'main', $home,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . "domowf.poll_interval = '200ms'\n");
my $dir = $node->basedir;
my $super = $node->safe_psql('postgres', 'SELECT current_user');
my ($id, $asked);

append_to_file("$dir/token", "$file_token\n");
chmod 0600, "$dir/token" or die "chmod: $!";

sub value
{
	my ($database, $sql) = @_;

	return $node->safe_psql($database, $sql);
}

sub enqueue_as
{
	my ($database, $role, $n) = @_;

	return value($database, "SET ROLE $role; " . Domowf->enqueue_sql('there', $n));
}

# Makes servers and what uses them; roles are there already.
sub make_servers
{
	my ($database) = @_;

	return value($database, sprintf <<'END', $eu->url, $app_token, $dir, $all_token);
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app, other, filed, boss;
CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s', max_connections '3');
GRANT USAGE ON FOREIGN SERVER eu TO app, other, filed;
CREATE USER MAPPING FOR app SERVER eu OPTIONS (token '%s');
CREATE USER MAPPING FOR filed SERVER eu OPTIONS (token_file '%s/token');
CREATE USER MAPPING FOR PUBLIC SERVER eu OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name, server)
VALUES ('there', 'm', '1.0.0', 's', 'eu');
CREATE SERVER mine FOREIGN DATA WRAPPER domowf OPTIONS (instance 'acme');
ALTER SERVER mine OWNER TO boss;
CREATE USER MAPPING FOR app SERVER mine OPTIONS (token 'boss-app-0123456789');
CREATE USER MAPPING FOR PUBLIC SERVER mine OPTIONS (token 'boss-all-0123456789');
END
}

# That each of these roles reaches the server of a database, with his token.
sub is_sent
{
	my ($database) = @_;

	foreach ([ 'app', $app_token ], [ 'other', $all_token ], [ 'filed', $file_token ])
	{
		my ($role, $token) = @$_;
		my $n = "$database $role " . ++$asked;

		$eu->accept_tokens($token);
		$id = enqueue_as($database, $role, $n);
		is(value($database, Domowf->outcome_sql($id)), 'done', "$database: what $role asks for is sent");
		is($eu->started($n), 1, '... there');
	}
	$eu->accept_tokens($app_token, $all_token, $file_token);
	return;
}

sub dump_by
{
	my ($role, @option) = @_;
	my ($out, $err) = run_command(
		[ 'pg_dump', '-d', $node->connstr('postgres') . " user=$role", @option ]);

	is($err, '', "pg_dump by $role");
	return $out;
}

value('postgres', <<'END');
CREATE ROLE app LOGIN; CREATE ROLE other LOGIN; CREATE ROLE filed; CREATE ROLE boss LOGIN;
CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
GRANT USAGE ON FOREIGN DATA WRAPPER domowf TO boss;
END
make_servers('postgres');
is_sent('postgres');

# ---- restored

my $servers = <<'END';
SELECT s.srvname, srvowner::regrole, srvoptions, usename, umoptions,
	(SELECT string_agg(w::text, ' ') FROM domowf.workflow w)
FROM pg_user_mappings m JOIN pg_foreign_server s ON s.oid = m.srvid ORDER BY 1, 4
END
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('postgres'), '-f', "$dir/custom" ], 'a dump');
append_to_file("$dir/plain.sql", dump_by($super));
foreach (
	[ 'plain', 'psql', '-Xq', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain.sql" ],
	[ 'custom', 'pg_restore', '-e', "$dir/custom" ],
	[ 'parallel', 'pg_restore', '-e', '-j', 2, "$dir/custom" ])
{
	my ($database, $program, @option) = @$_;

	value('postgres', "CREATE DATABASE $database TEMPLATE template0");
	command_ok([ $program, '-d', $node->connstr($database), @option ], "$database is restored");
	is(value($database, $servers), value('postgres', $servers), '... with its servers and mappings');
	is_sent($database);
	is(value($database, 'SELECT check_name, detail FROM domowf_check() WHERE NOT ok'), '',
		'... and nothing is wrong');
}

# ---- what is in a dump of others

# role, options, tokens that may be in it
foreach (
	[ 'app', [ '--schema-only' ], qr/app-token|boss-app/ ],
	[ 'other', [ '--schema-only' ], qr/(?!)/ ],
	[ 'boss', [ '--schema-only' ], qr/boss-all/ ],
	[ 'reader', [], qr/(?!)/ ],
	[ 'reader', [ '--schema-only' ], qr/(?!)/ ])
{
	my ($role, $option, $may) = @$_;
	my $dump = dump_by($role, @$option);

	like($dump, qr/CREATE SERVER eu .*CREATE USER MAPPING FOR app SERVER eu/s, '... has all');
	foreach my $token (@tokens, 'boss-app-0123456789', 'boss-all-0123456789')
	{
		next if $token =~ $may;
		unlike($dump, qr/\Q$token\E/, "... but not " . ($token =~ /^([a-z]+-[a-z]+)/)[0]);
	}
}

# ---- the extension goes, with all that there is

value('postgres', 'SELECT domowf_pause()');
enqueue_as('postgres', 'app', 'never sent');
my $offset = Domowf->log_size($node);
my ($code, $out, $err) = $node->psql('postgres', 'DROP EXTENSION domowf');
like($err, qr/server eu depends on foreign-data wrapper domowf/, 'DROP EXTENSION tells what hangs on it');
value('postgres', 'DROP EXTENSION domowf CASCADE');
is(value('postgres', 'SELECT count(*) FROM pg_foreign_server') . value('postgres', 'SELECT count(*) FROM pg_user_mapping'),
	'00', 'CASCADE: servers and mappings are gone');
is(value('postgres', q{SELECT count(*) FROM pg_shdepend d JOIN pg_database b ON b.oid = d.dbid
	AND b.datname = current_database() WHERE d.classid IN ('pg_foreign_server'::regclass, 'pg_user_mapping'::regclass)}),
	0, '... to the last');
value('postgres', 'CREATE EXTENSION domowf');
value('postgres', 'GRANT USAGE ON FOREIGN DATA WRAPPER domowf TO boss');
make_servers('postgres');
ok($node->poll_query_until('postgres', q{SELECT state = 'idle' FROM domowf.worker}), 'made again, it has a worker');
is_sent('postgres');
is(value('postgres', 'SELECT check_name, detail FROM domowf_check() WHERE NOT ok'), '',
	'... and nothing is wrong');
is($eu->arrived('never sent'), 0, 'what was asked of the one before is gone');
is_sent('plain');

unlike(Domowf->log_since($node), qr/\Q$app_token\E|\Q$all_token\E|\Q$file_token\E/, 'no token in the server\'s log');
ok(!(grep { !$_->{token_ok} } $home->record), 'no token of a server has come to another host');
is_deeply([ map { $_->{violations} } $home->violations, $eu->violations ],
	[], 'Domo had no complaints');
done_testing();
