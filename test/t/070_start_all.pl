
# domowf_start_all: many starts at once, none of which may stop the others or
# be lost from sight.  Exists because several requests in flight can be mixed
# up: rows with rows, numbers in doubt with numbers, limits with totals.

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
my $node = Domowf->start_node('main', $domo,
	conf => "domowf.timeout = '600s'\n");
my $session = Domowf->session($node);
my $admin = Domowf->session($node);
my $got;

# A start as a literal of SQL; undef is a NULL, a reference SQL as it stands.
sub element
{
	my ($model) = @_;

	return 'NULL' unless defined $model;
	return $$model if ref $model;
	return Domowf->literal(
		qq({"messageName": "m", "version": "1", "modelId": "$model", "data": {}})
	);
}

sub start_all
{
	my ($models, $max_parallel) = @_;

	return
	    'SELECT ordinality, (instance).model_id, (instance).id, sqlstate, error'
	  . ' FROM domowf_start_all(ARRAY['
	  . join(', ', map { element($_) } @$models)
	  . ']::jsonb[]'
	  . (defined $max_parallel ? ", $max_parallel" : '') . ')';
}

# Rows as lists of columns.
sub rows
{
	my ($result) = @_;

	return map { [ split /\|/, $_, 5 ] } split /\n/, $result->{out};
}

sub fresh
{
	$domo->close_all;
	$domo->wait_for(open => '=0', held => '=0');
	$domo->clear_record;
	return;
}

# ---- order

$got = $session->run(start_all([ map { "model-$_" } 1 .. 50 ]));
is($got->{sqlstate}, '', '50 starts') or diag $got->{err};
my @rows = rows($got);
is_deeply(
	[ map { [ @$_[ 0, 1 ] ] } @rows ],
	[ map { [ $_, "model-$_" ] } 1 .. 50 ],
	'rows come in the order of the requests');
is_deeply([ map { $_->[3] . $_->[4] } @rows ],
	[ ('') x 50 ], 'without errors');
is_deeply(
	{ map { $_->[1] => $_->[2] } @rows },
	{ map { $_->{model_id} => $_->{instance} } $domo->executed },
	'each row has the instance of its own request');
is($domo->count(by => 'model_id')->{max}, 1, 'each was sent once');
is_deeply($got->{warnings}, [], 'and no warning');

# more than are written to the log in one go, and some that are not
$domo->clear_record;
$got = $session->run(
	start_all([ (map { "logged-$_" } 1 .. 70), 'scenario:status:404', '..' ]));
is_deeply(
	{   map { split /\|/ } split /\n/,
		$admin->value(q{SELECT request->>'modelId', instance_id FROM domowf.log
			WHERE request->>'modelId' LIKE 'logged-%'
			AND response->>'id' = instance_id AND model_id = request->>'modelId'})
	},
	{   map { $_->{model_id} => $_->{instance} }
		grep { $_->{model_id} =~ /^logged-/ } $domo->executed
	},
	'each start that succeeded is in the log, with its instance');
is( $admin->value(q{SELECT count(*) FROM domowf.log
		WHERE request->>'modelId' LIKE 'logged-%'}),
	70, '... once');
is($admin->value(q{SELECT count(*) FROM domowf.log WHERE outcome <> 'done'}),
	0, '... and no other is');
$session->value('SET enable_seqscan = off');
is( $session->value(q{SELECT count(*) FROM domowf.log l WHERE id =
		(SELECT max(id) FROM domowf.log) AND batch = (SELECT batch
		FROM domowf.log m WHERE m.id = l.id - 60)}),
	1, '... and in the indexes');
$session->value('RESET enable_seqscan');
$session->value('BEGIN');
$session->value('SELECT count(*) FROM (' . start_all([ ('undone') x 40 ]) . ') s');
$session->run('ROLLBACK');
is( $admin->value(q{SELECT count(*) FROM domowf.log
		WHERE request->>'modelId' = 'undone'}),
	0, '... nor one of a transaction that was rolled back');

# late replies do not change the order
@rows = rows($session->run(
	start_all([ map { 'scenario:delay:' . 40 * (6 - $_) } 1 .. 6 ], 6)));
is_deeply(
	[ map { $_->[1] } @rows ],
	[ map { 'scenario:delay:' . 40 * (6 - $_) } 1 .. 6 ],
	'rows come in the order of the requests, whatever that of the replies');

# ---- outcomes of all kinds side by side

my @mixed = (
	[ 'good-1', '' ],
	[ 'scenario:status:404', '38404' ],
	[ undef, '22004' ],
	[ 'scenario:status:502', '38U02' ],
	[ \q('{"modelId": "m"}'), '22023' ],
	[ \q('[1]'), '22023' ],
	[ 'scenario:reset-after', '38U02' ],
	[ '..', '22023' ],
	[ 'scenario:reply:echo-token', '38403' ],
	[ 'scenario:retry-after:429:3', '38429' ],
	[ 'good-2', '' ]);

foreach my $max_parallel (1, 3, 8)
{
	fresh();
	$got = $session->run(
		start_all([ map { $_->[0] } @mixed ], $max_parallel));
	@rows = rows($got);
	is($got->{sqlstate}, '', "mixed, $max_parallel: no error of its own");
	is_deeply(
		[ map { [ @$_[ 0, 3 ] ] } @rows ],
		[ map { [ $_ + 1, $mixed[$_][1] ] } 0 .. $#mixed ],
		"mixed, $max_parallel: each row has its SQLSTATE");
	is_deeply(
		[ map { ($_->[3] eq '') == ($_->[4] eq '') ? () : $_->[0] } @rows ],
		[], "mixed, $max_parallel: an error where there is a SQLSTATE");
	is_deeply(
		[ map { ($_->[3] eq '') == ($_->[2] ne '') ? () : $_->[0] } @rows ],
		[], "mixed, $max_parallel: an instance where there is none");
	like($rows[1][4], qr/HTTP status 404.*toe "[0-9A-F]+"/,
		"mixed, $max_parallel: the error has Domo's words");
	unlike($got->{out}, qr/\Q${\ Domowf::TOKEN}\E/,
		"mixed, $max_parallel: no token");
	is($domo->stats->{requests}, 7, "mixed, $max_parallel: 7 were sent");
}

# nothing but what is not well formed
fresh();
@rows = rows($session->run(start_all([ undef, \q('{}') ])));
is_deeply([ map { $_->[3] } @rows ], [ '22004', '22023' ], 'all malformed');
is($session->run(start_all([]))->{out}, '', 'an empty array: no rows');
is($domo->stats->{requests}, 0, 'nothing was sent');

# ---- max_parallel

foreach my $bad (0, -1, 1000000)
{
	$got = $session->run(start_all(['m'], $bad));
	is($got->{sqlstate}, '22023', "max_parallel $bad is refused");
}
is($domo->stats->{requests}, 0, '... and nothing is sent');

foreach my $case ([ 1, 1 ], [ 3, 3 ], [ undef, 8 ])
{
	my ($given, $limit) = @$case;
	my $name = 'max_parallel ' . ($given // 'by default');

	fresh();
	$session->send(start_all([ map { "scenario:gate:$limit" } 1 .. 20 ],
		$given));
	$domo->wait_for(held => $limit);
	foreach my $more (1 .. 5)
	{
		$domo->release($limit, 1);
		$domo->wait_for(executed => $more, requests => $limit + $more,
			held => $limit);
		is($domo->stats->{held}, $limit, "$name: $limit at once, after $more");
		is($domo->stats->{requests}, $limit + $more, "$name: no more is sent");
	}
	cmp_ok($domo->stats->{open}, '<=', $limit, "$name: no more connections");
	$domo->release($limit);
	is(scalar rows($session->wait), 20, "$name: 20 rows in the end");
	ok( eval { $domo->wait_for(open => '=1', timeout => 20) },
		"$name: one connection is kept")
	  or diag $@;
	$domo->clear_script;
}

# within a run each connection is used again, whatever came before
fresh();
$session->value(Domowf->start_sql('before'));
$session->value(start_all([ map { "model-$_" } 1 .. 60 ], 4)) foreach 1 .. 2;
cmp_ok($domo->stats->{connections},
	'<=', 1 + 3 + 3, 'two runs of 60 starts need at most 4 connections each');

# more than requests
fresh();
is(scalar rows($session->run(start_all([ 'a', 'b' ], 64))),
	2, 'more room than requests');
is($domo->stats->{requests}, 2, '... sends each once');

# ---- interrupted in the middle

my @model = (
	\q('{"malformed": 1}'),
	(map { "quick-$_" } 1 .. 3),
	undef, (map { 'scenario:hang' } 1 .. 6));
fresh();
$session->send(start_all(\@model, 4));
$domo->wait_for(held => 4);
$admin->value('SELECT pg_cancel_backend(' . $session->pid . ')');
$got = $session->wait;
is($got->{sqlstate}, '57014', 'a cancel in the middle');
like($got->{detail}, qr/4 requests/, 'it tells how many are in doubt');
like(
	$got->{detail},
	qr/number 6, 7, 8, 9\b/,
	'by their numbers, which are those of the rows');
is(scalar @{ $got->{warnings} }, 1, 'one warning') or diag $got->{err};
like($got->{warnings}[0]{message}, qr/\Q$_\E/, 'which names a started one')
  foreach map { $_->{instance} }
  grep { $_->{model_id} =~ /quick/ } $domo->executed;
is($domo->count(by => 'model_id', executed => 1)->{total},
	7, 'what had not been sent stays unsent');

fresh();
is(scalar rows($session->run(start_all([ 'a', 'b', 'c' ]))),
	3, 'the next call succeeds');

# many in doubt: a list that ends
fresh();
$session->send(start_all([ map { 'scenario:hang' } 1 .. 30 ], 30));
$domo->wait_for(held => 30);
$admin->value('SELECT pg_cancel_backend(' . $session->pid . ')');
$got = $session->wait;
like($got->{detail}, qr/30 requests .*number 1, 2, .*20, \.\.\.\.\Z/s,
	'of 30 in doubt the first 20 are listed');

# ---- rolled back

fresh();
$got = $session->run('BEGIN; ' . start_all([ map { "m-$_" } 1 .. 5 ])
	  . '; ROLLBACK');
is(scalar @{ $got->{warnings} }, 1, 'rolled back: one warning');
is(scalar(() = $got->{warnings}[0]{message} =~ /started /g),
	5, '... which names all of them');

# ---- README's recipe, where its query finds no row

my ($recipe) = slurp_file("$FindBin::RealBin/../.." . '/README.md') =~
  /^\*\*Start one for each row of a query\*\*.*?^```sql\n(.*?)^```/ms;
like($recipe, qr/\bdomowf_start_all\(/, 'README has a recipe');
$got = $session->run("CREATE TABLE orders (id int, approved bool); $recipe");
is("$got->{sqlstate} $got->{out}", ' ', '... of which no row makes no start');

$session->quit;
$admin->quit;
is_deeply([ map { $_->{violations} } $domo->violations ],
	[], 'every request was as the page wants it');
is($domo->stderr, '', 'the stand-in had no trouble');
done_testing();
