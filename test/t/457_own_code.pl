
# Code of users' that comes back into what has called it, and code that brings the
# server down: a cast that a trigger's value needs may change the same table, which
# calls the same trigger and cast, or have all that is kept read anew; and a return
# whose code ends the server is not the end of it.  Exists because a role that owned
# a table could make the server crash, and again after each restart, for ever.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/\(PID \d+\) was terminated by signal 11/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => "restart_after_crash = on\ndomowf.poll_interval = '100ms'\n");
my ($in, $got);

# What was asked for since the last time, in order.
sub asked
{
	my @data = $in->value(q{RESET SESSION AUTHORIZATION;
SELECT string_agg(request->'data'->>'id' || (request->'data'->'m'->>'m'), ' ' ORDER BY id)
	FROM domowf.queue});

	$in->value('DELETE FROM domowf.queue; SET SESSION AUTHORIZATION app');
	return $data[0];
}

sub crashes
{
	my ($offset) = @_;

	return scalar(() = Domowf->log_since($node, $offset) =~ /terminated by signal/g);
}

# ---- casts that change the table whose trigger has called them

$in = Domowf->session($node);
$in->value(<<'END');
CREATE ROLE app LOGIN;
CREATE SCHEMA app AUTHORIZATION app;
GRANT EXECUTE ON FUNCTION domowf_trigger() TO app;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's'), ('bad', 'model', '1.0.0', 's');
SELECT domowf_pause();
SET SESSION AUTHORIZATION app;
CREATE TYPE app.mood AS ENUM ('a', 'b', 'c', 'd', 'e', 'f');
CREATE TABLE app.t (id int, m app.mood);
CREATE FUNCTION app.other() RETURNS int LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION app.have_read_anew() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
	CREATE OR REPLACE FUNCTION app.other() RETURNS int LANGUAGE sql AS 'SELECT 2';
END $$;
CREATE FUNCTION app.cast_mood(m app.mood) RETURNS jsonb LANGUAGE sql VOLATILE AS $$
	INSERT INTO app.t SELECT g, 'e' FROM generate_series(2, 3) g WHERE m = 'a';
	INSERT INTO app.t SELECT 4, 'c' WHERE m = 'b';
	SELECT app.have_read_anew() WHERE m IN ('c', 'e');
	INSERT INTO app.t SELECT 5, 'd' WHERE m = 'c';
	SELECT 1 / length(replace(m::text, 'f', ''));
	SELECT jsonb_build_object('m', m::text, 'x', repeat('x', 2000));
$$;
CREATE CAST (app.mood AS jsonb) WITH FUNCTION app.cast_mood(app.mood);
CREATE TRIGGER go AFTER INSERT ON app.t FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'm', 'id')
END
foreach (1, 2)
{
	$got = $in->run(q{INSERT INTO app.t VALUES (1, 'a')});
	is($got->{sqlstate}, '', "time $_: a cast puts rows into the same table")
	  or BAIL_OUT($got->{err});
	is(asked(), '2e 3e 1a', '... and each asks, with its own values');
}
$got = $in->run(q{INSERT INTO app.t VALUES (1, 'b'), (6, 'd')});
is($got->{sqlstate}, '', 'one puts a row in that puts one in');
is(asked(), '5d 4c 1b 6d', '... and each asks, with its own values');

# an error in the middle of one, and the next row
$got = $in->run(<<'END');
DO $$ BEGIN
	BEGIN
		INSERT INTO app.t VALUES (1, 'f');
	EXCEPTION WHEN division_by_zero THEN
		INSERT INTO app.t VALUES (2, 'a');
	END;
	INSERT INTO app.t VALUES (7, 'b');
END $$
END
is($got->{sqlstate}, '', 'a cast that fails spoils none after it') or diag $got->{err};
is(asked(), '2e 3e 2a 5d 4c 7b', '... and each asks, with its own values');

# rows of a statement, and elements of a list
$in->value(<<'END');
DROP TRIGGER go ON app.t;
CREATE TRIGGER go AFTER INSERT ON app.t REFERENCING NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION domowf_trigger('good', 'm', 'id')
END
$got = $in->run(q{INSERT INTO app.t VALUES (1, 'd'), (2, 'a'), (3, 'b'), (4, 'd')});
is($got->{sqlstate}, '', 'the same of the rows of a statement') or diag $got->{err};
$in->value('RESET SESSION AUTHORIZATION');
is($in->value(<<'END'), '2,3:ee 5:d 4:c 1,2,3,4:dabd', '... and each asks, with its own values');
SELECT string_agg((SELECT string_agg(i, ',') FROM jsonb_array_elements_text(request->'data'->'id') i)
	|| ':' || (SELECT string_agg(m->>'m', '') FROM jsonb_array_elements(request->'data'->'m') m), ' ' ORDER BY id)
FROM domowf.queue
END
$in->value(<<'END');
DELETE FROM domowf.queue;
SET SESSION AUTHORIZATION app;
CREATE TABLE app.lists (id int, m app.mood[]);
CREATE TRIGGER go AFTER INSERT ON app.lists FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'm', 'id')
END
$got = $in->run(q{INSERT INTO app.lists VALUES (1, '{d,a,c,d}')});
is($got->{sqlstate}, '', 'the same of the elements of a list') or diag $got->{err};
$in->value('RESET SESSION AUTHORIZATION');
is($in->value(q{SELECT string_agg(m->>'m', '') FROM domowf.queue,
	jsonb_array_elements(request->'data'->'m') m WHERE jsonb_typeof(request->'data'->'id') = 'number'}),
	'dacd', '... in their order');
is(crashes(0), 0, 'the server has not crashed');
$in->value('DELETE FROM domowf.queue; SELECT domowf_resume()');

# ---- a return whose code ends the server

my $offset = Domowf->log_size($node);

$in->value(<<'END');
CREATE TABLE public.killed (id int PRIMARY KEY, state text);
CREATE TABLE public.spared (id int PRIMARY KEY, state text);
CREATE FUNCTION public.kill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	COPY (SELECT 1) TO PROGRAM 'kill -SEGV $PPID';
	RETURN NEW;
END $$;
CREATE TRIGGER back BEFORE UPDATE ON public.killed FOR EACH ROW EXECUTE FUNCTION public.kill();
CREATE TRIGGER go AFTER INSERT ON public.killed FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('bad', 'n=id', 'state<-state');
CREATE TRIGGER go AFTER INSERT ON public.spared FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state')
END
$in->run('INSERT INTO public.killed VALUES (1)');
$in->quit;
# what the first try has left may be lost, and is not what the second one leaves
$node->wait_for_log(
	qr/terminated by signal.*terminated by signal.*ready to accept connections/s, $offset);
ok($node->poll_query_until('postgres', q{WITH u AS (UPDATE domowf.return_entry
	SET due = clock_timestamp() + interval '1 h'
	WHERE tries > 0 AND due > tried_at + interval '50 s' RETURNING 1)
	SELECT count(*) = 1 FROM u}),
	'after a crash in an owner\'s code it is known that it was tried, and its next try waits');
$node->safe_psql('postgres', 'INSERT INTO public.spared VALUES (1)');
ok($node->poll_query_until('postgres', q{SELECT state = 'done' FROM public.spared}),
	'meanwhile others of its owner are written');
cmp_ok(crashes($offset), '<=', 4, '... and the server crashes no more for now');
is($node->safe_psql('postgres', 'SELECT state FROM public.killed'), '',
	'it is still to be written');

# an ordinary failure waits its ordinary time, after a crash as well
$node->safe_psql('postgres', <<'END');
CREATE OR REPLACE FUNCTION public.kill() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	RAISE 'not yet';
END $$;
UPDATE domowf.return_entry SET tries = 0, due = clock_timestamp()
END
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM domowf.return_entry
	WHERE error = 'not yet' AND due BETWEEN tried_at + power(2, tries - 1) * interval '0.9 s'
	AND tried_at + power(2, tries - 1) * interval '1.1 s'}),
	'what then fails in an ordinary way is tried again as ever');
$node->safe_psql('postgres', <<'END');
DROP TRIGGER back ON public.killed;
SELECT domowf_retry_return(request_id) FROM domowf.return_entry
END
ok($node->poll_query_until('postgres', q{SELECT state = 'done' FROM public.killed}),
	'and written once it can be');
is_deeply([ map { $_->{violations} } $domo->violations ], [], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
