
# A bulk load with as many order keys as rows works, does not fill the table of
# locks that all sessions share, and keeps the order of each key.  Exists because
# a transaction could use 1,000 order keys and no more.

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
domowf.poll_interval = '300ms'
max_prepared_transactions = 5
END
my ($bulk, $one) = map { Domowf->session($node) } 1 .. 2;
my $rows = 5000;
my ($got, $id);

$bulk->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('load', 'model', '1.0.0', 'Start it'), ('other', 'model', '1.0.0', 'Start it');
CREATE TABLE orders (id int);
CREATE TRIGGER it AFTER INSERT ON orders FOR EACH ROW
	EXECUTE FUNCTION domowf_trigger('load', 'n=id', '@order_key=id')
END

sub until_waits
{
	my ($session) = @_;

	return $node->poll_query_until('postgres',
		q{SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = }
		  . $session->pid);
}

$bulk->value('SELECT domowf_pause()');
$bulk->value('BEGIN');
$got = $bulk->run("INSERT INTO orders SELECT generate_series(1, $rows)");
is($got->{sqlstate}, '', "$rows rows with as many order keys, in one statement");
ok($bulk->value('SELECT count(*) < 1100 FROM pg_locks WHERE pid = pg_backend_pid()'),
	'... do not fill the table of locks');
$got = $bulk->run(q{SELECT count(domowf_enqueue('load', jsonb_build_object('n', -g),
	order_key => g::text)) FROM generate_series(1, 2000) g});
is($got->{sqlstate}, '', '... and its keys can be used again');

# what of these keys is asked for meanwhile comes after them
is($one->run(Domowf->enqueue_sql('other', 'other', order_key => q{'1'}))->{sqlstate},
	'', 'another workflow\'s keys are free');
foreach my $key (1, $rows, 'new')
{
	$one->send(Domowf->enqueue_sql('load', "after $key", order_key => "'$key'"));
	ok(until_waits($one), "key $key: who else asks waits");
	$bulk->value('COMMIT') if $key eq 'new';
	last if $key eq 'new';
	$node->safe_psql('postgres', 'SELECT pg_cancel_backend(' . $one->pid . ')');
	$one->wait;
}
$got = $one->wait;
is($got->{sqlstate}, '', '... until the load is committed');
$id = $one->enqueue('load', 'last', order_key => q{'7'});
$one->value('SELECT domowf_resume()');
is($one->outcome($id), 'done', 'what comes behind the load is sent');
my @seven = map { $_->{data}{n} }
  sort { $a->{seq} <=> $b->{seq} }
  grep { ($_->{data}{n} // '') =~ /^(?:-?7|last)$/ } $domo->executed(operation => 'start');
is_deeply(\@seven, [ 7, -7, 'last' ], '... in the order of its key');
ok( $node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM domowf.queue)}),
	'... and so is all of it');

# savepoints, prepared transactions, a rollback: the lock is the transaction's
$bulk->value('BEGIN; SAVEPOINT s');
$bulk->value("INSERT INTO orders SELECT generate_series(1, $rows)");
$bulk->value('ROLLBACK TO s');
is($bulk->run(Domowf->enqueue_sql('load', 'kept', order_key => q{'kept'}))->{sqlstate},
	'', 'after a rollback to a savepoint it goes on');
$one->send(Domowf->enqueue_sql('load', 'behind', order_key => q{'kept'}));
ok(until_waits($one), '... and what it has asked for is locked');
$bulk->value(q{PREPARE TRANSACTION 'load'});
is($domo->started('kept') + $domo->started('behind'), 0, '... prepared, too');
$bulk->value(q{COMMIT PREPARED 'load'});
is($one->outcome($one->wait->{out}), 'done', '... until it ends');
is($domo->started('kept'), 1, '... and it is sent');

done_testing();
