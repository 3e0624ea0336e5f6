
# An id of domowf's is taken without a trace in the session: lastval() is what
# it was, which drivers and object mappers read after an INSERT to learn the id
# of their row.  And nobody gets the same id twice, whoever else takes some, and
# whatever becomes of the server meanwhile.  Exists because PostgreSQL has no way
# to put lastval() back, so domowf reads the sequence's page itself.

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
	streaming => 1,
	conf => "domowf.worker = off\n");
my $session = Domowf->session($node);
my ($got, $id, @ids);

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it');
CREATE ROLE app LOGIN;
CREATE TABLE orders (id serial PRIMARY KEY, n int);
CREATE TRIGGER it AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it', 'id');
GRANT INSERT ON orders TO app;
GRANT USAGE ON orders_id_seq TO app;
ALTER SEQUENCE orders_id_seq RESTART 7000;
SELECT domowf_enqueue('it')
END

# ---- lastval()

my $app = Domowf->session($node, user => 'app');

foreach my $n (0 .. 2)
{
	$got = $app->run("INSERT INTO orders (n) VALUES ($n); SELECT lastval()");
	is($got->{sqlstate}, '', 'lastval() can be read after an INSERT with a trigger');
	is($got->{out}, 7000 + $n, '... and is of the table');
}
my %other = (
	'a request' => q{SELECT domowf_enqueue('it') > 0},
	'a call' => Domowf->start_sql('model'),
	'many calls' => q{SELECT count(*) FROM domowf_start_all(ARRAY['{"workflow": "it", "data": {}}'::jsonb])},
	'a call that is repeated' => Domowf->permissions_sql('model'));
foreach my $what (sort keys %other)
{
	$session->value('INSERT INTO orders (n) VALUES (9)');
	my $before = $session->value('SELECT max(id) FROM orders');
	$session->value($other{$what});
	is($session->value('SELECT lastval()'), $before, "$what leaves it as it was");
}
$got = Domowf->session($node)->run(q{SELECT domowf_enqueue('it'); SELECT lastval()});
is($got->{sqlstate}, '55000', 'who has used no sequence has no lastval()');

# ---- no id twice

sub next_id
{
	return $session->value(q{SELECT domowf_enqueue('it')});
}

my $many = 500;
my @sessions = map { Domowf->session($node) } 1 .. 4;
$_->send("SELECT domowf_enqueue('it') FROM generate_series(1, $many)") foreach @sessions;
$session->value("SELECT nextval('domowf.request_id') FROM generate_series(1, 100)");
@ids = map { split /\n/, $_->wait->{out} } @sessions;
my %seen = map { $_ => 1 } @ids;
is(scalar keys %seen, 4 * $many, 'at the same time, nobody gets the same');

$id = next_id();
is($session->value("SELECT nextval('domowf.request_id')"),
	$id + 1, 'nextval() goes on from there');
is(next_id(), $id + 2, '... and domowf from that');
$session->value(q{SELECT setval('domowf.request_id', 10000)});
is(next_id(), 10001, '... and from setval()');
$session->value(q{SELECT setval('domowf.request_id', 20000, false)});
is(next_id(), 20000, '... of one that is not taken yet');
$session->value('ALTER SEQUENCE domowf.request_id INCREMENT BY 10');
is(next_id(), 20010, 'another increment is kept to');
$session->value('ALTER SEQUENCE domowf.request_id MAXVALUE 20020 CYCLE');
is(next_id(), 20020, 'up to the last value');
is($session->run(q{SELECT domowf_enqueue('it')})->{sqlstate},
	'2200H', '... and not beyond, though it would cycle');
$session->value('ALTER SEQUENCE domowf.request_id INCREMENT BY -3 MINVALUE 20012 START 20020');
is(next_id(), 20017, 'one that counts down, too');
is(next_id(), 20014, '... by its step');
is($session->run(q{SELECT domowf_enqueue('it')})->{sqlstate},
	'2200H', '... down to its last value');
$session->value('ALTER SEQUENCE domowf.request_id INCREMENT BY 1 NO MINVALUE NO MAXVALUE NO CYCLE START 1 RESTART 20021');

# ---- the order of ids, where it means something

sub ordered
{
	return $session->value(q{SELECT domowf_enqueue('it', order_key => 'K')});
}

@ids = (ordered());
$session->value(q{SELECT setval('domowf.request_id', 1000000)});
push @ids, ordered(), ordered();
$session->value(q{SELECT setval('domowf.request_id', 500000)});
push @ids, ordered(), ordered();
is(join(' ', @ids), join(' ', sort { $a <=> $b } @ids),
	'who waits behind an order key has a higher id, whoever has set the sequence back');
is($ids[-1], 1000004, '... which is moved');

# Entries of what is to be written back, in the order of their ids.
sub outcomes
{
	return $session->value("SELECT string_agg(state, ' ' ORDER BY id) FROM domowf.return_entry"
		  . " WHERE request_id = $_[0]");
}

# A request of a row, the outcome of which is written back some day.
sub request_of_row
{
	my ($n) = @_;

	$session->value("INSERT INTO kept VALUES ($n)");
	return $session->value('SELECT max(id) FROM domowf.queue');
}

# holds it, and another session resolves it
sub decide
{
	my ($request) = @_;

	$session->value('SELECT domowf_hold(clock_timestamp())');
	is($sessions[0]->value("SELECT domowf_resolve($request, 'an-instance')"),
		't', 'one in doubt is resolved');
	return;
}

$session->value(<<'END');
DELETE FROM domowf.queue;
CREATE TABLE kept (id int PRIMARY KEY, state text);
CREATE TRIGGER it AFTER INSERT ON kept FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('it', 'id', 'state<-state');
ALTER SEQUENCE domowf.return_id CACHE 50
END
$id = request_of_row(1);
$sessions[0]->value("SELECT domowf_resolve($id, 'an-instance')");
$id = request_of_row(2);
decide($id);
is(outcomes($id), 'in_doubt done', 'outcomes have ids in their order, whatever a session may cache');
$session->value(q{SELECT setval('domowf.return_id', 5000)});
$id = request_of_row(3);
$session->value(q{SELECT domowf_hold(clock_timestamp()); SELECT setval('domowf.return_id', 1000)});
$sessions[0]->value("SELECT domowf_resolve($id, 'an-instance')");
is(outcomes($id), 'in_doubt done', '... and whatever is done to the sequence');
$session->value(q{SELECT setval('domowf.return_id', 1, false)});
decide(request_of_row(4));
is( $session->value(
		'SELECT count(*) || $$ $$ || count(DISTINCT id) FROM domowf.return_entry'),
	'7 7',
	'... and none that is there already');
$session->value('DROP TABLE kept; DELETE FROM domowf.return_entry');

# ---- whatever becomes of the server

# a standby and what is left after a crash go on behind what was taken, and one
# that was taken just after a checkpoint is no less safe
$node->backup('copy');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'copy', has_streaming => 1);
$standby->start;
next_id() foreach 1 .. 3;
$session->value('CHECKPOINT');
$id = next_id();
$_->quit foreach $session, $app, @sessions;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$node->stop('immediate');
$node->start;
$session = Domowf->session($node);
my $after = next_id();
ok($after > $id && $after <= $id + 33, 'after a crash no id comes again');
$session->value('BEGIN');
$id = next_id();
$session->value('ROLLBACK');
ok(next_id() > $id, 'nor after a rollback');
$id = next_id();
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
$session->quit;
$node->stop('fast');
$standby->promote;
$session = Domowf->session($standby);
$after = next_id();
ok($after > $id && $after <= $id + 33, 'nor on a standby that was promoted');
$session->quit;

done_testing();
