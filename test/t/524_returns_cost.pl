
# What waits to be written back does not make each further outcome dearer, and
# what domowf reads or writes by SQL neither throws away the plans of a session
# nor fires an ordinary trigger of somebody's.  Exists because one look for the
# last of a request's outcomes went through all that its table had, and because
# what kept ordinary triggers from firing threw away all plans each time.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant WAITING => 3000;
use constant MORE => 200;

# Entries of indexes that may be read for each outcome. By one that goes through
# what waits, it is half of WAITING and more.
use constant MOST_EACH => 600;

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => Domowf::RETRY_AT_ONCE . <<'END');
domowf.poll_interval = '200ms'
domowf.returns = off
autovacuum = off
END
my $session = Domowf->session($node);

sub value { return $session->value($_[0]); }

sub until_true
{
	my ($sql, $name) = @_;

	return ok($node->poll_query_until('postgres', $sql), $name);
}

value(<<'END');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('good', 'model', '1.0.0', 's');
CREATE TABLE public.orders (id int PRIMARY KEY, state text);
CREATE TRIGGER good AFTER INSERT ON public.orders FOR EACH ROW EXECUTE FUNCTION
	domowf_trigger('good', 'n=id', 'state<-state');
CREATE TABLE public.fired (what text);
CREATE FUNCTION public.fire() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO public.fired VALUES (concat_ws(' ', TG_ARGV[0], TG_OP, current_user));
	RETURN NULL;
END $$;
CREATE ROLE stranger
END

# ---- what an outcome reads

my $ordered = 0;
my $written = 0;

sub order
{
	my ($number) = @_;

	value(sprintf 'INSERT INTO public.orders SELECT g FROM generate_series(%d, %d) g',
		$ordered + 1, $ordered + $number);
	$ordered += $number;
	return until_true(sprintf('SELECT count(*) = %d FROM domowf.return_entry', $ordered - $written),
		"outcomes wait: $number more");
}

# How often it was looked at what hangs on a table, one of domowf's included, by
# all processes that have ended: a scan of this index each time.
sub looks
{
	return value(q{SELECT idx_scan FROM pg_stat_sys_indexes WHERE indexrelname = 'pg_statistic_ext_relid_index'});
}

# What is noted and written back by the statistics that the table has by then.
sub reads_little
{
	my ($name) = @_;
	my ($before, $each, $snapshot, $looks);

	$session->set_worker('off');
	$before = $session->entries_read('return_entry');
	$session->set_worker('on');
	order(MORE);
	$session->set_worker('off');
	$each = ($session->entries_read('return_entry') - $before) / MORE;
	cmp_ok($each, '<', MOST_EACH, "$name: an outcome reads no more where many wait");

	# what is done stays in the indexes while somebody holds a snapshot
	$snapshot = Domowf->session($node);
	$snapshot->value($_) foreach 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'SELECT 1';
	$before = $session->entries_read('return_entry');
	$looks = looks();
	$session->configure('domowf.returns', 'on');
	$session->set_worker('on');
	until_true('SELECT count(*) = 0 FROM domowf.return_entry', '... all are written back');
	until_true(q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'domowf returns'},
		'... and who wrote them ends');
	$each = ($session->entries_read('return_entry') - $before) / ($ordered - $written);
	cmp_ok($each, '<', MOST_EACH, '... to write one back reads neither what waits nor what is done');
	cmp_ok((looks() - $looks) / ($ordered - $written), '<', 0.5,
		'... nor looks again each time for what hangs on the table');
	$snapshot->quit;
	$written = $ordered;
	is(value(q{SELECT count(*) FROM public.orders WHERE state = 'done'}), $written, '... and they are right');
	return;
}

order(WAITING);
value('ALTER TABLE domowf.return_entry ALTER request_id SET (n_distinct = 5);'
	  . ' ANALYZE domowf.return_entry');
reads_little('as if few requests had all that waits');

# as autovacuum does, mostly, as nothing waits for long
value('ALTER TABLE domowf.return_entry ALTER request_id RESET (n_distinct);'
	  . ' ANALYZE domowf.return_entry');
is(value(q{SELECT reltuples = 0 AND relpages > 0 FROM pg_class WHERE oid = 'domowf.return_entry'::regclass}),
	't', 'looked at while it was empty');
$session->configure('domowf.returns', 'off');
order(WAITING);
reads_little('as if nothing waited');

# ---- a look that stood still is not taken for one that is dear

my $returned = q{SELECT count(*) = 0 FROM pg_stat_activity WHERE backend_type = 'domowf returns'};
$domo->script('gate:held', count => 1, contains => '"held"');
my $held = $session->enqueue('good', 'held');
$domo->wait_for(held => 1);
until_true($returned, 'nothing is under way');
Domowf->set_test_point($node, 'return-look=wait');
Domowf->until_taken_up($node);
value('INSERT INTO public.orders VALUES (-3)');
$node->wait_for_log(qr/test point "return-look" waits/);
# for as long as something takes that does not come to its end
value("SELECT state FROM domowf_wait($held, '3 s')");
Domowf->set_test_point($node, '');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = -3}, 'the look goes on');
until_true($returned, '... and who was started ends');
my $start = time;
value('INSERT INTO public.orders VALUES (-4)');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = -4}, '... the next look comes');
cmp_ok(time - $start, '<', 30, '... soon, and not after twenty times as long as it stood still');
$domo->release('held', 1);

# ---- whose triggers fire

value('GRANT TRIGGER ON domowf.return_entry TO stranger; GRANT USAGE ON SCHEMA domowf TO stranger;'
	  . 'GRANT INSERT ON public.fired TO PUBLIC; SET ROLE stranger;'
	  . q{CREATE TRIGGER ordinary AFTER INSERT OR UPDATE OR DELETE ON domowf.return_entry
		FOR EACH ROW EXECUTE FUNCTION public.fire('ordinary'); RESET ROLE});
value('INSERT INTO public.orders VALUES (-1)');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = -1}, 'with an ordinary trigger there: it is written back');
value('ALTER TABLE public.orders ADD CONSTRAINT no CHECK (id <> -2 OR state IS NULL)');
value('INSERT INTO public.orders VALUES (-2)');
until_true(q{SELECT error ~ '"no"' FROM domowf.returns}, '... one that fails is noted');
value('ALTER TABLE public.orders DROP CONSTRAINT no');
value('SELECT domowf_retry_return(request_id) FROM domowf.returns');
until_true(q{SELECT state = 'done' FROM public.orders WHERE id = -2}, '... and written back, when it can be');
is(value('SELECT count(*) FROM public.fired'), 0, '... the trigger has fired for nothing of it');
value('ALTER TABLE domowf.return_entry DISABLE TRIGGER ordinary');

# ---- a session's plans

# It says when it is planned.
value(<<'END');
CREATE FUNCTION public.planned() RETURNS int IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
	PERFORM set_config('own.planned', (current_setting('own.planned')::int + 1)::text, false);
	RETURN 1;
END $$;
SET own.planned = 0;
SET plan_cache_mode = force_generic_plan;
PREPARE mine AS SELECT public.planned()
END

# How often it is planned for running it twice, with something between that.
sub plans_after
{
	my ($sql) = @_;

	value($_) foreach 'EXECUTE mine', 'SET own.planned = 0', $sql, 'EXECUTE mine';
	return value('SHOW own.planned');
}

my $id = $session->enqueue('good', 1);
$session->outcome($id);
is(plans_after('SELECT 1'), 0, 'a plan is kept');
is(plans_after('SET session_replication_role = replica; RESET session_replication_role'), 1,
	'... until something throws it away');
is(plans_after($_), 0, "... which $_ does not")
  foreach "SELECT domowf_wait($id)", "SELECT domowf_enqueue('good', '{}')",
  "SELECT domowf_retry_return($id)", "SELECT id FROM domowf_start('good', '{}')";

done_testing();
