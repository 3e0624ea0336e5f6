
# The worker's settings are the configuration's.  The owner of a database may
# set most of them for it, and a domowf.timeout of 1 ms would put every start in
# doubt; so would a superuser who meant his sessions.  What is set for a
# database, a role or all roles reaches no worker, whatever it is, neither at
# its start nor when the configuration is read again; the configuration does.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $token = 'file-token-0123456789-abcdef';
my $domo = Domo->new(tokens => [$token]);
my $stranger = Domo->new(tokens => [$token]);
my $file = PostgreSQL::Test::Utils::tempdir() . '/token';

append_to_file($file, "$token\n");
chmod 0600, $file;
my $node = Domowf->start_node(
	'main', undef,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<"END");
domowf.token_file = '$file'
domowf.base_url = '@{[ $domo->url ]}'
domowf.poll_interval = '500ms'
domowf.timeout = 60s
log_line_prefix = '%m [%p] %a '
END
my $session = Domowf->session($node);
my $id;

# What tells in the server's log, of the worker, that a setting has reached it.
my %told = (
	debug_print_parse => qr/domowf worker LOG:  (?:00000: )?parse tree:/,
	debug_print_rewritten => qr/domowf worker LOG:  (?:00000: )?rewritten parse tree:/,
	debug_print_plan => qr/domowf worker LOG:  (?:00000: )?plan:/);

$session->value(q{INSERT INTO domowf.workflow (name, model_id, version,
	message_name) VALUES ('plain', 'model', '1.0.0', 'Start it')});

# ---- what the owner of the database may set, and a superuser for everybody

my $me = $session->value('SELECT current_user');
$session->value('CREATE ROLE owner LOGIN; ALTER DATABASE postgres OWNER TO owner');
my $owner = Domowf->session($node, user => 'owner');
$owner->value("ALTER DATABASE postgres SET $_") foreach
  "domowf.timeout = '1ms'", "domowf.connect_timeout = '1ms'",
  'debug_print_plan = on', "work_mem = '64kB'",
  "default_transaction_isolation = 'serializable'",
  "client_encoding = 'LATIN1'", 'enable_indexscan = off',
  "default_table_access_method = 'nosuch'", "temp_tablespaces = 'nosuch'",
  "DateStyle = 'SQL, DMY'", "TimeZone = 'Asia/Kathmandu'";
$owner->quit;
$session->value("ALTER DATABASE postgres SET $_") foreach
  "domowf.base_url = '" . $stranger->url . q('), "domowf.proxy = '" . $stranger->proxy_url . q('),
  "domowf.ca_file = '/nosuch'", "domowf.instance = 'evil'",
  "domowf.max_response_size = '1kB'", 'domowf.log_payload = off';
$session->value("ALTER ROLE $me SET debug_print_parse = on");
$session->value("ALTER ROLE $me IN DATABASE postgres SET domowf.connect_timeout = '2ms'");
$session->value('ALTER ROLE ALL SET debug_print_rewritten = on');
$session->value("ALTER ROLE ALL SET domowf.log_calls = off");
$session->quit;
$node->restart;
my $offset = Domowf->log_size($node);

$session = Domowf->session($node, options => '-c client_encoding=UTF8'
	  . ' -c default_transaction_isolation=read\ committed');
is($session->value('SHOW domowf.timeout; SHOW domowf.base_url'),
	"1ms\n" . $stranger->url, 'a session has them');

sub enqueue
{
	my ($model) = @_;

	return $session->value(sprintf q{SELECT domowf_enqueue_call('start',
		'{"messageName": "Start it", "version": "1.0.0", "modelId": "%s",
		"data": {}}')}, $model);
}

sub told
{
	my ($from) = @_;
	my $log = Domowf->log_since($node, $from);

	return join ' ', grep { $log =~ $told{$_} } sort keys %told;
}

$id = enqueue('scenario:delay:300');
is($session->outcome($id, 'state, attempts'), 'done|1',
	'a start that takes longer than the database would have it is done');
is($session->value("SELECT response IS NOT NULL FROM domowf.log WHERE id = $id"),
	't', '... and its reply kept');
$id = enqueue('scenario:oversize:5000');
is($session->outcome($id), 'done', 'a reply longer than the database would have it');
is(told($offset), '', 'nothing else has reached the worker');
is($stranger->stats->{requests} + $stranger->stats->{proxied},
	0, 'nothing went where the database would have it');

# ---- the configuration is read again, and reaches it

sub reconfigure
{
	my ($name, $value, $old, $new) = @_;
	my $from = Domowf->log_size($node);

	$session->value("ALTER SYSTEM SET $name = '$value'");
	$session->value('SELECT pg_reload_conf()');
	$node->wait_for_log(qr/parameter "$name" changed to "$value"/, $from);
	return;
}

$offset = Domowf->log_size($node);
reconfigure('domowf.timeout', '59s');
$id = enqueue('scenario:delay:300');
is($session->outcome($id), 'done', 'after a reload it is as before');
is(told($offset), '', '... and so is all else');
reconfigure('domowf.timeout', '100ms');
$id = enqueue('scenario:hang');
is($session->outcome($id), 'in_doubt', 'a timeout of the configuration counts');
$session->value("SELECT domowf_discard($id)");
$offset = Domowf->log_size($node);
reconfigure('debug_print_plan', 'on');
$id = enqueue('model');
is($session->outcome($id), 'done', 'one more');
$node->wait_for_log($told{debug_print_plan}, $offset);
is(told($offset), 'debug_print_plan',
	'what the configuration sets has reached the worker, by a reload');
$session->value('ALTER SYSTEM RESET ALL');
$session->value('SELECT pg_reload_conf()');
$session->quit;

# ---- and a command line, which no database overrides

$node->stop;
PostgreSQL::Test::Utils::system_or_bail('pg_ctl', '-w', '-D', $node->data_dir,
	'-l', $node->logfile, '-o',
	'--cluster-name=main -c domowf.timeout=200ms', 'start');
$node->_update_pid(1);
$session = Domowf->session($node, options => '-c client_encoding=UTF8'
	  . ' -c default_transaction_isolation=read\ committed');
$id = enqueue('scenario:delay:50');
is($session->outcome($id), 'done', 'the timeout of the command line, not the 1 ms');
$id = enqueue('scenario:hang');
is($session->outcome($id), 'in_doubt', '... and not the 60 s of the file');
$session->quit;
$node->stop;
unlike(Domowf->log_since($node), qr/domowf worker (?:WARNING|ERROR)/,
	'no worker has complained');
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
done_testing();
