
# A call ends at once when its statement is cancelled, times out or its session
# is terminated, wherever it hangs: in the resolver, connecting, in a TLS
# handshake, sending, waiting, receiving.  The error says whether the request
# had been sent.  Exists because a library that blocks in any one of these
# holds a backend, its locks and a shutdown for as long as the network likes.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

# What would end the call otherwise is 600 s, the end must come well before.
use constant LONG => '600s';
use constant PROMPT_SECONDS => 60;

my $shim = PostgreSQL::Test::Utils::tempdir() . '/slow_resolver.so';
system_or_bail($ENV{CC} || 'cc', '-shared', '-fPIC', '-o', $shim,
	"$FindBin::RealBin/slow_resolver.c", '-ldl');

my $domo = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $node;
{
	local $ENV{LD_PRELOAD} = $shim;
	$node = Domowf->start_node('main', $domo);
}
my $admin = Domowf->session($node);
my $session = new_session();

sub new_session
{
	my $new = Domowf->session($node);

	$new->run("SET domowf.timeout = '" . LONG . q('));
	$new->run("SET domowf.connect_timeout = '" . LONG . q('));
	$new->run("SET domowf.ca_file = '" . $domo->ca_file . q('));
	return $new;
}

# Waits until the session waits for the network.
sub wait_for_network
{
	$node->poll_query_until('postgres',
		'SELECT count(*) = 1 FROM pg_stat_activity'
		  . " WHERE wait_event_type = 'Extension' AND pid = "
		  . $session->pid)
	  or die 'the session does not wait for the network';
	return;
}

my $megabyte = '{"x": "' . 'x' x 1_000_000 . '"}';

# Each phase: where requests go, a scenario for all requests, the statement,
# what the stand-in shows when the phase is reached, whether it had been sent.
my @phases = (
	{
		name => 'resolving',
		url => 'https://domo.slow.test',
	},
	{
		name => 'connecting',
		url => $domo->blackhole_url,
	},
	{
		name => 'TLS handshake',
		url => $domo->silent_url,
		reached => { silent => 1 },
	},
	{
		name => 'sending',
		script => 'no-read',
		sql => Domowf->start_sql('large', $megabyte),
		reached => { held => 1 },
		sent => 1,
		subject => qr/start of workflow "large"/,
	},
	{
		name => 'waiting',
		sql => Domowf->start_sql('scenario:hang'),
		reached => { held => 1 },
		sent => 1,
		subject => qr/start of workflow "scenario:hang"/,
	},
	{
		name => 'waiting for the body',
		sql => Domowf->start_sql('scenario:hang-headers'),
		reached => { held => 1 },
		sent => 1,
		subject => qr/start of workflow/,
	},
	{
		name => 'receiving',
		sql => Domowf->start_sql('scenario:trickle:5000'),
		reached => { executed => 1 },
		sent => 1,
		subject => qr/start of workflow/,
	},
	{
		name => 'waiting, cancel',
		sql => Domowf->cancel_sql('scenario:hang'),
		reached => { held => 1 },
		sent => 1,
		subject => qr/cancel of workflow instance "scenario:hang"/,
	},
	{
		name => 'waiting, set_permissions',
		sql => Domowf->permissions_sql('scenario:hang'),
		reached => { held => 1 },
		sent => 1,
		subject => qr/set_permissions of workflow "scenario:hang"/,
	},
	{
		name => 'TLS, waiting',
		url => $domo->tls_url,
		sql => Domowf->start_sql('scenario:hang'),
		reached => { held => 1 },
		sent => 1,
		subject => qr/start of workflow/,
	});

# Sends the statement of a phase and waits until that is reached.
sub enter_phase
{
	my ($phase) = @_;

	$domo->close_all;
	$domo->wait_for(held => '=0', open => '=0', silent => '=0');
	$domo->clear_record;
	$domo->script($phase->{script}) if $phase->{script};
	$session->run('SET domowf.base_url = '
		  . Domowf->literal($phase->{url} // $domo->url));
	$session->run("SET statement_timeout = '$phase->{limit}'")
	  if $phase->{limit};
	$session->send($phase->{sql} // Domowf->start_sql('model'));
	return if $phase->{limit};
	$domo->wait_for(%{ $phase->{reached} }) if $phase->{reached};
	wait_for_network();
	return;
}

sub check_end
{
	my ($name, $phase, $got, $sqlstate, $began) = @_;

	cmp_ok(time - $began, '<', PROMPT_SECONDS, "$name: ends promptly");
	is($got->{sqlstate}, $sqlstate, "$name: SQLSTATE") or diag $got->{err};
	if ($phase->{sent})
	{
		like($got->{detail}, qr/in doubt/, "$name: says that it is in doubt");
		like($got->{detail}, $phase->{subject}, "$name: says what");
	}
	else
	{
		like($got->{detail}, qr/No request .* had been sent/,
			"$name: says that nothing had been sent");
		is($domo->stats->{requests}, 0, "$name: nothing arrived");
	}
	is_deeply($got->{warnings}, [], "$name: nothing else is claimed");
	return;
}

# The same backend, or a new one, makes the next call.
sub check_next
{
	my ($name) = @_;

	$session->run(
		'RESET statement_timeout; SET domowf.base_url = '
		  . Domowf->literal($domo->url));
	is($session->run(Domowf->start_sql("after $name"))->{sqlstate},
		'', "$name: the next call succeeds");
	return;
}

foreach my $phase (@phases)
{
	my $name = "cancel, $phase->{name}";

	enter_phase($phase);
	my $began = time;
	$admin->value('SELECT pg_cancel_backend(' . $session->pid . ')');
	check_end($name, $phase, $session->wait, '57014', $began);
	check_next($name);
}

my $late = 0;
foreach my $phase (@phases)
{
	my $name = "statement_timeout, $phase->{name}";
	my ($began, $ended);

	# long enough for the request to be sent; on a slow machine, once more
	do
	{
		$began = time;
		enter_phase({ %$phase, limit => $phase->{sent} ? '2s' : '300ms' });
		$ended = $session->wait;
		$session->run('RESET statement_timeout');
	} while ($phase->{sent} && $ended->{detail} !~ /in doubt/ && ++$late < 10);
	check_end($name, $phase, $ended, '57014', $began);
	check_next($name);
}

foreach my $phase (@phases)
{
	my $name = "terminate, $phase->{name}";
	my $offset = Domowf->log_size($node);

	enter_phase($phase);
	my $began = time;
	$admin->value('SELECT pg_terminate_backend(' . $session->pid . ')');
	check_end($name, $phase, $session->wait, '57P01', $began);
	like(
		Domowf->log_since($node, $offset),
		$phase->{sent} ? qr/DETAIL: .*in doubt/ : qr/DETAIL: .*No request/,
		"$name: the server's log says the same");
	$session->quit;
	$session = new_session();
	check_next($name);
}

# ---- an error that is nobody's of domowf ends a call no more silently

foreach my $phase (grep { $_->{sent} } @phases)
{
	my $name = "error, $phase->{name}";

	enter_phase($phase);

	# this signal ends whatever is under way, and nobody gets one within libcurl
	wait_for_network();
	my $began = time;
	kill FPE => $session->pid;
	check_end($name, $phase, $session->wait, '22P01', $began);
	check_next($name);
}

# ---- other signals do not end it, and do not harm the thread that resolves

enter_phase($phases[0]);
$admin->value('SELECT pg_reload_conf()') foreach 1 .. 20;
wait_for_network();
$admin->value('SELECT pg_cancel_backend(' . $session->pid . ')');
is($session->wait->{sqlstate}, '57014', 'reloads while resolving do no harm');
check_next('reload');

# ---- a shutdown is not held up

enter_phase($phases[0]);
my $began = time;
$node->stop('fast');
cmp_ok(time - $began, '<', PROMPT_SECONDS,
	'a fast shutdown does not wait for the resolver');
$session->quit;
$admin->quit;

# a request that was never read to its end is no fault of its client
is_deeply(
	[ grep { $_->{complete} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
