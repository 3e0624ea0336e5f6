
# The worker's settings are the configuration's.  The owner of a database may
# set most of them for it, and a domowf.timeout of 1 ms would put every start in
# doubt; so would a superuser who meant his sessions.  What is set for a
# database, a role or all roles reaches no worker, whatever it is, neither at
# its start nor when the configuration is read again; the configuration does.
# Nor does what code on domowf's tables sets stay.
#
# The worker itself tells its settings, by an index of the log.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $token = 'file-token-0123456789-abcdef';
my $domo = Domo->new(tokens => [$token]);
my $stranger = Domo->new(tokens => [$token]);
my $file = PostgreSQL::Test::Utils::tempdir() . '/token';

append_to_file($file, "$token\n");
chmod 0600, $file;
my $node = Domowf->start_node(
	'main', undef,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<"END");
domowf.token_file = '$file'
domowf.base_url = '@{[ $domo->url ]}'
domowf.poll_interval = '500ms'
domowf.timeout = 60s
work_mem = 5MB
app.known = 'configured'
END

# It is there before the settings are, so that it has none of them.
my $session = Domowf->session($node);
my ($id, $first);

# nor what it is about to have configured
$session->value('SET search_path = public');

sub enqueue
{
	my ($model) = @_;

	return $session->value(sprintf q{SELECT domowf_enqueue_call('start',
		'{"messageName": "Start it", "version": "1.0.0", "modelId": "%s",
		"data": {}}')}, $model);
}

# Does a start; its id, under which the worker's settings are told.
sub probe
{
	my ($model) = @_;
	my $request = enqueue($model // 'model');

	die $session->request($request, 'state, error')
	  if $session->outcome($request, 'state, attempts') ne 'done|1';
	return $request;
}

# What differs between two that were told.
sub difference
{
	my ($from, $to, $columns) = @_;

	return $session->value(<<"END");
SELECT string_agg(format('%s: %s, %s', name, a.told, b.told), '; ' ORDER BY lower(name))
FROM (SELECT name, ($columns)::text AS told FROM public.told WHERE id = $from) a
FULL JOIN (SELECT name, ($columns)::text AS told FROM public.told WHERE id = $to) b
	USING (name)
WHERE a.told IS DISTINCT FROM b.told
END
}

# A worker that has connected since.
sub renew
{
	$session->value(
		'SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
	return;
}

$session->value(<<'END');
CREATE TABLE told (id bigint, name text, setting text, source text,
	reset_val text, sourcefile text, PRIMARY KEY (id, name));
CREATE FUNCTION tell_all(request bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.told
		SELECT request, s.name, s.setting, s.source, s.reset_val, s.sourcefile
		FROM pg_catalog.pg_settings s
		UNION ALL
		SELECT request, n, COALESCE(pg_catalog.current_setting(n, true), ''),
			'', '', ''
		FROM pg_catalog.unnest('{app.known, app.unknown, plperl.use_strict, role,
			session_authorization}'::text[]) n
		ON CONFLICT DO NOTHING;
END $$;
CREATE FUNCTION tell(request bigint) RETURNS bigint IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.tell_all(request);
	RETURN request;
END $$;
CREATE INDEX tell ON domowf.log (tell(id))
END
$first = probe();
cmp_ok($session->value("SELECT count(*) FROM public.told WHERE id = $first"),
	'>', 300, 'the worker tells its settings');

# ---- every setting that can be set for a database or a role, is, by the owner
# of the database or a superuser, and has another value than the worker's

$session->value(<<'END');
CREATE ROLE owner LOGIN;
ALTER DATABASE postgres OWNER TO owner;
CREATE TABLE other (name text, value text, setter text, PRIMARY KEY (name, setter));
CREATE FUNCTION set_all() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	name text;
	value text;
	n int := 0;
	super text := current_user;
	as_super text[] := ARRAY['DATABASE postgres',
		format('ROLE %I', current_user), 'ROLE ALL',
		format('ROLE %I IN DATABASE postgres', current_user)];
BEGIN
	FOR name, value IN
		SELECT s.name,
			CASE s.vartype
			WHEN 'bool' THEN CASE t.setting WHEN 'on' THEN 'off' ELSE 'on' END
			WHEN 'enum' THEN (SELECT v FROM unnest(s.enumvals) v
				WHERE v <> t.setting LIMIT 1)
			WHEN 'string' THEN COALESCE(k.value, 'other')
			ELSE CASE t.setting WHEN s.min_val THEN s.max_val ELSE s.min_val END
			END
		FROM pg_settings s JOIN public.told t USING (name)
			LEFT JOIN known k USING (name)
		WHERE s.context IN ('user', 'superuser', 'backend', 'superuser-backend')
			AND t.id = (SELECT min(id) FROM public.told)
		UNION ALL
		SELECT k.name, k.value FROM known k
		WHERE k.name NOT IN (SELECT s.name FROM pg_settings s)
	LOOP
		n := n + 1;
		SET LOCAL client_min_messages = error;
		BEGIN
			EXECUTE format('ALTER %s SET %s = %L', as_super[1 + n % 4], name, value);
			INSERT INTO other VALUES (name, value, 'superuser');
		EXCEPTION WHEN OTHERS THEN
		END;
		BEGIN
			SET LOCAL ROLE owner;
			EXECUTE format('ALTER DATABASE postgres SET %s = %L', name, value);
			RESET ROLE;
			INSERT INTO other VALUES (name, value, 'owner');
		EXCEPTION WHEN OTHERS THEN
			RESET ROLE;
		END;
	END LOOP;
END $$
END
my %known = (
	'app.known' => 'other',
	'app.unknown' => 'other',
	client_encoding => 'LATIN1',
	DateStyle => 'SQL, DMY',
	default_text_search_config => 'pg_catalog.german',
	'domowf.base_url' => $stranger->url,
	'domowf.ca_file' => '/nosuch',
	'domowf.instance' => 'other',
	'domowf.proxy' => $stranger->proxy_url,
	IntervalStyle => 'iso_8601',
	lc_messages => 'POSIX',
	lc_monetary => 'POSIX',
	lc_numeric => 'POSIX',
	lc_time => 'POSIX',
	log_timezone => 'Asia/Kathmandu',
	'plperl.use_strict' => 'on',
	'plpgsql.extra_errors' => 'all',
	'plpgsql.extra_warnings' => 'all',
	role => 'owner',
	search_path => 'other',
	session_authorization => 'owner',
	temp_tablespaces => 'pg_default',
	TimeZone => 'Asia/Kathmandu');
$session->value('CREATE TABLE known (name text, value text); INSERT INTO known VALUES '
	  . join(', ', map { sprintf '(%s, %s)', map { Domowf->literal($_) } $_, $known{$_} }
		  sort keys %known));
$session->value('SELECT set_all()');
cmp_ok($session->value("SELECT count(*) FROM other WHERE setter = '$_->[0]'"),
	'>', $_->[1], "what the $_->[0] has set") foreach [ owner => 120 ], [ superuser => 170 ];
is($session->value(q{SELECT string_agg(value, ' ' ORDER BY name) FROM other
	WHERE setter = 'owner' AND name IN ('domowf.timeout', 'role', 'statement_timeout')}),
	'1 owner 2147483647', '... as it harms');

renew();
$id = probe();
is(difference($first, $id, 'setting, source, reset_val, sourcefile'),
	'', 'nothing has reached the worker');
$id = probe('scenario:delay:300');
is($session->value("SELECT response IS NOT NULL FROM domowf.log WHERE id = $id"),
	't', 'a start that takes longer than they would have it is done, and kept');
probe('scenario:oversize:5000');
is($stranger->stats->{requests} + $stranger->stats->{proxied},
	0, 'nothing went where they would have it');

# ---- the configuration is read again, and reaches it

# Reads it; the worker does so soon after.
sub reload_until
{
	my ($name, $value) = @_;
	my $deadline = time + $PostgreSQL::Test::Utils::timeout_default;

	$session->value('SELECT pg_reload_conf()');
	while (time < $deadline)
	{
		my $request = probe();

		return $request
		  if $session->value("SELECT setting FROM public.told WHERE id = $request"
			  . " AND name = '$name'") eq $value;
	}
	die "$name does not become $value";
}

# Among them one that was at its default and one that nobody has defined.
my %changed = (
	'app.known' => 'changed',
	'app.unknown' => 'changed',
	debug_print_plan => 'on',
	'domowf.connect_timeout' => '4321',
	'domowf.timeout' => '59000',
	search_path => 'changed',
	TimeZone => 'Europe/Vienna',
	work_mem => '6144');
$session->value(sprintf 'ALTER SYSTEM SET %s = %s', $_, Domowf->literal($changed{$_}))
  foreach grep { !/^app/ } sort keys %changed;

# ALTER SYSTEM has no names that nobody knows
$node->append_conf('postgresql.conf',
	"app.known = 'changed'\napp.unknown = 'changed'\n");
$id = reload_until(work_mem => '6144');
is( difference($first, $id, 'setting'),
	'app.known: configured, changed; app.unknown: , changed;'
	  . ' debug_print_plan: off, on;'
	  . ' domowf.connect_timeout: 60000, 4321; domowf.timeout: 60000, 59000;'
	  . ' TimeZone: Etc/UTC, Europe/Vienna; work_mem: 5120, 6144',
	'a reload reaches the worker, but where its statements rest on its own');
$session->value("ALTER SYSTEM SET domowf.timeout = '100ms'");
Domowf->until_taken_up($node, $session) or die 'not taken up';
$id = enqueue('scenario:hang');
is($session->outcome($id), 'in_doubt', 'a timeout of the configuration counts');
$session->value("SELECT domowf_discard($id)");

# back to what it was
$session->value('ALTER SYSTEM RESET ALL');
$node->append_conf('postgresql.conf', "app.known = 'configured'\n");
$node->adjust_conf('postgresql.conf', 'app.unknown', undef);

# no probe before that is over: it would be given 100 ms
Domowf->until_taken_up($node, $session) or die 'not taken up';
$session->value('ALTER SYSTEM RESET ALL');
$id = reload_until('domowf.test_mark' => '');
is(difference($first, $id, 'setting'), '', 'and so does another, that takes it back');

# ---- and a command line, which no database overrides

$session->value('ALTER ROLE ALL RESET ALL');
$session->value('ALTER DATABASE postgres RESET ALL');
$session->value('ALTER ROLE current_user RESET ALL');
$session->value('ALTER ROLE current_user IN DATABASE postgres RESET ALL');
$session->value("ALTER DATABASE postgres SET domowf.timeout = '1ms'");
$session->quit;
$node->stop;
PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-w', '-D', $node->data_dir,
	'-l', $node->logfile, '-o',
	'--cluster-name=main -c domowf.timeout=8s', 'start');
$node->_update_pid(1);
$session = Domowf->session($node);
is($session->value('SHOW domowf.timeout'), '1ms', 'a session has what its database has');
probe('scenario:delay:50');
$id = enqueue('scenario:hang');
is($session->outcome($id), 'in_doubt', '8 s of the command line, not the 60 s of the file');
$session->value("SELECT domowf_discard($id)");

# ---- what code on the tables sets, whose owner is no superuser

$session->value(<<'END');
DROP INDEX domowf.tell;
CREATE ROLE boss LOGIN SUPERUSER;
CREATE DATABASE kept
END
my $boss = Domowf->session($node, dbname => 'kept', user => 'boss');
$boss->value('CREATE EXTENSION domowf; CREATE SCHEMA boss');
$session->value('ALTER ROLE boss NOSUPERUSER');
$boss->value(<<'END');
CREATE TABLE boss.seen (timeout text);
CREATE FUNCTION boss.look() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO boss.seen SELECT pg_catalog.current_setting('domowf.timeout');
END $$;
CREATE FUNCTION boss.hung(text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM boss.look();
	PERFORM pg_catalog.set_config('domowf.timeout', '1ms', false);
	RETURN $1;
END $$;
CREATE INDEX hung ON domowf.log (boss.hung(error))
END
$session->quit;
$session = Domowf->session($node, dbname => 'kept');
probe() foreach 1 .. 2;
is($session->value(q{SELECT string_agg(timeout, ' ') FROM boss.seen}),
	'8s 8s', 'what code on the tables has set does not stay');
$boss->value('DROP INDEX domowf.hung');

# ---- exit_on_error, which makes the end of a process of whatever it would try again

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it'),
	('gated', 'scenario:gate-executed:way', '1.0.0', 'Start it');
CREATE TABLE asked (n int PRIMARY KEY, state text CHECK (state IS NULL));
CREATE TRIGGER ask AFTER INSERT ON asked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it', 'n', 'state<-state')
END
my $offset = Domowf->log_size($node);
my $locker = Domowf->session($node, dbname => 'kept');

$session->configure('exit_on_error', 'on');
Domowf->until_taken_up($node, $session) or die 'not taken up';
is($session->value('SHOW exit_on_error'), 'on', 'exit_on_error is on');
$id = $session->enqueue('gated', 'gated');
$domo->wait_for(held => '=1');
my $pid = $session->value('SELECT pid FROM domowf.worker');
$locker->value('BEGIN; LOCK TABLE domowf.log IN SHARE MODE');
$domo->release('way', 1);
$node->wait_for_log(qr/lock timeout/, $offset);
$locker->value('COMMIT');
is($session->outcome($id), 'done', '... what waits for a lock does not end the worker');
is($session->value('SELECT pid FROM domowf.worker'), $pid, '... which goes on');
$session->value('INSERT INTO asked VALUES (1)');
ok( $node->poll_query_until('kept', q{SELECT error ~ 'violates' FROM domowf.returns}),
	'... nor does what cannot be returned end the process that does so');
$session->value('DELETE FROM asked');
ok(Domowf->log_since($node, $offset) !~ /FATAL/, '... nothing has ended');

$_->quit foreach $boss, $locker, $session;
$node->stop;
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
done_testing();
