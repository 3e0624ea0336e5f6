
# Rows of the log, and of the queue, that come in by SQL: a log that is brought
# back by COPY after a restore, triggers disabled or not, while sessions live
# which have taken ids before.  No request and no call gets an id that is in use.
# Exists because a session took the ids behind its last one for free, and a
# request with another one's id is in doubt once Domo has executed it, and can be
# neither discarded nor resolved.

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
my $node = Domowf->start_node('main', $domo, preload => 1);
my ($one, $two, $other) = map { Domowf->session($node) } 1 .. 3;
my $dir = PostgreSQL::Test::Utils::tempdir;

$one->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it');
CREATE FUNCTION brought(first bigint, last bigint) RETURNS bigint LANGUAGE sql AS $$
	INSERT INTO domowf.log (id, operation, workflow, outcome, origin, attempts,
		requested_by, requested_by_oid, settled_at, batch)
	SELECT g, 'start', 'it', 'done', 'request', 1, current_user,
		current_user::regrole, now(), '3' FROM generate_series(first, last) g;
	SELECT last $$
END

sub taken
{
	my ($session) = @_;

	return $session->value(q{SELECT domowf_enqueue('it')});
}

sub called
{
	my ($session) = @_;

	$session->value(Domowf->start_sql('model'));
	return $session->value(q{SELECT max(id) FROM domowf.log WHERE origin = 'call'});
}

# all of them: who trusts its last id, and who does not
sub takes
{
	my ($behind, $name) = @_;

	is(join(' ', taken($one), taken($two), called($two), called($one), taken($one)),
		join(' ', map { $behind + $_ } 1 .. 5), $name);
	return $behind + 5;
}

my $last = takes(taken($one), 'ids of two sessions, of requests and of calls');

$last = takes($one->value("SELECT brought($last + 2, $last + 20)"),
	'behind rows of the log that the session has put in itself');
$last = takes($other->value("SELECT brought($last + 1, $last + 20)"),
	'... and that another one has');
$last = takes($other->value("SELECT brought($last + 5000, $last + 5002)"),
	'... far ahead');
takes($last, '... not behind those that were before')
  if $other->value("SELECT brought($last - 100, $last - 90)");
$last += 5;

$other->value('BEGIN');
$last = $other->value("SELECT brought($last + 3, $last + 9)");
takes($last, '... that are not committed yet');
$last = $other->value("SELECT brought($last + 6, $last + 9)");
$other->value('ROLLBACK');
$last = takes($last, '... and those that never will be are left out');

$other->value("UPDATE domowf.log SET id = $last + 4 WHERE id = $last - 1");
$last = takes($last + 4, '... and a row whose id is changed');

# ---- a subscriber's way of writing, and a dump's

$other->value("CREATE TABLE kept AS SELECT * FROM domowf.log WHERE origin = 'request'"
	  . " ORDER BY id DESC LIMIT 1");
foreach my $as ('a replica', 'itself')
{
	$other->value("UPDATE kept SET id = $last + 3");
	$other->value("COPY kept TO '$dir/kept'");
	$other->value('SET session_replication_role = replica') if $as eq 'a replica';
	$other->value("COPY domowf.log FROM '$dir/kept'");
	$other->value('RESET session_replication_role');
	$last = takes($last + 3, "behind what comes by COPY, as $as");
}

# pg_restore --disable-triggers leaves the triggers as ordinary ones
$other->value('ALTER TABLE domowf.log DISABLE TRIGGER ALL');
$other->value("SELECT brought($last + 1, $last + 7)");
takes($last + 7, 'with triggers disabled');
$last = $other->value("SELECT brought($last + 13, $last + 20)");
$other->value('ALTER TABLE domowf.log ENABLE TRIGGER ALL');
$last = takes($last, '... enabled again');
$other->value('SET session_replication_role = replica');
$last = takes($other->value("SELECT brought($last + 1, $last + 9)"), '... and not fired')
  if taken($one) == ++$last;
$other->value('RESET session_replication_role');
$other->value('ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER keep_own');
$last = takes($last, '... and as they were');
$last = takes(
	$one->value("BEGIN; ALTER TABLE domowf.log DISABLE TRIGGER keep_own;"
		  . " SELECT brought($last + 1, $last + 7);"
		  . ' ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER keep_own; COMMIT'),
	'by one transaction');

# ---- the queue

$one->value('SELECT domowf_pause()');
$node->poll_query_until('postgres', q{SELECT state = 'paused' FROM domowf.worker})
  or die 'not paused';
$last = taken($one);
$other->value("INSERT INTO domowf.queue SELECT (jsonb_populate_record(q, jsonb_build_object('id', $last + 2))).*"
	  . " FROM domowf.queue q WHERE id = $last");
$last = takes($last + 2, 'behind rows of the queue that SQL has put in');
$one->value('SELECT domowf_resume()');

# ---- what is no reason to stop

# the last ones there are
foreach my $id ('9223372036854775807', '-5')
{
	$other->value("SELECT brought($id, $id)");
	$last = takes($last, "$id moves nothing");
	$other->value("DELETE FROM domowf.log WHERE id = $id");
}
is( $other->run(q{INSERT INTO domowf.log (operation) VALUES ('start')})->{sqlstate},
	'23502', 'a row without an id is refused as ever');

ok( $node->poll_query_until('postgres', q{SELECT NOT EXISTS (SELECT FROM domowf.queue)}),
	'all are sent');
is( $one->value('SELECT count(*) FROM domowf.request WHERE NOT state = \'done\''),
	0, '... and done');
is($one->value('SELECT count(*) FROM (SELECT FROM domowf.request GROUP BY id HAVING count(*) > 1) s'),
	0, '... none twice');
$_->quit foreach $one, $two, $other;

done_testing();
