
# What people watch with: Debian's postgres exporter reads what
# test/monitoring/queries.yaml asks for, Debian's Prometheus judges it by
# domowf.rules.yml, and each alert fires in its outage and ends with it.  What
# the dashboards name is there.  Exists because a rule whose metric is called
# something else never fires.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use HTTP::Tiny;
use IPC::Run;
use JSON::PP;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $here = "$FindBin::RealBin/../monitoring";

sub has
{
	my (@command) = @_;

	return eval { IPC::Run::run(\@command, '>', \my $out, '2>', \my $err) };
}

plan skip_all => 'needs prometheus and prometheus-postgres-exporter: make deps'
  unless has(qw(promtool --version)) && has(qw(prometheus --version))
  && has(qw(prometheus-postgres-exporter --version));

command_ok([ 'promtool', 'check', 'rules', "$here/domowf.rules.yml" ], 'the rules are rules');
command_ok([ 'promtool', 'test', 'rules', "$here/domowf.test.yml" ], '... and do as their tests say');

# ---- PostgreSQL, the exporter, Prometheus

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END');
domowf.retry_base = '10ms'
domowf.retry_cap = '100ms'
domowf.poll_interval = '200ms'
domowf.stall_after = '300ms'
END
my $session = Domowf->session($node);
my $work = PostgreSQL::Test::Utils::tempdir();
my $http = HTTP::Tiny->new(timeout => 60);
my ($exporter_port, $port) = map { PostgreSQL::Test::Cluster::get_free_port() } 1 .. 2;
my @running;

$session->value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name, on_doubt)
VALUES ('plain', 'model', '1.0.0', 'Start it', 'hold'),
	('doubtful', 'scenario:status:502', '1.0.0', 'Start it', 'hold');
CREATE ROLE exporter LOGIN IN ROLE pg_monitor;
-- as queries.yaml says
ALTER ROLE exporter SET lock_timeout = '100ms'
END

# As they stand, but that nothing has to last for minutes.
sub rules
{
	my $rules = slurp_file("$here/domowf.rules.yml");

	$rules =~ s/for: \d+m/for: 0s/g;
	$rules =~ s/\[\d+m\]/[15s]/g;
	$rules =~ s/> 300$/> 300/mg;
	return $rules;
}

append_to_file("$work/rules.yml", rules());
append_to_file("$work/prometheus.yml", <<"END");
global:
  scrape_interval: 3s
  scrape_timeout: 3s
  evaluation_interval: 1s
rule_files: [ '$work/rules.yml' ]
scrape_configs:
  - job_name: postgres
    static_configs: [ { targets: [ '127.0.0.1:$exporter_port' ] } ]
END

sub start
{
	my ($name, @command) = @_;

	push @running, IPC::Run::start(\@command, '<', \undef, '>', "$work/$name.log", '2>&1');
	return;
}

END
{
	$_->kill_kill foreach @running;
}

{
	local $ENV{DATA_SOURCE_NAME} = 'user=exporter sslmode=disable dbname=postgres host='
	  . $node->host . ' port=' . $node->port;
	start('exporter', 'prometheus-postgres-exporter',
		"--extend.query-path=$here/queries.yaml", '--disable-default-metrics',
		'--disable-settings-metrics', "--web.listen-address=127.0.0.1:$exporter_port");
}
start('prometheus', 'prometheus', "--config.file=$work/prometheus.yml",
	"--storage.tsdb.path=$work/data", "--web.listen-address=127.0.0.1:$port");

# Waits until a condition holds.
sub until_true
{
	my ($name, $condition) = @_;

	foreach (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return ok(1, $name) if $condition->();
		select undef, undef, undef, 0.1;
	}
	diag(slurp_file("$work/$_.log")) foreach qw(exporter prometheus);
	return ok(0, $name);
}

sub exported
{
	my $got = $http->get("http://127.0.0.1:$exporter_port/metrics");

	return $got->{success} ? $got->{content} : '';
}

# What Prometheus says to an expression: its results, or nothing.
sub asked
{
	my ($expression) = @_;
	my $got = $http->post_form("http://127.0.0.1:$port/api/v1/query", { query => $expression });

	return $got->{success} ? decode_json($got->{content})->{data}{result} : undef;
}

# Names of the alerts that fire.
sub alerts
{
	my $got = $http->get("http://127.0.0.1:$port/api/v1/alerts");

	return () unless $got->{success};
	my %firing = map { $_->{labels}{alertname} => 1 }
	  grep { $_->{state} eq 'firing' } @{ decode_json($got->{content})->{data}{alerts} };
	return sort keys %firing;
}

sub fires
{
	my ($alert) = @_;

	return until_true("$alert fires", sub { grep { $_ eq $alert } alerts() });
}

sub ends
{
	my ($alert) = @_;

	return until_true("... and ends", sub { !grep { $_ eq $alert } alerts() });
}

# ---- what is exported

$session->outcome($session->enqueue('plain', "n$_")) foreach 1 .. 3;
until_true('the exporter exports', sub { exported() =~ /^domowf_requests_total\{/m });
my $exported = exported();
like($exported, qr/^domowf_requests_total\{[^}]*outcome="done"[^}]*workflow="plain"[^}]*\} 3$/m, 'a counter');
like($exported, qr/^domowf_request_duration_seconds_bucket\{[^}]*workflow="plain"[^}]*le="\+Inf"\} 3$/m, 'a histogram');
like($exported, qr/^domowf_worker_up(?:\{[^}]*\})? 1$/m, 'a gauge');

# every metric there is: of these, some appear when there is something to tell
until_true('all of domowf_metrics() is exported', sub {
	my %exported = map { $_ => 1 } exported() =~ /^(domowf_\w+)(?=[ {])/mg;

	return !grep { !$exported{$_} } split /\n/,
	  $session->value('SELECT DISTINCT name FROM domowf_metrics()');
});
my @asked = $exported =~ /^# TYPE (domowf_\w+) /mg;
my $prefix;
foreach (split /\n/, slurp_file("$here/queries.yaml"))
{
	my $kind;

	$prefix = $1 if /^(\w+):$/;
	push @asked, "${prefix}_$1" if /^    - (\w+):$/;
	($kind) = /^        usage: (\w+)$/ or next;
	my $name = pop @asked;
	push @asked, $kind eq 'HISTOGRAM' ? map { "${name}_$_" } qw(bucket sum count) : $kind eq 'LABEL' ? () : $name;
}

foreach my $file (qw(grafana-prometheus.json grafana-postgresql.json domowf.rules.yml))
{
	my $text = slurp_file("$here/$file");

	ok(decode_json($text), "$file is JSON") if $file =~ /json$/;
	my @unknown = grep { my $name = $_; !grep { $_ eq $name } @asked, 'domowf_metrics' }
	  $text =~ /\b(domowf_(?!retry|resolve|discard|resume|check)\w+)/g;
	is("@unknown", '', "what $file names is there");
}
$node->safe_psql('postgres', 'CREATE DATABASE apart');
$node->safe_psql('apart', 'CREATE SCHEMA ext; CREATE EXTENSION domowf SCHEMA ext');
my $apart = Domowf->session($node, dbname => 'apart', user => 'exporter');
foreach my $panel (@{ decode_json(slurp_file("$here/grafana-postgresql.json"))->{panels} })
{
	my $got = $apart->run($panel->{targets}[0]{rawSql});

	is("$got->{sqlstate}$got->{message}", '', "a panel's SQL, the extension in a schema of its own: $panel->{title}");
}
$apart->quit;
$node->safe_psql('postgres', 'DROP DATABASE apart');

# ---- each alert

until_true('Prometheus answers', sub { $http->get("http://127.0.0.1:$port/-/ready")->{success} });
until_true('... and nothing is wrong', sub { my $got = $http->get("http://127.0.0.1:$port/api/v1/query?query=domowf_worker_up");
	$got->{success} && @{ decode_json($got->{content})->{data}{result} } && !alerts() });

# a standby has its primary's figures, which are shown once
foreach my $panel (@{ decode_json(slurp_file("$here/grafana-prometheus.json"))->{panels} })
{
	foreach my $expression (map { $_->{expr} } @{ $panel->{targets} })
	{
		my @told = grep { $_ ne 'domowf_in_recovery' } $expression =~ /\b(domowf_\w+)/g;
		my @primary = $expression =~ / (unless) on \(instance, server\) domowf_in_recovery == 1(?:\)|$)/g;

		is(scalar @primary, scalar @told, "panel $panel->{title}: $expression is of primaries");
		ok(asked($expression), '... and an expression');
	}
}

my $id = $session->enqueue('doubtful', 'in doubt');
fires('DomowfInDoubt');
$session->value("SELECT domowf_discard($id)");
ends('DomowfInDoubt');

$session->value(q{SELECT domowf_pause('for the alert')});
fires('DomowfPaused');
$session->enqueue('plain', 'due for long');
$session->value(q{UPDATE domowf.queue SET due = due - interval '1 hour'});
fires('DomowfQueueGrowing');
$session->value('SELECT domowf_resume()');
ends('DomowfQueueGrowing');
ends('DomowfPaused');

$domo->script('status:401', count => undef, contains => 'refused token');
$id = $session->enqueue('plain', 'refused token');
fires('DomowfTokenRefused');
$domo->clear_script;
ends('DomowfTokenRefused');
is($session->outcome($id), 'done', '... since the token is good again');

# whatever is locked, what the worker says of itself is told; and that the rest is not
my $locker = Domowf->session($node);
foreach my $locked ([ 'queue', 'EXCLUSIVE' ], [ 'queue', 'ACCESS EXCLUSIVE' ], [ 'log', 'ACCESS EXCLUSIVE' ])
{
	my ($table, $mode) = @$locked;
	my $open = $table eq 'log' ? $session->enqueue('plain', 'settled under a lock', run_at => q{now() + interval '2 s'}) : undef;

	$locker->value("BEGIN; LOCK TABLE domowf.$table IN $mode MODE");
	fires('DomowfStalled');
	like(exported(), qr/^domowf_worker_stalled(?:\{[^}]*\})? 1$/m, "... $mode on $table: the exporter tells of it");
	fires('DomowfBlind') if "$table $mode" eq 'queue ACCESS EXCLUSIVE';
	$locker->value('COMMIT');
	ends('DomowfStalled');
	ends('DomowfBlind');
	$session->outcome($open) if $open;
}

$session->value(<<'END');
CREATE FUNCTION hear(domowf.request) RETURNS void LANGUAGE plpgsql AS 'BEGIN RAISE ''deaf''; END';
UPDATE domowf.workflow SET on_settled = 'public.hear(domowf.request)' WHERE name = 'plain'
END
$id = $session->enqueue('plain', 'told');
$session->outcome($id);
fires('DomowfReturnsFailing');
$session->value(q{CREATE OR REPLACE FUNCTION hear(domowf.request) RETURNS void LANGUAGE sql AS ''});
$session->value("SELECT domowf_retry_return($id)");
ends('DomowfReturnsFailing');

$session->value('ALTER SYSTEM SET domowf.worker = off; SELECT pg_reload_conf()');
fires('DomowfNoWorker');
$session->value('ALTER SYSTEM RESET domowf.worker; SELECT pg_reload_conf()');
ends('DomowfNoWorker');

# what is counted together has no workflow, as calls have none: one set of labels
# of which there are enough not to be counted together with the others
$session->outcome($session->value(q{SELECT domowf_enqueue_call('start', jsonb_build_object(
	'messageName', 'Start it', 'version', '1.0.0', 'modelId', 'a call', 'data', '{}'::jsonb))})) foreach 1 .. 3;
$session->value(<<'END');
INSERT INTO domowf.counter (operation, workflow, requested_by, requested_by_oid, class, outcome, n)
	SELECT 'start', 'plain', 'role' || i, 100000 + i, 'done', 'done', 1 FROM generate_series(1, 1500) i
END
until_true('labels are counted together', sub {
	$session->value(q{SELECT count(*) > 0 FROM domowf.counter WHERE workflow = ''}) eq 't' });
like(exported(), qr/^domowf_worker_up(?:\{[^}]*\})? 1$/m, '... and the exporter exports');

# an exporter that is gone, which was the last to tell anything
$running[0]->kill_kill;
fires('DomowfBlind');

done_testing();
