
# What a call writes into the log fires somebody's trigger, while the call's own
# exchanges are under way: that cannot call, and may enqueue.  Exists because a
# second run in the same engine took the first one's replies for its own.

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
my $node = Domowf->start_node('main', $domo, preload => 1);
my $session = Domowf->session($node);
my $inner = q('{"messageName": "m", "version": "1", "modelId": "inner", "data": {"n": "inner"}}'::jsonb);
my $got;

sub outer
{
	my ($n) = @_;

	return "'{\"messageName\": \"m\", \"version\": \"1\", \"modelId\": \"model\", \"data\": {\"n\": \"$n\"}}'::jsonb";
}

$session->value(<<"END");
CREATE FUNCTION call() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	PERFORM i.id FROM public.domowf_start($inner) i;
	RETURN NULL;
END \$\$;
CREATE TRIGGER mine AFTER INSERT ON domowf.log FOR EACH ROW EXECUTE FUNCTION call();
ALTER TABLE domowf.log ENABLE ALWAYS TRIGGER mine
END

# ---- it cannot call

$got = $session->run('SELECT i.id FROM domowf_start(' . outer('alone') . ') i');
is($got->{sqlstate}, '', 'a call whose trigger calls ends');
isnt($got->{out}, '', '... with its instance');
is($got->{warnings}[0]{sqlstate}, '0A000', '... and a warning that it could not');
like($got->{warnings}[0]{message} . $got->{warnings}[0]{detail}, qr/Domo cannot be called for a call that is under way/, '... why');

$got = $session->run('SELECT count((s.instance).id), count(DISTINCT (s.instance).id) FROM domowf_start_all(ARRAY['
	  . join(', ', map { outer("all $_") } 1 .. 6) . ']) s');
is($got->{sqlstate}, '', 'several at once end');
is($got->{out}, '6|6', '... each with its own instance');
is($domo->arrived("all $_"), 1, "... was made once: $_") foreach 1 .. 6;
is($domo->arrived('inner'), 0, '... and nothing that a trigger asked for');

# ---- it may enqueue

$session->value(<<"END");
CREATE OR REPLACE FUNCTION call() RETURNS trigger LANGUAGE plpgsql AS \$\$
BEGIN
	IF NEW.origin = 'call' THEN
		PERFORM public.domowf_enqueue_call('start', $inner);
	END IF;
	RETURN NULL;
END \$\$
END
$got = $session->run('SELECT count((s.instance).id) FROM domowf_start_all(ARRAY['
	  . join(', ', map { outer("then $_") } 1 .. 3) . ']) s');
is("$got->{sqlstate}|$got->{out}", '|3', 'a trigger that enqueues');
ok($node->poll_query_until('postgres', q{SELECT count(*) = 3 FROM domowf.log
	WHERE origin = 'request' AND outcome = 'done'}), '... is heard');
is($domo->arrived('inner'), 3, '... for each call');
$session->quit;
$node->stop;
done_testing();
