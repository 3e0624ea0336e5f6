
# What a request was asked with is not what there is when it is sent again, fired
# again or looked at: tables, functions and zones that have been renamed, made
# anew, given to others since.  Exists because names were taken for what they had
# once named.

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
	conf => Domowf::RETRY_AT_ONCE . "domowf.poll_interval = '200ms'\n");
my $session = Domowf->session($node);
my ($mal, $got, $id);

# Registers workflows: NAME => what the stand-in does with their requests.
sub register
{
	my (%model) = @_;

	$session->value('INSERT INTO domowf.workflow (name, model_id, version, message_name)'
		  . " VALUES ('$_', '$model{$_}', '1.0.0', 'Start it')")
	  foreach sort keys %model;
	return;
}

# The one request of a workflow, when it has come to this.
sub the_request
{
	my ($workflow, $state) = @_;

	$node->poll_query_until('postgres',
		"SELECT count(*) = 1 FROM domowf.request WHERE workflow = '$workflow' AND state = '$state'")
	  or return 0;
	return $session->value("SELECT id FROM domowf.request WHERE workflow = '$workflow'");
}

$session->value(<<'END');
CREATE SCHEMA s; GRANT ALL ON SCHEMA s TO PUBLIC;
CREATE ROLE mal LOGIN; CREATE ROLE victim LOGIN; CREATE ROLE alice; CREATE ROLE bob;
GRANT EXECUTE ON FUNCTION domowf_trigger(), domowf_retry(bigint) TO mal, victim;
END
register(
	right => 'scenario:status:404',
	everyday => 'scenario:status:404',
	gone => 'scenario:status:404',
	keyed => 'scenario:status:404',
	itself => 'model',
	cast => 'model',
	quoted => 'model',
	timed => 'model');

# ---- whose rights a request is sent again by

$session->value(q{UPDATE domowf.workflow SET granted_to = 'mal' WHERE name = 'right'});
$mal = Domowf->session($node, user => 'mal');
$mal->value(<<'END');
CREATE TABLE s.staging (id int);
CREATE TRIGGER ask AFTER INSERT ON s.staging FOR EACH ROW EXECUTE FUNCTION domowf_trigger('right', 'id');
INSERT INTO s.staging VALUES (666);
END
$id = the_request('right', 'rejected');
$mal->value('ALTER TABLE s.staging RENAME TO mine');
$session->value(<<'END');
UPDATE domowf.workflow SET granted_to = 'victim', model_id = 'model' WHERE name = 'right';
CREATE TABLE s.staging (id int);
ALTER TABLE s.staging OWNER TO victim;
END
$got = $mal->run("SELECT domowf_retry($id)");
is($got->{sqlstate}, '42501', 'a table that is called so by now lends no rights');
like($got->{detail}, qr/"mal", the owner of s\.staging, may no longer/, '... it is told who has none');
$session->value(q{UPDATE domowf.workflow SET granted_to = 'mal' WHERE name = 'right'});
is($mal->value("SELECT domowf_retry($id)"), 't', '... and who owns the one that it was has them');
is($session->outcome($id), 'done', '... by another name of it');

$session->value(<<'END');
CREATE TABLE s.o (id int);
CREATE TRIGGER ask AFTER INSERT ON s.o FOR EACH ROW EXECUTE FUNCTION domowf_trigger('everyday', 'id');
CREATE TABLE s.d (id int);
CREATE TRIGGER ask AFTER INSERT ON s.d FOR EACH ROW EXECUTE FUNCTION domowf_trigger('gone', 'id');
INSERT INTO s.o VALUES (1); INSERT INTO s.d VALUES (1);
END
$id = the_request('everyday', 'rejected');
$session->value(<<'END');
ALTER TABLE s.o RENAME TO o2;
UPDATE domowf.workflow SET model_id = 'model', granted_to = 'pg_monitor' WHERE name = 'everyday'
END
is($session->value("SELECT domowf_retry($id)"), 't', 'a table that was renamed: its owner has what he had');
is($session->outcome($id), 'done', '... and it is sent');
$id = the_request('gone', 'rejected');
$session->value(<<'END');
DROP TABLE s.d;
UPDATE domowf.workflow SET model_id = 'model' WHERE name = 'gone'
END
is($session->value("SELECT domowf_retry($id)"), 't', 'a table that is gone: it goes by who changed the row');
is($session->outcome($id), 'done', '... and is sent');

# ---- whose a key is

$session->value(<<'END');
CREATE TABLE s.k (id int); ALTER TABLE s.k OWNER TO victim;
GRANT INSERT ON s.k TO alice, bob;
CREATE TRIGGER ask AFTER INSERT ON s.k FOR EACH ROW EXECUTE FUNCTION domowf_trigger('keyed', 'id', '@key=id');
SET ROLE alice; INSERT INTO s.k VALUES (1); RESET ROLE
END
$id = the_request('keyed', 'rejected');
$session->value(q{UPDATE domowf.workflow SET model_id = 'model' WHERE name = 'keyed'});
is($session->value("SELECT domowf_retry($id)"), 't', 'a request with a key is sent again');
is($session->outcome($id), 'done', '... and done');
$session->value('ALTER TABLE s.k RENAME TO kk');
is($session->run('SET ROLE bob; INSERT INTO s.kk VALUES (1)')->{sqlstate}, '',
	'... the key is still of its table, whatever that is called');
$session->value('RESET ROLE');
is($session->value(q{SELECT count(*) FROM domowf.request WHERE workflow = 'keyed'}), 1, '... which asks for nothing');

$id = $session->enqueue('keyed', 'removed', key => q{'removed'});
is($session->outcome($id), 'done', 'a request with a key is done');
is($session->enqueue('keyed', 'removed', key => q{'removed'}), $id, '... and has it');
$session->value("DELETE FROM domowf.log WHERE id = $id");
isnt($got = $session->enqueue('keyed', 'removed', key => q{'removed'}), $id,
	'... until its row of the log is removed, by hand too');
is($session->outcome($got), 'done', '... then it is asked for');
is($session->enqueue('keyed', 'removed', key => q{'removed'}), $got, '... once');

# ---- a trigger that fires itself by way of a generated column

$session->value(<<'END');
CREATE TABLE s.g (id int PRIMARY KEY, state text, other text,
	made text GENERATED ALWAYS AS (coalesce(state, '') || 'x') STORED,
	made_of_other text GENERATED ALWAYS AS (coalesce(other, '') || 'x') STORED);
CREATE TRIGGER ask AFTER INSERT OR UPDATE OF made ON s.g FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('itself', 'id', 'state<-id')
END
$got = $session->run('INSERT INTO s.g VALUES (1)');
is($got->{sqlstate}, '22023', 'a column that is generated of what is written back');
like("$got->{message} $got->{detail}", qr/would fire/, '... would fire the trigger again');
$session->value(<<'END');
CREATE OR REPLACE TRIGGER ask AFTER INSERT OR UPDATE OF made_of_other ON s.g FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('itself', 'id', 'state<-id')
END
is($session->run('INSERT INTO s.g VALUES (1)')->{sqlstate}, '', '... one of another column not');
ok($node->poll_query_until('postgres', 'SELECT state IS NOT NULL FROM s.g'), '... and it is written');
is($session->value(q{SELECT count(*) FROM domowf.request WHERE workflow = 'itself'}), 1, '... once');

# ---- a function that is called for values

$session->value(<<'END');
CREATE TYPE mood AS ENUM ('a');
CREATE FUNCTION mood_json(mood) RETURNS jsonb LANGUAGE plpgsql SECURITY DEFINER AS
	$$ BEGIN RETURN jsonb_build_object('who', current_user); END $$;
ALTER FUNCTION mood_json(mood) OWNER TO alice;
CREATE CAST (mood AS jsonb) WITH FUNCTION mood_json(mood);
CREATE TABLE s.c (m mood);
CREATE TRIGGER ask AFTER INSERT ON s.c FOR EACH ROW EXECUTE FUNCTION domowf_trigger('cast', 'm');
END

sub who_casts
{
	$session->value(q{INSERT INTO s.c VALUES ('a')});
	return $session->value(q{SELECT request->'data'->'m'->>'who' FROM domowf.queue
		WHERE workflow = 'cast' UNION ALL SELECT request->'data'->'m'->>'who' FROM domowf.log
		WHERE workflow = 'cast' ORDER BY 1 LIMIT 1});
}

$session->value('SELECT domowf_pause()');
is(who_casts(), 'alice', 'a cast by a function of alice\'s');
$session->value('DELETE FROM domowf.queue; ALTER FUNCTION mood_json(mood) OWNER TO bob');
is(who_casts(), 'bob', '... is by bob\'s, where he owns it');
$session->value('DELETE FROM domowf.queue; ALTER FUNCTION mood_json(mood) SECURITY INVOKER');
is(who_casts(), $session->value('SELECT current_user'), '... and by nobody\'s rights but one\'s own');
$session->value(<<'END');
DELETE FROM domowf.queue;
CREATE OR REPLACE FUNCTION mood_json(mood) RETURNS jsonb LANGUAGE sql AS
	$$ SELECT '{"who": "sql"}'::jsonb $$
END
is(who_casts(), 'sql', '... in whatever language');
$session->value('DELETE FROM domowf.queue; SELECT domowf_resume()');

# ---- quote_all_identifiers

$session->value(<<'END');
CREATE TABLE told (id bigint);
CREATE FUNCTION tell(r domowf.request) RETURNS void LANGUAGE sql AS 'INSERT INTO public.told VALUES (r.id)';
CREATE TABLE s.q (id int);
CREATE TRIGGER ask AFTER INSERT ON s.q FOR EACH ROW EXECUTE FUNCTION domowf_trigger('quoted', 'id');
SET quote_all_identifiers = on;
UPDATE domowf.workflow SET on_settled = 'tell(domowf.request)' WHERE name = 'quoted';
INSERT INTO s.q VALUES (1);
RESET quote_all_identifiers
END
is($session->value(q{SELECT on_settled FROM domowf.workflow WHERE name = 'quoted'}),
	'public.tell(domowf.request)', 'quote_all_identifiers: a function is kept as it is looked up');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 1 FROM told'), '... and is called');
is($session->value(q{SELECT source FROM domowf.request WHERE workflow = 'quoted'}),
	's.q', '... and a table as always');

# ---- keys of times without a zone

$session->value(<<'END');
CREATE TABLE s.ts (at timestamp);
CREATE TRIGGER ask AFTER INSERT ON s.ts FOR EACH ROW EXECUTE FUNCTION domowf_trigger('timed', 'at', '@key=at');
SET TimeZone = 'Europe/Berlin';
INSERT INTO s.ts VALUES ('2026-03-29 02:30'), ('2026-03-29 03:30');
SET TimeZone = 'UTC';
INSERT INTO s.ts VALUES ('2026-03-29 03:30');
RESET TimeZone
END
is( $session->value(
		q{SELECT string_agg(key, ' ' ORDER BY key) FROM domowf.request WHERE workflow = 'timed'}),
	'2026-03-29T02:30:00Z 2026-03-29T03:30:00Z',
	'two times that are one in a zone are two keys, and one is one in any zone');

# ---- what the transaction itself has sent again

$id = $session->enqueue('keyed', 'again');
is($session->outcome($id), 'done', 'a request');
$session->value(q{UPDATE domowf.workflow SET model_id = 'scenario:status:404' WHERE name = 'keyed'});
$id = $session->enqueue('keyed', 'rejected');
is($session->outcome($id), 'rejected', '... another one');
$session->value('BEGIN');
is($session->value("SELECT domowf_retry($id)"), 't', '... is sent again');
is($session->run("SELECT state FROM domowf_wait($id, '170 s')")->{sqlstate},
	'55000', '... which the same transaction cannot wait for');
$session->value('ROLLBACK');

# ---- triggers of a subscriber's own

$session->value('CREATE DATABASE far');
my $far = Domowf->session($node, dbname => 'far');
$far->value('CREATE TABLE r (id int PRIMARY KEY)');
$far->value('CREATE PUBLICATION p FOR TABLE r');
$far->value(q{SELECT pg_create_logical_replication_slot('sub', 'pgoutput')});
$session->value(<<'END');
CREATE TABLE r (id int PRIMARY KEY);
CREATE TABLE done_there (what text, came text);
CREATE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	q bigint;
BEGIN
	q := public.domowf_enqueue('keyed', '{"n": "there"}', run_at => now() + interval '1 day');
	INSERT INTO public.done_there VALUES ('discarded', public.domowf_discard(q)::text);
	PERFORM public.domowf_pause('from there');
	INSERT INTO public.done_there VALUES ('paused', (SELECT paused::text FROM domowf.state));
	PERFORM public.domowf_resume();
	INSERT INTO public.done_there VALUES ('resumed', (SELECT (NOT paused)::text FROM domowf.state));
	RETURN NULL;
END $$;
CREATE TRIGGER act AFTER INSERT ON r FOR EACH ROW EXECUTE FUNCTION act();
ALTER TABLE r ENABLE ALWAYS TRIGGER act
END
$session->value("CREATE SUBSCRIPTION sub CONNECTION 'dbname=far host=@{[ $node->host ]} port=@{[ $node->port ]}'"
	  . q{ PUBLICATION p WITH (create_slot = false, slot_name = 'sub', copy_data = false)});
$far->value('INSERT INTO r VALUES (1)');
ok($node->poll_query_until('postgres', 'SELECT count(*) = 3 FROM done_there'), 'a trigger fires for what is published');
is($session->value(q{SELECT string_agg(what || ' ' || came, ', ' ORDER BY what) FROM done_there}),
	'discarded true, paused true, resumed true', '... and does what it does in a session');
$session->value('DROP SUBSCRIPTION sub');
$_->quit foreach $far, $mal, $session;
$node->stop;
done_testing();
