
# Who follows domowf's tables by a trigger loses nothing: an imitation that
# copies a table while requests come and go, and the real pg_repack, which puts
# its copy into the table's place, where it is installed.  Exists because
# pg_repack once took 74 of 1,079 requests away and had 16 started twice.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use Follower;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant CLIENTS => 4;
use constant TRANSACTIONS => $ENV{DOMOWF_ROUNDS} // 150;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
END
my $session = Domowf->session($node);
my $watcher = Domowf->session($node);
my $load = PostgreSQL::Test::Utils::tempdir . '/load.sql';

sub value { return $session->value($_[0]); }

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it');
CREATE TABLE asked (n bigint, id bigint);
CREATE SEQUENCE n
END

# Half of them by way of an order key, a tenth rolled back, some by hand.
append_to_file($load, <<'END');
\set fate random(1, 10)
\set key random(1, 20)
BEGIN;
SELECT nextval('n') AS n \gset
INSERT INTO asked SELECT :n, domowf_enqueue('it', jsonb_build_object('n', :n::text),
	key => 'k' || :n, order_key => CASE WHEN :fate > 5 THEN 'o' || :key END,
	run_at => CASE WHEN :fate = 2 THEN now() + interval '1 h' END);
\if :fate = 1
ROLLBACK;
\else
COMMIT;
\endif
\if :fate = 2
SELECT domowf_retry(id) FROM asked WHERE n = :n;
\endif
END

# Runs $work again and again while requests come and go, until all are done,
# and tells whether each committed one was started once.
sub under_load
{
	my ($name, $work) = @_;
	my ($out, $err) = ('', '');
	my $pgbench = IPC::Run::start(
		[
			'pgbench', '-n', '--max-tries=10', '-c', CLIENTS, '-t', TRANSACTIONS, '-f', $load,
			$node->connstr('postgres')
		],
		'>' => \$out, '2>' => \$err);

	do
	{
		$work->();
		$pgbench->pump_nb;
	} while ($pgbench->pumpable);
	ok($pgbench->finish, "$name: requests are asked for") or diag $err;
	unlike($err, qr/ERROR/, '... without an error');
	# what a client that had to give up has left for later
	$watcher->value('SELECT domowf_retry(id) FROM domowf.queue WHERE run_at > now()');
	ok( $node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf.queue'),
		'... and all are settled');
	is( $watcher->value('SELECT count(*) FROM asked JOIN domowf.log USING (id) JOIN domowf.key'
			  . q{ ON request_id = id WHERE outcome = 'done'}),
		$watcher->value('SELECT count(*) FROM asked'),
		'... each committed one is done');
	is($watcher->value('SELECT count(*) FROM domowf.log'),
		$watcher->value('SELECT count(*) FROM asked'), '... and nothing else');
	my $seen = $domo->count(by => 'data.n');
	is($seen->{distinct}, $watcher->value('SELECT count(*) FROM asked'), '... was started');
	is($seen->{max}, 1, '... once each');
	ok($node->poll_query_until('postgres', 'SELECT count(*) = 0 FROM domowf_check() WHERE NOT ok'),
		'nothing is wrong');
	return;
}

# ---- an imitation: a copy, and what has changed since, in order

value(Follower->sql);

my %changes = map { $_ => 0 } qw(queue log key);
under_load(
	'tables that are followed',
	sub {
		my $before = value('SELECT count(*) FROM asked');

		value("SELECT follow.start('$_')") foreach sort keys %changes;
		$node->poll_query_until('postgres',
			"SELECT count(*) >= $before + 50 FROM asked JOIN domowf.log USING (id)
				UNION SELECT NOT EXISTS (SELECT FROM pg_stat_activity
				WHERE application_name = 'pgbench') AND NOT EXISTS (SELECT FROM domowf.queue
				WHERE run_at <= now()) ORDER BY 1 DESC LIMIT 1");
		foreach my $table (sort keys %changes)
		{
			$changes{$table} += value("SELECT count(*) FROM follow.$table");
			is(value("SELECT follow.differs('$table')"), 0,
				"domowf.$table: the copy and what was told of are the table");
		}
	});
cmp_ok($changes{$_}, '>', 50, "... changes of $_ were told") foreach sort keys %changes;
value('DROP SCHEMA follow CASCADE');

# ---- the real one

SKIP:
{
	my $there = value(q{SELECT count(*) FROM pg_available_extensions WHERE name = 'pg_repack'});
	my $runs = $there && eval { IPC::Run::run([ 'pg_repack', '--version' ], '>' => \my $out) };

	skip 'pg_repack is not installed', 1 unless $runs;
	value('CREATE EXTENSION pg_repack; TRUNCATE domowf.log, domowf.key, asked');
	$domo->clear_record;
	my $count = 0;
	my $before = value(q{SELECT sum(pg_relation_filenode(oid)::bigint) FROM pg_class
		WHERE oid IN ('domowf.queue'::regclass, 'domowf.log'::regclass,
			'domowf.key'::regclass)});
	under_load(
		'pg_repack',
		sub {
			foreach my $table (qw(queue log key))
			{
				my ($out, $err) = ('', '');

				IPC::Run::run(
					[
						'pg_repack', '-h', $node->host, '-p', $node->port,
						'-d', 'postgres', '-t', "domowf.$table"
					],
					'>' => \$out, '2>' => \$err)
				  ? $count++
				  : diag $err;
			}
		});
	cmp_ok($count, '>=', 3, '... each table was rebuilt');
	cmp_ok($before, '!=', value(q{SELECT sum(pg_relation_filenode(oid)::bigint) FROM pg_class
		WHERE oid IN ('domowf.queue'::regclass, 'domowf.log'::regclass,
			'domowf.key'::regclass)}), '... and has got another file');
	is(value(q{SELECT count(*) FROM pg_trigger WHERE tgname ~ 'repack'}), 0,
		'... it leaves nothing behind');
	note "$count times";
}

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$_->quit foreach $session, $watcher;
$node->stop;
done_testing();
