
# What becomes of a call when Domo, or the network, does not do as hoped: a
# table of scenarios, each for every operation, with the SQLSTATE and the words
# of the error.  Exists because the SQLSTATE is what callers act upon: 38U01
# must never be said of a request that may have been executed, and every
# scenario in which the stand-in did execute a start must end in a success, or
# in 38U02.

use strict;
use warnings;
use utf8;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use Encode ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

Domowf->expect_in_log(qr/could not (?:send|complete) /);

my $domo = Domo->new(tls => 1, tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node('main', $domo);
my $session = Domowf->session($node);

my @operations = qw(start cancel set_permissions);
my $doubt_hint = qr/(?:Domo may have started|Look for) an instance/;
my $harmless_hint = qr/repeat it is harmless/;

# Outcomes by operation: start, cancel, set_permissions.
my @senseless = qw(38U02 38U03 38U03);
my @in_doubt = qw(38U02 38U02 38U02);
my @done = ('', '', '');

sub refused { return [ ("38$_[0]") x 3 ]; }

# [ scenario, SQLSTATEs, executed, what message, detail and hint must match ]
my @table = (
	[ 'normal', \@done, 1 ],
	(
		map {
			[ "status:$_", refused($_), 0, qr/HTTP status $_\b.*toe "[0-9A-F]{16}"/s ]
		} qw(400 401 403 404 405 409 410 413 422 429 451 499)
	),
	[ 'retry-after:429:17', refused('429'), 0, qr/Retry-After "17"/ ],
	[ 'retry-after:503:17', \@senseless, 0, qr/Retry-After "17"/ ],
	[ 'status:408', \@in_doubt, 0, qr/HTTP status 408.*toe/s ],
	[ 'status-executed:408', \@in_doubt, 1, qr/HTTP status 408/ ],
	(
		map {
			(
				[ "status:$_", \@senseless, 0, qr/HTTP status $_\b.*toe/s ],
				[ "status-executed:$_", \@senseless, 1, qr/HTTP status $_\b/ ],
			)
		} qw(500 502 503 504 599)
	),
	[ 'status:999', \@senseless, 0, qr/HTTP status 999/ ],
	[ 'text:502', \@senseless, 0, qr/upstream says 502/ ],
	[ 'text:403', refused('403'), 0, qr/upstream says 403/ ],
	[ 'html:502', \@senseless, 0, qr/an HTML page/ ],
	[ 'empty:404', refused('404'), 0, qr/HTTP status 404/ ],
	[ 'empty:500', \@senseless, 0, qr/HTTP status 500/ ],
	(
		map { [ "redirect:$_", refused($_), 0, qr/allow list/ ] }
		  qw(301 302 303 307 308)
	),
	(
		map {
			[ "redirect-host:$_", refused($_), 0, qr/Redirects are not followed/ ]
		} qw(301 302 303 307 308)
	),
	[ 'blocked', \@senseless, 0, qr/HTML page.*allow list/s ],
	[ 'chunked', \@done, 1 ],
	[ 'chunked:1', \@done, 1 ],
	[ 'until-close', \@done, 1 ],
	[ 'close', \@done, 1 ],
	[ 'http10', \@done, 1 ],
	[ 'many-1xx', \@done, 1 ],
	[ 'many-1xx:50', \@done, 1 ],
	[ 'trickle:1', \@done, 1 ],
	[ 'delay:50', \@done, 1 ],
	[ 'reset-after', \@in_doubt, 1, qr/in doubt.*Time taken: .*waiting/s ],
	[ 'close-after', \@in_doubt, 1, qr/in doubt.*Time taken: .*waiting/s ],
	[ 'half-headers', \@in_doubt, 1, qr/in doubt/ ],
	[ 'garbage', \@in_doubt, 1, qr/in doubt/ ],

	# a permission change's own reply has no body: nothing to cut
	[ 'half-body', \@senseless, 1, qr/The reply was cut off/ ],
	[ 'half-chunk', \@senseless, 1, qr/The reply was cut off/ ],
	[ 'missing-last-chunk', \@senseless, 1, qr/The reply was cut off/ ],
	[ 'bad-chunk', \@senseless, 1, qr/The reply was cut off/ ],
	[ 'oversize:2000000', \@senseless, 1, qr/larger than domowf.max_response_size/ ],
	[ 'oversize-chunked:2000000', \@senseless, 1,
		qr/larger than domowf.max_response_size/ ],
	[ 'oversize:1048576', \@done, 1 ],
	[ 'oversize:1048577', \@senseless, 1, qr/larger than domowf.max_response_size/ ],
	[ 'endless', \@senseless, 1, qr/larger than domowf.max_response_size/ ],
	[ 'endless-headers', \@in_doubt, 1, qr/in doubt/ ],
	[ 'endless-1xx', \@in_doubt, 1, qr/in doubt/ ],
);

# Text of a reply in which all is found.
sub text_of
{
	my ($got) = @_;

	return "$got->{message}\n$got->{detail}\n$got->{hint}";
}

# Runs one operation into one scenario.  Returns what the client got and the
# requests that the stand-in saw.
my $seen = 0;

sub meet
{
	my ($operation, $scenario) = @_;
	my ($got, @entries);

	# again, where a slow machine had no time to send it
	do
	{
		$got = $session->run(Domowf->operation_sql($operation, "scenario:$scenario"));
		@entries = $domo->record(since => $seen);
	} while ($got->{sqlstate} eq '38U01' && $got->{message} =~ /timed out/i);

	$seen = $entries[-1]{seq} if @entries;
	return ($got, @entries);
}

sub check
{
	my ($operation, $scenario, $expected, $executed, $words) = @_;
	my ($got, @entries) = meet($operation, $scenario);
	my $name = "$operation, $scenario";

	is(scalar @entries, 1, "$name: one request");
	is($got->{sqlstate}, $expected, "$name: SQLSTATE") or diag $got->{err};
	is(($entries[0]{executed} ? 1 : 0), $executed, "$name: executed")
	  if defined $executed;
	like(text_of($got), $words, "$name: words") if $words && $expected;
	like($got->{message}, qr/\b$operation of workflow/, "$name: names itself")
	  if $expected;
	like($got->{hint}, $doubt_hint, "$name: hint")
	  if $expected eq '38U02' && $operation eq 'start';
	like($got->{hint}, $harmless_hint, "$name: hint")
	  if $expected =~ /^38U0[23]$/
	  && $operation ne 'start'
	  && $scenario ne 'blocked';
	unlike($got->{hint}, qr/start/, "$name: the hint is of this operation")
	  if $operation ne 'start';
	ok(!($entries[0]{executed} && $expected =~ /^38U01|^38[34]/),
		"$name: an execution is not denied");
	return $got;
}

foreach my $row (@table)
{
	my ($scenario, $expected, $executed, $words) = @$row;

	foreach my $at (0 .. $#operations)
	{
		check($operations[$at], $scenario, $expected->[$at], $executed, $words);
	}
}

# ---- no reply at all

$session->run('SET domowf.timeout = 500');
foreach my $scenario (qw(hang hang-headers hang-body trickle:600))
{
	my @expected = $scenario eq 'hang' ? @in_doubt : @senseless;

	foreach my $at (0 .. $#operations)
	{
		# no body, nothing to trickle
		next if $scenario =~ /trickle/ && $operations[$at] eq 'set_permissions';
		check($operations[$at], $scenario, $expected[$at], 1,
			qr/Time taken: .*ms/);
	}
}
$session->run('RESET domowf.timeout');

# ---- scripted: what acts before the body is there

foreach my $at (0 .. $#operations)
{
	my $operation = $operations[$at];

	$session->quit;
	$domo->script('reset-before');
	$session = Domowf->session($node);
	my ($got, @entries) = meet($operation, 'normal');

	is($got->{sqlstate}, '38U02', "$operation, reset-before: in doubt");
	ok(!grep({ $_->{executed} } @entries),
		"$operation, reset-before: not executed, nor sent again");
	$domo->clear_script;
}

# ---- bodies of a reply to a start

my %start_state = (
	(
		map { $_ => '' }
		  qw(status-json-null status-string-null status-in-progress
		  status-not-started status-canceled status-cancelled status-completed
		  status-failed status-unknown epoch-ms times-other-zone
		  times-without-ms times-nonsense full only-id all-null wrong-types
		  extra-fields unicode untyped wrong-type id-odd id-dots
		  nul-escape lone-surrogate nul-escape-name lone-surrogate-name
		  huge-number long-integer long-decimal 201 202 echo-token-ok)
	),
	(
		map { $_ => '38U02' }
		  qw(no-id id-number id-null id-empty id-object nul-escape-id
		  lone-surrogate-id invalid-utf8-id invalid-utf8 nul-byte
		  number-01 nan single-quotes comment trailing-comma
		  bad-escape deep-unclosed truncated trailing-garbage two-objects
		  array empty-array object empty-object string number null true blank
		  one-brace empty empty-untyped 204 text html echo-token-senseless)
	),
	(
		map { $_ => '38403' }
		  qw(echo-token echo-token-text echo-token-header toe-null error-nulls
		  error-wrong-types error-array error-truncated error-unicode
		  error-newlines error-invalid-utf8 error-nul long-message long-toe)
	));

foreach my $key (sort keys %start_state)
{
	check('start', "reply:$key", $start_state{$key});
}

# What is odd but may be read either way: executed, so never denied.
foreach my $key (
	qw(deep deep-objects huge-exponent raw-control
	bom duplicate-id duplicate-nested id-long))
{
	my ($got) = meet('start', "reply:$key");

	like($got->{sqlstate}, qr/^(?:38U02)?$/, "start, reply:$key");
}

# Any 2xx with JSON, or without a body, accepts a permission change.
foreach my $key (qw(empty empty-untyped blank 204 201 object array))
{
	check('set_permissions', "reply:$key", '');
}
foreach my $key (qw(text html truncated))
{
	check('set_permissions', "reply:$key", '38U03');
}

# ---- what of a good reply reaches the row

my $row = sub {
	my ($key, $columns) = @_;

	return $session->value(
		Domowf->start_sql("scenario:reply:$key") =~ s/i\.id/$columns/r);
};
is($row->('status-string-null', 'i.status IS NULL'), 't', '"null" is no status');
is($row->('status-cancelled', 'i.status'), 'CANCELED', 'CANCELLED has one L');
is($row->('status-unknown', 'i.status'), 'PONDERING', 'a new status is kept');
is( $row->('epoch-ms', q(i.created_on AT TIME ZONE 'UTC')),
	'2023-11-15 15:28:57.479',
	'milliseconds since 1970 are a time');
is( $row->('times-other-zone', q(i.created_on AT TIME ZONE 'UTC')),
	'2023-11-15 15:28:57.479',
	'the zone is heeded');
is($row->('times-nonsense', 'i.created_on IS NULL AND i.id IS NOT NULL'),
	't', 'what is no time is null');
is($row->('extra-fields', q(i.response->>'engine')),
	'zeebe', 'unknown fields are in the response');
is($row->('unicode', 'i.model_name'),
	"Größe 流程 🚀 \x{202e}abc", 'names come back as they are');
is($row->('huge-number', q(length(i.response->>'odd'))),
	'401', 'numbers beyond a double stay in the response');
is( $row->('long-decimal', q(i.response->>'odd')),
	'0.1234567890123456789012345678901234567890',
	'every digit stays in the response');
is( $row->('nested', q(i.response->'odd')),
	q({"a": {}, "b": [true, false, null, [], {"": "é\n"}]}),
	'containers are in the response');
is( $row->('nested-number', q(i.response->'odd')),
	'{"a": {}, "b": [{"c": "x"}, [1.10]]}',
	'... and numbers in them');

# ---- foreign text is one line, of bounded length

my ($got) = meet('start', 'reply:long-message');
cmp_ok(length $got->{detail}, '<', 2500, 'a long message is cut');
($got) = meet('start', 'reply:error-newlines');
unlike(text_of($got) =~ s/\n(?=[^\n]*\z)//r,
	qr/[\x00-\x09\x0b-\x1f\x7f]/, 'no control characters in an error');
like($got->{detail}, qr/one ? ?two three/, 'newlines become spaces');

# a name is cut to 99 bytes with its dots, before a character that has no room
foreach my $character ('b', 'é', '流', '🚀')
{
	my $width = length Encode::encode('UTF-8', $character);

	foreach my $shift (0 .. $width - 1)
	{
		my $name = 'a' x $shift . $character x 200;
		my $shown = 'a' x $shift . $character x int((96 - $shift) / $width);

		$domo->script('status:404', count => 1);
		like( $session->run(Domowf->start_sql($name))->{message},
			qr/ workflow "\Q$shown\E\.\.\." /,
			"a long name of $width bytes each, $shift bytes aside, is cut");
	}
}
$seen = ($domo->record)[-1]{seq};

# ---- certainly not sent

sub unsent
{
	my ($name, $settings, $words) = @_;
	my $before = $domo->stats->{requests};

	foreach my $operation (@operations)
	{
		my $got =
		  $session->run("BEGIN; $settings; "
			  . Domowf->operation_sql($operation, 'model')
			  . '; ROLLBACK');

		is($got->{sqlstate}, '38U01', "$operation, $name: SQLSTATE")
		  or diag $got->{err};
		like($got->{detail}, $words, "$operation, $name: detail");
		like($got->{detail}, qr/Nothing of the request was sent/,
			"$operation, $name: says that nothing was sent");
		is_deeply($got->{warnings}, [], "$operation, $name: nothing to warn of");
	}
	is($domo->stats->{requests}, $before, "$name: nothing arrived");
	return;
}

my ($ca, $tls) = ($domo->ca_file, $domo->tls_url);
unsent(
	'refused port',
	"SET LOCAL domowf.base_url = '" . $domo->refused_url . q('),
	qr/Time taken: .*connecting/);
unsent(
	'blackhole',
	"SET LOCAL domowf.connect_timeout = 200; SET LOCAL domowf.base_url = '"
	  . $domo->blackhole_url . q('),
	qr/Time taken: .*connecting [1-9]\d{2,3}\.\d ms/);
unsent('unknown name',
	q(SET LOCAL domowf.base_url = 'https://no-such-host.invalid'),
	qr/Time taken: resolving/);
unsent('unknown CA (the system\'s)',
	"SET LOCAL domowf.base_url = '$tls'", qr/Time taken: .*TLS/);
unsent(
	'unknown CA',
	"SET LOCAL domowf.ca_file = '$ca'; SET LOCAL domowf.base_url = '"
	  . $domo->unknown_ca_url . q('),
	qr/Time taken: .*TLS/);
unsent(
	'wrong name',
	"SET LOCAL domowf.ca_file = '$ca'; SET LOCAL domowf.base_url = '"
	  . $domo->wrong_name_url . q('),
	qr/Time taken: .*TLS/);
unsent(
	'a silent TLS server',
	"SET LOCAL domowf.connect_timeout = 200; SET LOCAL domowf.ca_file = '$ca';"
	  . " SET LOCAL domowf.base_url = '"
	  . $domo->silent_url . q('),
	qr/Time taken: .*TLS/);
unsent('no CA file',
	"SET LOCAL domowf.ca_file = '/nonexistent'; SET LOCAL domowf.base_url = '$tls'",
	qr/./);

is( $session->run(
		"SET domowf.ca_file = '$ca'; SET domowf.base_url = '$tls'; "
		  . Domowf->start_sql('over TLS'))->{sqlstate},
	'',
	'with the right CA and the right name it works');
$session->run('RESET domowf.ca_file; RESET domowf.base_url');

# ---- the token is in no message and not in the server's log

my $token = Domowf::TOKEN;

foreach my $key (
	qw(echo-token echo-token-text echo-token-header echo-token-ok
	echo-token-senseless))
{
	foreach my $operation (@operations)
	{
		my ($got) = meet($operation, "reply:$key");

		unlike($got->{err} . $got->{out},
			qr/\Q$token\E/, "$operation, $key: no token");
	}
}
my $long = 'long-token' x 20;
$domo->accept_tokens($token, $long);
$session->value("SET domowf.max_response_size = '1kB'");
$session->value("SET domowf.token = '$long'");
my ($cut) = meet('start', 'reply:echo-token-cut');
like($cut->{err}, qr/refused:/, 'a reply cut in the middle of the token');
unlike($cut->{err}, qr/long/, '... shows none of it');
$session->value('RESET domowf.max_response_size');
$session->value('RESET domowf.token');
is($row->('echo-token-ok', 'i.response::text ~ ' . Domowf->literal($token)),
	'f', 'no token in the response');
$session->quit;
unlike(Domowf->log_since($node),
	qr/\Q$token\E/, 'the token is not in the server\'s log');

is($domo->stats->{operations}{unknown} // 0, 0, 'no other requests');
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
