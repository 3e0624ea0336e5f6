
# Settings that people have in postgresql.conf, a role set for a database,
# shadowing operators, event triggers: none of them breaks the worker, none
# makes anything of a user's run with its rights, and a claim is on disk
# whatever synchronous_commit says.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# All but who one is: in the configuration, which is the worker's, too.
my %hostile = (
	array_nulls => 'off',
	backslash_quote => 'on',
	bytea_output => 'escape',
	check_function_bodies => 'off',
	client_encoding => 'LATIN1',
	client_min_messages => 'error',
	constraint_exclusion => 'on',
	cursor_tuple_fraction => '0.5',
	datestyle => 'SQL, DMY',
	debug_parallel_query => 'on',
	default_transaction_deferrable => 'on',
	default_transaction_isolation => 'serializable',
	default_transaction_read_only => 'on',
	enable_bitmapscan => 'off',
	enable_hashagg => 'off',
	enable_hashjoin => 'off',
	enable_indexonlyscan => 'off',
	enable_indexscan => 'off',
	enable_mergejoin => 'off',
	enable_nestloop => 'off',
	escape_string_warning => 'off',
	extra_float_digits => '-15',
	force_parallel_mode => 'on',
	from_collapse_limit => '1',
	geqo_threshold => '2',
	idle_in_transaction_session_timeout => '1ms',
	idle_session_timeout => '1ms',
	intervalstyle => 'iso_8601',
	jit => 'on',
	jit_above_cost => '0',
	join_collapse_limit => '1',
	lock_timeout => '1ms',
	log_duration => 'on',
	log_min_duration_statement => '0',
	log_statement => 'all',
	plan_cache_mode => 'force_generic_plan',
	quote_all_identifiers => 'on',
	role => 'stranger',
	row_security => 'off',
	search_path => 'evil, pg_catalog, public',
	session_authorization => 'stranger',
	session_replication_role => 'origin',
	standard_conforming_strings => 'off',
	statement_timeout => '1ms',
	synchronous_commit => 'off',
	timezone => 'Asia/Kathmandu',
	transform_null_equals => 'on',
	work_mem => '64kB',
	xmloption => 'document');

# What the tests' own sessions need back.
my $sane = join ' ', map { "-c $_" } 'client_encoding=UTF8',
  'client_min_messages=notice', 'default_transaction_read_only=off',
  'idle_in_transaction_session_timeout=0', 'idle_session_timeout=0',
  'lock_timeout=0', 'log_min_duration_statement=-1', 'log_statement=none',
  'log_duration=off', 'role=none', 'statement_timeout=0';

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '500ms'
fsync = on
wal_level = minimal
max_wal_senders = 0
max_logical_replication_workers = 0
wal_writer_delay = 10s
wal_writer_flush_after = 0
synchronous_commit = off
restart_after_crash = on
END
delete $hostile{standard_conforming_strings}
  unless Domowf->has_old_strings;
my $session = Domowf->session($node);
my ($id, @ids, $got);
my $hour = q{now() + interval '1 hour'};

sub enqueue
{
	return $session->enqueue('plain', @_);
}

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name, on_doubt) VALUES
	('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('again', 'model', '1.0.0', 'Start it', 'retry')});

# ---- a claim is on disk before anything is sent

$domo->script('hang', count => 1, contains => 'on disk');
$session->value('SELECT domowf_pause()');
$id = enqueue('on disk');

# the request's own commit is on disk, and nothing after it but by the claim
$session->value('SET synchronous_commit = on; CREATE TABLE flushed ()');
$session->value('RESET synchronous_commit');
$session->value('SELECT domowf_resume()');
$domo->wait_for(held => 1);
$session->quit;
$node->stop('immediate');
$node->start;
$session = Domowf->session($node);
is($session->outcome($id), 'in_doubt',
	'synchronous_commit = off: what was being sent is known after a crash');
is($domo->arrived('on disk'), 1, '... and not sent again');
$domo->close_all;
is($session->value("SELECT domowf_discard($id)"), 't', '... by itself');

# ---- objects that shadow others

$session->value(<<'END');
CREATE ROLE stranger LOGIN;
CREATE SCHEMA evil;
CREATE TABLE evil.ran (what text, who text);
GRANT ALL ON SCHEMA evil TO stranger;
GRANT ALL ON evil.ran TO stranger, PUBLIC;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.note(text) RETURNS void LANGUAGE sql AS $$
	INSERT INTO evil.ran VALUES ($1, current_user) $$;
CREATE FUNCTION evil.equal(bigint, bigint) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN PERFORM evil.note('='); RETURN true; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = bigint, RIGHTARG = bigint);
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN PERFORM evil.note('= text'); RETURN true; END $$;
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$
	BEGIN PERFORM evil.note('now'); RETURN '-infinity'; END $$;
CREATE FUNCTION evil.min_step(bigint, bigint) RETURNS bigint LANGUAGE plpgsql AS $$
	BEGIN PERFORM evil.note('min'); RETURN 0; END $$;
CREATE AGGREGATE evil.min(bigint) (SFUNC = evil.min_step, STYPE = bigint);
CREATE TABLE evil.queue (id bigint);
CREATE FUNCTION evil.on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM evil.note('event ' || tg_tag); END $$;
CREATE EVENT TRIGGER on_ddl ON ddl_command_end EXECUTE FUNCTION evil.on_ddl();
CREATE EVENT TRIGGER on_drop ON sql_drop EXECUTE FUNCTION evil.on_ddl();
CREATE FUNCTION evil.on_row() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN PERFORM evil.note('trigger'); RETURN NULL; END $$;
GRANT TRIGGER ON ALL TABLES IN SCHEMA domowf TO stranger;
GRANT USAGE ON SCHEMA domowf TO stranger
END
my $stranger = Domowf->session($node, user => 'stranger');
foreach my $table (qw(queue log key))
{
	foreach my $level ('ROW', 'STATEMENT')
	{
		my $name = lc "${table}_$level";

		$stranger->value("CREATE TRIGGER $name AFTER INSERT OR UPDATE OR DELETE"
			  . " ON domowf.$table FOR EACH $level"
			  . ' EXECUTE FUNCTION evil.on_row()');
	}
	is( $stranger->run(
			"ALTER TABLE domowf.$table ENABLE ALWAYS TRIGGER ${table}_row")
		  ->{sqlstate},
		'42501',
		"no user's trigger of $table can be made to fire always");
}
$stranger->quit;
$session->value('DELETE FROM evil.ran');

# ---- settings

my $known = $session->value('SELECT string_agg(lower(name), $$ $$) FROM pg_settings');
my @known = grep { " $known role session_authorization " =~ / \Q$_\E / } sort keys %hostile;
cmp_ok(scalar @known, '>', 45, 'most of these settings are there');
foreach my $name (@known)
{
	if ($name =~ /^(?:role|session_authorization)$/)
	{
		$session->value("ALTER DATABASE postgres SET $name = '$hostile{$name}'");
	}
	else
	{
		$node->append_conf('postgresql.conf', "$name = '$hostile{$name}'\n");
	}
}
$session->quit;
$node->restart;
$session = Domowf->session($node, options => $sane);
is($session->value('SHOW search_path') . $session->value('SHOW row_security'),
	'evil, pg_catalog, publicoff', 'a session has these settings');

# above READ COMMITTED a request cannot be waited for
sub relax
{
	$session->value('SET session_authorization = DEFAULT');
	$session->value('SET role = none');
	$session->value('SET default_transaction_isolation = "read committed"');
	return;
}
relax();
is($session->value('SELECT current_user <> $$stranger$$'), 't', 'it is itself');
$id = enqueue('hostile', key => q{'k'}, order_key => q{'o'});
is($session->outcome($id, 'state, attempts'),
	'done|1', 'a request is done, by a worker with the rights that it needs');
is($domo->arrived('hostile'), 1, '... sent once');
is(enqueue('hostile', key => q{'k'}), $id, '... its key is held');
$domo->script([ 'status:502', 'reset-after' ], contains => 'repeated');
$id = $session->value(q{SELECT domowf_enqueue('again', '{"n": "repeated"}')});
is($session->outcome($id, 'state, attempts'), 'done|3', 'one that is repeated is done');
@ids = map { enqueue("ordered $_", order_key => q{'o'}) } 1 .. 3;
is($session->outcome($ids[2]), 'done', 'those of an order key are done');
is_deeply(
	[ map { $_->{data}{n} } $domo->record(contains => '"ordered') ],
	[ map { "ordered $_" } 1 .. 3 ],
	'... in order');
$id = enqueue('expires', run_at => 'pg_catalog.' . $hour,
	expires_at => 'clock_timestamp()');
is($session->outcome($id), 'expired', 'one expires');
$domo->script('hang', count => 1, contains => 'recovered');
$id = enqueue('recovered');
$domo->wait_for(held => 1);
$session->value('SELECT pg_terminate_backend(pid, 100000) FROM domowf.worker');
is($session->outcome($id), 'in_doubt', 'a new worker recovers');
is($session->value("SELECT domowf_retry($id)"), 't', '... retried');
is($session->outcome($id), 'done', '... done');
my $old = $id;
$session->value(q{SELECT domowf_pause('hostile')});
ok(poll(q{SELECT state OPERATOR(pg_catalog.=) 'paused' FROM domowf.worker}),
	'paused');
$id = enqueue('paused');
$session->value('SELECT domowf_resume()');
is($session->outcome($id), 'done', '... resumed');
is($session->value('SELECT domowf_discard(' . enqueue('later',
			run_at => 'pg_catalog.' . $hour) . ')'),
	't', 'discarded');
is( $session->value(
		q{SELECT pg_catalog.string_agg(check_name, ' ') FROM domowf_check() WHERE NOT ok}
	),
	'triggers',
	'domowf_check finds nothing wrong but the triggers that do not fire');
is( $session->value('SELECT pg_catalog.count(*) FROM evil.ran'
		  . " WHERE what <> '= text' AND what <> '='"),
	0, 'nothing of a user has run but in his own statements')
  or diag $session->value('SELECT what, who FROM evil.ran');

$session->value("UPDATE domowf.log SET settled_at = settled_at - interval '31 d'"
	  . " WHERE id OPERATOR(pg_catalog.=) $old");
ok( poll("SELECT count(*) OPERATOR(pg_catalog.=) 0 FROM domowf.log"
		  . " WHERE id OPERATOR(pg_catalog.=) $old"),
	'retention removes old rows');

# whoever uses a serializable session, and the shadowing search_path
$session->value('SET default_transaction_isolation = serializable');
$got = $session->run(q{SELECT domowf_wait(1)});
is($got->{sqlstate}, '25001', 'domowf_wait says why it cannot wait');
$id = enqueue('serializable', key => q{'s'}, order_key => q{'o'});
$session->value('SET default_transaction_isolation = "read committed"');
is($session->outcome($id), 'done', 'a serializable transaction can enqueue');
is($domo->arrived('serializable'), 1, '... once');

# the worker is in nobody's way there: it reads where this one writes, and
# writes what this one has read
my $serializable = Domowf->session($node, options => $sane);
$id = enqueue('conflict', run_at => 'pg_catalog.' . $hour);
$serializable->value('BEGIN ISOLATION LEVEL SERIALIZABLE');
$serializable->value('SELECT pg_catalog.count(*) FROM domowf.queue');
$session->value("SELECT domowf_retry($id)");
is($session->outcome($id), 'done', '... and others go on meanwhile');
$got = $serializable->run(Domowf->enqueue_sql('plain', 'conflicts'));
is($got->{sqlstate}, '', '... which is no conflict') or diag $got->{err};
is($serializable->run('COMMIT')->{sqlstate}, '', '... at its end, too');
$serializable->quit;
is($session->outcome($got->{out}), 'done', '... and it is done');

# ---- to connect is a transaction, too: with this timeout nobody else gets on

SKIP:
{
	skip 'no transaction_timeout in this PostgreSQL', 2
	  if " $known " !~ / transaction_timeout /;

	$session->value('SET search_path = public; SET transaction_timeout = 0;'
		  . ' SET max_parallel_workers_per_gather = 0');
	$session->configure(transaction_timeout => '1ms');
	poll(q{SELECT reset_val = '1' FROM pg_settings WHERE name = 'transaction_timeout'});
	my $offset = Domowf->log_size($node);
	my $launcher = q{pg_stat_activity WHERE backend_type = 'domowf launcher'};
	my $pid = $session->value("SELECT pid FROM $launcher");

	$session->value('SELECT pg_terminate_backend(pid, 100000)'
		  . q{ FROM pg_stat_activity WHERE backend_type LIKE 'domowf %'});
	poll("SELECT count(*) = 1 FROM $launcher AND pid <> $pid");
	is($session->outcome(enqueue('soon', order_key => q{'o'})),
		'done', 'launcher and worker connect, and a request is done');
	unlike(Domowf->log_since($node, $offset),
		qr/due to transaction timeout/, '... at once');
}

# ---- README tells which unit a time has that is given none

my ($told) = slurp_file("$FindBin::RealBin/../.." . '/README.md') =~
  /A time without a unit is\s+(milliseconds, of\s+\S+\s+seconds, of\s+\S+\s+minutes)\b/;
my %of = map { reverse split /\|/ } grep { /^domowf\..*\|(?:s|min)$/ }
  split /\n/, $session->value(q{SELECT name, unit FROM pg_catalog.pg_settings});
is( $told =~ s/\s+/ /gr, "milliseconds, of `$of{s}` seconds, of `$of{min}` minutes",
	'the units of times are as README has them');
unlike(Domowf->log_since($node), qr/\Q@{[Domowf::TOKEN]}\E/,
	'the token is not in the log');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();

# As poll_query_until, in a session of ours.
sub poll
{
	my ($sql) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 if $session->value($sql) eq 't';
		$session->value('SELECT pg_catalog.pg_sleep(0.1)');
	}
	return 0;
}
