
# Who may change a row of somebody's, and no more, gets nothing by it: he does not
# write into the owner's columns by saying what came of the request, has no
# instance read that he may not read, reads no other column in an error, and none
# of his code runs as a superuser because something is written back. Exists since
# each of these worked.

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
domowf.track_instances = on
END
my $session = Domowf->session($node);
my ($id, $got);

sub value { return $session->value($_[0]); }

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

value(<<'END');
CREATE ROLE owner; CREATE ROLE member IN ROLE owner; CREATE ROLE reader IN ROLE pg_read_all_data;
CREATE ROLE low LOGIN;
INSERT INTO domowf.workflow (name, model_id, version, message_name, track) VALUES
	('pack', 'm', '1.0.0', 's', false), ('bill', 'm of bill', '1.0.0', 's', false),
	('followed', 'm', '1.0.0', 's', true), ('typed', 'm', '1.0.0', 's', false),
	('lists', 'm', '1.0.0', 's', false);
INSERT INTO domowf.workflow_input (workflow, name, type, is_list, required) VALUES
	('typed', 'n', 'date', false, true), ('lists', 'n', 'date', true, true);
GRANT EXECUTE ON FUNCTION domowf_trigger() TO owner;
GRANT USAGE ON SCHEMA domowf TO low;
GRANT SELECT ON domowf.queue, domowf.log, domowf.request TO low;
GRANT EXECUTE ON FUNCTION domowf_enqueue, domowf_resolve, domowf_retry, domowf_discard, domowf_hold
	TO low, member, reader;
CREATE SCHEMA own AUTHORIZATION owner;
GRANT USAGE ON SCHEMA own TO low, reader;
SET ROLE owner;
CREATE TABLE own.parcels (id int PRIMARY KEY, instance_id text, state text);
CREATE TRIGGER pack AFTER INSERT ON own.parcels FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('pack', 'parcel=id', 'instance_id<-id', 'state<-state');
CREATE TRIGGER then_bill AFTER UPDATE OF state ON own.parcels FOR EACH ROW WHEN (NEW.state = 'done')
	EXECUTE FUNCTION domowf_trigger('bill', 'parcel=id');
CREATE TABLE own.plain (id int);
CREATE TRIGGER pack AFTER INSERT ON own.plain FOR EACH ROW EXECUTE FUNCTION domowf_trigger('pack', 'parcel=id');
GRANT INSERT (id) ON own.parcels, own.plain TO low, reader;
RESET ROLE
END
my $low = Domowf->session($node, user => 'low');

# ---- what came of a request is written into somebody's row

# The newest request of a table's trigger, in the state in which it is.
sub newest { return value("SELECT max(id) FROM domowf.request WHERE source = 'own.$_[0]'"); }

sub stored { return value("SELECT concat_ws(',', instance_id, state) FROM own.parcels WHERE id = $_[0]"); }

$session->set_worker('off');
$low->value('BEGIN');
$low->value('INSERT INTO own.parcels (id) VALUES (1)');
$id = $low->value('SELECT max(id) FROM domowf.request');
$got = $low->run("SELECT domowf_resolve($id, 'as low likes')");
is($got->{sqlstate}, '42501', 'who changed the row does not say what came of it, in its transaction');
like($got->{detail}, qr/written into table own\.parcels, as its owner "owner"\./, '... and why');
like($got->{hint}, qr/domowf_retry\(\)/, '... and what he may do');
$low->value('ROLLBACK');
$low->value('INSERT INTO own.parcels (id) VALUES (1)');
$id = newest('parcels');
is($low->run("SELECT domowf_resolve($id, 'as low likes')")->{sqlstate}, '42501', '... nor later');
is($low->value("SELECT domowf_retry($id)"), 't', '... but may have it sent');
$domo->script('status:500', operation => 'start', contains => '"parcel": 1');
$domo->script('status:403', operation => 'start', contains => '"parcel": 2');
$session->set_worker('on');
is($session->outcome($id), 'in_doubt', 'one that is in doubt');
is($low->run("SELECT domowf_resolve($id, 'as low likes')")->{sqlstate}, '42501', '... is the owner\'s as well');
$low->value('INSERT INTO own.parcels (id) VALUES (2)');
my $rejected = newest('parcels');
is($session->outcome($rejected), 'rejected', 'and one that is settled');
is($low->run("SELECT domowf_resolve($rejected, 'as low likes')")->{sqlstate}, '42501', '... is, too');
is($session->request($rejected), 'rejected', '... and stays as it is');
is($session->run("SET ROLE reader; SELECT domowf_resolve($id, 'as readers like')")->{sqlstate}, '42501',
	'who reads all data does not write');
value('RESET ROLE');
until_true(q{SELECT count(*) = 2 AND bool_and(instance_id IS NULL)
	AND string_agg(state, ',' ORDER BY id) = 'in_doubt,rejected' FROM own.parcels},
	'nothing is written but what is true');
is($low->run('SELECT domowf_resolve(0, \'i\')')->{out}, 'f', 'where there is none, that is told');
is(value("SET ROLE member; SELECT domowf_resolve($id, 'by hand')"), 'f', 'nor does he act on what he may not see');
is(value("RESET ROLE; SELECT domowf_resolve($id, 'by hand')"), 't', 'a superuser says it');
until_true(q{SELECT instance_id = 'by hand' AND state = 'done' FROM own.parcels WHERE id = 1}, '... and it is written');
until_true(q{SELECT count(*) = 1 FROM domowf.log WHERE workflow = 'bill'}, '... and the pipeline goes on');
is($low->value("SELECT domowf_discard($rejected)"), 't', 'a request is given up by who asked for it');
until_true(q{SELECT state = 'discarded' FROM own.parcels WHERE id = 2}, '... which is what is written');

# of who has the rights of the table's owner, his own
$session->set_worker('off');
value('SET ROLE member; INSERT INTO own.parcels (id) VALUES (3)');
$id = value('RESET ROLE; SELECT max(id) FROM domowf.request');
is(value("SET ROLE member; SELECT domowf_resolve($id, 'his own')"), 't', 'a member of the owner may say it');
value('RESET ROLE');
$low->value('INSERT INTO own.plain VALUES (1)');
$id = newest('plain');
is($low->value("SELECT domowf_resolve($id, 'mine')"), 't', 'where nothing is written back, who asked may');
$low->value('INSERT INTO own.parcels (id) VALUES (4)');
$id = newest('parcels');
value('ALTER TABLE own.parcels RENAME TO parcels2');
is($low->run("SELECT domowf_resolve($id, 'mine')")->{sqlstate}, '42501', 'a table is known by more than its name');
value('DROP TABLE own.parcels2');
is($low->value("SELECT domowf_resolve($id, 'mine')"), 't', 'where it is gone, nothing is written');

# ---- an instance is read

my $boss = value(Domowf->start_sql('the boss'));
my $tomorrow = q{run_at => now() + interval '1 day'};

sub reads { return scalar(() = $domo->record(operation => 'read', id => $boss)); }

my $note = q{instance_id, instance_status, instance_finished_at IS NOT NULL, error ~ 'not followed.*domowf_instance'};
$id = $low->value("SELECT domowf_enqueue('followed', '{}', $tomorrow)");
is($low->value("SELECT domowf_resolve($id, '$boss')"), 't', 'one that was not sent is resolved');
is($low->value("SELECT $note FROM domowf.log WHERE id = $id"), "$boss||t|t", '... and it is told that it is not followed');
is(value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 0, '... as it is not');
is(value("SELECT w.state FROM domowf_wait_finished($id, '170 s') w"), 'done', '... so that nobody waits for its end');
$id = $low->value("SELECT domowf_enqueue('followed', '{}', $tomorrow)");
is($low->value('SELECT domowf_hold(clock_timestamp())'), 1, 'one that was put in doubt by hand');
$low->value("SELECT domowf_resolve($id, '$boss')");
is(value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 0, '... is not followed either');
value('CREATE SCHEMA low AUTHORIZATION low');
$low->value('CREATE FUNCTION low.domowf_instance(text, name) RETURNS text LANGUAGE sql RETURN $1');
$id = $low->value("SELECT domowf_enqueue('followed', '{}', $tomorrow)");
$low->value("SELECT domowf_resolve($id, '$boss')");
is(value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 0, '... by a function of his own neither');
is(reads(), 0, '... and Domo is not asked');
$id = $low->value("SELECT domowf_enqueue('followed', '{}', $tomorrow)");
value('GRANT EXECUTE ON FUNCTION domowf_instance(text, name) TO low');
$low->value("SELECT domowf_resolve($id, '$boss')");
is(value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 1, 'who may read it has it followed');
value('REVOKE EXECUTE ON FUNCTION domowf_instance(text, name) FROM low');
$domo->script('status:500', operation => 'start', contains => 'doubtful');
$session->set_worker('on');
$id = $low->value(q{SELECT domowf_enqueue('followed', '{"what": "doubtful"}')});
is($session->outcome($id), 'in_doubt', 'one that was sent');
is($low->value("SELECT domowf_resolve($id, 'found')"), 't', '... is resolved');
is(value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 1, '... and what it started is followed');
value(q{UPDATE domowf.workflow SET on_doubt = 'retry' WHERE name = 'followed'});
$domo->script('retry-after-executed:503:3600', operation => 'start', contains => 'once more');
$id = $low->value(q{SELECT domowf_enqueue('followed', '{"what": "once more"}')});
until_true("SELECT state = 'queued' AND attempts = 1 FROM domowf.queue WHERE id = $id", 'one that was sent, and waits to be sent again');
is($low->value("SELECT domowf_resolve($id, 'found')"), 't', '... is resolved');
is(value("SELECT count(*) FROM domowf.tracked WHERE request_id = $id"), 1, '... and what it started is followed');

# ---- values in errors

value(<<'END');
CREATE TABLE public.s (id int, secret text, doc jsonb, part int, note text) PARTITION BY LIST (part);
CREATE TABLE public.s1 PARTITION OF public.s FOR VALUES IN (1);
INSERT INTO public.s VALUES (1, 'my secret value', '{"a": "my secret value"}', 1, '');
CREATE TRIGGER a AFTER UPDATE OF note ON public.s FOR EACH ROW WHEN (NEW.note = 'a')
	EXECUTE FUNCTION domowf_trigger('typed', 'n=secret');
CREATE TRIGGER b AFTER UPDATE OF note ON public.s FOR EACH ROW WHEN (NEW.note = 'b')
	EXECUTE FUNCTION domowf_trigger('typed', 'n=doc');
CREATE TRIGGER d AFTER UPDATE OF note ON public.s FOR EACH ROW WHEN (NEW.note = 'd')
	EXECUTE FUNCTION domowf_trigger('pack', 'n:=none', '@key=secret');
CREATE TABLE public.whole (secret text, note text);
INSERT INTO public.whole VALUES ('my secret value', '');
CREATE TRIGGER c AFTER UPDATE ON public.whole REFERENCING NEW TABLE AS n FOR EACH STATEMENT
	EXECUTE FUNCTION domowf_trigger('lists', 'n=secret');
GRANT UPDATE (note) ON public.s, public.whole TO low;
SELECT domowf_enqueue('pack', key => 'my secret value', run_at => now() + interval '1 day')
END

my %updates = (
	'a column' => [ q{UPDATE public.s SET note = 'a'}, qr/^Input "n": found %, expected date/ ],
	'a column with JSON' => [ q{UPDATE public.s SET note = 'b'}, qr/^Input "n": found %, expected date/ ],
	'a transition table' => [ q{UPDATE public.whole SET note = 'c'}, qr/^Input "n", element 1: found %, expected date/ ],
);

# What `low` is told, with the value in it or not.
sub tells
{
	my ($name, $shows) = @_;

	foreach my $what (sort keys %updates)
	{
		my ($sql, $form) = @{ $updates{$what} };
		my $value = !$shows ? 'a value that you may not read'
		  : $sql =~ /'b'/ ? '\{"a": "my secret value"\}'
		  : '"my secret value"';

		(my $expected = $form) =~ s/%/$value/;
		$got = $low->run($sql);
		is($got->{sqlstate}, '22023', "$name: $what");
		like($got->{detail}, qr/$expected/, '... is told as it may be');
		unlike($got->{err}, qr/my secret/, '... and nowhere else') unless $shows;
	}
	return;
}

tells('no right to read', 0);
value('GRANT SELECT (secret, doc) ON public.s TO low; GRANT SELECT (secret) ON public.whole TO low');
tells('on the column', 1);
value(q{ALTER TABLE public.s ENABLE ROW LEVEL SECURITY; ALTER TABLE public.whole ENABLE ROW LEVEL SECURITY;
	CREATE POLICY p ON public.s USING (true); CREATE POLICY p ON public.whole USING (true)});
tells('but for row security', 0);
value('ALTER TABLE public.s DISABLE ROW LEVEL SECURITY; ALTER TABLE public.whole DISABLE ROW LEVEL SECURITY');
value('REVOKE SELECT (secret, doc) ON public.s FROM low; REVOKE SELECT (secret) ON public.whole FROM low;'
	  . ' GRANT SELECT ON public.s1, public.whole TO low');
tells('on the partition and the table', 1);
value('REVOKE SELECT ON public.s1, public.whole FROM low');
value(q{UPDATE public.s SET secret = NULL});
is($low->run($updates{'a column'}[0])->{detail} =~ /found null/, 1, 'that there is none is told');
value(q{UPDATE public.s SET secret = 'my secret value'});

# a key of others: the owner of the table may not see who has it
value('ALTER TABLE public.s OWNER TO owner; ALTER TABLE public.s1 OWNER TO owner');
$got = $low->run(q{UPDATE public.s SET note = 'd'});
is($got->{sqlstate}, '23505', 'a key that is in use');
like($got->{message}, qr/^the key of workflow "pack" is in use$/, '... is not told to who may not read it');
value('GRANT SELECT (secret) ON public.s TO low');
like($low->run(q{UPDATE public.s SET note = 'd'})->{message}, qr/^key "my secret value" of/, '... and to who may');
value('REVOKE SELECT (secret) ON public.s FROM low');

# a request that is sent again is checked again
value(q{ALTER TABLE public.s OWNER TO CURRENT_USER; DROP TRIGGER d ON public.s;
	DELETE FROM domowf.workflow_input WHERE workflow = 'typed'});
$domo->script('status:403', operation => 'start', contains => 'my secret value');
$low->value(q{UPDATE public.s SET note = 'a'});
$id = value(q{SELECT max(id) FROM domowf.request WHERE workflow = 'typed'});
is($session->outcome($id), 'rejected', 'a request that was asked for before');
value(q{INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('typed', 'n', 'date')});
$got = $low->run("SELECT domowf_retry($id)");
like($got->{detail}, qr/^Input "n": found a value that you may not read, expected date/, '... shows no value of the row');
like($session->run("SELECT domowf_retry($id)")->{detail}, qr/found "my secret value"/, '... but to who sees all');

# ---- nobody's code runs as a superuser because something is written back

value(<<'END');
CREATE TABLE public.orders (id int PRIMARY KEY, state text, by text DEFAULT 'x');
CREATE TRIGGER go AFTER INSERT ON public.orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('pack', 'n=id', 'state<-state');
GRANT ALL ON public.orders TO low
END
$low->value(<<'END');
CREATE FUNCTION low.mine() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
	IF current_user <> 'low' THEN EXECUTE 'ALTER ROLE low SUPERUSER'; END IF; RETURN NEW; END $$;
CREATE FUNCTION low.same(t text) RETURNS text IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN
	IF current_user <> 'low' THEN EXECUTE 'ALTER ROLE low SUPERUSER'; END IF; RETURN t; END $$;
END
my $order = 0;

# Orders something, which is written, or not, and why.
sub writes
{
	my ($table, $name) = @_;

	$order++;
	value("INSERT INTO $table (id) VALUES ($order)");
	return until_true("SELECT state = 'done' FROM $table WHERE id = $order", "$name: it is written");
}

sub refuses
{
	my ($table, $error, $name) = @_;

	$order++;
	value("INSERT INTO $table (id) VALUES ($order)");
	until_true('SELECT count(*) = 1 FROM domowf.returns WHERE error LIKE ' . Domowf->literal("%$error%"),
		"$name: nothing is written, and why is kept");
	is(value(q{SELECT rolsuper FROM pg_roles WHERE rolname = 'low'}), 'f', '... and nobody got anything by it');
	return;
}

# What was refused is written once that is mended.
sub mended
{
	my ($table, $sql, $name) = @_;

	value($sql);
	value('SELECT domowf_retry_return(request_id) FROM domowf.returns');
	return until_true("SELECT state = 'done' FROM $table WHERE id = $order", "... until $name");
}

writes('public.orders', 'a table of a superuser');
$low->value('CREATE TRIGGER mine BEFORE UPDATE ON public.orders FOR EACH ROW EXECUTE FUNCTION low.mine()');
refuses('public.orders',
	'trigger mine on table orders needs function low.mine() of "low", who does not have the rights of its owner',
	'a trigger by the privilege of that name');
mended('public.orders', 'ALTER TABLE public.orders DISABLE TRIGGER mine', 'it is disabled');
value('ALTER TABLE public.orders ENABLE ALWAYS TRIGGER mine');
refuses('public.orders', 'trigger mine', 'one that fires always');
mended('public.orders', 'DROP TRIGGER mine ON public.orders', 'it is gone');
writes('public.orders', 'where it was refused before');
value('CREATE TRIGGER mine AFTER DELETE ON public.orders FOR EACH ROW EXECUTE FUNCTION low.mine();'
	  . ' ALTER TABLE public.orders ALTER by SET DEFAULT low.same(\'x\')');
$order++;
value("INSERT INTO public.orders VALUES ($order, NULL, 'y')");
until_true("SELECT state = 'done' FROM public.orders WHERE id = $order", 'what an UPDATE does not run is no matter');
value('DROP TRIGGER mine ON public.orders; ALTER TABLE public.orders ALTER by DROP DEFAULT');

foreach my $hung (
	[ 'CREATE INDEX hung ON public.orders (low.same(state))', 'DROP INDEX hung', 'index hung needs function low.same(text)' ],
	[ 'ALTER TABLE public.orders ADD CONSTRAINT hung CHECK (low.same(state) <> \'no\') NOT VALID',
		'ALTER TABLE public.orders DROP CONSTRAINT hung', 'constraint hung on table orders needs function low.same(text)' ],
	[ 'CREATE STATISTICS hung ON low.same(state), id FROM public.orders', 'DROP STATISTICS hung', 'low.same(text)' ],
	[ 'CREATE RULE hung AS ON UPDATE TO public.orders WHERE low.same(NEW.state) = \'no\' DO INSTEAD NOTHING',
		'DROP RULE hung ON public.orders', 'low.same(text)' ])
{
	my ($hang, $drop, $error) = @$hung;

	# what is made runs it, as a superuser who knows what he does
	value("ALTER FUNCTION low.same(text) OWNER TO CURRENT_USER; CREATE OR REPLACE FUNCTION low.same(t text)"
		  . ' RETURNS text IMMUTABLE LANGUAGE sql AS \'SELECT t\'; ' . $hang);
	writes('public.orders', "a superuser's own: $error");
	value('ALTER FUNCTION low.same(text) OWNER TO low');
	refuses('public.orders', $error, "a stranger's");
	mended('public.orders', $drop, 'it is gone');
}

# a domain of a stranger's, and what he may do with his partition
value(q{CREATE DOMAIN low.short AS text; ALTER DOMAIN low.short OWNER TO low;
	ALTER TABLE public.orders ADD given low.short});
refuses('public.orders', 'type low.short', 'a type');
mended('public.orders', 'ALTER TABLE public.orders DROP given', 'it is gone');
value(<<'END');
CREATE TABLE public.parts (id int PRIMARY KEY, state text) PARTITION BY RANGE (id);
CREATE TABLE public.part PARTITION OF public.parts DEFAULT;
CREATE TRIGGER go AFTER INSERT ON public.parts FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('pack', 'n=id', 'state<-state');
ALTER TABLE public.part OWNER TO low;
GRANT CREATE ON SCHEMA public TO low
END
writes('public.parts', "a stranger's partition");
$low->value('CREATE FUNCTION low.same(i int) RETURNS int IMMUTABLE LANGUAGE sql AS \'SELECT i\';'
	  . ' CREATE INDEX hung ON public.part (low.same(id))');
refuses('public.parts', 'index hung needs function low.same(integer)', '... with an index of his');
mended('public.parts', 'DROP INDEX public.hung', 'it is gone');
$low->value('CREATE TRIGGER mine BEFORE UPDATE ON public.part FOR EACH ROW EXECUTE FUNCTION low.mine()');
refuses('public.parts', 'trigger mine on table part needs function low.mine()', '... with a trigger of his');
mended('public.parts', 'DROP TRIGGER mine ON public.part', 'it is gone');

# what a foreign key changes with the row, of a stranger's table and of a superuser's
value(<<'END');
CREATE TABLE public.linked (id int PRIMARY KEY, instance text UNIQUE, state text);
CREATE TABLE public.of_linked (u text REFERENCES public.linked (instance) ON UPDATE SET NULL);
CREATE TRIGGER go AFTER INSERT ON public.linked FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('pack', 'n=id', 'instance<-id', 'state<-state');
GRANT REFERENCES ON public.linked TO low;
GRANT ALL ON public.of_linked TO low
END
$low->value(q{CREATE TABLE low.refs (u text REFERENCES public.linked (instance) ON UPDATE CASCADE)
	PARTITION BY LIST (u); CREATE TABLE low.ref PARTITION OF low.refs DEFAULT});
writes('public.linked', 'foreign keys to it');
foreach my $linked ('public.of_linked', 'low.refs', 'low.ref')
{
	$low->value("CREATE TRIGGER mine AFTER UPDATE ON $linked FOR EACH ROW EXECUTE FUNCTION low.mine()");
	refuses('public.linked', 'needs function low.mine()', "... with a trigger of his on $linked");
	mended('public.linked', "DROP TRIGGER mine ON $linked", 'it is gone');
}
$low->value('CREATE TRIGGER mine AFTER UPDATE ON low.refs FOR EACH STATEMENT EXECUTE FUNCTION low.mine()');
refuses('public.linked', 'needs function low.mine()', '... for each statement');
mended('public.linked', 'DROP TABLE low.refs', 'it is gone');

# nothing of an enum runs
$low->value(q{CREATE TYPE low.mood AS ENUM ('good')});
value('ALTER TABLE public.linked ADD mood low.mood, ADD moods low.mood[]');
writes('public.linked', "a stranger's enum");

# one part that is locked keeps what else is the owner's from no outcome
value('CREATE TABLE public.other PARTITION OF public.parts FOR VALUES FROM (1000000) TO (2000000)');
my $locker = Domowf->session($node);
$locker->value('BEGIN; LOCK TABLE public.other IN SHARE MODE');
my $waits = ++$order;
value("INSERT INTO public.parts VALUES ($waits)");
until_true(q{SELECT count(*) = 1 FROM domowf.returns WHERE error = 'table "other" is locked, so that nobody knows whose code would run'},
	'a part that is locked');
writes('public.linked', '... while other tables');
$locker->value('COMMIT');
$locker->quit;
until_true("SELECT state = 'done' FROM public.parts WHERE id = $waits", '... until it is free');

# of whoever is no superuser, nothing is refused: he has granted it himself
value(<<'END');
CREATE TABLE own.orders (id int PRIMARY KEY, state text);
ALTER TABLE own.orders OWNER TO owner;
GRANT ALL ON own.orders TO low;
SET ROLE owner;
CREATE TRIGGER go AFTER INSERT ON own.orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('pack', 'n=id', 'state<-state');
RESET ROLE
END
$low->value(q{CREATE FUNCTION low.theirs() RETURNS trigger LANGUAGE plpgsql AS
	$$ BEGIN NEW.state := NEW.state || ' by ' || current_user; RETURN NEW; END $$;
	GRANT USAGE ON SCHEMA low TO owner;
	CREATE TRIGGER theirs BEFORE UPDATE ON own.orders FOR EACH ROW EXECUTE FUNCTION low.theirs()});
value('INSERT INTO own.orders VALUES (1)');
until_true(q{SELECT state = 'done by owner' FROM own.orders}, 'a table of somebody who is none');
$_->quit foreach $low, $session;
done_testing();
