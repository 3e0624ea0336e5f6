
# Code of a table's owner runs while something is written back into it: it gets
# no more rights than the owner has, leaves nothing behind for the next return,
# and holds up no other owner, whatever it does.  And a crash at any point
# between settlement and return: every return happens, and what it does is done
# once.

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
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.return_timeout = '500ms'
restart_after_crash = on
END

sub value
{
	return $node->safe_psql('postgres', $_[0]);
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

my $super = value('SELECT current_user');

value(<<'END');
CREATE ROLE owner NOLOGIN; CREATE ROLE other NOLOGIN; CREATE ROLE super2 SUPERUSER NOLOGIN;
CREATE SCHEMA own AUTHORIZATION owner;
GRANT USAGE ON SCHEMA own TO other;
GRANT EXECUTE ON FUNCTION domowf_trigger(), domowf_start(text, jsonb) TO owner, other;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's');
CREATE FUNCTION public.trusts_session() RETURNS text LANGUAGE sql SECURITY DEFINER
AS $$ SELECT session_user || ' ' || current_user || ' ' || current_setting('session_authorization') $$;
SET ROLE owner;
CREATE TABLE own.tried (what text, result text);
CREATE TABLE own.victim (id int PRIMARY KEY, state text);
CREATE FUNCTION own.try(what text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE got text;
BEGIN
	BEGIN
		IF what LIKE 'SELECT%' THEN EXECUTE what INTO got; ELSE EXECUTE what; END IF;
		INSERT INTO own.tried VALUES (what, 'worked: ' || coalesce(got, ''));
	EXCEPTION WHEN OTHERS THEN
		INSERT INTO own.tried VALUES (what, SQLSTATE || ' ' || SQLERRM);
	END;
END $$;
CREATE FUNCTION own.attack() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE what text;
BEGIN
	FOREACH what IN ARRAY TG_ARGV[0]::text[] LOOP PERFORM own.try(what); END LOOP;
	RETURN NEW;
END $$;
END

# What the trigger tries, and what is to come of it.
my @attempts = (
	[ 'SET ROLE super2', qr/^42501 cannot set parameter "role" within security/ ],
	[ "SET SESSION AUTHORIZATION super2", qr/^42501 cannot set parameter "session_authorization"/ ],
	[ "SET LOCAL SESSION AUTHORIZATION super2", qr/^42501 cannot set parameter "session_authorization"/ ],
	[ 'RESET SESSION AUTHORIZATION', qr/^42501 cannot set parameter "session_authorization"/ ],
	[ 'RESET ROLE', qr/^42501 cannot set parameter "role"/ ],
	[ q{SELECT set_config('session_authorization', 'super2', false)}, qr/^42501 cannot set parameter/ ],
	[ q{SELECT set_config('role', 'super2', false)}, qr/^42501 cannot set parameter/ ],
	[ q{SELECT set_config('session_replication_role', 'replica', false)}, qr/^42501 permission denied/ ],
	[ q{LOAD '/tmp/evil.so'}, qr/^42501 / ],
	[ q{COPY own.tried FROM PROGRAM 'id'}, qr/^42501 / ],
	[ q{SELECT pg_read_file('postgresql.conf')}, qr/^42501 / ],
	[ q{ALTER ROLE owner SUPERUSER}, qr/^42501 / ],
	[ q{CREATE TEMPORARY TABLE t (a int)}, qr/^42501 cannot create temporary table within security-restricted/ ],
	[ q{LISTEN x}, qr/^(?:42501|0A000) / ],
	[ q{PREPARE p AS SELECT 1}, qr/^42501 / ],
	[ q{SELECT id FROM domowf_start('good', '{}')}, qr/^0A000 cannot call Domo while an outcome is written back/ ],
	[ q{DELETE FROM domowf.return_entry}, qr/^42501 permission denied/ ],
	[ q{SELECT public.trusts_session()}, qr/^worked: owner \Q$super\E owner$/ ],
	[ q{SELECT set_config('own.left', 'behind', false)}, qr/^worked/ ],
	[ q{SELECT set_config('search_path', 'own', false)}, qr/^worked/ ],
	[ q{SELECT pg_advisory_lock(42)}, qr/^worked/ ],
	[ q{COMMIT}, qr/^(?:2D000|0A000) / ],
);
my $list = join ',', map { Domowf->literal($_->[0]) } @attempts;

value(<<"END");
SET ROLE owner;
DO \$do\$ BEGIN EXECUTE format('CREATE TRIGGER attack BEFORE UPDATE ON own.victim
	FOR EACH ROW EXECUTE FUNCTION own.attack(%L)', ARRAY[$list]::text); END \$do\$;
CREATE TRIGGER go AFTER INSERT ON own.victim FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
CREATE FUNCTION own.late() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM own.try('SELECT ''late'' || current_user || session_user');
	PERFORM own.try('SET ROLE super2');
	PERFORM own.try('SELECT set_config(''own.late'', ''behind'', false)');
	RETURN NULL;
END \$\$;
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON own.victim
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own.late();
CREATE FUNCTION own.by_index(s text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS \$\$
BEGIN
	IF s = 'done' THEN PERFORM own.try('SELECT ''index '' || current_user'); END IF;
	RETURN s;
END \$\$;
CREATE INDEX ON own.victim (own.by_index(state));
INSERT INTO own.victim VALUES (1);
END
until_true(q{SELECT state = 'done' FROM own.victim}, 'the row is written');
foreach my $attempt (@attempts)
{
	like(value('SELECT result FROM own.tried WHERE what = '
			  . Domowf->literal($attempt->[0]) . ' LIMIT 1'),
		$attempt->[1], $attempt->[0]);
}
is(value(q{SELECT count(*) FROM own.tried WHERE result = 'worked: lateownerowner'}), 1,
	'a deferred trigger runs as the owner');
is(value(q{SELECT count(*) FROM own.tried WHERE what = 'SET ROLE super2' AND result LIKE '42501%'}), 2,
	'... in the restricted operation, too');
is(value(q{SELECT result FROM own.tried WHERE what LIKE '%index%'}), 'worked: index owner',
	'a function of an index as well');

# one that is deferred again is none that PostgreSQL fires there
value(<<'END');
SET ROLE owner;
CREATE TABLE own.put_off (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON own.put_off FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON own.put_off
	DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION own.late();
CREATE FUNCTION own.put_off() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN SET CONSTRAINTS ALL DEFERRED; RETURN NEW; END';
CREATE TRIGGER put_off BEFORE UPDATE ON own.put_off FOR EACH ROW EXECUTE FUNCTION own.put_off();
INSERT INTO own.put_off VALUES (1);
END
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE error LIKE 'cannot fire deferred trigger%'},
	'what is deferred again fails');
value('DROP TABLE own.put_off');
until_true('SELECT count(*) = 0 FROM domowf.returns', '... and goes with its table');

# the next return of the same process finds nothing of it
value(<<'END');
SET ROLE owner;
TRUNCATE own.tried;
DROP TRIGGER attack ON own.victim;
CREATE TRIGGER attack BEFORE UPDATE ON own.victim FOR EACH ROW EXECUTE FUNCTION own.attack(
	'{"SELECT concat(current_setting(''own.left'', true), current_setting(''own.late'', true), current_setting(''search_path''))",
	"SELECT set_config(''own.left'', ''behind'', false) || set_config(''search_path'', ''own'', false)",
	"SELECT count(*) FROM pg_locks WHERE locktype = ''advisory''", "SELECT pg_advisory_lock(42)"}');
INSERT INTO own.victim VALUES (2), (3), (4)
END
until_true(q{SELECT count(*) = 3 FROM own.victim WHERE id > 1 AND state = 'done'}, 'three more');
is(value(q{SELECT string_agg(DISTINCT result, ',') FROM own.tried WHERE what LIKE '%current_setting%'}),
	'worked: "$user", public, pg_temp', 'settings last until the end of a return');
is(value(q{SELECT string_agg(DISTINCT result, ',') FROM own.tried WHERE what LIKE '%pg_locks%'}),
	'worked: 0', 'advisory locks, too');

# ---- code that does not end: neither by an error nor by one that it catches

value(<<'END');
SET ROLE owner;
DROP TRIGGER attack ON own.victim;
CREATE FUNCTION own.hang() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.id = 5 THEN PERFORM pg_sleep(1000); END IF;
	IF NEW.id = 6 THEN RAISE EXCEPTION 'no'; END IF;
	IF NEW.id = 7 THEN
		LOOP
			BEGIN
				PERFORM pg_sleep(1000);
			EXCEPTION WHEN query_canceled THEN NULL;
			END;
		END LOOP;
	END IF;
	RETURN NEW;
END $$;
CREATE TRIGGER hang BEFORE UPDATE ON own.victim FOR EACH ROW EXECUTE FUNCTION own.hang();
SET ROLE other;
SET ROLE NONE;
CREATE TABLE public.others (id int PRIMARY KEY, state text);
ALTER TABLE public.others OWNER TO other;
CREATE TRIGGER go AFTER INSERT ON public.others FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
INSERT INTO own.victim VALUES (5), (6), (7), (8);
INSERT INTO public.others VALUES (1);
END
until_true(q{SELECT (SELECT state FROM public.others) = 'done'
	AND (SELECT state FROM own.victim WHERE id = 8) = 'done'},
	'what hangs, raises or catches everything holds up no other');
until_true(q{SELECT count(*) = 3 AND bool_or(error = 'no')
	AND bool_or(error LIKE '%it took longer than domowf.return_timeout')
	AND bool_or(error LIKE 'the process that was at it ended') FROM domowf.returns},
	'... and each is kept with its reason');
value('ALTER TABLE own.victim DISABLE TRIGGER hang; SELECT domowf_retry_return(request_id) FROM domowf.returns');
until_true('SELECT count(*) = 0 FROM domowf.returns', '... until it works');

# ---- DROP DATABASE does not wait for it

value('CREATE DATABASE brief');
$node->safe_psql('brief', <<'END');
CREATE EXTENSION domowf;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's');
CREATE TABLE t (id int PRIMARY KEY, state text);
CREATE FUNCTION hang() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(1000); END';
CREATE TRIGGER hang BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION hang();
CREATE TRIGGER go AFTER INSERT ON t FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
END
value(q{ALTER SYSTEM SET domowf.return_timeout = '10min'; SELECT pg_reload_conf()});
$node->safe_psql('brief', 'INSERT INTO t VALUES (1)');
until_true(q{SELECT count(*) = 1 FROM pg_stat_activity WHERE datname = 'brief'
	AND backend_type = 'domowf returns' AND wait_event = 'PgSleep'}, 'a return that hangs');
value('DROP DATABASE brief');
is(value(q{SELECT count(*) FROM pg_database WHERE datname = 'brief'}), 0, '... keeps no database from being dropped');
value(q{ALTER SYSTEM RESET domowf.return_timeout; SELECT pg_reload_conf()});

# ---- crashes between settlement and return

value(<<'END');
SET ROLE owner;
CREATE TABLE own.crash (id int PRIMARY KEY, state text);
CREATE TABLE own.effect (id int, state text);
CREATE FUNCTION own.effect() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN INSERT INTO own.effect VALUES (NEW.id, NEW.state); RETURN NULL; END';
CREATE TRIGGER effect AFTER UPDATE ON own.crash FOR EACH ROW EXECUTE FUNCTION own.effect();
CREATE TRIGGER go AFTER INSERT ON own.crash FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
END
my $number = 0;

# one that has had work stays for a while, and would fall into the trap
until_true(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'domowf returns'},
	'nobody is at it');
foreach my $point (qw(return-taken return-written return-removed return-committed before-settle))
{
	my $offset = Domowf->log_size($node);

	$number++;
	Domowf->set_test_point($node, "$point=kill");
	ok(Domowf->until_taken_up($node), $point);
	value("INSERT INTO own.crash VALUES ($number)");
	$node->wait_for_log(qr/database system is ready to accept connections/, $offset);
	Domowf->set_test_point($node, '');
	# the point may be met once more before the server has read that it is gone
	$node->poll_query_until('postgres',
		q{WITH u AS (UPDATE domowf.return_entry SET due = now() WHERE due > now()) SELECT true});
	until_true(q{SELECT NOT EXISTS (SELECT FROM domowf.queue WHERE state <> 'in_doubt')},
		"$point: the server is back");
	$node->poll_query_until('postgres',
		q{SELECT count(domowf_resolve(id, 'found')) >= 0 FROM domowf.queue});
	until_true("SELECT count(*) = 1 FROM own.effect WHERE id = $number AND state = 'done'",
		"$point: it is written back");
}
until_true('SELECT count(*) = 0 FROM domowf.return_entry', 'nothing is left');
is(value('SELECT count(*), count(DISTINCT id) FROM own.effect WHERE state = \'done\''), '5|5', 'each once');
is($domo->violations, 0, 'Domo has nothing to complain of');
done_testing();
