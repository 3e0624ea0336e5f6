
# What is followed, and what is still to be written back, where a server has
# copies: a standby that is promoted goes on with both, and a subscriber has
# neither to do with its publisher's.  Exists because an instance that nobody
# polls any more, or that two poll, looks like one that does not end.

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
my $there = Domo->new(tokens => [ Domowf::TOKEN ]);
my $conf = Domowf::RETRY_AT_ONCE . Domowf::POLLED_WHEN_DUE . <<'END';
domowf.poll_interval = '100ms'
domowf.track_instances = on
domowf.returns = off
END
my $node = Domowf->start_node('main', $domo, preload => 1, streaming => 'logical', conf => $conf);
my ($id, $instance);

# A table whose rows are written back into, and a function that is told.
my $setup = <<'END';
CREATE TABLE public.orders (id int PRIMARY KEY, kind text, instance text, run text, ended timestamptz);
CREATE TABLE public.told (id bigint PRIMARY KEY, state text);
CREATE FUNCTION public.tell(r domowf.request) RETURNS void LANGUAGE sql AS
	'INSERT INTO public.told VALUES (r.id, r.state)';
INSERT INTO domowf.workflow (name, model_id, version, message_name, track, on_settled)
VALUES ('followed', 'm', '1.0.0', 's', true, 'public.tell(domowf.request)'),
	('refused', 'scenario:status:400', '1.0.0', 's', true, NULL);
CREATE TRIGGER follow AFTER INSERT ON public.orders FOR EACH ROW WHEN (NEW.kind = 'followed') EXECUTE FUNCTION
	domowf_trigger('followed', 'n=id', 'instance<-id', 'run<-status', 'ended<-finished_at');
CREATE TRIGGER refuse AFTER INSERT ON public.orders FOR EACH ROW WHEN (NEW.kind = 'refused') EXECUTE FUNCTION
	domowf_trigger('refused', 'n=id', 'instance<-id', 'run<-state');
END

sub value
{
	my ($at, $sql) = @_;

	return $at->safe_psql('postgres', $sql);
}

sub until_true
{
	my ($at, $sql, $name) = @_;

	return ok($at->poll_query_until('postgres', $sql), $name);
}

sub configure
{
	my ($at, $name, $value) = @_;

	$at->append_conf('postgresql.auto.conf', "$name = '$value'\n");
	$at->reload;
	return;
}

# Inserts an order; its request, once that is settled.
sub order
{
	my ($at, $order, $kind) = @_;

	value($at, "INSERT INTO public.orders VALUES ($order, '$kind')");
	until_true($at, "SELECT count(*) = 1 FROM domowf.log WHERE request->'data'->>'n' = '$order'
		AND source = 'public.orders'", "order $order is settled");
	return value($at, "SELECT id FROM domowf.log WHERE request->'data'->>'n' = '$order'");
}

sub instance_of
{
	my ($at, $request) = @_;

	return value($at, "SELECT instance_id FROM domowf.log WHERE id = $request");
}

sub reads
{
	my ($of, $at) = @_;

	return scalar(($at // $domo)->record(operation => 'read', id => $of));
}

# ---- a subscriber

my $subscriber = Domowf->start_node('subscriber', $there, preload => 1, conf => $conf);

value($_, $setup) foreach $node, $subscriber;
$id = order($node, 1, 'followed');
$instance = instance_of($node, $id);
my $refused = order($node, 2, 'refused');
my $own = order($subscriber, 101, 'followed');
my $own_instance = instance_of($subscriber, $own);

is($own, $id, 'both have the same ids');
value($subscriber, 'CREATE ROLE first; CREATE ROLE app');
value($node, 'CREATE ROLE app; CREATE ROLE stranger; GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO app, stranger');
foreach my $role ('app', 'stranger')
{
	my $asked = value($node, "SET ROLE $role; " . Domowf->enqueue_sql('refused', $role));
	is(value($node, Domowf->outcome_sql($asked)), 'rejected', "$role has asked for one");
}
value($node, 'CREATE PUBLICATION everything FOR ALL TABLES');
value($subscriber, "CREATE SUBSCRIPTION everything CONNECTION '"
	  . $node->connstr . " dbname=postgres' PUBLICATION everything");
$subscriber->wait_for_subscription_sync($node, 'everything');
my $tables = q{SELECT (SELECT string_agg(t::text, ' ') FROM domowf.tracked t), (SELECT string_agg(e::text, ' ' ORDER BY id) FROM domowf.return_entry e)};
my $entries = q{SELECT string_agg(request_id || ' ' || target, ', ' ORDER BY id) FROM domowf.return_entry};
my $both = "$own table:" . value($subscriber, q{SELECT 'public.orders'::regclass::oid}) . ", $own function:public.tell(domowf.request)";

is(value($node, 'SELECT count(*) FROM domowf.return_entry'), 3, 'a publisher has what is to be written back');
is(value($subscriber, 'SELECT instance_id FROM domowf.tracked'), $own_instance, 'the first copy brings nothing to poll');
is(value($subscriber, $entries), $both, '... nor to write back');

value($node, q{UPDATE domowf.tracked SET due = now() + interval '10 min', instance_id = 'changed'; UPDATE domowf.return_entry SET error = 'changed'});
order($node, 3, 'followed');
value($node, "UPDATE domowf.tracked SET instance_id = '$instance' WHERE request_id = $id");
$node->wait_for_catchup('everything', 'replay', $node->lsn('insert'));
is(value($subscriber, 'SELECT instance_id FROM domowf.tracked'), $own_instance, 'nor does a change');
is(value($subscriber, $entries), $both, '... of what is to be written back');

# a row of the log may point at a table: here at one that the subscriber has
value($subscriber, q{CREATE TABLE public.victim (LIKE public.orders INCLUDING ALL); INSERT INTO public.victim (id) VALUES (2)});
my $victim = value($subscriber, q{SELECT 'public.victim'::regclass::oid});
value($node, qq{UPDATE domowf.log SET returns_to = jsonb_set(returns_to, '{relation}', to_jsonb($victim)) WHERE id = $refused});
$node->wait_for_catchup('everything', 'replay', $node->lsn('insert'));
is(value($subscriber, "SELECT outcome FROM domowf.log WHERE id = $refused"), 'rejected', 'history is taken');
is(value($subscriber, "SELECT count(*) FROM domowf.log WHERE returns_to IS NOT NULL"), 1,
	'... but for the table that it points at, which is the publisher\'s');
is(value($subscriber, "SELECT string_agg(concat_ws(' ', requested_by, requested_by_oid::regrole), ', ' ORDER BY requested_by)"
		  . q{ FROM domowf.log WHERE requested_by IN ('app', 'stranger')}), 'app app, stranger -', '... nor are its roles meant by their oids');
value($subscriber, q{UPDATE domowf.workflow SET model_id = 'm' WHERE name = 'refused'});
is(value($subscriber, "SELECT domowf_retry($refused)"), 't', 'what is sent again by a subscriber');
is(value($subscriber, Domowf->outcome_sql($refused)), 'done', '... is done');
configure($subscriber, 'domowf.returns', 'on');
until_true($subscriber, 'SELECT count(*) = 0 FROM domowf.return_entry', '... nothing is left');
is(value($subscriber, 'SELECT run IS NULL FROM public.victim'), 't', '... and nobody\'s table is written');
is(value($subscriber, 'SELECT string_agg(concat_ws($$ $$, id, instance), $$, $$ ORDER BY id) FROM public.orders'),
	"1, 2, 3, 101 $own_instance", '... but its own row alone');
is(value($subscriber, 'SELECT string_agg(id::text, $$ $$) FROM public.told'), $own, '... and its own function called');

# its own instance ends; those of the publisher are none of its
$there->set_instance($own_instance, 'COMPLETED');
value($subscriber, 'UPDATE domowf.tracked SET due = now()');
until_true($subscriber, "SELECT run = 'COMPLETED' AND ended IS NOT NULL FROM public.orders WHERE id = 101",
	'its own instance is polled');
is(value($subscriber, 'SELECT count(*) FROM domowf.tracked WHERE instance_id = ' . Domowf->literal($own_instance)), 0, '... to its end');
is(reads($instance, $there), 0, 'one of the publisher is not');
is(value($node, 'SELECT count(*) FROM domowf.tracked'), 2, '... which has both of its own');
value($subscriber, 'ALTER SUBSCRIPTION everything DISABLE');
value($subscriber, 'ALTER SUBSCRIPTION everything SET (slot_name = NONE)');
value($subscriber, 'DROP SUBSCRIPTION everything');
value($node, q{SELECT pg_drop_replication_slot('everything')});
$subscriber->stop;

# ---- a standby

value($node, q{UPDATE domowf.tracked SET due = now() + interval '10 min'});
$node->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($node, 'base', has_streaming => 1);
$standby->start;
my $last = order($node, 4, 'followed');
value($node, q{UPDATE domowf.tracked SET due = now() + interval '10 min'});
my $last_instance = instance_of($node, $last);
my $before = value($node, $tables);
my %seen = map { $_ => reads($_) } $instance, $last_instance;
$node->wait_for_catchup($standby, 'replay', $node->lsn('insert'));
is(value($standby, 'SELECT count(*) FROM domowf.worker'), 0, 'a standby polls nothing, and writes nothing back');
is(value($standby, $tables), $before, '... and knows all');
$node->stop('immediate');
$domo->set_instance($instance, 'FAILED');
$domo->set_instance($last_instance, 'COMPLETED');
$standby->promote;
until_true($standby, q{SELECT state = 'idle' FROM domowf.worker}, 'promoted, it has a worker');
is(reads($_), $seen{$_}, '... which polls when the old one would have') foreach $instance, $last_instance;
value($standby, 'UPDATE domowf.tracked SET due = now()');
until_true($standby, "SELECT count(*) = 2 FROM domowf.log WHERE id IN ($id, $last) AND instance_finished_at IS NOT NULL",
	'instances come to their end there');
is(value($standby, "SELECT string_agg(instance_status, ' ' ORDER BY id) FROM domowf.log WHERE id IN ($id, $last)"),
	'FAILED COMPLETED', '... which is written');
is(reads($_), $seen{$_} + 1, '... of one poll') foreach $instance, $last_instance;
is(value($standby, "SELECT w.instance_status FROM domowf_wait_finished($last, '170 s') w"), 'COMPLETED', '... so that nobody waits');
configure($standby, 'domowf.returns', 'on');
until_true($standby, 'SELECT count(*) = 0 FROM domowf.return_entry', 'what was to be written back is');
is(value($standby, "SELECT string_agg(concat_ws(' ', id, run, ended IS NOT NULL), ', ' ORDER BY id) FROM public.orders WHERE id < 100"),
	'1 FAILED t, 2 rejected f, 3 f, 4 COMPLETED t', '... from before and since, in order');
is(value($standby, q{SELECT count(*) FROM public.told WHERE state = 'done'}), 3, '... and told, once each');
is(scalar $domo->executed(operation => 'start'), 3, 'nothing was started again');

is_deeply([ map { $_->{violations} } $domo->violations, $there->violations ], [], 'Domo had no complaints');
$standby->stop;
done_testing();
