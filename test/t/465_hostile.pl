
# What a stranger found who had little and wanted more: each is refused, and
# neither takes the server down nor holds up others.

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
my $node = Domowf->start_node('main', $domo,
	preload => 1,
	conf => "domowf.worker = off\n");
my $one = Domowf->session($node);
my $other = Domowf->session($node);
my ($got, $id);

$one->value(<<'END');
CREATE ROLE victim;
CREATE ROLE mallory;
CREATE SCHEMA shop AUTHORIZATION victim;
GRANT CREATE, USAGE ON SCHEMA shop TO mallory;
GRANT USAGE ON SCHEMA domowf TO mallory;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public, domowf TO mallory, victim;
GRANT USAGE ON FOREIGN SERVER domowf_worker TO mallory;
INSERT INTO domowf.workflow (name, model_id, version, message_name, granted_to)
VALUES ('pay', 'model', '1.0.0', 'Start it', 'victim'),
	('w', 'model', '1.0.0', 'Start it', NULL);
SET ROLE victim;
CREATE TABLE shop.orders (n text);
GRANT ALL ON shop.orders TO mallory;
RESET ROLE
END

# What a role's statements come to.
sub as_role
{
	my ($role, $sql) = @_;

	$one->value("SET ROLE $role");
	my $result = $one->run($sql);
	$one->run('RESET ROLE');
	return $result;
}

# ---- a trigger made where PostgreSQL does not tell what is made

$got = as_role('mallory', <<'END');
CREATE FUNCTION shop.make() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE 'CREATE TRIGGER t AFTER INSERT ON shop.orders FOR EACH ROW '
		|| 'EXECUTE FUNCTION public.domowf_trigger(''pay'')';
	RETURN 1;
END $$;
CREATE MATERIALIZED VIEW shop.made AS SELECT shop.make() WITH NO DATA
END
is($got->{sqlstate}, '', 'a materialized view that makes a trigger');
is(as_role('mallory', 'REFRESH MATERIALIZED VIEW shop.made')->{sqlstate},
	'42501', '... cannot, if it may not be told which');
is($one->value(q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'shop.orders'::regclass}),
	0, '... and there is none');

# ---- domowf's own functions, used on other tables

$got = as_role('mallory', <<'END');
CREATE FOREIGN TABLE shop.status (pid text, state int, in_flight text, sent text,
	failed text, started_at text, paused_until text, pause_reason int,
	last_error int) SERVER domowf_worker;
SELECT * FROM shop.status
END
is($got->{sqlstate}, '55000', 'a foreign table with columns of other types');
like($got->{message}, qr/^column "pid" has type text, expected integer$/, '... is named');
$got = as_role('mallory', 'CREATE FOREIGN TABLE shop.short (pid int) SERVER domowf_worker; SELECT * FROM shop.short');
is($got->{sqlstate}, '55000', 'one with fewer columns');
like($got->{message}, qr/has 1 columns, expected \d+$/, '... is told of them');

foreach my $function (
	$one->value(
		q{SELECT string_agg(oid::regproc::text, ' ' ORDER BY oid) FROM pg_proc
		WHERE pronamespace = 'domowf'::regnamespace
			AND prorettype = 'trigger'::regtype}) =~ /\S+/g)
{
	foreach my $how (map { my $when = $_; map { "$when $_" } 'ROW', 'STATEMENT' }
		'BEFORE', 'AFTER')
	{
		my ($when, $each) = split / /, $how;

		as_role('mallory', <<"END");
DROP TABLE IF EXISTS shop.mine;
CREATE TABLE shop.mine (name int, granted_to int, granted_oid text);
INSERT INTO shop.mine VALUES (1, 2, '3');
CREATE TRIGGER t $when INSERT OR UPDATE OR DELETE ON shop.mine
	FOR EACH $each EXECUTE FUNCTION $function()
END
		is( $one->value(q{SELECT count(*) FROM pg_trigger
				WHERE tgrelid = 'shop.mine'::regclass}),
			1, "$function on a table of one's own, $how");
		as_role('mallory', $_)
		  foreach 'UPDATE shop.mine SET name = 1', 'DELETE FROM shop.mine',
		  q{INSERT INTO shop.mine VALUES (7, 8, '9')};
		is($one->value('SELECT 1'), 1, '... ends no session');
	}
}

# ---- order keys that met in a weaker hash

$one->value(q{BEGIN; SET LOCAL ROLE mallory;
	SELECT domowf_enqueue('w', '{}', order_key => 'fEfDOCbJEO0l')});
$other->value(q{SET ROLE victim; SET statement_timeout = '60s'});
$got = $other->run(
	q{SELECT domowf_enqueue_call('set_permissions', '{"modelId": "model-77",
		"permissions": [{"id": "1", "type": "USER", "permissions": ["READ"]}]}')}
);
is($got->{sqlstate}, '', "an order key is in no other one's way") or diag $got->{err};
$one->value('ROLLBACK');

# ---- the lock of a request that somebody could not change after all

$id = $one->value(q{SET ROLE mallory; SELECT domowf_enqueue('w', '{}')});
$one->value('RESET ROLE');
foreach my $call ("domowf_discard($id)", "domowf_retry($id)", "domowf_resolve($id, 'i')")
{
	$one->value("BEGIN; UPDATE domowf.queue SET state = 'sending' WHERE id = $id");
	$other->value('SET ROLE mallory; BEGIN');
	$other->send("SELECT $call");
	ok( $node->poll_query_until('postgres',
			q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = }
			  . $other->pid),
		"$call waits for a claim");
	$one->value('COMMIT');
	is($other->wait->{out}, 'f', '... it comes too late');
	is( $one->value("SELECT id FROM domowf.queue WHERE id = $id FOR UPDATE NOWAIT"),
		$id,
		'... and locks nothing');
	$other->value('ROLLBACK');
	$one->value("UPDATE domowf.queue SET state = 'queued' WHERE id = $id");
}

$one->quit;
$other->quit;
$domo->stop;
done_testing();
