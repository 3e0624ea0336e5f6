
# Copies of a server send nothing by themselves: a base backup that is started
# with domowf.worker = off or without the token file, a standby that is promoted
# so, a server in binary upgrade mode.  What pg_upgrade carries over is sent
# once; what pg_dump carries over is the registry and no request.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Cwd;
use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not open domowf\.token_file: No such file/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $conf = Domowf::RETRY_AT_ONCE . <<'END';
domowf.timeout = '10min'
domowf.poll_interval = '200ms'
END
my $node = Domowf->start_node('main', $domo, preload => 1, streaming => 1,
	conf => $conf);
my ($id, @ids, $session);
my $hour = q{now() + interval '1 hour'};

# As it is in the field: the token in a file.
my $token_file = $node->basedir . '/token';
append_to_file($token_file, Domowf::TOKEN . "\n");
chmod 0600, $token_file or die "chmod: $!";
$node->append_conf('postgresql.conf',
	"domowf.token = ''\ndomowf.token_file = '$token_file'\n");
$node->restart;

$node->safe_psql('postgres', <<'END');
CREATE ROLE app;
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('again', 'model', '1.0.0', 'Start it', 'retry')
END

sub enqueue
{
	my ($at, @request) = @_;

	return $at->safe_psql('postgres', Domowf->enqueue_sql(@request));
}

sub outcome
{
	my ($at, $request, $timeout) = @_;

	return $at->safe_psql('postgres',
		Domowf->outcome_sql($request, undef, $timeout));
}

sub processes
{
	my ($at) = @_;

	return $at->safe_psql('postgres',
		q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'domowf worker'}
	);
}

# What the original has when it is copied: something to be sent at once,
# something that was being sent, something that may be repeated.
$domo->script('hang', count => 2, contains => 'in flight');
@ids = (
	enqueue($node, 'plain', 'in flight hold'),
	enqueue($node, 'again', 'in flight retry'));
$domo->wait_for(held => 2);
$node->safe_psql('postgres', q{SELECT domowf_pause('while it is copied')});
$node->poll_query_until('postgres',
	q{SELECT state = 'paused' FROM domowf.worker});
push @ids, enqueue($node, 'plain', 'due');
$node->backup('base');
$node->safe_psql('postgres', 'SELECT domowf_resume()');
is(outcome($node, $ids[2]), 'done', 'the original sends');

# ---- a base backup

my $copy = PostgreSQL::Test::Cluster->new('copy');
$copy->init_from_backup($node, 'base');
$copy->append_conf('postgresql.conf', "domowf.worker = off\n");
$copy->start;

# even if somebody lets it go on
$copy->safe_psql('postgres', 'SELECT domowf_resume()');
$id = enqueue($copy, 'plain', 'in the copy');
is(outcome($copy, $id, '1200 ms'),
	'queued', 'a base backup with domowf.worker = off sends nothing');
is(processes($copy), 0, '... it has no worker');
is( $copy->safe_psql('postgres',
		q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'worker'}),
	'f|domowf.worker is off',
	'... domowf_check says why');
is( $copy->safe_psql('postgres',
		"SELECT string_agg(state, ' ' ORDER BY id) FROM domowf.request"
		  . " WHERE id IN ($ids[0], $ids[1], $ids[2])"),
	'sending sending queued',
	'... and touches nothing');
$copy->restart;
is(outcome($copy, $id, '600 ms'), 'queued', '... nor after a restart');
$copy->stop;

# the other way: without the token file
$copy->append_conf('postgresql.conf',
	"domowf.worker = on\ndomowf.token_file = '$token_file.none'\n");
$copy->start;
ok( $copy->poll_query_until('postgres',
		q{SELECT state = 'paused' AND pause_reason ~ 'token' FROM domowf.worker}),
	'without the token file its worker is paused and says why');
is(outcome($copy, $id, '1200 ms'), 'queued', '... nothing is sent');
$copy->stop;
is($domo->arrived($_->[0]), $_->[1], "sent by all of them: $_->[0]")
  foreach [ 'due', 1 ], [ 'in flight hold', 1 ], [ 'in flight retry', 1 ],
  [ 'in the copy', 0 ];

# ---- a standby that is promoted, and does not send

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->append_conf('postgresql.conf', "domowf.worker = off\n");
$standby->start;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is( $standby->safe_psql('postgres',
		q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'worker'}),
	't|this is a standby, which sends nothing: its primary does',
	'domowf_check on a standby');
is($standby->safe_psql('postgres', 'SELECT count(*) FROM domowf.worker'),
	0, '... it has no worker');
my ($status, $stdout, $stderr) = $standby->psql('postgres',
	'SELECT domowf_resume()',
	extra_params => [ '-v', 'VERBOSITY=sqlstate' ]);
like($stderr, qr/25006/, '... which nobody can let go on');
$standby->promote;
$id = enqueue($standby, 'plain', 'promoted');
is(outcome($standby, $id, '1200 ms'),
	'queued', 'promoted with domowf.worker = off it sends nothing');
is(processes($standby), 0, '... and starts no worker');
is($domo->arrived('promoted'), 0, '... as Domo knows');
$standby->append_conf('postgresql.conf', "domowf.worker = on\n");
$standby->reload;
is(outcome($standby, $id), 'done', '... until it is switched on');
is(outcome($standby, $ids[0]),
	'in_doubt', '... what the original was sending is in doubt');

# ---- a standby that was promoted, and told to be a server of its own

# As pg_createsubscriber does: the original goes on.
sub change_identity
{
	my ($at) = @_;
	my $control = $at->data_dir . '/global/pg_control';

	open my $file, '+<:raw', $control or die "$control: $!";
	print {$file} pack 'Q', 7_000_000_000_000_000_001;
	close $file or die "$control: $!";
	command_ok([ 'pg_resetwal', '-f', '-D', $at->data_dir ],
		'another system identifier');
	return;
}

$standby->append_conf('postgresql.conf', "domowf.worker = off\n");
$standby->reload;
$standby->poll_query_until('postgres',
	q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type LIKE 'domowf worker'});
$id = enqueue($standby, 'plain', 'with the original');
$standby->stop;
change_identity($standby);
$standby->append_conf('postgresql.conf', "domowf.worker = on\n");
$standby->start;
ok( $standby->poll_query_until('postgres',
		q{SELECT detail = 'the worker is paused: this server is a copy of another one'
		FROM domowf_check() WHERE check_name = 'worker'}),
	'it is a copy, and says so');
is(outcome($standby, $id, '1200 ms'), 'queued', '... which sends nothing');
$standby->restart;
is(outcome($standby, $id, '1200 ms'), 'queued', '... nor after a restart');
is($domo->arrived('with the original'), 0, '... as Domo knows');
$standby->safe_psql('postgres', 'SELECT domowf_resume()');
is(outcome($standby, $id), 'done', '... until somebody says that it may');
$standby->restart;
is(outcome($standby, enqueue($standby, 'plain', 'by itself')),
	'done', '... and goes on');
$standby->stop;
$domo->close_all;
is(outcome($node, $ids[0]), 'in_doubt', 'as it is where it was sent');

# The tool itself, which PostgreSQL has from 17 on.
SKIP:
{
	my $tool = $node->config_data('--bindir') . '/pg_createsubscriber';

	skip 'no pg_createsubscriber', 6 if !-x $tool;
	my $made = PostgreSQL::Test::Cluster->new('made');
	my @publisher = (max_wal_senders => 10, max_replication_slots => 10,
		wal_level => 'logical');

	while (my ($setting, $value) = splice @publisher, 0, 2)
	{
		$node->append_conf('postgresql.conf', "$setting = $value\n");
	}
	$node->restart;
	$node->backup('made');
	$made->init_from_backup($node, 'made', has_streaming => 1);
	$made->append_conf('postgresql.conf', "domowf.worker = off\n");
	$made->start;
	$node->safe_psql('postgres', q{SELECT domowf_pause('until both are there')});
	$id = enqueue($node, 'plain', 'of both');
	$node->wait_for_catchup($made, 'replay', $node->lsn('insert'));
	$made->stop;
	command_ok(
		[
			$tool, '--pgdata', $made->data_dir, '--publisher-server',
			$node->connstr('postgres'), '--database', 'postgres',
			'--socketdir', $made->host, '--subscriber-port', $made->port
		],
		'pg_createsubscriber');
	$made->append_conf('postgresql.conf', "domowf.worker = on\n");
	$made->start;
	$node->safe_psql('postgres', 'SELECT domowf_resume()');
	is(outcome($node, $id), 'done', '... the publisher sends');
	ok( $made->poll_query_until('postgres',
			q{SELECT detail = 'the worker is paused: this server is a copy of another one'
			FROM domowf_check() WHERE check_name = 'worker'}),
		'... the subscriber does not, and says so');
	is(outcome($made, $id, '1200 ms'), 'queued', '... what both have queued');
	is($domo->arrived('of both'), 1, '... is sent once');
	$made->safe_psql('postgres', q{ALTER SUBSCRIPTION } . $made->safe_psql('postgres',
		'SELECT quote_ident(subname) FROM pg_subscription') . ' DISABLE');
	$made->stop;
	$node->safe_psql('postgres',
		'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
	pass('... and both end');
}

# ---- standbys that commits wait for

sub is_held_back
{
	my ($database, $name) = @_;

	return ok(
		$node->poll_query_until('postgres',
			q{SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE}
			  . " backend_type = 'domowf worker' AND datname = '$database'"),
		($name // $database) . ': a claim waits for its standby');
}

# A failover must not lose a claim of something that was sent, whatever other
# commits do; nor does it matter when the setting changes.
$session = Domowf->session($node);
foreach my $weak ('local', 'off')
{
	my $n = "synchronous_commit = $weak";

	$session->configure('synchronous_commit', $weak);
	$session->configure('synchronous_standby_names', 'nobody');

	Domowf->until_commits_wait($node);
	$id = $session->enqueue('plain', $n);
	is_held_back('postgres', $n);
	is($domo->arrived($n), 0, '... and nothing is sent before');
	$session->configure('synchronous_standby_names', '');
	is($session->outcome($id), 'done', '... then it is');
	is($domo->arrived($n), 1, '... once');
}

# A worker that waits for a standby holds up nothing, and then does not send.
# (While the workers of other databases wait so, PostgreSQL itself has no DROP
# DATABASE: they do not answer its barriers.)
$session->value('CREATE DATABASE two');
$node->safe_psql('two', 'CREATE EXTENSION domowf');
$session->configure('synchronous_commit', 'local');
$session->configure('synchronous_standby_names', 'nobody');
Domowf->until_commits_wait($node);
$node->safe_psql('two', q{SELECT domowf_enqueue_call('start',
	'{"messageName": "m", "version": "1.0.0", "modelId": "model",
	"data": {"n": "dropped"}}')});
is_held_back('two');
is($session->run('DROP DATABASE two')->{sqlstate},
	'', '... DROP DATABASE does not wait for it');
$id = $session->enqueue('plain', 'stopped');
is_held_back('postgres');
$session->quit;
$node->stop;
$node->append_conf('postgresql.auto.conf',
	"synchronous_standby_names = ''\nsynchronous_commit = on\n");
is($domo->arrived($_), 0, "... nor does a fast shutdown, and nothing is sent: $_")
  foreach 'dropped', 'stopped';
$node->start;
is(outcome($node, $id), 'done', '... what it had claimed was put back');
is($domo->arrived('stopped'), 1, '... and is sent by the next worker, once');

# ---- binary upgrade

# pg_upgrade looks for '$libdir/domowf', which PostgreSQL 18 finds only where it
# is installed; here it is found along a path.
my $new = $node;
SKIP:
{
	my ($status) = $node->psql('postgres', q{LOAD '$libdir/domowf'});

	skip "the library is not installed where pg_upgrade looks", 11 if $status != 0;
	$node->append_conf('postgresql.conf', "domowf.worker = off\n");
	$node->restart;
	$id = enqueue($node, 'plain', 'upgraded');
	my $later = enqueue($node, 'plain', 'upgraded later', run_at => $hour,
		key => q{'k'}, order_key => q{'o'});
	$node->stop;
	my $sent = $domo->stats->{requests};
	$new = PostgreSQL::Test::Cluster->new('new');
	$new->init(extra => [ '-E', 'UTF8', '--locale=C' ]);
	$new->append_conf('postgresql.conf', "log_statement = none\n"
		  . "shared_preload_libraries = 'domowf'\n"
		  . $conf
		  . Domowf->settings($domo));

	# it writes into the current directory
	my $back = getcwd;
	chdir PostgreSQL::Test::Utils::tempdir_short or die "chdir: $!";
	command_ok(
		[
			'pg_upgrade', '--no-sync', '-d', $node->data_dir, '-D',
			$new->data_dir, '-b', $node->config_data('--bindir'), '-B',
			$new->config_data('--bindir'), '-s', $new->host, '-p', $node->port,
			'-P', $new->port
		],
		'pg_upgrade');
	chdir $back or die "chdir: $!";
	is($domo->stats->{requests}, $sent, '... during which nothing is sent');

	# as pg_upgrade starts servers
	$new->append_conf('postgresql.auto.conf', "unix_socket_directories = '"
		  . $new->host . "'\n");
	command_ok(
		[
			'pg_ctl', '-w', '-D', $new->data_dir, '-l', $new->logfile, '-o',
			'-b', 'start'
		],
		'a server in binary upgrade mode');
	is( $new->safe_psql('postgres',
			q{SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'domowf%'}
		),
		0,
		'... has neither launcher nor worker');
	command_ok([ 'pg_ctl', '-w', '-D', $new->data_dir, 'stop' ], '... stopped');
	is($domo->arrived('upgraded'), 0, '... and has sent nothing');
	$new->start;
	is(outcome($new, $id), 'done', 'upgraded: what was queued is sent');
	is( $new->safe_psql('postgres',
			"SELECT state, key, order_key FROM domowf.request WHERE id = $later"),
		'queued|k|o',
		'... what is due later is there');
	is(enqueue($new, 'plain', 'again', key => q{'k'}),
		$later, '... its key is held');
	is($domo->arrived('upgraded'), 1, '... sent once');
	is( $new->safe_psql('postgres',
			q{SELECT coalesce(string_agg(check_name || ': ' || detail, ', '), '')
				FROM domowf_check() WHERE NOT ok}),
		'',
		'... domowf_check finds nothing wrong');
}

# ---- dump and restore

$new->safe_psql('postgres', <<'END');
UPDATE domowf.workflow SET granted_to = 'app', max_attempts = 3,
	expire_after = '1 day' WHERE name = 'again';
CREATE DATABASE restored
END
my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';
$new->command_ok(
	[ 'pg_dump', '-Fc', '-f', $dump, '-d', $new->connstr('postgres') ],
	'pg_dump');
$new->command_ok(
	[ 'pg_restore', '--exit-on-error', '-d', $new->connstr('restored'), $dump ],
	'pg_restore');
my $registry = q{SELECT string_agg(w::text, ' ' ORDER BY name) FROM domowf.workflow w};
is( $new->safe_psql('restored', $registry),
	$new->safe_psql('postgres', $registry),
	'... the registry is restored');
is( $new->safe_psql('restored',
		'SELECT (SELECT count(*) FROM domowf.queue),'
		  . ' (SELECT count(*) FROM domowf.key),'
		  . ' (SELECT count(*) FROM domowf.log)'),
	'0|0|0',
	'... and no request');
$id = $new->safe_psql('restored',
	q{SELECT domowf_enqueue('plain', '{"n": "restored"}')});
is( $new->safe_psql('restored',
		"SELECT state FROM domowf_wait($id, '170 s')"),
	'done',
	'... it has a worker, and is no copy');
is($domo->arrived('restored'), 1, '... sent once');
$new->command_ok([ 'pg_dumpall', '-f', "$dump.all", '-d', $new->connstr('postgres') ],
	'pg_dumpall');
unlike(slurp_file("$dump.all"), qr/upgraded|"n"/,
	'... holds no request');

is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$new->stop;
done_testing();
