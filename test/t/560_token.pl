
# A token, after a whole life of the extension on a server that writes down all it
# can: it is nowhere, in no form, but in the statements by which PostgreSQL was
# told it and where these put it.  Exists because each place was looked at by the
# test of what writes there (060, 450, 451, 500), and the next place that something
# writes to will be looked at by none.
#
# PostgreSQL itself keeps what SET, ALTER SYSTEM and CREATE or ALTER USER MAPPING
# say, in its log, where statements are shown, and in dumps; a mapping's token in
# pg_user_mapping, with the file of that and the WAL; a setting's token in the
# configuration.  Each is let pass there alone, and of the tokens given so.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use File::Find ();
use HTTP::Tiny;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Secret;
use Test::More;

Domowf->expect_in_log(qr/could not /);

# Of every character that means something to somebody.
my %token = map { ($_ => "$_/T0k+\"&2=~q\\b%41\$1{x}'<y>;--!#()[]:?\@^`|,*" . reverse) }
  qw(file renewed configured system session spaced mapped everybody altered server_file);
my @in_mappings = @token{qw(mapped everybody altered)};
my @in_settings = @token{qw(configured system)};
my $secret = Secret->new(values %token);
my $domo = Domo->new(tls => 1, tokens => [ values %token ]);
my $dir = PostgreSQL::Test::Utils::tempdir;
my $libdir = qx(pg_config --pkglibdir) =~ s/\n//r;
my @modules = grep { -e "$libdir/$_.so" } qw(auto_explain pg_stat_statements);

$token{spaced} = "a b$token{spaced}";

# A file with a token.
sub write_token
{
	my ($name, $token) = @_;

	unlink "$dir/$name";
	append_to_file("$dir/$name", "$token\n");
	chmod 0600, "$dir/$name" or die "chmod: $!";
	return;
}

write_token('file', $token{file});
write_token('server_file', $token{server_file});

sub literal
{
	my ($name) = @_;

	return Domowf->literal($token{$name});
}

# in a configuration, a backslash is one
my $node = Domowf->start_node(
	'main', undef,
	conf => Domowf::RETRY_AT_ONCE
	  . sprintf <<'END', join(', ', @modules, 'domowf'), $domo->url, literal('configured') =~ s/\\/\\\\/gr, $dir);
shared_preload_libraries = '%s'
log_statement = all
log_min_duration_statement = 0
log_min_messages = debug5
log_min_error_statement = debug5
log_error_verbosity = verbose
log_parameter_max_length = -1
log_parameter_max_length_on_error = -1
log_connections = on
log_disconnections = on
restart_after_crash = on
track_activity_query_size = 1MB
auto_explain.log_min_duration = 0
auto_explain.log_analyze = on
auto_explain.log_verbose = on
auto_explain.log_settings = on
auto_explain.log_triggers = on
auto_explain.log_nested_statements = on
pg_stat_statements.track = all
domowf.base_url = '%s'
domowf.token = %s
domowf.token_file = '%s/file'
domowf.track_instances = on
domowf.notify = on
domowf.poll_interval = '200ms'
END
my $session = Domowf->session($node);
my $superuser = $session->value('SELECT current_user');

# What each place holds, for the end.
my %place;

sub look
{
	my ($place, $text) = @_;

	$place{$place} .= $text;
	return;
}

# ---- what clients are told

# Runs a statement, which may fail.
sub meet
{
	my ($in, $sql) = @_;
	my $got = $in->run($sql);

	# at debug5 a client has its statement back
	look('clients', Secret::log_without_statements("$got->{out}\n$got->{err}\n"));
	return $got;
}

# One that must not.
sub must
{
	my ($in, $sql) = @_;
	my $got = meet($in, $sql);

	die "$sql: $got->{err}" if $got->{sqlstate};
	return $got->{out};
}

# ---- eyes everywhere

must($session, <<'END');
CREATE ROLE app LOGIN;
CREATE ROLE ordinary LOGIN;
CREATE ROLE keeper LOGIN;
CREATE ROLE landlord LOGIN;
CREATE ROLE watcher LOGIN IN ROLE pg_monitor;
CREATE ROLE reader LOGIN IN ROLE pg_read_all_data;
ALTER DATABASE postgres OWNER TO landlord;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app;
GRANT USAGE ON SCHEMA domowf TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO app;
CREATE SCHEMA eyes;
GRANT USAGE ON SCHEMA eyes TO PUBLIC;
CREATE TABLE eyes.seen (what text);
GRANT ALL ON eyes.seen TO PUBLIC;
CREATE FUNCTION eyes.ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO eyes.seen VALUES (tg_event || ' ' || tg_tag);
	IF tg_event = 'ddl_command_end' THEN
		INSERT INTO eyes.seen SELECT concat_ws(' ', classid, objid, objsubid, command_tag,
			object_type, schema_name, object_identity) FROM pg_event_trigger_ddl_commands();
	ELSIF tg_event = 'sql_drop' THEN
		INSERT INTO eyes.seen SELECT o::text FROM pg_event_trigger_dropped_objects() o;
	END IF;
END $$;
CREATE EVENT TRIGGER eyes_start ON ddl_command_start EXECUTE FUNCTION eyes.ddl();
CREATE EVENT TRIGGER eyes_end ON ddl_command_end EXECUTE FUNCTION eyes.ddl();
CREATE EVENT TRIGGER eyes_drop ON sql_drop EXECUTE FUNCTION eyes.ddl();
CREATE FUNCTION eyes.changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE LOG 'eyes see % %', tg_op, CASE WHEN tg_op = 'DELETE' THEN OLD::text ELSE NEW::text END;
	RETURN NULL;
END $$;
CREATE FUNCTION eyes.told(r domowf.request) RETURNS void LANGUAGE sql
	AS 'INSERT INTO eyes.seen VALUES (r::text)';
INSERT INTO domowf.workflow (name, model_id, version, message_name, track, on_settled)
VALUES ('plain', 'model', '1.0.0', 'Start it', true, 'eyes.told(domowf.request)'),
	('refused', 'scenario:echo:message:plain', '1.0.0', 'Start it', false, 'eyes.told(domowf.request)'),
	('doubtful', 'scenario:reply:echo-token-senseless', '1.0.0', 'Start it', false, 'eyes.told(domowf.request)');
CREATE TABLE eyes.orders (id int PRIMARY KEY, what text, instance text, state text, problem text, reply jsonb)
END
must($session, "CREATE TRIGGER eyes AFTER INSERT OR UPDATE OR DELETE ON domowf.$_ FOR EACH ROW"
	  . " EXECUTE FUNCTION eyes.changed(); ALTER TABLE domowf.$_ ENABLE ALWAYS TRIGGER eyes")
  foreach qw(queue log tracked);
must($session, "CREATE TRIGGER $_ AFTER INSERT ON eyes.orders FOR EACH ROW WHEN (NEW.what = '$_')"
	  . " EXECUTE FUNCTION domowf_trigger('$_', 'n=id', 'instance<-id', 'state<-state',"
	  . " 'problem<-error', 'reply<-response')")
  foreach qw(plain refused doubtful);
must($session, 'CREATE EXTENSION pg_stat_statements')
  if grep { $_ eq 'pg_stat_statements' } @modules;

my $app = Domowf->session($node, user => 'app');
my $listener = Domowf->session($node);

must($listener, 'LISTEN domowf');
must($_, 'SET client_min_messages = debug5') foreach $session, $app;

# ---- tokens of servers

sub mapping_sql
{
	my ($for, $server, $token, $before) = @_;

	return "CREATE USER MAPPING FOR $for SERVER $server OPTIONS (" . ($before // '') . 'token ' . literal($token) . ')';
}

must($session, $_)
  foreach "CREATE SERVER eu FOREIGN DATA WRAPPER domowf OPTIONS (base_url '@{[ $domo->url ]}')",
  q(CREATE SERVER theirs FOREIGN DATA WRAPPER domowf OPTIONS (base_url 'https://localhost')),
  'GRANT USAGE ON FOREIGN SERVER eu, theirs TO app',
  mapping_sql('app', 'eu', 'mapped'),
  mapping_sql('PUBLIC', 'theirs', 'mapped'),
  'ALTER USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (SET token ' . literal('everybody') . ')',
  'ALTER SERVER theirs OWNER TO keeper',
  "CREATE USER MAPPING FOR CURRENT_USER SERVER eu OPTIONS (token_file '$dir/server_file')",
  "CREATE USER MAPPING FOR reader SERVER eu OPTIONS (token_file '$dir/nothing')";
isnt(meet($session, $_)->{sqlstate}, '', 'a mapping that cannot be')
  foreach mapping_sql('keeper', 'eu', 'spaced'), mapping_sql('keeper', 'eu', 'mapped', q(secret 'x', )),
  mapping_sql('app', 'eu', 'altered'), mapping_sql('keeper', 'nowhere', 'mapped');

# ---- calls

# What a Domo does that means ill, or is not well.
my @echoes = map {
	my $form = $_;

	map { "echo:$_:$form" } qw(retry-after location content-type message reason path
	  toe unknown text html id model-name status key deep numbers)
} qw(json base64-1);
my @others = (
	(map { "reply:$_" } qw(echo-token echo-token-text echo-token-cut echo-token-header
		  echo-token-ok echo-token-senseless)),
	qw(redirect redirect-host status:500 status:418 retry-after:429:0 half-headers
	  half-body garbage reset-after endless-headers oversize:1100000 normal));
my @scenarios = map { "scenario:$_" } @echoes, @others;

sub start_json
{
	my ($model, $server) = @_;
	my $more = $server ? qq{, "server": "$server"} : '';

	return qq('{"messageName": "Start it", "version": "1.0.0", "modelId": "$model", "data": {}$more}'::jsonb);
}

sub call
{
	my ($in, $model, $server) = @_;

	return meet($in, 'SELECT i.* FROM domowf_start(' . start_json($model, $server) . ') i');
}

# Calls of all sorts.
sub call_all
{
	my ($in, $server) = @_;
	my $more = $server ? qq{, "server": "$server"} : '';
	my $done = grep { call($in, $_, $server)->{sqlstate} eq '' } @scenarios;

	cmp_ok($done, '>=', 12, 'calls that succeed');
	cmp_ok(@scenarios - $done, '>=', 12, '... that fail');
	like(
		meet($in, 'BEGIN; SELECT i.id FROM domowf_start('
			  . start_json('scenario:echo:id:json', $server) . ') i; ROLLBACK')->{err},
		qr/WARNING.*\*{8}/s, '... one that is rolled back');
	meet($in, 'SELECT * FROM domowf_start_all(ARRAY['
		  . join(', ', map { start_json($_, $server) } @scenarios) . '])');
	meet($in, q{SET statement_timeout = '100ms'; SELECT i.id FROM domowf_start(}
		  . start_json('scenario:hang', $server) . ') i');
	meet($in, 'RESET statement_timeout');
	foreach my $place ('echo:message:plain', 'echo:deep:plain')
	{
		meet($in, qq{SELECT * FROM domowf_cancel('{"id": "scenario:$place"$more}'::jsonb)});
		meet($in, "SELECT * FROM domowf_instance('scenario:$place'" . ($server ? ", '$server')" : ')'));
	}
	meet($in, qq{SELECT * FROM domowf_set_permissions('{"modelId": "scenario:$_"$more,
		"permissions": [{"id": "1", "type": "USER", "permissions": ["READ"]}]}')})
	  foreach 'echo:permissions:plain', 'echo:text:plain';
	meet($in, 'EXPLAIN (ANALYZE, VERBOSE, SETTINGS) SELECT i.id FROM domowf_start('
		  . start_json('m', $server) . ') i');
	meet($in, q{SELECT domowf_start('{"messageName": 1}')});
	return;
}

call_all($session);
call_all($app, 'eu');
call($session, 'm', $_) foreach qw(eu theirs);
call($app, 'm', 'theirs');

# a token of the session, sent wherever a session can have it sent
must($session, 'SET domowf.token = ' . literal('session'));
is(meet($session, 'SET domowf.token = ' . literal('spaced'))->{sqlstate}, '22023', 'no token');
is(meet($session, "$_ SET domowf.token = " . literal('session'))->{sqlstate}, '22023', "$_ SET")
  foreach 'ALTER ROLE app', 'ALTER DATABASE postgres',
  q(CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1');
foreach my $set (
	[ base_url => $domo->url ],
	[ base_url => $domo->tls_url ],
	[ ca_file => $domo->ca_file ],
	[ base_url => $domo->wrong_name_url ],
	[ base_url => $domo->tls_url ],
	[ proxy => $domo->proxy_url ],
	[ proxy => $domo->refused_url ],
	[ proxy => '' ],
	[ base_url => $domo->refused_url ],
	[ base_url => $domo->url ])
{
	my ($name, $value) = @$set;

	must($session, "SET domowf.$name = '$value'");
	call($session, $_) foreach 'm', 'scenario:echo:message:plain', 'scenario:redirect-host';
}
my $parallel = $session->value(
	q{SELECT name FROM pg_settings WHERE name IN ('debug_parallel_query', 'force_parallel_mode')});
must($session, "SET $parallel = on; SELECT count(*) FROM pg_class; RESET $parallel; SHOW ALL");
must($app, 'BEGIN; SET LOCAL domowf.token = ' . literal('session'));
call($app, 'scenario:echo:message:plain');
meet($app, 'ROLLBACK');

# ---- requests

my @requests;

sub enqueue
{
	my ($in, $server, $operation, $request) = @_;

	push @requests, must($in, "SELECT domowf_enqueue_call('$operation', $request"
		  . ($server ? qq( || '{"server": "$server"}') : '') . ')');
	return;
}

sub state_of
{
	my ($request) = @_;

	return must($session, Domowf->outcome_sql($request));
}

foreach my $of ([$session], [ $app, 'eu' ])
{
	my ($in, $server) = @$of;

	# others are tried for good
	enqueue($in, $server, 'start', start_json($_))
	  foreach grep { !/retry-after|status:|html/ } @scenarios;
	enqueue($in, $server, 'cancel', q('{"id": "scenario:echo:message:plain"}'::jsonb));
	enqueue($in, $server, 'set_permissions', q('{"modelId": "scenario:echo:permissions:plain",
		"permissions": [{"id": "1", "type": "USER", "permissions": ["READ"]}]}'::jsonb));
}
must($session, q{INSERT INTO eyes.orders VALUES (1, 'plain'), (2, 'refused'), (3, 'doubtful')});
push @requests, split /\n/,
  must($session, q{SELECT id FROM domowf.request WHERE source = 'eyes.orders'});
push @requests, must($session, Domowf->enqueue_sql($_, 1)) foreach qw(plain refused doubtful);

# a Domo that is busy, or away, and then is not
foreach my $scenario (qw(retry-after:429:0 echo:retry-after:json reset-before))
{
	$domo->script($scenario, count => 3, contains => "again, $scenario");
	push @requests, must($session, Domowf->enqueue_sql('plain', "again, $scenario"));
}
like(join(' ', sort map { state_of($_) } @requests), qr/done.*in_doubt.*rejected/,
	'requests come to all ends');
foreach my $request (
	split /\n/, must($session, q{SELECT id FROM domowf.request WHERE state = 'in_doubt'
		AND workflow = 'doubtful'}))
{
	meet($session, "SELECT domowf_retry($request)");
	state_of($request);
	meet($session, "SELECT domowf_resolve($request, 'i'), domowf_discard($request)");
}
meet($session, $_)
  foreach 'SELECT domowf_hold()', q{SELECT domowf_pause('for a while')}, 'SELECT domowf_resume()',
  'SELECT * FROM domowf.worker', 'SELECT * FROM domowf.connection';

# ---- other tokens

# A configuration that has changed, and a worker that has read it.
sub configure
{
	my ($sql) = @_;

	must($session, $sql) if $sql;
	Domowf->until_taken_up($node, $session);
	return;
}

# Now only these are good.
sub accept_only
{
	my (@names) = @_;

	return $domo->accept_tokens(@in_mappings, map { $token{$_} } 'session', @names);
}

sub is_sent
{
	my ($name) = @_;

	is(state_of(must($session, Domowf->enqueue_sql('plain', $name))), 'done', $name);
	return;
}

must($session, 'RESET domowf.token');
accept_only('system');
configure('ALTER SYSTEM SET domowf.token = ' . literal('system'));
is_sent('a token by ALTER SYSTEM');
accept_only('file');
configure(q{ALTER SYSTEM SET domowf.token = ''});
is_sent('a token of a file');
write_token('file', $token{renewed});
accept_only('renewed');
is_sent('... of a newer one, after a 401');
call($session, 'm') foreach 1, 2;
chmod 0644, "$dir/file";
configure();
is(call($session, 'm')->{sqlstate}, '55000', '... of one that everybody may read');
write_token('file', $token{spaced});
configure();
is(call($session, 'm')->{sqlstate}, '55000', '... of one that has none');
write_token('file', $token{renewed});
configure('ALTER USER MAPPING FOR app SERVER eu OPTIONS (SET token ' . literal('altered') . ')');
is(call($app, 'm', 'eu')->{sqlstate}, '', 'another token of a mapping');
must($session, "DROP USER MAPPING FOR $_ SERVER eu") foreach 'reader', 'CURRENT_USER';

# ---- while something is in flight

$domo->script("gate:$_", count => 1, contains => "in flight $_") foreach qw(call request);
push @requests, must($session, Domowf->enqueue_sql('plain', 'in flight request'));
must($app, 'SET domowf.token = ' . literal('session'));
$app->send(Domowf->start_sql('m', '{"n": "in flight call"}'));
$domo->wait_for(held => 2);
SKIP:
{
	skip 'needs /proc', 1 unless -e "/proc/$$/cmdline";
	my $count = 0;

	foreach my $process (grep { m{/\d+$} } glob '/proc/*')
	{
		my $status = eval { slurp_file("$process/status") } // next;
		my ($pid) = $process =~ /(\d+)/;

		next unless $pid == $node->{_pid} || $status =~ /^PPid:\s*$node->{_pid}$/m;
		look('command lines', eval { slurp_file("$process/cmdline") } // '');
		$count++;
	}
	cmp_ok($count, '>=', 6, 'there are processes');
}
look('what runs', Secret::without_statements(must($session, $_)))
  foreach 'SELECT * FROM pg_stat_activity', 'SELECT * FROM domowf.connection', 'SELECT * FROM domowf.worker',
  'SELECT pg_log_backend_memory_contexts(pid) FROM pg_stat_activity';
$domo->release($_) foreach qw(call request);
{
	my $got = $app->wait;

	is($got->{sqlstate}, '', '... it succeeds') or diag $got->{err};
	look('clients', "$got->{out}\n$got->{err}\n");
}
state_of($requests[-1]);
$node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.return_entry')
  or die 'returns wait';
like(must($session, 'SELECT * FROM eyes.orders'), qr/\*{8}/, 'a way back');
must($listener, 'SELECT 1');
like($place{clients}, qr/Asynchronous notification "domowf" with payload/, 'clients are notified');

# ---- all that a role can read

# A row as text, after the name of what it is read from.
must($session, <<'END');
CREATE FUNCTION eyes.everything() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	source text;
BEGIN
	FOR source IN
		SELECT format('%I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'v', 'm', 'f', 'S', 't') AND c.relpersistence <> 't'
			-- most of it says what the catalogs do, slowly
			AND (n.nspname <> 'information_schema' OR c.relname ~ 'mapping|option')
		UNION ALL
		VALUES ('domowf_check()'), ('domowf_metrics()'), ('pg_show_all_file_settings()')
	LOOP
		BEGIN
			RETURN QUERY EXECUTE format('SELECT %L || ''|'' || translate(t::text, E''\n'', '' '') FROM %s t',
				source, source);
		EXCEPTION WHEN OTHERS THEN
			RETURN NEXT source || '|' || SQLERRM;
		END;
	END LOOP;
END $$
END

# Where PostgreSQL shows them, to whom, and which.
my @mappings = map { "information_schema.$_" } qw(_pg_user_mappings user_mapping_options);
my %shown = (
	$superuser => {
		(map { ($_ => \@in_mappings) } 'pg_catalog.pg_user_mapping', 'pg_catalog.pg_user_mappings', @mappings),
		(map { ($_ => \@in_settings) } 'pg_catalog.pg_file_settings', 'pg_show_all_file_settings()')
	},
	reader => { 'pg_catalog.pg_user_mapping' => \@in_mappings },
	keeper => { map { ($_ => [ $token{everybody} ]) } 'pg_catalog.pg_user_mappings', @mappings },
	app => { map { ($_ => [ $token{altered} ]) } 'pg_catalog.pg_user_mappings', @mappings });
my $statements = qr/^(?:pg_catalog\.pg_stat_activity|public\.pg_stat_statements)$/;

sub look_as
{
	my ($role) = @_;
	my $out = "$dir/everything";
	my %text;

	IPC::Run::run([
			'psql', '-XAtq', '-d', $node->connstr('postgres') . " user=$role", '-o', $out,
			'-c', 'SET domowf.token = ' . literal('session'),
			'-c', 'SELECT * FROM eyes.everything()' ])
	  or die "psql: $?";
	foreach my $line (split /\n/, slurp_file($out))
	{
		my ($source, $row) = split /\|/, $line, 2;

		$text{$source} .= "$row\n";
	}
	unlink $out;
	cmp_ok(scalar(keys %text), '>', 140, "$role reads");
	foreach my $source (sort keys %text)
	{
		my %is_shown = map { $_ => 1 } @{ $shown{$role}{$source} // [] };
		my $text = $text{$source};

		$text = Secret::without_statements($text) if $source =~ $statements;
		look("$role: $source", join "\n", map { $_->{around} }
			  grep { !$is_shown{ $_->{token} } } $secret->find($text));
	}
	return;
}

# of what it reads itself there would be 300 MB of plans
must($session, 'ALTER DATABASE postgres SET auto_explain.log_min_duration = -1');
look_as($_) foreach $superuser, qw(reader watcher landlord keeper app ordinary);

# ---- dumps and the exporter

foreach my $command (
	[ 'pg_dumpall', '-d', $node->connstr('postgres') ],
	map { [ 'pg_dump', '-d', $node->connstr('postgres') . " user=$_" ] } $superuser, qw(reader app landlord))
{
	my ($out, $err) = run_command($command);

	look("@$command", Secret::without_statements($out) . $err);
}

# What it says by HTTP and otherwise; '' where it is not installed.
sub export
{
	my $port = PostgreSQL::Test::Cluster::get_free_port();
	local $ENV{DATA_SOURCE_NAME} = 'user=watcher sslmode=disable dbname=postgres host='
	  . $node->host . ' port=' . $node->port;
	my $exporter = eval {
		IPC::Run::start([
				'prometheus-postgres-exporter',
				"--extend.query-path=$FindBin::RealBin/../monitoring/queries.yaml",
				'--log.level=debug', "--web.listen-address=127.0.0.1:$port" ],
			'<', \undef, '>', "$dir/exporter", '2>&1');
	} or return '';
	my $content = '';

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		$content = HTTP::Tiny->new(timeout => 60)->get("http://127.0.0.1:$port/metrics")->{content};
		last if $content =~ /^domowf_requests_total/m;
		select undef, undef, undef, 0.1;
	}
	$exporter->kill_kill;
	return $content . slurp_file("$dir/exporter");
}

SKIP:
{
	my $exported = export();

	skip 'needs prometheus-postgres-exporter: make deps', 1 unless $exported;
	look('the exporter', $exported);
	like($exported, qr/^domowf_requests_total/m, 'the exporter exports');
}

# ---- files of the server: those of the catalog, the WAL and the configuration
# have what PostgreSQL was told

my $data = $node->data_dir;
my ($database) = must($session, q{SELECT pg_relation_filepath('pg_class')}) =~ m{(.*/)};
my %is_catalog = map { ($_ => 1) } split /\n/, must($session, <<'END');
SELECT pg_relation_filepath(c) FROM (SELECT 'pg_user_mapping'::regclass::oid
	UNION SELECT reltoastrelid FROM pg_class WHERE relname = 'pg_user_mapping') r (c)
WHERE c <> 0
END

my %looked_at;

# Those that are new or have changed.
sub look_at_files
{
	File::Find::find(
		sub {
			my $size = -f $_ && -r _ ? -s _ : return;
			my $name = substr $File::Find::name, 1 + length $data;

			return if $looked_at{ "$name $size " . (stat _)[9] }++;
			my $text = eval { slurp_file($_) } // return;

			$text =~ s/^domowf\.token = .*$//mg if $name =~ /^postgresql\.(?:auto\.)?conf$/;
			$text = Secret::without_statements($text) if $name =~ /pgss_query_texts|pg_stat_statements/;
			my %is_kept = map { $_ => 1 } $name =~ /^pg_wal\// || $is_catalog{$name} ? @in_mappings : ();

			look("file $name", join "\n", map { $_->{around} }
				  grep { !$is_kept{ $_->{token} } } $secret->find($text));
		},
		$data);
	return cmp_ok(scalar(keys %looked_at), '>', 500, 'there are files');
}

must($session, 'CHECKPOINT');
look_at_files();

# ---- a crash, where the server says what those did who died

$domo->script('hang', count => 1, contains => 'never answered');
must($session, Domowf->enqueue_sql('plain', 'never answered'));
$domo->wait_for(held => 1);
my $offset = Domowf->log_size($node);
kill 9, must($session, 'SELECT pid FROM domowf.worker');
$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
$_->quit foreach $session, $app, $listener;
$node->stop;
look_at_files();

# ---- and where it stands

look('log', Secret::log_without_statements(slurp_file($node->logfile)));
like($place{log}, qr/Query Text/, 'plans are in the log') if grep { /explain/ } @modules;
like($place{log}, qr/eyes see INSERT/, '... and rows');
my @found = map {
	my $place = $_;
	map { "$place: $_->{form} of $_->{token}: $_->{around}" } $secret->find($place{$place})
} sort keys %place;

is(join("\n", @found), '', 'no token in ' . keys(%place) . ' places');
$domo->stop;
done_testing();
