
# Indexes and constraints of somebody's own on domowf's tables are kept as if
# their rows were written by SQL: each index of any kind holds every row, what an
# exclusion constraint refuses stops no other request, and NOT NULL on a column
# that may be null is refused by name.  Exists because rows are written below SQL,
# where nothing of it goes by itself.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# what the worker is refused
Domowf->expect_in_log(qr/violates exclusion constraint/);

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.max_connections = 4
END
my $session = Domowf->session($node);
my ($got, @ids);

sub value { return $session->value($_[0]); }

sub states { return join ' ', map { $session->outcome($_) } @_; }

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('it', 'model', '1.0.0', 'Start it'),
	('refused', 'scenario:status:404', '1.0.0', 'Start it'),
	('doubtful', 'scenario:status-executed:502', '1.0.0', 'Start it')
END

# ---- indexes of every kind hold every row

my %by = (    # by table: what an index is on, and the condition that uses it
	queue => [
		[ '((request->\'data\'->>\'n\'))', q{request->'data'->>'n' LIKE '%'} ],
		[ '(id) WHERE state = \'in_doubt\'', q{state = 'in_doubt'} ],
		[ 'USING hash (state)', q{state = 'in_doubt'} ],
		[ 'USING gin (request)', q{request @> '{}'} ],
		[ '(state) INCLUDE (error, attempts)', q{state > ''} ] ],
	log => [
		[ '(lower(outcome))', q{lower(outcome) > ''} ],
		[ '(id) WHERE outcome = \'done\'', q{outcome = 'done'} ],
		[ 'USING hash (outcome)', q{outcome = 'done'} ],
		[ 'USING gin (request)', q{request @> '{}'} ],
		[ 'USING brin (id)', q{id > 0} ] ],
	key => [
		[ '(upper(key))', q{upper(key) > ''} ],
		[ 'USING hash (scope)', q{scope = 'it'} ] ]);
my $index = 0;

foreach my $table (sort keys %by)
{
	value(sprintf 'CREATE INDEX mine_%d ON domowf.%s %s', $index++, $table, $_->[0])
	  foreach @{ $by{$table} };
}

# What each condition finds, by indexes or without any.
sub found
{
	my ($how) = @_;
	my @found;

	value("SET enable_seqscan = $how->{table}; SET enable_indexscan = $how->{index};"
		  . " SET enable_bitmapscan = $how->{index}; SET enable_indexonlyscan = $how->{index}");
	foreach my $table (sort keys %by)
	{
		push @found, map {
			"$table, $_->[1]: " . value("SELECT count(*) FROM domowf.$table WHERE $_->[1]")
		} @{ $by{$table} };
	}
	value('RESET enable_seqscan; RESET enable_indexscan; RESET enable_bitmapscan;'
		  . ' RESET enable_indexonlyscan');
	return \@found;
}

@ids = map { $session->enqueue('it', $_, key => "'k $_'", order_key => $_ % 3 ? "'o'" : 'NULL') } 1 .. 12;
push @ids, map { $session->enqueue('refused', $_, key => "'r $_'") } 1 .. 3;
push @ids, map { $session->enqueue('doubtful', $_) } 1 .. 3;
push @ids, map { $session->enqueue('it', "later $_", run_at => q{now() + interval '1 h'}) } 1 .. 3;
is(states(@ids[ 0 .. 17 ]), join(' ', ('done') x 12, ('rejected') x 3, ('in_doubt') x 3),
	'with indexes of many kinds requests end as without');
value(Domowf->start_sql('model'));
value(q{SELECT domowf_enqueue('it', jsonb_build_object('n', g), run_at => now() + interval '1 h') FROM generate_series(1, 50) g});
is_deeply(found({ table => 'off', index => 'on' }), found({ table => 'on', index => 'off' }),
	'... each index finds what the table holds');
value("DROP INDEX domowf.mine_$_") foreach 0 .. $index - 1;
value(q{SELECT domowf_discard(id) FROM domowf.queue});

# ---- a call's row that nothing can refuse is no subtransaction's

value('TRUNCATE domowf.log');
value(Domowf->start_sql('model')) foreach 1 .. 3;
is(value(q{SELECT count(*), bool_and(xmin = batch::xid) FROM domowf.log}), '3|t',
	'the rows of calls are written by their own transaction');
value('CREATE UNIQUE INDEX mine ON domowf.log (instance_id)');
value(Domowf->start_sql('model'));
is(value(q{SELECT xmin = batch::xid FROM domowf.log ORDER BY id DESC LIMIT 1}), 'f',
	'... apart from it where an index may refuse one');
value('DROP INDEX domowf.mine');
value('CREATE INDEX mine ON domowf.log (request)');
my $long = join '', map { sprintf '%08x', ($_ * 2654435761) % 2**32 } 1 .. 2000;
$got = $session->run(Domowf->start_sql('model', qq({"n": "$long"})));
is($got->{sqlstate}, '', 'a call whose row is too long for an index has succeeded');
like($got->{warnings}[0]{message}, qr/is not in domowf.log: index row/, '... with a warning');
value('DROP INDEX domowf.mine');

# ---- an exclusion constraint

my $instance = value(Domowf->start_sql('model'));
value(q{ALTER TABLE domowf.log ADD CONSTRAINT mine EXCLUDE USING btree (instance_id WITH =)
	WHERE (operation = 'cancel')});
@ids = map {
	value(qq{SELECT domowf_enqueue_call('cancel', '{"instanceId": "$instance"}')})
} 1 .. 6;
is(states($session->enqueue('it', 'beside')), 'done', 'what an exclusion constraint of the log refuses stops no other');
is(join(' ', sort split / /, states(@ids)), join(' ', 'done', ('in_doubt') x 5),
	'... and is in doubt, but for the one that it takes');
like(value(q{SELECT DISTINCT error FROM domowf.queue}),
	qr/cannot be written: conflicting key value violates exclusion constraint "mine"/, '... and says why');
value('ALTER TABLE domowf.log DROP CONSTRAINT mine; SELECT domowf_discard(id) FROM domowf.queue');

value(q{ALTER TABLE domowf.queue ADD CONSTRAINT mine EXCLUDE USING btree (batch WITH =)});
is($session->run(q{SELECT domowf_enqueue('it') FROM generate_series(1, 3)})->{sqlstate},
	'23P01', 'what one of the queue refuses is refused');
is(value('SELECT count(*) FROM domowf.queue'), 0, '... and not queued');
is(states($session->enqueue('it', 'one')), 'done', '... what it takes is sent');
value('ALTER TABLE domowf.queue DROP CONSTRAINT mine');

# ---- NOT NULL on a column of the extension's

foreach my $column ([ queue => 'order_key' ], [ log => 'instance_id' ], [ log => 'response' ])
{
	my ($table, $name) = @$column;
	my $fault = qq{column "$name" of table domowf.$table is NOT NULL};

	value("TRUNCATE domowf.log; ALTER TABLE domowf.$table ALTER $name SET NOT NULL");
	$got = $session->run($table eq 'log' ? Domowf->start_sql('model', '{"n": "none"}') :
		Domowf->enqueue_sql('it', 'none'));
	is("$got->{sqlstate} $got->{message}", "55000 $fault", "NOT NULL of $table.$name is refused by name");
	like(value(q{SELECT ok, detail FROM domowf_check() WHERE check_name = 'objects'}),
		qr/^f\|\Q$fault\E: \S/, '... domowf_check() says so, and what to do');
	value("ALTER TABLE domowf.$table ALTER $name DROP NOT NULL");
}
is(states($session->enqueue('it', 'again')), 'done', '... until it is undone');

is($domo->arrived('none'), 0, 'nothing that was refused was sent');
is_deeply([ $domo->violations ], [], 'all requests are as the page wants');
$session->quit;
$node->stop;
done_testing();
