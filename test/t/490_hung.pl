
# What hangs on domowf's tables is seen by rows that C code writes: triggers that
# fire always, checks, indexes, publications; or the table is refused by name,
# before anything is sent or stored.  Exists because pg_repack, which follows a
# table by such a trigger, lost requests and started others twice.

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
END
my $session = Domowf->session($node);
my ($got, $id, @ids);

sub value { return $session->value($_[0]); }

sub outcome { return $session->outcome(@_); }

sub check
{
	my ($name) = @_;

	return value("SELECT ok, detail FROM domowf_check() WHERE check_name = '$name'");
}

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it'),
	('gated', 'scenario:gate-executed:way', '1.0.0', 'Start it');
CREATE TABLE seen (n serial, line text, worker boolean);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	row jsonb := CASE WHEN TG_LEVEL = 'ROW' THEN to_jsonb(coalesce(NEW, OLD)) END;
BEGIN
	INSERT INTO public.seen (line, worker) VALUES (concat_ws(' ', TG_TABLE_NAME, TG_WHEN,
		TG_OP, coalesce(row->>'state', row->>'outcome', row->>'key')),
		pg_backend_pid() = (SELECT pid FROM domowf.worker));
	RETURN coalesce(NEW, OLD);
END $$
END

# What was seen since the last time.
sub seen
{
	my ($where) = @_;

	return join ', ', split /\n/,
	  value('WITH d AS (DELETE FROM seen RETURNING *) SELECT line FROM d '
		  . ($where ? "WHERE $where " : '')
		  . 'ORDER BY n');
}

sub hang
{
	my ($table, $when, $each, $how) = @_;

	value(sprintf q{CREATE TRIGGER hung_%s %s INSERT OR UPDATE OR DELETE ON domowf.%s
		FOR EACH %s EXECUTE FUNCTION see()}, lc $when, $when, $table, $each);
	value(sprintf 'ALTER TABLE domowf.%s ENABLE %s TRIGGER hung_%s', $table, $how,
		lc $when);
	return;
}

sub take_down
{
	my ($table) = @_;

	value("DROP TRIGGER IF EXISTS hung_$_ ON domowf.$table") foreach qw(before after);
	return;
}

# ---- all that is written, by a session and by the worker

foreach my $how (qw(ALWAYS REPLICA))
{
	foreach my $table (qw(queue log key))
	{
		hang($table, $_, 'ROW', $how) foreach qw(BEFORE AFTER);
	}
	value('SELECT domowf_pause()');
	$id = $session->enqueue('it', 1, key => "'$how'");
	is(seen(), join(', ',
			"key BEFORE INSERT $how", "key AFTER INSERT $how",
			'queue BEFORE INSERT queued', 'queue AFTER INSERT queued'),
		"ENABLE $how: an enqueued request is seen");
	value('SELECT domowf_resume()');
	is(outcome($id), 'done', '... sent');
	is(seen('worker'), join(', ',
			'queue BEFORE UPDATE sending', 'queue AFTER UPDATE sending',
			'log BEFORE INSERT done', 'log AFTER INSERT done',
			'queue BEFORE DELETE sending', 'queue AFTER DELETE sending'),
		'... claimed and settled');
	$id = $session->enqueue('refused', 1, key => "'r$how'");
	is(outcome($id), 'rejected', 'a rejected one');
	like(seen('worker'),
		qr/queue AFTER DELETE sending, key BEFORE DELETE r$how, key AFTER DELETE r$how$/,
		'... gives its key back');
	value(Domowf->start_sql('model'));
	is(seen(), 'log BEFORE INSERT done, log AFTER INSERT done', 'a call is logged');
	take_down($_) foreach qw(queue log key);
}

# ---- what cannot be served is refused by name, before anything is stored or sent

my %sql = (
	enqueue => q{SELECT domowf_enqueue('it', '{"n": "refused"}', key => 'refused')},
	call => Domowf->start_sql('model', '{"n": "refused"}'));
value('CREATE TABLE place (id bigint PRIMARY KEY, request bigint, UNIQUE (request));'
	  . ' CREATE FOREIGN DATA WRAPPER mine; CREATE SERVER mine FOREIGN DATA WRAPPER mine');
my @refused = (
	[ 'foreign key to the queue',
		'ALTER TABLE place ADD CONSTRAINT mine FOREIGN KEY (request) REFERENCES domowf.queue',
		'ALTER TABLE place DROP CONSTRAINT mine',
		'constraint mine on table place would be broken by what is done to table domowf.queue' ],
	[ 'foreign key to the log',
		'ALTER TABLE place ADD CONSTRAINT mine FOREIGN KEY (request) REFERENCES domowf.log',
		'ALTER TABLE place DROP CONSTRAINT mine',
		'constraint mine on table place would be broken by what is done to table domowf.log' ],
	[ 'foreign key to keys',
		'ALTER TABLE place ADD s text, ADD k text,'
		  . ' ADD CONSTRAINT mine FOREIGN KEY (s, k) REFERENCES domowf.key',
		'ALTER TABLE place DROP s, DROP k',
		'constraint mine on table place would be broken by what is done to table domowf.key' ],
	map({ my $table = $_;
		[ "foreign key from domowf.$table",
			"ALTER TABLE domowf.$table ADD mine bigint REFERENCES place (request)",
			"ALTER TABLE domowf.$table DROP mine",
			"constraint ${table}_mine_fkey on table domowf.$table"
			  . " would be broken by what is done to table domowf.$table" ],
		[ "deferrable constraint of domowf.$table",
			"ALTER TABLE domowf.$table ADD mine int UNIQUE DEFERRABLE",
			"ALTER TABLE domowf.$table DROP mine",
			"constraint ${table}_mine_key on table domowf.$table"
			  . " would not be checked where table domowf.$table is written" ],
		[ "deferrable exclusion of domowf.$table",
			"ALTER TABLE domowf.$table ADD CONSTRAINT mine"
			  . ' EXCLUDE USING btree (key WITH =) INITIALLY DEFERRED',
			"ALTER TABLE domowf.$table DROP CONSTRAINT mine",
			"constraint mine on table domowf.$table"
			  . " would not be checked where table domowf.$table is written" ],
		[ "NOT NULL of domowf.$table",
			"ALTER TABLE domowf.$table ADD mine int NOT NULL DEFAULT 1",
			"ALTER TABLE domowf.$table DROP mine",
			qq{column "mine" of table domowf.$table is NOT NULL} ],
		[ "generated column of domowf.$table",
			"ALTER TABLE domowf.$table ADD mine int GENERATED ALWAYS AS (1) STORED",
			"ALTER TABLE domowf.$table DROP mine",
			qq{column "mine" of table domowf.$table has a default} ],
		[ "rule on domowf.$table",
			"CREATE RULE mine AS ON INSERT TO domowf.$table DO ALSO NOTIFY mine;"
			  . " ALTER TABLE domowf.$table ENABLE REPLICA RULE mine",
			"DROP RULE mine ON domowf.$table",
			"rule mine on table domowf.$table would change what is done to table domowf.$table" ],
		[ "rows of domowf.$table hidden from its owner",
			"ALTER TABLE domowf.$table OWNER TO boss, FORCE ROW LEVEL SECURITY",
			"ALTER TABLE domowf.$table NO FORCE ROW LEVEL SECURITY, OWNER TO CURRENT_USER",
			"table domowf.$table hides rows from its owner" ],
		[ "unlogged domowf.$table",
			"ALTER TABLE domowf.$table SET UNLOGGED",
			"ALTER TABLE domowf.$table SET LOGGED",
			"table domowf.$table is not safe in a crash" ],
		[ "child of domowf.$table",
			"CREATE TABLE mine () INHERITS (domowf.$table)",
			'DROP TABLE mine',
			"table domowf.$table inherits, or is inherited from" ],
		[ "partitioned domowf.$table",
			"ALTER EXTENSION domowf DROP TABLE domowf.$table;"
			  . " ALTER TABLE domowf.$table RENAME TO real;"
			  . " CREATE TABLE domowf.$table (LIKE domowf.real) PARTITION BY LIST (key);"
			  . " ALTER EXTENSION domowf ADD TABLE domowf.$table",
			"ALTER EXTENSION domowf DROP TABLE domowf.$table; DROP TABLE domowf.$table;"
			  . " ALTER TABLE domowf.real RENAME TO $table;"
			  . " ALTER EXTENSION domowf ADD TABLE domowf.$table",
			"table domowf.$table is not an ordinary table" ],
	} qw(queue log key)),
	[ 'unlogged domowf.workflow_input',
		'ALTER TABLE domowf.workflow_input SET UNLOGGED',
		'ALTER TABLE domowf.workflow_input SET LOGGED',
		'table domowf.workflow_input is not safe in a crash' ],
	map({ in_place($_, 'FOREIGN TABLE'), in_place($_, 'VIEW') }
		qw(queue log key workflow)));

# Another kind of relation in a table's place, as a member of the extension.
sub in_place
{
	my ($table, $kind) = @_;
	my $made = $kind eq 'VIEW' ? 'CREATE VIEW domowf.%1$s AS SELECT * FROM domowf.real'
	  : 'CREATE FOREIGN TABLE domowf.%1$s (%2$s) SERVER mine';

	return [ "\L$kind\E domowf.$table",
		sprintf("ALTER EXTENSION domowf DROP TABLE domowf.%1\$s; ALTER TABLE domowf.%1\$s RENAME TO real; $made;"
			  . " ALTER EXTENSION domowf ADD $kind domowf.%1\$s", $table, columns($table)),
		"ALTER EXTENSION domowf DROP $kind domowf.$table; DROP $kind domowf.$table;"
		  . " ALTER TABLE domowf.real RENAME TO $table; ALTER EXTENSION domowf ADD TABLE domowf.$table",
		"table domowf.$table is not an ordinary table" ];
}

sub columns
{
	my ($table) = @_;

	return value("SELECT string_agg(format('%I %s', attname, format_type(atttypid, atttypmod)), ', '
		ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'domowf.$table'::regclass
		AND attnum > 0 AND NOT attisdropped");
}

value('CREATE ROLE boss');
foreach my $case (@refused)
{
	my ($name, $do, $undo, $fault) = @$case;
	my ($table) = $fault =~ /domowf\.(\w+)(?!.*domowf\.)/;

	value($do);
	foreach my $what (sort keys %sql)
	{
		next if $what eq 'call' && $table ne 'log';
		next if $what eq 'enqueue' && $table eq 'log';
		$got = $session->run($sql{$what});
		is($got->{sqlstate}, '55000', "$name: refused: $what");
		like($got->{message}, qr/^\Q$fault\E/, '... by name');
	}
	like(check('objects'), qr/^f\|\Q$fault\E.*: \S/, '... domowf_check() says so, and what to do');
	value($undo);
}
is($domo->arrived('refused'), 0, 'nothing of it was sent');

# a table that the worker alone reads keeps nobody from asking, but is not served
value('ALTER TABLE domowf.state SET UNLOGGED');
$id = $session->enqueue('it', 'without state');
like(check('objects'), qr/^f\|table domowf\.state is not safe in a crash.*SET LOGGED/,
	'unlogged domowf.state: domowf_check() says so');
ok($node->poll_query_until('postgres',
		q{SELECT pause_reason ~ 'domowf.state is not safe' FROM domowf.worker}), '... so does the worker');
is($session->request($id), 'queued', '... and nothing is sent');
value('ALTER TABLE domowf.state SET LOGGED');
is(outcome($id), 'done', '... until it is mended');
is(check('objects') =~ s/\|.*//sr, 't', 'nothing is wrong in the end');
is(outcome($session->enqueue('it', 2)), 'done', '... and requests are sent');

# ---- a claim that a check refuses, more of them than can be in flight

my $bad = q{request->'data'->>'n' = 'bad'};

sub states { return join ' ', map { value("SELECT state FROM domowf.request WHERE id = $_") } @_; }

# Some that are refused, and what comes behind them.
sub others_go
{
	my ($name) = @_;
	my @bad = map { $session->enqueue('it', 'bad') } 1 .. 10;
	my @good = map { $session->enqueue('it', $_) } 1 .. 10;

	is(join(' ', map { outcome($_) } @good), join(' ', ('done') x 10),
		"$name: keeps no other from being sent");
	is(states(@bad), join(' ', ('queued') x 10), '... waits');
	return @bad;
}

value(qq{ALTER TABLE domowf.queue ADD CONSTRAINT mine CHECK (state <> 'sending' OR NOT $bad)});
@ids = others_go('a claim that a check refuses');
ok( $node->poll_query_until('postgres',
		q{SELECT count(*) = 10 FROM domowf.request WHERE error ~ 'cannot be claimed: .*violates check constraint "mine"'}),
	'... and says why');
like(value('SELECT last_error FROM domowf.worker'), qr/cannot be claimed: .*"mine"/,
	'... the worker, too');
is($domo->arrived('bad'), 0, '... none is sent');
value('ALTER TABLE domowf.queue DROP CONSTRAINT mine');
value("SELECT domowf_retry($_)") foreach @ids;
is(join(' ', map { outcome($_) } @ids), join(' ', ('done') x 10), '... until it is mended');
is($domo->arrived('bad'), 10, '... once each');

# ---- the same by a trigger that refuses whatever is done to the row

value(<<"END");
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	RAISE 'not this one';
END \$\$;
CREATE TRIGGER mine BEFORE UPDATE ON domowf.queue FOR EACH ROW
	WHEN (NEW.request->'data'->>'n' = 'bad') EXECUTE FUNCTION refuse();
ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER mine
END
@ids = others_go('one that a trigger refuses');
like(value('SELECT last_error FROM domowf.worker'), qr/cannot be claimed: not this one/,
	'... and says why');
value('DROP TRIGGER mine ON domowf.queue');
is(join(' ', map { outcome($_) } @ids), join(' ', ('done') x 10), '... until it is mended');

# ---- BEFORE triggers: what domowf writes is not theirs to change

value('CREATE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$');

sub before
{
	my ($table, $event, $body) = @_;

	value("DROP TRIGGER IF EXISTS mine ON domowf.$_") foreach qw(queue log key);
	value("CREATE OR REPLACE FUNCTION mine() RETURNS trigger LANGUAGE plpgsql AS \$f\$ BEGIN $body END \$f\$");
	value("CREATE TRIGGER mine BEFORE $event ON domowf.$table FOR EACH ROW EXECUTE FUNCTION mine();"
		  . " ALTER TABLE domowf.$table ENABLE ALWAYS TRIGGER mine");
	return;
}

foreach my $case (
	[ 'RETURN NULL;', 'suppresses what domowf writes' ],
	[ 'NEW.id := NEW.id + 1000000; RETURN NEW;', 'changes column "id", which is domowf\'s' ],
	[ q{NEW.state := 'in_doubt'; RETURN NEW;}, 'changes column "state", which is domowf\'s' ])
{
	my ($body, $fault) = @$case;
	my $before = $domo->record;

	before('queue', 'INSERT', $body);
	$got = $session->run($sql{enqueue});
	is($got->{sqlstate}, '27000', "BEFORE INSERT: $body");
	like($got->{message}, qr/^a trigger on domowf.queue \Q$fault\E/, '... is refused by name');
	value('DROP TRIGGER mine ON domowf.queue');
	before('queue', 'UPDATE', "IF NEW.state = 'sending' THEN $body END IF; RETURN NEW;");
	$id = $session->enqueue('it', 3);
	ok( $node->poll_query_until('postgres',
			qq{SELECT error LIKE '%cannot be claimed: a trigger on domowf.queue $fault'
				FROM domowf.request WHERE id = $id} =~ s/(domowf)'s'/$1''s'/r),
		'... UPDATE: a claim is not believed');
	is(scalar $domo->record, $before, '... and nothing sent');
	value("DROP TRIGGER mine ON domowf.queue; SELECT domowf_retry($id)");
	is(outcome($id), 'done', '... until it is gone');
}
before('key', 'INSERT', q{NEW.key := 'other'; RETURN NEW;});
is($session->run($sql{enqueue})->{sqlstate}, '27000', 'a changed key is refused');
before('queue', 'DELETE', 'RETURN NULL;');
is(outcome($session->enqueue('it', 4)), 'in_doubt', 'a removal that is suppressed: in doubt');
like(value(q{SELECT error FROM domowf.request WHERE state = 'in_doubt'}),
	qr/cannot be written: a trigger on domowf.queue suppresses/, '... and says why');
value('DROP TRIGGER mine ON domowf.queue; SELECT domowf_discard(id) FROM domowf.queue');

# a row that a trigger changes, or removes, itself
foreach my $case (
	[ 'UPDATE', 'UPDATE domowf.queue SET error = NULL WHERE id = NEW.id; RETURN NEW;' ],
	[ 'UPDATE', 'DELETE FROM domowf.queue WHERE id = NEW.id; RETURN NEW;' ],
	[ 'DELETE', 'UPDATE domowf.queue SET error = NULL WHERE id = OLD.id; RETURN OLD;' ])
{
	my ($event, $body) = @$case;
	my $fault = 'a trigger on domowf.queue changes the row for which it fires';

	my $row = $event eq 'UPDATE' ? 'NEW' : 'OLD';

	before('queue', $event,
		"IF pg_trigger_depth() = 1 AND $row.state = 'sending' THEN $body END IF; RETURN $row;");
	$id = $session->enqueue('it', 'changed');
	if ($event eq 'UPDATE')
	{
		ok( $node->poll_query_until('postgres',
				"SELECT error LIKE '%cannot be claimed: $fault' FROM domowf.request WHERE id = $id"),
			"BEFORE $event: $body: a claim is refused by name");
		$got = $domo->arrived('changed');
	}
	else
	{
		is(outcome($id), 'in_doubt', "BEFORE $event: $body: in doubt");
		like(value("SELECT error FROM domowf.request WHERE id = $id"),
			qr/cannot be written: $fault/, '... and says why');
		$got = $domo->arrived('changed') - 1;
	}
	is($got, 0, '... nothing is sent because of it');
	value("SELECT domowf_discard($id); DROP TRIGGER mine ON domowf.queue");
}

# what somebody has added it may fill
value('ALTER TABLE domowf.log ADD mine text; ALTER TABLE domowf.queue ADD mine text;'
	  . ' ALTER TABLE domowf.key ADD mine text');
before('key', 'INSERT', q{NEW.mine := TG_OP; RETURN NEW;});
$id = $session->enqueue('it', 5, key => q{'filled'});
is(value(q{SELECT mine FROM domowf.key WHERE key = 'filled'}), 'INSERT', 'columns of others are filled: key');
is($session->enqueue('it', 5, key => q{'filled'}), $id, '... and the key is held');
before('log', 'INSERT', q{NEW.mine := NEW.outcome; RETURN NEW;});
$id = $session->enqueue('it', 5);
outcome($id);
is(value("SELECT mine FROM domowf.log WHERE id = $id"), 'done', '... log');
$got = value(Domowf->start_sql('model'));
is(value("SELECT mine FROM domowf.log WHERE instance_id = '$got'"), 'done', '... of a call, too');
before('queue', 'INSERT OR UPDATE', q{NEW.mine := concat(NEW.mine, NEW.state); RETURN NEW;});
value(q{CREATE TABLE mines (line text); CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql
	AS $$ BEGIN INSERT INTO public.mines VALUES (OLD.mine); RETURN NULL; END $$;
	CREATE TRIGGER keep AFTER DELETE ON domowf.queue FOR EACH ROW EXECUTE FUNCTION keep();
	ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER keep});
outcome($session->enqueue('it', 5));
is(value('SELECT line FROM mines'), 'queuedsending', '... queue');
value('DROP TRIGGER keep ON domowf.queue');
before('log', 'INSERT', 'RETURN NEW;');
value('DROP TRIGGER mine ON domowf.log; ALTER TABLE domowf.log DROP mine;'
	  . ' ALTER TABLE domowf.queue DROP mine; ALTER TABLE domowf.key DROP mine');

# ---- a trigger that raises where an outcome is written

value('CREATE TRIGGER mine AFTER INSERT ON domowf.log FOR EACH ROW'
	  . q{ WHEN (NEW.request->'data'->>'n' = 'bad') EXECUTE FUNCTION refuse();}
	  . ' ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine');
@ids = map { $session->enqueue('it', 'bad') } 1 .. 10;
is(outcome($session->enqueue('it', 6)), 'done', 'an outcome that a trigger refuses keeps no other');
is(join(' ', map { outcome($_) } @ids), join(' ', ('in_doubt') x 10), '... is in doubt');
like(value("SELECT error FROM domowf.request WHERE id = $ids[0]"),
	qr/^Its outcome \(done\) cannot be written: not this one/, '... and says why');
$got = $session->run(Domowf->start_sql('model', '{"n": "bad"}'));
is($got->{sqlstate}, '', 'a call that it refuses has succeeded');
like($got->{warnings}[0]{message}, qr/is not in domowf.log: not this one/, '... with a warning');
value('DROP TRIGGER mine ON domowf.log; SELECT domowf_discard(id) FROM domowf.queue');

# a check applies to calls as well
value(q{ALTER TABLE domowf.log ADD CONSTRAINT mine CHECK (origin <> 'call') NOT VALID});
$got = $session->run(Domowf->start_sql('model'));
like("$got->{sqlstate} $got->{warnings}[0]{message}",
	qr/^ .*is not in domowf.log: .*"mine"/, 'a check of the log applies to calls');
value('ALTER TABLE domowf.log DROP CONSTRAINT mine');
value(q{ALTER TABLE domowf.key ADD CONSTRAINT mine CHECK (key <> 'no') NOT VALID});
is($session->run(q{SELECT domowf_enqueue('it', key => 'no')})->{sqlstate}, '23514',
	'... one of keys to keys');
value('ALTER TABLE domowf.key DROP CONSTRAINT mine');

# ---- FOR EACH STATEMENT, transition tables, UPDATE OF, WHEN

value(<<'END');
CREATE FUNCTION see_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.seen (line)
		SELECT concat_ws(' ', TG_TABLE_NAME, TG_OP, string_agg(n.state, ','))
		FROM now_there n;
	RETURN NULL;
END $$;
CREATE TRIGGER all_new AFTER INSERT ON domowf.queue REFERENCING NEW TABLE AS now_there
	FOR EACH STATEMENT EXECUTE FUNCTION see_all();
CREATE TRIGGER all_changed AFTER UPDATE ON domowf.queue REFERENCING NEW TABLE AS now_there
	OLD TABLE AS were_there FOR EACH STATEMENT EXECUTE FUNCTION see_all();
CREATE TRIGGER moved AFTER UPDATE OF state ON domowf.queue FOR EACH ROW
	WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION see();
CREATE TRIGGER others AFTER UPDATE OF run_at, request ON domowf.queue FOR EACH ROW
	EXECUTE FUNCTION see();
CREATE TRIGGER first BEFORE DELETE ON domowf.queue EXECUTE FUNCTION see();
ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER all_new, ENABLE ALWAYS TRIGGER all_changed,
	ENABLE ALWAYS TRIGGER moved, ENABLE ALWAYS TRIGGER others, ENABLE ALWAYS TRIGGER first
END
seen();
outcome($session->enqueue('it', 7));
# the worker's own statements, at each poll, fire one of these for no row
is(seen() =~ s/queue BEFORE DELETE, //gr,
	'queue INSERT queued, queue AFTER UPDATE sending, queue UPDATE sending, queue BEFORE DELETE',
	'triggers for each statement, with transition tables, for columns, with a condition');
value("DROP TRIGGER $_ ON domowf.queue") foreach qw(all_new all_changed moved others first);

# ---- ordinary ones fire for none, whoever may hang them there, and are told of

value('CREATE ROLE guest; GRANT ALL ON domowf.log TO guest; GRANT USAGE ON SCHEMA domowf TO guest;'
	  . ' GRANT CREATE ON SCHEMA public TO guest; SET ROLE guest');
value(q{CREATE FUNCTION guests() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN RAISE 'ran as %', current_user; END $$;
	CREATE TRIGGER mine AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION guests();
	RESET ROLE});
is($session->run(Domowf->start_sql('model'))->{sqlstate}, '', "an ordinary trigger does not fire");
is(outcome($session->enqueue('it', 8)), 'done', '... in the worker');
like(check('triggers'), qr/^f\|trigger mine of domowf.log does not fire for what domowf writes: /,
	'... domowf_check() says so');
value('ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine');
$got = $session->run(Domowf->start_sql('model'));
like("$got->{sqlstate} $got->{message}",
	qr/^55000 table domowf.log: trigger mine on table domowf.log needs function .*of "guest"/,
	"one that always fires, with somebody's function, is refused");
value('DROP TRIGGER mine ON domowf.log');
is(check('triggers') =~ s/\|.*//sr, 't', '... undone');

value('CREATE RULE mine AS ON INSERT TO domowf.log DO ALSO NOTIFY mine');
is(outcome($session->enqueue('it', 9)), 'done', 'an ordinary rule keeps nothing either');
is(check('triggers'), 'f|a rule on domowf.log does not apply to what domowf writes: drop it', '... domowf_check() says so');
value('DROP RULE mine ON domowf.log');
is(check('triggers') =~ s/\|.*//sr, 't', '... undone, too');

# ---- nothing of the caller's runs with the owner's rights

value(<<'END');
CREATE TABLE ran (who text, path text);
CREATE FUNCTION careless() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM lower('x'), count(*) FROM (VALUES (1)) v;
	INSERT INTO public.ran VALUES (current_user, current_setting('search_path'));
	RETURN NULL;
END $$;
CREATE FUNCTION careless(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
	RETURN lower($1) IS NOT NULL OR true;
END $$;
CREATE TRIGGER mine AFTER INSERT ON domowf.queue FOR EACH ROW EXECUTE FUNCTION careless();
ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER mine;
ALTER TABLE domowf.queue ADD CONSTRAINT mine CHECK (careless(operation));
CREATE SCHEMA trap AUTHORIZATION guest;
GRANT EXECUTE ON FUNCTION domowf_enqueue TO guest;
SET ROLE guest;
CREATE FUNCTION trap.lower(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	ALTER ROLE guest SUPERUSER;
	RETURN $1;
END $$;
SET search_path = trap, pg_catalog, public
END
$id = value(q{SELECT domowf_enqueue('it')});
is(value('SHOW search_path'), 'trap, pg_catalog, public', "the caller's search_path stays his");
value('RESET search_path; RESET ROLE');
is(outcome($id), 'done', 'a careless trigger and check');
is(value(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'guest'}), 'f',
	"... find nothing of the caller's");
is(value('SELECT DISTINCT who = current_user, path FROM ran'), 't|pg_catalog, pg_temp',
	"... and run with the rights of the table's owner");
$session->value('BEGIN; SET CONSTRAINTS ALL DEFERRED');
value('DROP TRIGGER mine ON domowf.queue; ALTER TABLE domowf.queue DROP CONSTRAINT mine;'
	  . ' ROLLBACK');
value('DROP TRIGGER mine ON domowf.queue; ALTER TABLE domowf.queue DROP CONSTRAINT mine');

# one that may be deferred fires at once, whoever defers it
value('CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON domowf.queue DEFERRABLE FOR EACH ROW'
	  . ' EXECUTE FUNCTION see(); ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER mine');
seen();
value('BEGIN; SET CONSTRAINTS ALL DEFERRED');
$id = $session->enqueue('it', 9);
is(seen(), 'queue AFTER INSERT queued', 'a constraint trigger that somebody defers fires at once');
value('COMMIT; DROP TRIGGER mine ON domowf.queue');
is(outcome($id), 'done', '... and nothing is left for the commit');

# ---- transactions and savepoints

hang('queue', 'AFTER', 'ROW', 'ALWAYS');
seen();
value('BEGIN; SAVEPOINT a');
$session->enqueue('it', 'undone');
value('ROLLBACK TO a');
$id = $session->enqueue('it', 10);
is(seen(), 'queue AFTER INSERT queued', 'what a savepoint takes back was not seen');
value('COMMIT');
is(outcome($id), 'done', '... the rest is sent');
$session->value('BEGIN ISOLATION LEVEL SERIALIZABLE');
$id = $session->enqueue('it', 11, key => q{'serial'});
value('COMMIT');
is(outcome($id), 'done', 'a serializable transaction');
take_down('queue');

# ---- a request that is asked for when one is settled

value(<<'END');
CREATE FUNCTION next() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	PERFORM public.domowf_enqueue('it', '{"n": "next"}');
	RETURN NULL;
END $$;
CREATE TRIGGER mine AFTER INSERT ON domowf.log FOR EACH ROW
	WHEN (NEW.request->'data'->>'n' = 'first') EXECUTE FUNCTION next();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine
END
outcome($session->enqueue('it', 'first'));
ok($node->poll_query_until('postgres', q{SELECT count(*) = 1 FROM domowf.log
	WHERE request->'data'->>'n' = 'next'}), 'a trigger of the log asks for the next start');
value('DROP TRIGGER mine ON domowf.log');

# ---- old rows, and what a dead worker left

value(q{CREATE TRIGGER mine BEFORE DELETE ON domowf.log FOR EACH ROW
	WHEN (OLD.request->'data'->>'n' = 'bad') EXECUTE FUNCTION refuse();
	ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine;
	UPDATE domowf.log SET settled_at = now() - interval '31 d'
	WHERE origin = 'request'});
$got = value(q{SELECT count(*) FROM domowf.log WHERE request->'data'->>'n' = 'bad'
	AND settled_at < now() - interval '30 d'});
ok( $node->poll_query_until('postgres',
		"SELECT count(*) = $got FROM domowf.log WHERE settled_at < now() - interval '30 d'"),
	'old rows that a trigger keeps keep no other');
cmp_ok($got, '>', 0, '... of which there are some');
is( outcome($session->enqueue('it', 12, run_at => q{now() + interval '1 h'},
			expires_at => q{now() + interval '100 ms'})),
	'expired', '... nor what else there is to do');
value('DROP TRIGGER mine ON domowf.log');

@ids = map { $session->enqueue('gated', $_) } ('bad', 'stays');
$domo->wait_for(held => 2);
value(q{CREATE TRIGGER mine BEFORE UPDATE ON domowf.queue FOR EACH ROW
	WHEN (NEW.request->'data'->>'n' = 'bad') EXECUTE FUNCTION refuse();
	ALTER TABLE domowf.queue ENABLE ALWAYS TRIGGER mine});
my $pid = value('SELECT pid FROM domowf.worker');
$node->stop('immediate');
$node->start;
$session->quit;
$session = Domowf->session($node);
is(outcome($ids[1]), 'in_doubt', 'what a dead worker left is in doubt');
is(states($ids[0]), 'sending', '... but for what a trigger refuses');
is(outcome($session->enqueue('it', 13)), 'done', '... which keeps no other from being sent');
value('DROP TRIGGER mine ON domowf.queue');
ok($node->poll_query_until('postgres',
		"SELECT state = 'in_doubt' FROM domowf.request WHERE id = $ids[0]"),
	'... and is in doubt when it is mended');
$domo->release('way');
value('SELECT domowf_discard(id) FROM domowf.queue');

# ---- a call that would be made again with the transaction

value(q{CREATE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		PERFORM public.domowf_start('it', '{"n": "called by a trigger"}');
		RETURN NULL;
	END $$;
	CREATE TRIGGER mine AFTER INSERT ON domowf.log FOR EACH ROW
		WHEN (NEW.origin = 'request') EXECUTE FUNCTION calls();
	ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine});
$id = $session->enqueue('it', 'it would call');
is(outcome($id), 'in_doubt', 'a trigger that calls Domo in the worker is refused');
like(value("SELECT error FROM domowf.request WHERE id = $id"),
	qr/worker cannot call Domo/, '... the request says so');
is($domo->arrived('called by a trigger'), 0, '... nothing is called');
value(q{CREATE OR REPLACE FUNCTION calls() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
		IF NEW.request->'data'->>'n' = 'it asks' THEN
			PERFORM public.domowf_enqueue('it', '{"n": "asked by a trigger"}');
		END IF;
		RETURN NULL;
	END $$});
is(outcome($session->enqueue('it', 'it asks')), 'done', 'one that enqueues is not');
ok($node->poll_query_until('postgres',
		q{SELECT count(*) = 1 FROM domowf.log WHERE request->'data'->>'n' = 'asked by a trigger' AND outcome = 'done'}),
	'... what it asked for is sent');
value('DROP TRIGGER mine ON domowf.log');
value('SELECT domowf_discard(id) FROM domowf.queue');

# ---- published rows: what a subscriber could not tell apart

value('CREATE PUBLICATION mine FOR TABLE domowf.queue; ALTER TABLE domowf.queue REPLICA IDENTITY NOTHING');
$got = $session->run($sql{enqueue});
like("$got->{sqlstate} $got->{message}", qr/^55000 .*"queue" because it does not have a replica identity/,
	'rows that are published without an identity are refused');
like(check('tables'), qr/^f\|.*"queue" because it does not have a replica identity/,
	'... domowf_check() says so');
value('ALTER TABLE domowf.queue REPLICA IDENTITY DEFAULT');
is(outcome($session->enqueue('it', 14)), 'done', '... with one they are not');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
