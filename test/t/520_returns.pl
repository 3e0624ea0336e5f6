
# The way back: what came of a request stands in the row that asked for it, or is
# told to a function, once and in order; what cannot work is refused when the
# trigger fires first, and what fails is kept, named, and holds up no other.

use strict;
use warnings;
use utf8;

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
domowf.max_attempts = 1
END
my $session = Domowf->session($node);
my $owner;
my $got;

# The owner of most tables may not log in, nor use domowf's schema.
$session->value(<<'END');
CREATE ROLE owner NOLOGIN; CREATE ROLE app LOGIN;
CREATE SCHEMA own AUTHORIZATION owner;
GRANT USAGE ON SCHEMA own TO app;
GRANT EXECUTE ON FUNCTION domowf_trigger() TO owner;
GRANT EXECUTE ON FUNCTION domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) TO owner;
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's'),
	('bad', 'scenario:status:400', '1.0.0', 's'),
	('lost', 'scenario:status:500', '1.0.0', 's'),
	('next', 'model', '1.0.0', 'next');
END

sub as_owner
{
	my ($sql) = @_;

	return $session->value("SET ROLE owner; SET search_path = own, public; $sql; RESET ROLE; RESET search_path");
}

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

sub until_returned
{
	$node->poll_query_until('postgres',
		q{SELECT NOT EXISTS (SELECT FROM domowf.queue WHERE state <> 'in_doubt') AND NOT EXISTS (SELECT FROM domowf.return_entry)})
	  or die 'not all is written back: '
	  . $node->safe_psql('postgres', 'SELECT * FROM domowf.returns');
	return;
}

# ---- into the row

as_owner(<<'END');
CREATE TABLE own.orders (id bigint PRIMARY KEY, what text DEFAULT 'good',
	instance text, state varchar(20), problem text, version text,
	made timestamptz, at timestamp, request int, reply jsonb,
	writer text DEFAULT '', writes int DEFAULT 0);
CREATE FUNCTION own.stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	NEW.writer = current_user || ' ' || session_user || ' '
		|| current_setting('role') || ' '
		|| current_setting('session_replication_role') || ' '
		|| current_setting('search_path') || ' ' || current_setting('TimeZone')
		|| ' ' || current_setting('is_superuser');
	NEW.writes = OLD.writes + 1;
	RETURN NEW;
END $$;
CREATE TRIGGER stamp BEFORE UPDATE ON own.orders FOR EACH ROW EXECUTE FUNCTION own.stamp();
CREATE TRIGGER good AFTER INSERT ON own.orders FOR EACH ROW
	WHEN (NEW.what = 'good') EXECUTE FUNCTION public.domowf_trigger('good', 'n=id',
		'instance<-id', 'state<-state', 'problem<-error', 'version<-model_version',
		'made<-created_on', 'at<-settled_at', 'request<-request_id', 'reply<-response');
CREATE TRIGGER bad AFTER INSERT ON own.orders FOR EACH ROW
	WHEN (NEW.what = 'bad') EXECUTE FUNCTION public.domowf_trigger('bad', 'n=id',
		'instance<-id', 'state<-state', 'problem<-error');
CREATE TRIGGER lost AFTER INSERT ON own.orders FOR EACH ROW
	WHEN (NEW.what = 'lost') EXECUTE FUNCTION public.domowf_trigger('lost', 'n=id',
		'instance<-id', 'state<-state', 'problem<-error');
GRANT INSERT, SELECT ON own.orders TO app
END
$session->value('ALTER ROLE owner SET search_path = own, public');
my $app = Domowf->session($node, user => 'app');

$app->value('INSERT INTO own.orders (id) VALUES (9007199254740993)');
until_returned();
is( $session->value(<<'END'),
SELECT o.instance = l.instance_id, o.state, o.problem IS NULL,
	o.version = l.model_version, o.made = l.created_on,
	o.at = l.settled_at AT TIME ZONE 'UTC', o.request = l.id,
	o.reply = l.response, o.writes
FROM own.orders o, domowf.log l WHERE o.id = 9007199254740993
END
	't|done|t|t|t|t|t|t|1', 'what came of it stands in the row');
is( $session->value('SELECT writer FROM own.orders'),
	'owner owner none origin own, public, pg_temp UTC off',
	'... written as the owner, who may not log in, with his settings');

$app->value(q{INSERT INTO own.orders (id, what) VALUES (2, 'bad'), (3, 'lost')});
until_returned();
like($session->value('SELECT instance IS NULL, state, problem FROM own.orders WHERE id = 2'),
	qr/^t\|rejected\|.*400/, 'a refusal');
like($session->value('SELECT instance IS NULL, state, problem FROM own.orders WHERE id = 3'),
	qr/^t\|in_doubt\|.*500/, 'what is in doubt');
my $lost = $session->value(q{SELECT id FROM domowf.queue});
is($session->value("SELECT domowf_resolve($lost, 'found')"), 't', 'a person resolves it');
until_returned();
is($session->value('SELECT instance, state, problem IS NULL FROM own.orders WHERE id = 3'),
	'found|done|t', '... which is written back, too: there is no problem any more');
$app->value(q{INSERT INTO own.orders (id, what) VALUES (4, 'bad'), (5, 'bad'), (6, 'lost')});
until_returned();
my $by_hand = $session->value(<<'END');
SELECT string_agg(f, ',' ORDER BY id) FROM (SELECT l.id, CASE o.id WHEN 4
	THEN domowf_resolve(l.id, 'since')::text ELSE domowf_discard(l.id)::text END AS f
FROM own.orders o JOIN domowf.request l ON l.id = (SELECT id FROM domowf.request
	WHERE workflow <> 'good' ORDER BY id LIMIT 1 OFFSET o.id - 2) WHERE o.id IN (4, 5, 6)) s
END
is($by_hand, 'true,true,true', 'a person settles what was rejected, too, and discards');
until_returned();
is( $session->value(q{SELECT string_agg(concat_ws(' ', id, state, instance, problem IS NULL), ', ' ORDER BY id)
		FROM own.orders WHERE id IN (4, 5, 6)}),
	'4 done since t, 5 discarded f, 6 discarded f',
	'... of which the resolved one alone has no problem');
is( $session->value(q{SELECT string_agg(concat_ws(' ', outcome, error IS NULL, errors IS NULL), ', ' ORDER BY id)
		FROM domowf.log WHERE instance_id IN ('found', 'since')}),
	'done t f, done t f', '... and in the log the attempts alone tell what it was');
my $bad = $session->value(q{SELECT id FROM domowf.log WHERE outcome = 'rejected'});
$session->value(q{UPDATE domowf.workflow SET model_id = 'model' WHERE name = 'bad'});
is($session->value("SELECT domowf_retry($bad)"), 't', 'what was rejected is sent again');
until_returned();
like($session->value('SELECT instance, state, problem IS NULL FROM own.orders WHERE id = 2'),
	qr/^[^|]+\|done\|t$/, '... and its row has what came of that');

# ---- tables of all kinds

$session->value(<<'END');
CREATE TYPE own.color AS ENUM ('red', 'green');
CREATE TABLE own."Odd ""one" ("A b" own.color, c numeric, d timestamptz, e bytea,
	"result ""x" text, PRIMARY KEY (d, "A b", c, e));
CREATE TRIGGER go AFTER INSERT ON own."Odd ""one" FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=c', 'result "x<-state');
SET DateStyle = 'German'; SET TimeZone = 'Asia/Kolkata'; SET bytea_output = escape;
INSERT INTO own."Odd ""one" VALUES ('green', 1.50, '2026-04-01 12:00:00.123456+02', '\x615c78');
RESET DateStyle; RESET TimeZone; RESET bytea_output;

CREATE DOMAIN own.paint AS own.color;
CREATE DOMAIN own.shade AS own.paint;
CREATE DOMAIN own.code AS char(4);
CREATE TABLE own.painted (shade own.shade, code own.code, state text, PRIMARY KEY (shade, code));
CREATE TRIGGER go AFTER INSERT ON own.painted FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=code', 'state<-state');
INSERT INTO own.painted VALUES ('red', 'ab'), ('red', 'a');

CREATE TABLE own.part (note text, region int, id int, state text, PRIMARY KEY (region, id))
	PARTITION BY LIST (region);
CREATE TABLE own.part_1 (gone int, id int NOT NULL, state text, region int NOT NULL, note text);
ALTER TABLE own.part_1 DROP COLUMN gone;
ALTER TABLE own.part ATTACH PARTITION own.part_1 FOR VALUES IN (1, 2);
CREATE TRIGGER go AFTER INSERT ON own.part FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
CREATE TABLE own.part_3 PARTITION OF own.part FOR VALUES IN (3);
CREATE TABLE own.part_2 (LIKE own.part INCLUDING ALL);

CREATE TABLE own.base (id int PRIMARY KEY, state text);
CREATE TABLE own.child () INHERITS (own.base);
INSERT INTO own.child VALUES (1, 'a child''s');
CREATE TRIGGER go AFTER INSERT ON own.base FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
INSERT INTO own.base VALUES (1);
SELECT domowf_pause();
INSERT INTO own.part VALUES ('stays', 1, 1), ('moves', 2, 2), ('other', 3, 3);
ALTER TABLE own.part DETACH PARTITION own.part_1;
INSERT INTO own.part_2 SELECT note, region, id, state FROM own.part_1 WHERE region = 2;
DELETE FROM own.part_1 WHERE region = 2;
ALTER TABLE own.part ATTACH PARTITION own.part_1 FOR VALUES IN (1);
ALTER TABLE own.part ATTACH PARTITION own.part_2 FOR VALUES IN (2);
ALTER TABLE own.part RENAME COLUMN state TO outcome;
ALTER TABLE own.part RENAME TO parts;
SELECT domowf_resume();
END
until_returned();
is($session->value(q{SELECT "result ""x" FROM own."Odd ""one"}), 'done',
	'a key of several columns of any type, quoted names, settings of whoever inserts');
is($session->value('SELECT count(*) FROM own.painted WHERE state = \'done\''), '2',
	'... of domains, over an enum and over char(n) among them');
is($session->value('SELECT string_agg(id || outcome, \' \' ORDER BY id) FROM own.parts'),
	'1done 2done 3done', 'partitions: the row has moved, the table and the column were renamed');
is($session->value('SELECT tableoid::regclass, state FROM own.base ORDER BY 1'),
	"own.base|done\nown.child|a child's", 'a table that is inherited from: its own row alone');

# what was a partition when the row asked has it still when it is detached, and
# columns at other numbers; where it is somebody else's by then that is a failure
as_owner(<<'END');
CREATE TABLE own.whole (note text, id int PRIMARY KEY, state text) PARTITION BY RANGE (id);
CREATE TABLE own.piece (gone int, state text, id int PRIMARY KEY, note text);
ALTER TABLE own.piece DROP COLUMN gone;
ALTER TABLE own.whole ATTACH PARTITION own.piece FOR VALUES FROM (0) TO (10);
CREATE TABLE own.given PARTITION OF own.whole FOR VALUES FROM (10) TO (20);
CREATE TABLE own.dropped PARTITION OF own.whole FOR VALUES FROM (20) TO (30);
CREATE TRIGGER go AFTER INSERT ON own.whole FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('good', 'n=id', 'state<-state')
END
$session->value('SELECT domowf_pause()');
as_owner(<<'END');
INSERT INTO own.whole VALUES ('stays', 1), ('goes', 2), ('given', 11), ('dropped', 21);
ALTER TABLE own.whole DETACH PARTITION own.piece;
ALTER TABLE own.whole DETACH PARTITION own.given;
ALTER TABLE own.whole DETACH PARTITION own.dropped;
DELETE FROM own.piece WHERE id = 2;
DROP TABLE own.dropped
END
$session->value('ALTER TABLE own.given OWNER TO app; SELECT domowf_resume()');
until_true(q{SELECT count(*) = 1 AND bool_and(error ~ '"given" was detached from "whole" and has another owner')
	FROM domowf.returns WHERE target = 'own.whole'}, 'a partition that was detached and is another owner\'s: a failure');
is($session->value('SELECT state FROM own.given'), '', '... which writes nothing');
is($session->value(q{SELECT string_agg(concat_ws(' ', note, state), ', ') FROM own.piece}), 'stays done',
	'one that is its owner\'s still: the row has what came of it');
$session->value('ALTER TABLE own.given OWNER TO owner');
$session->value('SELECT domowf_retry_return(request_id) FROM domowf.returns');
until_returned();
is($session->value('SELECT state FROM own.given'), 'done', '... and so has the other one when it is his again');

# ---- what cannot work is refused at the first firing

$session->value(<<'END');
CREATE TABLE own.plain (id int, state text);
CREATE TABLE own.keyed (id int PRIMARY KEY, n int, state text, other text,
	made text GENERATED ALWAYS AS (state || 'x') STORED,
	identity int GENERATED ALWAYS AS IDENTITY);
INSERT INTO own.keyed VALUES (1);
END

sub refused
{
	my ($table, $event, $argument, $message, $name) = @_;
	my $arguments = join ', ', map { "'$_'" } 'n=id', split / /, $argument;
	my $each = $event =~ s/ each statement// ? 'STATEMENT' : 'ROW';
	my %change = (
		INSERT => "INSERT INTO own.$table (id) VALUES (7)",
		UPDATE => "UPDATE own.$table SET state = 'x'",
		DELETE => "DELETE FROM own.$table");
	my ($first) = $event =~ /^(\w+)/;
	my $for = $each eq 'ROW' ? '' :
	  'REFERENCING NEW TABLE AS new ';

	$session->value("INSERT INTO own.plain VALUES (1)") if $table eq 'plain';
	$session->value("CREATE TRIGGER t AFTER $event ON own.$table ${for}FOR EACH $each EXECUTE FUNCTION domowf_trigger('good', $arguments)");
	$got = $session->run($change{$first});
	like("$got->{sqlstate} $got->{message}", qr/^22023 invalid argument .*\Q$message\E/, $name);
	ok($got->{hint} ne '', '... with a hint');
	$session->value("DROP TRIGGER t ON own.$table");
	return;
}

refused('plain', 'INSERT', 'state<-state', 'the table has no primary key', 'no primary key');
refused('keyed', 'INSERT', 'stat<-state', 'there is no column "stat"', 'an unknown column');
refused('keyed', 'INSERT', 'ctid<-state', 'there is no column "ctid"', 'a system column');
refused('keyed', 'INSERT', 'state<-stat', 'there is no field "stat"', 'an unknown field');
refused('keyed', 'INSERT', 'n<-state', 'column "n" has another type', 'no assignment cast');
refused('keyed', 'INSERT', 'made<-state', 'column "made" is generated', 'a generated column');
refused('keyed', 'INSERT', 'identity<-request_id', 'column "identity" is generated', 'an identity column');
refused('keyed', 'INSERT', 'id<-request_id', 'of the primary key', 'the key itself');
refused('keyed', 'INSERT', 'state<-state other<-state state<-error', 'column "state" is given twice', 'a column that is given twice');
refused('keyed', 'INSERT each statement', 'state<-state', 'a statement has no one row', 'statement level');
refused('keyed', 'DELETE', 'state<-state', 'a row that is deleted', 'DELETE');
refused('keyed', 'INSERT OR UPDATE', 'state<-state', 'it would fire itself', 'a trigger that its own return would fire');
refused('keyed', 'UPDATE OF state, other', 'state<-state', 'it would fire itself', '... by its list of columns');
$got = $session->run(<<'END');
CREATE TEMPORARY TABLE brief (id int PRIMARY KEY, state text);
CREATE TRIGGER t AFTER INSERT ON brief FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state');
INSERT INTO brief VALUES (1);
END
like($got->{message}, qr/a temporary table can be written by its own session only/, 'a temporary table');
$session->value(q{CREATE TRIGGER t AFTER UPDATE OF other ON own.keyed FOR EACH ROW EXECUTE FUNCTION domowf_trigger('good', 'n=id', 'state<-state')});
$session->value(q{UPDATE own.keyed SET other = 'x'});
until_returned();
is($session->value('SELECT state FROM own.keyed'), 'done', 'UPDATE OF others than it writes is welcome');

# ---- what goes on meanwhile

$session->value('SELECT domowf_pause()');
$app->value(q{INSERT INTO own.orders (id) VALUES (10), (11), (12), (13)});
$session->value(q{DELETE FROM own.orders WHERE id = 10; UPDATE own.orders SET id = 111 WHERE id = 11});
my $holder = Domowf->session($node);
$holder->run('BEGIN');
$holder->run('SELECT FROM own.orders WHERE id = 12 FOR UPDATE');
$session->value('SELECT domowf_resume()');
until_true(q{SELECT state = 'done' FROM own.orders WHERE id = 13}, 'a row that is locked holds up no other');
until_true(q{SELECT count(*) = 1 AND min(tries) >= 1 AND min(error) LIKE '%return_timeout%'
	FROM domowf.returns WHERE target = 'own.orders'}, '... and is kept, with the reason; one that is gone, or has another key, is not');
until_true(q{SELECT ok = false AND detail LIKE '%return_timeout%' FROM domowf_check() WHERE check_name = 'returns'},
	'domowf_check() tells of it');
$holder->run('COMMIT');
until_returned();
is($session->value('SELECT state FROM own.orders WHERE id = 12'), 'done', '... and written when the lock is gone');
is($session->value('SELECT state IS NULL FROM own.orders WHERE id = 111'), 't', 'a row of another key is none of it');

# row security, and a BEFORE trigger that keeps the row as it is
as_owner(<<'END');
CREATE TABLE own.hidden (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON own.hidden FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('good', 'n=id', 'state<-state');
ALTER TABLE own.hidden ENABLE ROW LEVEL SECURITY;
ALTER TABLE own.hidden FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON own.hidden FOR INSERT WITH CHECK (true);
CREATE TABLE own.kept (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON own.kept FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('good', 'n=id', 'state<-state');
CREATE FUNCTION own.keep() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER keep BEFORE UPDATE ON own.kept FOR EACH ROW EXECUTE FUNCTION own.keep();
INSERT INTO own.hidden VALUES (1); INSERT INTO own.kept VALUES (1)
END
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE target = 'own.hidden' AND error LIKE 'row security hides%'}, 'row security is a failure, and named');
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE target = 'own.kept' AND error LIKE '%BEFORE trigger%'}, '... a BEFORE trigger as well');
as_owner('DROP TRIGGER keep ON own.kept; ALTER TABLE own.hidden NO FORCE ROW LEVEL SECURITY');
is($session->value('SELECT bool_and(domowf_retry_return(request_id)) FROM domowf.returns'), 't', 'domowf_retry_return()');
until_returned();
is($session->value('SELECT (SELECT state FROM own.hidden) || (SELECT state FROM own.kept)'), 'donedone', '... writes them at once');
is($session->value('SELECT domowf_retry_return(1)'), 'f', '... and says where there is nothing');

# dropped: a table has no rows left; a column is a failure
as_owner(<<'END');
CREATE TABLE own.brief (id int PRIMARY KEY, state text);
CREATE TRIGGER go AFTER INSERT ON own.brief FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('good', 'n=id', 'state<-state')
END
$session->value('SELECT domowf_pause()');
as_owner('INSERT INTO own.brief VALUES (1); INSERT INTO own.kept VALUES (2); DROP TABLE own.brief; ALTER TABLE own.kept DROP COLUMN state');
$session->value('SELECT domowf_resume()');
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE target = 'own.kept' AND error LIKE '%was dropped'}, 'a column that was dropped is a failure, a table that was is none');
$session->value('DROP TABLE own.kept');
until_returned();

# who sees it
$session->value('GRANT USAGE ON SCHEMA domowf TO app; GRANT SELECT ON domowf.returns, domowf.return_entry TO app');
$session->configure('domowf.returns', 'off');
Domowf->until_taken_up($node) or die 'not taken up';
as_owner(q{INSERT INTO own.orders (id) VALUES (20)});
$app->value(q{INSERT INTO own.orders (id) VALUES (21)});
until_true(q{SELECT count(*) = 2 FROM domowf.returns}, 'domowf.returns = off keeps them');
is($app->value('SELECT count(*) FROM domowf.returns'), 1, 'each role sees its own');
$session->configure('domowf.returns', 'on');
until_returned();

# ---- chains

as_owner(<<'END');
CREATE TABLE own.chain (id int PRIMARY KEY, first text, second text);
CREATE TRIGGER one AFTER INSERT ON own.chain FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('good', 'n=id', 'first<-state');
CREATE TRIGGER two AFTER UPDATE OF first ON own.chain FOR EACH ROW WHEN (NEW.first = 'done')
	EXECUTE FUNCTION public.domowf_trigger('next', 'n=id', 'second<-state');
INSERT INTO own.chain VALUES (1)
END
until_true(q{SELECT first = 'done' AND second = 'done' FROM own.chain}, 'a pipeline of two workflows');
is($session->value(q{SELECT depth FROM domowf.log WHERE workflow = 'next'}), 1, '... knows how deep it stands');
until_returned();
as_owner(<<'END');
CREATE TABLE own.ball (id int PRIMARY KEY, ping bigint, pong bigint);
CREATE TRIGGER ping AFTER INSERT OR UPDATE OF pong ON own.ball FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('next', 'n=id', 'ping<-request_id');
CREATE TRIGGER pong AFTER UPDATE OF ping ON own.ball FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('next', 'n=id', 'pong<-request_id');
INSERT INTO own.ball VALUES (1)
END
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE error LIKE 'over 100 requests come of each other%'}, 'two triggers that feed each other end');
is($session->value('SELECT max(depth) FROM domowf.log'), 100, '... by their depth');
$session->value('DROP TABLE own.ball');
until_returned();

# ---- a function

$session->value(<<'END');
CREATE ROLE teller LOGIN; CREATE SCHEMA told AUTHORIZATION teller;
GRANT USAGE ON SCHEMA domowf TO teller;
GRANT SELECT, INSERT, UPDATE ON domowf.workflow TO teller;
GRANT EXECUTE ON FUNCTION domowf_enqueue(text, jsonb, text, text, timestamptz, timestamptz) TO teller;
SET ROLE teller;
CREATE TABLE told.heard (id bigint, workflow text, state text, instance text, error text, who text);
CREATE FUNCTION told.hear(r domowf.request) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO told.heard VALUES (r.id, r.workflow, r.state, r.instance_id, r.error,
		current_user || ' ' || session_user);
	IF r.workflow = 'telling' AND r.state = 'done' THEN
		PERFORM public.domowf_enqueue('next', '{}');
	END IF;
END $$;
CREATE FUNCTION told.other(int) RETURNS void LANGUAGE sql AS '';
CREATE FUNCTION told.many(domowf.request) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1';
RESET ROLE;
CREATE FUNCTION public.supers(domowf.request) RETURNS void LANGUAGE sql AS '';
END
my $teller = Domowf->session($node, user => 'teller');
$teller->value(q{SET search_path = told, public; INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)
	VALUES ('telling', 'model', '1.0.0', 's', 'hear(domowf.request)'), ('losing', 'scenario:status:500', '1.0.0', 's', 'hear(domowf.request)')});
is($teller->value(q{SELECT on_settled FROM domowf.workflow WHERE name = 'telling'}), 'told.hear(domowf.request)', 'a function is registered with its schema');
foreach (
	[ 'public.supers(domowf.request)', 'must be owner of function supers', 'one of somebody else is refused' ],
	[ 'told.other(int)', 'function told.other(int) cannot be told what comes of a request', 'one of another shape' ],
	[ 'told.many(domowf.request)', 'function told.many(domowf.request) cannot be told what comes of a request', 'one that returns a set' ],
	[ 'told.none(domowf.request)', 'function "told.none(domowf.request)" does not exist', 'one that is not there' ])
{
	my ($signature, $message, $name) = @$_;

	$got = $teller->run("UPDATE domowf.workflow SET on_settled = '$signature' WHERE name = 'telling'");
	is($got->{message}, $message, $name);
}
# nor by a trigger that fires behind ours, of who may make one
$session->value(<<'END');
GRANT TRIGGER ON domowf.workflow TO teller;
SET ROLE teller;
CREATE FUNCTION told.change() RETURNS trigger LANGUAGE plpgsql AS
	$$BEGIN NEW.on_settled := 'public.supers(domowf.request)'; RETURN NEW; END$$;
CREATE TRIGGER zzz BEFORE UPDATE ON domowf.workflow FOR EACH ROW EXECUTE FUNCTION told.change();
RESET ROLE;
END
$got = $teller->run(q{UPDATE domowf.workflow SET version = version WHERE name = 'telling'});
is($got->{sqlstate}, '42501', 'nor is one that another trigger puts there');
$session->value('DROP TRIGGER zzz ON domowf.workflow; REVOKE TRIGGER ON domowf.workflow FROM teller');
$session->value(q{SELECT domowf_enqueue('telling')});
until_returned();
is($session->value('SELECT workflow, state, instance IS NOT NULL, who FROM told.heard'), 'telling|done|t|teller teller', 'it is told as its owner');
is($session->value(q{SELECT count(*) FROM domowf.log WHERE workflow = 'next' AND depth = 1 AND requested_by = 'teller'}), 1, '... and has started the next one');
my $losing = $session->value(q{SELECT domowf_enqueue('losing')});
until_true(q{SELECT count(*) = 1 FROM told.heard WHERE state = 'in_doubt' AND error LIKE '%500%'}, 'it is told what is in doubt');
$session->value("SELECT domowf_discard($losing)");
until_returned();
is($session->value("SELECT string_agg(state, ' ' ORDER BY ctid) FROM told.heard WHERE id = $losing"), 'in_doubt discarded', '... and what a person has made of it, in order');
$session->value('ALTER FUNCTION told.hear RENAME TO hears; SELECT domowf_enqueue(\'telling\')');
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE kind = 'function' AND target = 'told.hear(domowf.request)' AND error LIKE '%does not exist'}, 'one that is gone is a failed return');
$session->value('ALTER FUNCTION told.hears RENAME TO hear; SELECT domowf_retry_return(request_id) FROM domowf.returns');
until_returned();
is($session->value(q{SELECT count(*), count(DISTINCT id) FROM told.heard WHERE workflow = 'telling'}), '2|2', '... told when it is back, each once');

# one that is of another kind by now, and what somebody has changed by hand
my $shape = "CREATE FUNCTION told.shape(domowf.request) RETURNS %s LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION told.shape OWNER TO teller";
$session->value(sprintf $shape, 'int');
$session->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)
	VALUES ('shaped', 'model', '1.0.0', 's', 'told.shape(domowf.request)')});
$session->configure('domowf.returns', 'off');
Domowf->until_taken_up($node) or die 'not taken up';
$session->value(q{SELECT domowf_enqueue('shaped')});
until_true('SELECT count(*) = 1 FROM domowf.returns', 'another function is to be told');
$session->value('DROP FUNCTION told.shape;' . sprintf $shape, 'SETOF int');
$session->configure('domowf.returns', 'on');
until_true(q{SELECT error = 'function told.shape(domowf.request) is no function of this kind any more' FROM domowf.return_entry},
	'one that returns a set by then is a failed return');
$session->value('DROP FUNCTION told.shape;' . sprintf $shape, 'int');
$session->value(q{UPDATE domowf.return_entry SET target = translate(target, ':', '/'), due = now()});
until_true(q{SELECT error = 'what is to be called cannot be read: "function/told.shape(domowf.request)"' FROM domowf.return_entry},
	'... and so is one that cannot be read');
$session->value(q{UPDATE domowf.return_entry SET target = translate(target, '/', ':'), due = now()});
until_returned();

# one that somebody holds, for one owner, keeps no other
my $held = Domowf->session($node);
$session->configure('domowf.returns', 'off');
Domowf->until_taken_up($node) or die 'not taken up';
$session->value(q{SELECT domowf_enqueue('telling')});
until_true('SELECT count(*) = 1 FROM domowf.returns', 'one is to be told');
$held->value('BEGIN; SELECT domowf_retry_return(request_id) FROM domowf.returns');
$session->configure('domowf.returns', 'on');
as_owner(q{INSERT INTO own.orders (id) VALUES (30)});
until_true(q{SELECT state = 'done' FROM own.orders WHERE id = 30}, 'an entry that somebody holds keeps no other owner waiting');
is($session->value('SELECT count(*) FROM domowf.returns'), 1, '... and is there');
$held->value('COMMIT');
until_returned();
is($session->value(q{SELECT count(*), count(DISTINCT id) FROM told.heard WHERE workflow = 'telling'}), '3|3', '... told when it is free, once');
$held->quit;

# what fails is tried again when it is due, however seldom the worker looks
$session->configure('domowf.poll_interval', '1h');
as_owner('CREATE TABLE own.seldom (id int PRIMARY KEY, state text CHECK (state IS NULL));
	CREATE TRIGGER go AFTER INSERT ON own.seldom FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger(\'good\', \'n=id\', \'state<-state\');
	INSERT INTO own.seldom VALUES (1)');
until_true('SELECT count(*) = 1 FROM domowf.returns WHERE tries >= 2', 'what fails is tried again');
as_owner('ALTER TABLE own.seldom DROP CONSTRAINT seldom_state_check');
until_true('SELECT state = \'done\' FROM own.seldom', '... until it is mended');
$session->configure('domowf.poll_interval', '200ms');
until_returned();

# a function that has its own request sent again ends by its depth
$session->value(<<'END');
SET ROLE teller;
CREATE FUNCTION told.again(r domowf.request) RETURNS void LANGUAGE plpgsql AS
	$$BEGIN IF r.state = 'rejected' THEN PERFORM public.domowf_retry(r.id); END IF; END$$;
RESET ROLE;
GRANT EXECUTE ON FUNCTION domowf_retry(bigint) TO teller;
END
$teller->value(q{INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)
	VALUES ('again', 'scenario:status:400', '1.0.0', 's', 'told.again(domowf.request)')});
my $again = $teller->value(q{SELECT domowf_enqueue('again')});
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE error LIKE 'over 100 requests come of each other%'},
	'a function that has its own request sent again ends');
is($session->value("SELECT depth FROM domowf.log WHERE id = $again"), 100, '... by its depth');
$session->value(q{UPDATE domowf.workflow SET on_settled = NULL WHERE name = 'again'; DROP FUNCTION told.again});
$session->value('DELETE FROM domowf.return_entry');

# ---- what is said of one that is under way, and of those that come behind it

sub check
{
	return $session->value(q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'returns'});
}

$session->configure('domowf.return_timeout', '10min');
$session->configure('domowf.stall_after', '300ms');
$holder->value('SELECT pg_advisory_lock(77)');
as_owner(<<'END');
CREATE TABLE own.slow (id int PRIMARY KEY, state text);
CREATE FUNCTION own.wait() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN PERFORM pg_advisory_xact_lock(77); RETURN NULL; END';
CREATE TRIGGER go AFTER INSERT ON own.slow FOR EACH ROW
	EXECUTE FUNCTION public.domowf_trigger('good', 'n=id', 'state<-state');
CREATE TRIGGER wait AFTER UPDATE ON own.slow FOR EACH ROW EXECUTE FUNCTION own.wait();
INSERT INTO own.slow VALUES (1), (2)
END
until_true(q{SELECT count(*) FILTER (WHERE tries = 1) = 1 AND count(*) FILTER (WHERE tries = 0) = 1
	AND max(due) FILTER (WHERE tries = 0) < clock_timestamp() - interval '1 s' FROM domowf.return_entry},
	'one is under way, another one comes behind it');
is($session->value(q{SELECT value FROM domowf_metrics() WHERE name = 'domowf_returns_failing'}), 0, '... none is told as failing');
is($session->value('SELECT count(*) FROM domowf.returns WHERE error IS NOT NULL'), 0, '... nor shown with an error');
is(check(), 't|nothing that is to be written back or called fails', '... domowf_check() sees the process that is at it');
$holder->value('SELECT pg_advisory_unlock(77)');
until_returned();

# ---- without a worker, and in a copy: what is in the way is told in their row

$session->configure('domowf.returns', 'off');
ok(Domowf->until_taken_up($node), 'nothing is returned from now on');
as_owner('INSERT INTO own.slow VALUES (3)');
until_true('SELECT count(*) = 1 FROM domowf.return_entry', 'an outcome is kept');
like(check(), qr/^f\|domowf\.returns is off/, '... by domowf.returns');
$_->quit foreach $session, $app, $teller, $holder;
$node->safe_psql('template1', 'CREATE DATABASE copy TEMPLATE postgres');
$session = Domowf->session($node);
$session->set_worker('off');
$session->configure('domowf.returns', 'on');
my $waits = 'f|1 outcomes wait for the worker: see row "worker"';
until_true(q{SELECT min(due) < clock_timestamp() - interval '1 s' FROM domowf.return_entry}, 'it waits for the worker');
is(check(), $waits, '... domowf_check() says where to look');
$session->set_worker('on');
until_returned();
is(check(), 't|nothing that is to be written back or called fails', '... until it is on');
ok($node->poll_query_until('copy', q{SELECT state = 'paused' FROM domowf.worker}), 'a copy');
is($node->safe_psql('copy', q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'returns'}), $waits,
	'... domowf_check() says where to look there, too');

is($domo->violations, 0, 'Domo has nothing to complain of');
done_testing();
