
# Whose rights a return has, when owners change and when there are many of them;
# and what replication and dumps make of it.  Exists because what is written back
# is somebody's code that runs: as the owner that there is then, and never as one
# that is not any more.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	streaming => 'logical',
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '100ms'
domowf.return_timeout = '10min'
max_worker_processes = 20
END
my $session = Domowf->session($node);

$session->value(<<'END');
CREATE ROLE owner NOLOGIN; CREATE ROLE heir NOLOGIN; CREATE ROLE super2 SUPERUSER NOLOGIN;
GRANT CREATE, USAGE ON SCHEMA public TO owner, heir;
GRANT EXECUTE ON FUNCTION domowf_trigger() TO owner, heir;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's'), ('telling', 'model', '1.0.0', 's');
CREATE TABLE public.ran (n serial, at text, who text);
GRANT ALL ON public.ran, public.ran_n_seq TO owner, heir;
CREATE FUNCTION public.who() RETURNS text LANGUAGE sql AS
	$$SELECT concat_ws(' ', current_user, session_user, current_setting('is_superuser'))$$;
CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.ran (at, who) VALUES (TG_TABLE_NAME || ' ' || NEW.id, public.who());
	RETURN NEW;
END $$;
END

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub until_returned
{
	my ($name) = @_;

	return until_true(q{SELECT NOT EXISTS (SELECT FROM domowf.queue) AND NOT EXISTS (SELECT FROM domowf.return_entry)}, $name);
}

# On, a process may be at something at once that is locked, and take up nothing.
sub switch
{
	my ($value) = @_;

	$session->configure('domowf.returns', $value);
	return Domowf->until_taken_up($node) || die 'not taken up' if $value eq 'off';
	return $node->poll_query_until('postgres', "SELECT current_setting('domowf.returns') = '$value'");
}

sub make_table
{
	my ($table, $owner) = @_;

	return $session->value(<<"END");
CREATE TABLE public.$table (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON public.$table FOR EACH ROW EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
CREATE TRIGGER note BEFORE UPDATE ON public.$table FOR EACH ROW EXECUTE FUNCTION public.note();
ALTER TABLE public.$table OWNER TO $owner;
END
}

# Who has run what was noted since the last time.
sub ran
{
	return $session->value(q{WITH d AS (DELETE FROM public.ran RETURNING *) SELECT string_agg(concat_ws(': ', at, who), ', ' ORDER BY n) FROM d});
}

# ---- another owner between the outcome and its return

make_table('given', 'owner');
make_table('lowered', 'super2');
make_table('raised', 'owner');
$session->value(q{INSERT INTO public.given VALUES (1)});
until_returned('a return');
is(ran(), 'given 1: owner owner off', '... by the owner');
switch('off');
$session->value(q{INSERT INTO public.given VALUES (2); INSERT INTO public.lowered VALUES (3); INSERT INTO public.raised VALUES (4)});
until_true('SELECT count(*) = 3 FROM domowf.return_entry', 'three are noted');
$session->value('ALTER TABLE public.given OWNER TO heir; ALTER TABLE public.lowered OWNER TO heir; ALTER TABLE public.raised OWNER TO super2');
switch('on');
until_returned('... and written when their tables have other owners');
is(join(', ', sort split /, /, ran()), 'given 2: heir heir off, lowered 3: heir heir off, raised 4: super2 super2 on',
	'... by those, with their rights and no others');

# one that is under way, and waits for whoever changes the owner
make_table('taken', 'super2');
my $changer = Domowf->session($node);
switch('off');
$session->value('INSERT INTO public.taken VALUES (6)');
until_true('SELECT count(*) = 1 FROM domowf.return_entry', 'another one is noted');
$changer->value('BEGIN; ALTER TABLE public.taken OWNER TO owner');
switch('on');
until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'domowf returns' AND wait_event_type = 'Lock'},
	'... and taken by the process of an owner who is so no longer');
$changer->value('COMMIT');
until_returned('... it is written');
is(ran(), 'taken 6: owner owner off', '... by the new one alone');

# one that somebody removes while it is written
make_table('removed', 'owner');
switch('off');
$session->value('INSERT INTO public.removed VALUES (1)');
until_true('SELECT count(*) = 1 FROM domowf.return_entry', 'one is noted');
$changer->value('BEGIN; SELECT FROM public.removed FOR UPDATE');
switch('on');
until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE backend_type = 'domowf returns' AND wait_event_type = 'Lock'},
	'... and under way');
$session->value('DELETE FROM domowf.return_entry');
$changer->value('COMMIT');
$session->value('INSERT INTO public.removed VALUES (2)');
until_returned('... removed: the next one is written');
is($session->value('SELECT id, state FROM public.removed ORDER BY id'), "1|\n2|done", '... and that one is not');
is(ran(), 'removed 2: owner owner off', '... nor what its trigger did');

# a function
$session->value(<<'END');
CREATE FUNCTION public.tell(r domowf.request) RETURNS void LANGUAGE sql AS
	$$INSERT INTO public.ran (at, who) VALUES (r.workflow, public.who())$$;
ALTER FUNCTION public.tell OWNER TO owner;
UPDATE domowf.workflow SET on_settled = 'public.tell(domowf.request)' WHERE name = 'telling';
END
switch('off');
$session->value(q{SELECT domowf_enqueue('telling')});
until_true('SELECT count(*) = 1 FROM domowf.return_entry', 'a function is to be told');
$session->value('ALTER FUNCTION public.tell OWNER TO heir');
switch('on');
until_returned('... is, when it has another owner');
is(ran(), 'telling: heir heir off', '... as that one');

# ---- more owners than there are processes

my $others = 9;
$session->value(<<"END");
DO \$do\$ BEGIN FOR i IN 1 .. $others LOOP
	EXECUTE format('CREATE ROLE many_%s; GRANT ALL ON public.ran, public.ran_n_seq TO many_%s', i, i);
	EXECUTE format('GRANT EXECUTE ON FUNCTION domowf_trigger() TO many_%s', i);
END LOOP; END \$do\$;
END
make_table("many_$_", "many_$_") foreach 1 .. $others;
switch('off');
$session->value("INSERT INTO public.many_$_ SELECT g FROM generate_series(1, 5) g") foreach 1 .. $others;
until_true('SELECT count(*) = ' . 5 * $others . ' FROM domowf.return_entry', 'many owners have something');
my $holder = Domowf->session($node);
$holder->value('BEGIN; LOCK TABLE public.ran');
switch('on');
my $processes = q{SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'domowf returns'};
until_true(qq{SELECT ($processes AND wait_event_type = 'Lock') = 4}, 'four at a time');
is($session->value($processes), 4, '... and no more');
$holder->value('COMMIT');
until_returned('all of them are served');
is($session->value(q{SELECT count(*), count(DISTINCT who), bool_and(at ~ ('^' || split_part(who, ' ', 1) || ' ')) FROM public.ran}),
	5 * $others . "|$others|t", '... each by itself');
ran();

# four whose code does not end hold up no fifth
$session->configure('domowf.return_timeout', '300ms');
$node->poll_query_until('postgres', q{SELECT current_setting('domowf.return_timeout') = '300ms'});
$session->value('CREATE FUNCTION public.hang() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(1000); RETURN NEW; END$$');
$session->value("CREATE TRIGGER hang BEFORE UPDATE ON public.many_$_ FOR EACH ROW EXECUTE FUNCTION public.hang();"
	  . " INSERT INTO public.many_$_ SELECT g FROM generate_series(11, 13) g") foreach 1 .. 8;
$session->value('INSERT INTO public.many_9 VALUES (11)');
until_true('SELECT state = $$done$$ FROM public.many_9 WHERE id = 11', 'eight that hang hold up no ninth');
is($session->value('SELECT count(*) FROM domowf.return_entry'), 24, '... and are all kept');
$session->value("DROP TRIGGER hang ON public.many_$_") foreach 1 .. 8;
$session->value('SELECT count(domowf_retry_return(request_id)) FROM domowf.returns');
until_returned('... until they work');
ran();

# ---- subscribers of the table

my $subscriber = PostgreSQL::Test::Cluster->new('subscriber');
$subscriber->init(extra => [ '-E', 'UTF8', '--locale=C' ], allows_streaming => 'logical');
$subscriber->start;

my $tables = <<'END';
CREATE TABLE public.r_default (id int PRIMARY KEY, state text, other text DEFAULT 'mine');
CREATE TABLE public.r_full (id int PRIMARY KEY, state text, other text DEFAULT 'mine');
CREATE TABLE public.r_index (id int PRIMARY KEY, state text, other text NOT NULL DEFAULT 'mine' UNIQUE);
CREATE TABLE public.r_nothing (id int PRIMARY KEY, state text, other text DEFAULT 'mine');
ALTER TABLE public.r_full REPLICA IDENTITY FULL;
ALTER TABLE public.r_index REPLICA IDENTITY USING INDEX r_index_other_key;
END
$subscriber->safe_psql('postgres', $tables);
$session->value(<<"END");
$tables
ALTER TABLE public.r_nothing REPLICA IDENTITY NOTHING;
CREATE PUBLICATION rows FOR TABLE public.r_default, public.r_full, public.r_index, public.r_nothing;
END
$subscriber->safe_psql('postgres', "CREATE SUBSCRIPTION rows CONNECTION '"
	  . $node->connstr . " dbname=postgres' PUBLICATION rows");
$subscriber->wait_for_subscription_sync($node, 'rows');
foreach my $kind (qw(default full index nothing))
{
	$session->value(<<"END");
CREATE TRIGGER go AFTER INSERT ON public.r_$kind FOR EACH ROW EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
INSERT INTO public.r_$kind VALUES (1);
END
}
until_true(q{SELECT count(*) = 1 FROM domowf.return_entry WHERE tries > 1
	AND error ~ 'cannot update table "r_nothing" because it does not have a replica identity'}, 'a table that may not be written says so');
$session->value('ALTER TABLE public.r_nothing REPLICA IDENTITY DEFAULT');
until_returned('... until it may');
$node->wait_for_catchup('rows', 'replay', $node->lsn('insert'));
is($subscriber->safe_psql('postgres', "SELECT id, state, other FROM public.r_$_"), '1|done|mine', "a subscriber sees what is written: $_")
  foreach qw(default full index nothing);
$subscriber->safe_psql('postgres', 'DROP SUBSCRIPTION rows');
$subscriber->stop;

# ---- dumps

$session->value(<<'END');
CREATE FUNCTION public."Odd, one"(r domowf.request) RETURNS void LANGUAGE sql AS
	$$INSERT INTO public.ran (at, who) VALUES (r.workflow, public.who())$$;
ALTER FUNCTION public."Odd, one" OWNER TO owner;
CREATE FUNCTION public.gone(domowf.request) RETURNS void LANGUAGE sql AS '';
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled) VALUES
	('odd', 'model', '1.0.0', 's', 'public."Odd, one"(domowf.request)'), ('gone', 'model', '1.0.0', 's', 'gone(domowf.request)');
DROP FUNCTION public.gone;
INSERT INTO public.given VALUES (7);
END
until_returned('nothing waits');
my $dir = $node->basedir;
my $registry = q{SELECT string_agg(concat_ws(' ', name, on_settled), ', ' ORDER BY name) FROM domowf.workflow};
command_ok([ 'pg_dump', '-Fc', '-d', $node->connstr('postgres'), '-f', "$dir/custom" ], 'a dump');
command_ok([ 'pg_dump', '-Fp', '-d', $node->connstr('postgres'), '-f', "$dir/plain" ], '... as text');
foreach (
	[ 'plain', 'psql', '-Xq', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-f', "$dir/plain" ],
	[ 'custom', 'pg_restore', '-e', "$dir/custom" ],
	[ 'parallel', 'pg_restore', '-e', '-j', 2, "$dir/custom" ])
{
	my ($database, $program, @option) = @$_;

	$session->value("CREATE DATABASE $database TEMPLATE template0");
	command_ok([ $program, '-d', $node->connstr($database), @option ], "$database is restored");
	my $restored = Domowf->session($node, dbname => $database);
	is($restored->value($registry), $session->value($registry), '... functions are registered as they were');
	is($restored->value('SELECT count(*) FROM domowf.return_entry'), 0, '... and nothing is to be returned');
	$restored->value('TRUNCATE public.ran');
	$restored->value(q{SELECT domowf_enqueue('telling'), domowf_enqueue('odd')});
	$restored->value('INSERT INTO public.given VALUES (8)');
	ok($node->poll_query_until($database, 'SELECT count(*) = 3 FROM public.ran'), '... they are told there, rows are written');
	is($restored->value(q{SELECT string_agg(concat_ws(': ', at, who), ', ' ORDER BY at) FROM public.ran}),
		'given 8: heir heir off, odd: owner owner off, telling: heir heir off', '... as their owners');
	$restored->value(q{SELECT domowf_enqueue('gone')});
	ok($node->poll_query_until($database, q{SELECT count(*) = 1 FROM domowf.returns WHERE error ~ 'does not exist'}),
		'... one that is gone is a failed return there, too');
	$restored->quit;
}

is($domo->violations, 0, 'Domo has nothing to complain of');
done_testing();
