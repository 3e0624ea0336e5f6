
# What all TAP tests of domowf share: a server that is connected to the
# stand-in for Domo, and a psql session whose errors are taken apart.
#
#   my $domo = Domo->new;
#   my $node = Domowf->start_node('main', $domo);
#   my $session = Domowf->session($node);
#
#   my $got = $session->run("SELECT i.id FROM domowf_start('{...}') i");
#   $got->{out}                    rows, as psql -At prints them
#   $got->{sqlstate}               of the error; '' for none
#   $got->{message}, detail, hint  of the error; '' for none
#   @{ $got->{warnings} }          { severity, sqlstate, message, detail, hint }
#   $got->{err}                    all that came to stderr, as it stands
#
# A statement that is to be interrupted is sent with send() and waited for
# with wait().  Text is characters on this side and UTF-8 on the other.

package Domowf;

use strict;
use warnings;

use Encode ();
use File::Find ();
use FindBin;
use IPC::Run;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::RecursiveCopy;
use PostgreSQL::Test::Utils;
use ServerLog;
use Test::Builder;
use Wire;

use constant TOKEN => 'test-token-0123456789-abcdef';

# Settings of a server whose failed attempts are made again as good as at once.
use constant RETRY_AT_ONCE => <<'END';
domowf.retry_base = '10ms'
domowf.retry_cap = '50ms'
END

# A setting of a server that polls an instance when a test has it due, and not by
# itself seconds later; where there are no test points it still does.
sub POLLED_WHEN_DUE
{
	return has_test_points() ? "domowf.test_point = 'poll-wait=900000'\n" : '';
}

# What `make installcheck` cannot run is skipped, with the reason: it has the
# installation of a system, which is not to be added to, and in an ordinary
# build no test points.
sub import
{
	return if $ENV{TEMP_CONFIG};

	my $test = slurp_file($0);
	my $reason;

	$reason = 'an installation of its own' if $test =~ /own_installation/;
	$reason = 'test points' if $test =~ /test_point/ && !has_test_points();
	Test::Builder->new->plan(skip_all => "needs $reason: make check") if $reason;
	return;
}

sub has_test_points
{
	return 1 if $ENV{TEMP_CONFIG};

	my $dir = `pg_config --pkglibdir`;

	chomp $dir;
	return slurp_file("$dir/domowf.so") =~ /domowf\.test_point/;
}

# What the servers' logs may hold although ServerLog.pm looks for it.
my @expected_in_log;

sub expect_in_log
{
	my ($class, @expected) = @_;

	push @expected_in_log, @expected;
	return;
}

# The last test of each file, which none has to ask for.
{
	no warnings 'redefine';
	my $done_testing = \&Test::Builder::done_testing;

	*Test::Builder::done_testing = sub {
		my ($builder, @plan) = @_;
		my @tokens = (TOKEN, Domo->can('tokens_used') ? Domo->tokens_used : ());
		my @faults = ServerLog::faults(\@tokens, @expected_in_log);

		$builder->ok(@faults == 0, 'no server\'s log has what it never should')
		  or $builder->diag(map { "$_\n" } @faults);
		$builder->$done_testing(@plan);
	};
}

# The settings by which a server's calls reach $domo.
sub settings
{
	my ($class, $domo) = @_;

	return sprintf "domowf.base_url = '%s'\ndomowf.token = '%s'\n",
	  $domo->url, $domo->token;
}

# start_node(NAME, $domo, preload => 1, conf => TEXT, streaming => 1): a new
# server with the extension.  Without $domo it has no connection.
sub start_node
{
	my ($class, $name, $domo, %option) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	$class->_init($node, $option{streaming});

	# the tests look for tokens in the log: statements have them
	$node->append_conf('postgresql.conf', "log_statement = none\n");

	# a slow machine is no failure of Domo's
	$node->append_conf('postgresql.conf',
		"domowf.timeout = '10min'\ndomowf.connect_timeout = '1min'\n");
	$node->append_conf('postgresql.conf', $class->settings($domo)) if $domo;
	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = 'domowf'\n")
	  if $option{preload};
	$node->append_conf('postgresql.conf', $option{conf}) if $option{conf};
	$node->start;
	$node->safe_psql('postgres', 'CREATE EXTENSION domowf');
	return $node;
}

# A new cluster.  The first of a test is a copy, where there is one to copy, since
# initdb takes longer than many a test; what a copy shares with its like is the
# system identifier, so that those of one test are made by initdb.
my $template = $ENV{DOMOWF_TEMPLATE};

sub _init
{
	my ($class, $node, $streaming) = @_;
	my $run = \&PostgreSQL::Test::Utils::system_or_bail;
	my $from = $template;

	no warnings 'redefine';
	local *PostgreSQL::Test::Utils::system_or_bail = sub {
		return $run->(@_) unless $from && $_[0] eq 'initdb';
		return $run->('cp', '-RPp', $from, $node->data_dir);
	};
	$node->init(
		extra => [ '-E', 'UTF8', '--locale=C' ],
		allows_streaming => $streaming);
	undef $template;
	return;
}

# Copies the installation that the tests run with and adds scripts to it: that
# of 1.0, which is not installable any more, and others by what stands between
# domowf-- and .sql.  Returns the settings by which a server finds it.
sub own_installation
{
	my ($class, %scripts) = @_;
	my $conf = slurp_file($ENV{TEMP_CONFIG});
	my ($from) = $conf =~ /^extension_(?:destdir|control_path) = '([^':]+)/m
	  or die 'no installation';
	my $to = PostgreSQL::Test::Utils::tempdir . '/installation';
	my $dir;

	PostgreSQL::Test::RecursiveCopy::copypath($from, $to);
	File::Find::find(
		sub { $dir = $File::Find::dir if $_ eq 'domowf.control' }, $to);
	$scripts{'1.0'} = $class->script('update/domowf--1.0.sql');
	foreach my $name (keys %scripts)
	{
		die "$name is installed" if -e "$dir/domowf--$name.sql";
		append_to_file("$dir/domowf--$name.sql", $scripts{$name});
	}
	$conf =~ s/\Q$from\E/$to/g;
	return $conf;
}

# A file of test/, or with ../ before it of the checkout.
sub script
{
	my ($class, $name) = @_;

	return slurp_file("$FindBin::RealBin/../$name");
}

# What test/update/NAME.sql finds in a database, whatever that is set to.
sub look
{
	my ($class, $node, $database, $name) = @_;

	return $node->safe_psql($database,
		"SET search_path = pg_catalog; SET quote_all_identifiers = off;\n" . $class->script("update/$name.sql"));
}

sub session
{
	my ($class, $node, %option) = @_;

	return Domowf::Session->new($node, %option);
}

# Makes something go wrong from now on, or ends that.  Works without a session,
# and while no session can be had.
sub set_test_point
{
	my ($class, $node, $setting) = @_;

	$node->append_conf('postgresql.auto.conf',
		"domowf.test_point = '$setting'\n");
	$node->reload if $node->{_pid};
	return;
}

my $marks = 0;

# Waits until the server and each process of domowf's have taken up what the
# server's configuration says now.  Who sees a new value in a session knows that
# the others were told, and no more.  None may be stopped, or wait for a lock or a
# standby.  Without test points it is a reload.  Asks over the session, where no
# other one can be had.
sub until_taken_up
{
	my ($class, $node, $session) = @_;
	my $mark = 'm' . ++$marks;

	$node->append_conf('postgresql.auto.conf', "domowf.test_mark = '$mark'\n")
	  if has_test_points();
	$node->reload;
	return 1 unless has_test_points();

	my $own = $session // $class->session($node);

	_until_seen($own, $mark) or return 0;

	my @pids = split ' ', $own->value(
		q{SELECT pid FROM pg_catalog.pg_stat_activity WHERE backend_type LIKE 'domowf %'
			AND backend_start < pg_catalog.pg_conf_load_time()});

	$own->quit unless $session;
	foreach my $pid (@pids)
	{
		_until_marked($node, $pid, $mark) or return 0;
	}
	return 1;
}

sub _until_seen
{
	my ($session, $mark) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1
		  if $session->value(q{SELECT pg_catalog.current_setting('domowf.test_mark')}) eq $mark;
		select undef, undef, undef, 0.1;
	}
	return 0;
}

# One that has ended meanwhile is followed by one that knows.
sub _until_marked
{
	my ($node, $pid, $mark) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1
		  if !kill(0, $pid)
		  || slurp_file($node->logfile) =~ /process $pid has taken up mark $mark$/m;
		select undef, undef, undef, 0.1;
	}
	return 0;
}

# Commits until a commit waits for a standby.  After a reload that names one there
# is no other sign: the checkpointer tells everybody, in its own time, and a
# commit before that waits for nothing.
sub until_commits_wait
{
	my ($class, $node) = @_;
	my $probe = $class->session($node);
	my $pid = $probe->pid;

	$probe->send(q{SET synchronous_commit = on; DO $$ BEGIN LOOP
		PERFORM pg_logical_emit_message(true, '', ''); COMMIT;
		END LOOP; END $$});
	$node->poll_query_until('postgres',
		"SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $pid")
	  or die 'no commit waits';
	$node->safe_psql('postgres', "SELECT pg_terminate_backend($pid)");
	$probe->quit;
	return;
}

# Waits until a process has ended; false: it has not.
sub wait_for_end
{
	my ($class, $pid) = @_;

	for (1 .. 10 * $PostgreSQL::Test::Utils::timeout_default)
	{
		return 1 unless kill 0, $pid;
		select undef, undef, undef, 0.1;
	}
	return 0;
}

# Whether standard_conforming_strings can be off and escape_string_warning is a
# setting, which ends with version 18.
sub has_old_strings
{
	my ($version) = `pg_config --version` =~ /(\d+)/;

	return $version < 19;
}

# A literal of SQL.
sub literal
{
	my ($class, $text) = @_;

	$text =~ s/'/''/g;
	return "'$text'";
}

# The server's log from $offset on.
sub log_since
{
	my ($class, $node, $offset) = @_;

	return substr(slurp_file($node->logfile), $offset // 0);
}

sub log_size
{
	my ($class, $node) = @_;

	return -s $node->logfile;
}

# The SQL of a start whose model id names a scenario, or is any other text.
sub start_sql
{
	my ($class, $model, $data) = @_;

	return sprintf q{SELECT i.id FROM domowf_start(jsonb_build_object(
		'messageName', 'Start it', 'version', '1.0.0', 'modelId', %s::text,
		'data', %s::jsonb)) i},
	  $class->literal($model), $class->literal($data // '{}');
}

sub cancel_sql
{
	my ($class, $id) = @_;

	return sprintf q{SELECT i.id FROM domowf_cancel(%s::text) i},
	  $class->literal($id);
}

sub permissions_sql
{
	my ($class, $model) = @_;

	return sprintf q{SELECT count(*) FROM domowf_set_permissions(%s::text,
		'[{"id": "1", "type": "USER", "permissions": ["READ"]}]')},
	  $class->literal($model);
}

# The same by operation.
sub operation_sql
{
	my ($class, $operation, $id) = @_;
	my %sql = (
		start => \&start_sql,
		cancel => \&cancel_sql,
		set_permissions => \&permissions_sql);

	return $sql{$operation}->($class, $id);
}

# The SQL that asks for a start of a workflow whose data is {"n": $n}; %option
# are SQL expressions by the name of their parameter.
sub enqueue_sql
{
	my ($class, $workflow, $n, %option) = @_;
	my $options = join '', map { ", $_ => $option{$_}" } sort keys %option;

	return "SELECT domowf_enqueue('$workflow', '{\"n\": \"$n\"}'$options)";
}

# The SQL that waits until a request is settled or in doubt and returns its
# state, or other columns.
sub outcome_sql
{
	my ($class, $request, $columns, $timeout) = @_;

	$columns //= 'state';
	$timeout //= '170 s';
	return "SELECT $columns FROM domowf_wait($request, '$timeout') w";
}

package Domowf::Session;

use strict;
use warnings;

my $turn = 0;

# new($node, dbname => , user => , options => the libpq option of that name,
# env => { … })
sub new
{
	my ($class, $node, %option) = @_;
	my $self = bless { in => '', out => '', err => '', node => $node }, $class;
	my $connstr;

	$self->{database} = $option{dbname} // 'postgres';
	$connstr = $node->connstr($self->{database}) . ' client_encoding=UTF8';

	$connstr .= " user=$option{user}" if $option{user};
	$connstr .= " options='$option{options}'" if $option{options};
	$self->{limit} = IPC::Run::timer($PostgreSQL::Test::Utils::timeout_default);
	$self->{psql} = IPC::Run::start(
		[
			'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $connstr, '-f',
			'-'
		],
		'<' => \$self->{in},
		'>' => \$self->{out},
		'2>' => \$self->{err},
		$self->{limit});
	$self->{pid} = $self->run('SELECT pg_catalog.pg_backend_pid()')->{out};
	return $self;
}

# Process of the server.
sub pid
{
	my ($self) = @_;

	return $self->{pid};
}

# Sends statements and does not wait for them.
sub send
{
	my ($self, $sql) = @_;

	$turn++;
	$self->{mark} = "-- end of turn $turn --";
	$self->{out} = '';
	$self->{err} = '';
	# psql loses its way where nothing but a semicolon follows COPY's data
	$sql .= ";\n" if $sql !~ /^\\\.\n\z/m;
	$self->{in} .= Encode::encode('UTF-8',
		"$sql\\echo '$self->{mark}'\n\\warn '$self->{mark}'\n");
	$self->{limit}->start($PostgreSQL::Test::Utils::timeout_default);
	# it may have ended, with its connection: who waits is told
	eval { $self->{psql}->pump_nb; };
	return;
}

# Whether what was sent has ended.  Does not wait; psql may have ended.
sub is_answered
{
	my ($self) = @_;
	my $mark = qr/^\Q$self->{mark}\E\n/m;

	eval { $self->{psql}->pump_nb; } if $self->{psql}->pumpable;
	return $self->{out} =~ $mark && $self->{err} =~ $mark;
}

# Waits for what was sent; psql may end meanwhile, with its connection.
sub wait
{
	my ($self) = @_;

	until ($self->is_answered)
	{
		last unless $self->{psql}->pumpable;
		die "psql: no end of: $self->{out}\n$self->{err}\n"
		  if $self->{limit}->is_expired;
		eval { $self->{psql}->pump; 1 } or last;
	}
	return $self->_result;
}

sub run
{
	my ($self, $sql) = @_;

	$self->send($sql);
	return $self->wait;
}

# The rows of a statement that must not fail.
sub value
{
	my ($self, $sql) = @_;
	my $got = $self->run($sql);

	die "$sql: $got->{err}" if $got->{sqlstate};
	return $got->{out};
}

# Changes a setting of the server, which takes it up soon.
sub configure
{
	my ($self, $name, $value) = @_;

	$self->value("ALTER SYSTEM SET $name = '$value'");
	$self->value('SELECT pg_reload_conf()');
	return;
}

# Lets the worker of this database run, or not, and waits until it does.
sub set_worker
{
	my ($self, $value) = @_;

	$self->configure('domowf.worker', $value);
	return Test::More::ok(
		$self->{node}->poll_query_until($self->{database},
			'SELECT count(*) = '
			  . ($value eq 'on' ? 1 : 0)
			  . ' FROM domowf.worker WHERE pid IS NOT NULL'),
		"domowf.worker = $value");
}

# Entries that were read of the indexes of a table of domowf's; those that a
# process has read are known when it has ended.
sub entries_read
{
	my ($self, $table) = @_;

	return $self->value(
		'SELECT coalesce(sum(idx_tup_read), 0) FROM pg_stat_user_indexes'
		  . " WHERE relid = 'domowf.$table'::regclass");
}

# Enqueues a start as Domowf->enqueue_sql says; its request id.
sub enqueue
{
	my ($self, @request) = @_;

	return $self->value(Domowf->enqueue_sql(@request));
}

# What Domowf->outcome_sql says.
sub outcome
{
	my ($self, @request) = @_;

	return $self->value(Domowf->outcome_sql(@request));
}

# The state of a request as it stands, or other columns.
sub request
{
	my ($self, $request, $columns) = @_;

	$columns //= 'state';
	return $self->value(
		"SELECT $columns FROM domowf.request WHERE id = $request");
}

sub quit
{
	my ($self) = @_;

	$self->{in} .= "\\q\n";
	eval { $self->{psql}->finish; };
	return;
}

sub _result
{
	my ($self) = @_;
	my ($out, $err) =
	  map { Encode::decode('UTF-8', $_) } @$self{qw(out err)};
	my %result =
	  map { $_ => '' } qw(severity sqlstate message detail hint context);

	# psql has ended, mostly in silence: what it was asked is not done
	$result{is_lost} = grep({ !s/^\Q$self->{mark}\E\n//m } $out, $err) > 0;
	$result{sqlstate} = '08006' if $result{is_lost};
	chomp $out;
	my @reports = _reports($err);
	my ($error) =
	  grep { $_->{severity} =~ /^(?:ERROR|FATAL|PANIC)$/ } @reports;

	%result = (%result, %$error) if $error;
	$result{out} = $out;
	$result{err} = $err;
	$result{warnings} = [ grep { $_->{severity} eq 'WARNING' } @reports ];
	return \%result;
}

# Takes psql's verbose messages apart.
sub _reports
{
	my ($text) = @_;
	my @reports;
	my $field;

	foreach my $line (split /\n/, $text)
	{
		if ($line =~ /^(?:psql:\S+ )?(ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|LOG):\s+(?:([0-9A-Z]{5}): )?(.*)/)
		{
			push @reports,
			  {
				severity => $1,
				sqlstate => $2 // '',
				message => $3,
				detail => '',
				hint => '',
				context => ''
			  };
			$field = 'message';
		}
		elsif (@reports
			&& $line =~ /^(DETAIL|HINT|CONTEXT|LOCATION|LINE \d+|QUERY): +(.*)/)
		{
			$field = lc $1;
			$reports[-1]{$field} = $2;
		}
		elsif (@reports)
		{
			$reports[-1]{$field} .= "\n$line";
		}
	}
	return @reports;
}

1;
