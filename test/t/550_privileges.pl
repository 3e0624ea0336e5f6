
# Who may do what: every object and setting of the extension, every way to use or
# change it, every kind of role, as README has it, and nothing else.  Exists
# because the rights of one role were each tested where somebody had thought of
# them, and an object that is new was tested nowhere: here the objects are those
# of the catalog, the settings those of pg_settings, and what is not in a table
# below fails.
#
# Each attempt is a statement that a session of that role makes, in a
# subtransaction that is rolled back.  It comes to "ok", to "none" (no error, and
# no row that it could reach, or nothing granted), or to a SQLSTATE.

use strict;
use warnings;

use FindBin;
use lib $FindBin::RealBin, "$FindBin::RealBin/../domo";

use Domo;
use Domowf;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

# ---- what there is

my %objects = (
	table => [
		map { "domowf.$_" }
		  qw(counter earlier_trigger key log queue return_entry state tracked
		  workflow workflow_input)
	],
	view => [ map { "domowf.$_" } qw(batch connection metric request returns stats worker) ],
	'foreign table' => [qw(domowf.connection_status domowf.worker_status)],
	sequence => [qw(domowf.request_id domowf.return_id)],
	schema => ['domowf'],
	type => [qw(domowf_instance domowf_permission)],
	'foreign-data wrapper' => [qw(domowf domowf_worker)],
	server => ['domowf_worker'],
	'event trigger' => ['domowf_trigger_made'],
	extension => ['domowf']);

my $start = q('{"messageName": "Start it", "version": "1.0.0", "modelId": "m", "data": {}}'::jsonb);
my $permissions = q('[{"id": "1", "type": "USER", "permissions": ["READ"]}]'::jsonb);
my $mine = q(room.asked WHERE role = current_user);
my $other = q(room.asked WHERE role = 'asker');

# Functions, and how each is used.
my %functions = (
	'domowf_start(jsonb)' => "SELECT i.id FROM domowf_start($start) i",
	'domowf_start(text,jsonb)' => q(SELECT i.id FROM domowf_start('plain', '{}') i),
	'domowf_start_all(jsonb[],integer)' =>
	  "SELECT 1 FROM domowf_start_all(ARRAY[$start]) s WHERE s.sqlstate IS NULL",
	'domowf_cancel(jsonb)' => q(SELECT i.id FROM domowf_cancel(jsonb_build_object('id', room.instance())) i),
	'domowf_cancel(text)' => q(SELECT i.id FROM domowf_cancel(room.instance()) i),
	'domowf_instance(text,name)' => q(SELECT i.id FROM domowf_instance(room.instance()) i),
	'domowf_set_permissions(jsonb)' =>
	  "SELECT p.id FROM domowf_set_permissions(jsonb_build_object('modelId', 'm', 'permissions', $permissions)) p",
	'domowf_set_permissions(text,jsonb)' =>
	  "SELECT p.id FROM domowf_set_permissions('m', $permissions) p",
	'domowf_enqueue(text,jsonb,text,text,timestamp with time zone,timestamp with time zone)' =>
	  q(SELECT domowf_enqueue('plain')),
	'domowf_enqueue_call(text,jsonb,text,text,timestamp with time zone,timestamp with time zone)' =>
	  "SELECT domowf_enqueue_call('start', $start)",
	'domowf_wait(bigint,interval)' =>
	  "SELECT (SELECT w.id FROM domowf_wait(queued, '0 s') w) FROM $mine",
	'domowf_wait_finished(bigint,interval)' =>
	  "SELECT (SELECT w.id FROM domowf_wait_finished(settled, '0 s') w) FROM $mine",
	(   map {
			my ($name, $more) = @$_;
			(   "$name(bigint" . ($more ? ',text)' : ')') =>
				  "SELECT FROM (SELECT $name(queued$more) AS done FROM $mine OFFSET 0) d WHERE done")
		} [ 'domowf_retry', '' ],
		[ 'domowf_discard', '' ],
		[ 'domowf_resolve', ", 'i'" ],
		[ 'domowf_retry_return', '' ]),
	'domowf_hold(timestamp with time zone)' =>
	  "SELECT FROM (SELECT domowf_hold() AS n OFFSET 0) h WHERE n > 0",
	'domowf_pause(text)' => 'SELECT domowf_pause()',
	'domowf_resume()' => 'SELECT domowf_resume()',
	'domowf_check()' => 'SELECT FROM domowf_check()',
	'domowf_metrics()' => 'SELECT FROM domowf_metrics()',
	'domowf_call_support(internal)' => 'SELECT domowf_call_support(NULL)',
	'domowf.created()' => 'SELECT domowf.created()',
	'domowf.key_scope(text,text)' => q(SELECT domowf.key_scope('start', 'plain')),
	'domowf.may_see(oid,oid)' => 'SELECT domowf.may_see(10, 10)',
	'domowf.server_validator(text[],oid)' =>
	  q(SELECT domowf.server_validator('{}', 'pg_foreign_server'::regclass)),
	'domowf.worker_handler()' => 'SELECT domowf.worker_handler()',
	'domowf.trigger_made()' => 'SELECT domowf.trigger_made()',
	map { ("$_()" => "SELECT $_()") } trigger_functions());

sub trigger_functions
{
	return (
		'domowf_trigger',
		map { "domowf.$_" }
		  qw(keep_own refuse_replication registry_changed set_granted_oid
		  set_on_settled workflow_exists));
}

# Settings, by who may set them.
my %settings = (
	anyone => [qw(connect_timeout timeout token)],
	superuser => [
		qw(base_url ca_file instance log_calls log_payload max_queue_length
		  max_queue_length_per_role max_response_size proxy triggers)
	],
	configuration => [
		qw(after_promotion drain_timeout expire_after log_retention max_attempts
		  max_connections notify poll_interval rate_limit retry_base retry_cap
		  return_timeout returns stall_after token_file track_instances worker)
	]);

my @server_options = (
	"instance 'acme'", "base_url 'https://localhost'", "proxy 'http://localhost:1'",
	"ca_file '/nowhere'", "connect_timeout '5s'", "timeout '5s'",
	"max_connections '1'", "rate_limit '1'");

# ---- what can be done

my @relation = (
	[ 'COMMENT', 'COMMENT ON %k %s IS NULL' ],
	[ 'DROP', 'DROP %k %s CASCADE' ],
	[ 'OWNER', 'ALTER %k %s OWNER TO room_owner' ],
	[ 'MOVE', 'ALTER %k %s SET SCHEMA room' ],
	[ 'RENAME', 'ALTER %k %s RENAME TO mine' ]);
my @grant = ([
		'GRANT', 'GRANT ALL ON %s TO room_owner',
		q(SELECT has_table_privilege('room_owner', '%s', 'SELECT'))
	]);
my @other = grep { $_->[0] ne 'MOVE' } @relation;

# Action, statement, and where an error is not all that can come of it, a query
# whether it did anything.  %s is the object, %k its kind.
my %actions = (
	table => [
		@relation, @grant,
		[ 'SELECT', 'SELECT * FROM %s' ],
		[ 'DELETE', 'DELETE FROM %s' ],
		[ 'TRUNCATE', 'TRUNCATE %s CASCADE' ],
		[ 'LOCK', 'LOCK %s' ],
		[ 'ALTER', 'ALTER TABLE %s ADD mine int' ],
		[ 'ALTER', 'ALTER TABLE %s DISABLE ROW LEVEL SECURITY' ],
		[ 'ALTER', 'ALTER TABLE %s DISABLE TRIGGER ALL' ],
		[ 'ALTER', 'CREATE POLICY mine ON %s USING (true)' ],
		[ 'ALTER', 'CREATE RULE mine AS ON DELETE TO %s DO ALSO NOTHING' ],
		[ 'ALTER', 'CREATE INDEX ON %s ((1))' ],
		[ 'ALTER', 'CREATE TABLE room.child () INHERITS (%s)' ],
		[ 'ALTER', 'CREATE PUBLICATION mine FOR TABLE %s' ],
		[ 'MAINTAIN', 'REINDEX TABLE %s' ],
		[ 'TRIGGER', 'CREATE TRIGGER mine AFTER DELETE ON %s EXECUTE FUNCTION room.fire()' ]
	],
	view => [
		@relation, @grant,
		[ 'SELECT', 'SELECT * FROM %s' ],
		[ 'INSERT', 'INSERT INTO %s DEFAULT VALUES' ],
		[ 'DELETE', 'DELETE FROM %s' ],
		[ 'ALTER', 'ALTER VIEW %s SET (security_invoker = false)' ],
		[ 'ALTER', 'CREATE RULE mine AS ON DELETE TO %s DO INSTEAD NOTHING' ],
		[ 'TRIGGER', 'CREATE TRIGGER mine INSTEAD OF DELETE ON %s FOR EACH ROW EXECUTE FUNCTION room.fire()' ]
	],
	'foreign table' => [
		@relation, @grant,
		[ 'SELECT', 'SELECT * FROM %s' ],
		[ 'DELETE', 'DELETE FROM %s' ],
		[ 'ALTER', q(ALTER FOREIGN TABLE %s OPTIONS (ADD mine '1')) ]
	],
	sequence => [
		@relation,
		[   'GRANT', 'GRANT ALL ON SEQUENCE %s TO room_owner',
			q(SELECT has_sequence_privilege('room_owner', '%s', 'USAGE'))
		],
		[ 'SELECT', 'SELECT * FROM %s' ],
		[ 'NEXTVAL', q(SELECT nextval('%s')) ],
		[ 'SETVAL', q(SELECT setval('%s', 77)) ],
		[ 'ALTER', 'ALTER SEQUENCE %s CYCLE' ]
	],
	schema => [
		@other,
		[   'GRANT', 'GRANT ALL ON SCHEMA %s TO room_owner',
			q(SELECT has_schema_privilege('room_owner', '%s', 'CREATE'))
		],
		[ 'CREATE', 'CREATE TABLE %s.mine ()' ],
		[ 'CREATE', 'CREATE FUNCTION %s.mine() RETURNS int RETURN 1' ],
		[ 'DEFAULTS', 'ALTER DEFAULT PRIVILEGES FOR ROLE the_superuser IN SCHEMA %s GRANT ALL ON TABLES TO PUBLIC' ],
		[ 'DEFAULTS', 'ALTER DEFAULT PRIVILEGES FOR ROLE the_superuser GRANT ALL ON FUNCTIONS TO PUBLIC' ]
	],
	type => [
		@relation,
		[   'GRANT', 'GRANT ALL ON TYPE %s TO room_owner WITH GRANT OPTION',
			q(SELECT has_type_privilege('room_owner', '%s', 'USAGE WITH GRANT OPTION'))
		],
		[ 'USE', 'CREATE TEMP TABLE mine (c %s)' ],
		[ 'ALTER', 'ALTER TYPE %s ADD ATTRIBUTE mine int' ]
	],
	'foreign-data wrapper' => [
		@other,
		[   'GRANT', 'GRANT ALL ON FOREIGN DATA WRAPPER %s TO room_owner',
			q(SELECT has_foreign_data_wrapper_privilege('room_owner', '%s', 'USAGE'))
		],
		[ 'ALTER', 'ALTER FOREIGN DATA WRAPPER %s NO VALIDATOR' ],
		[ 'ALTER', 'ALTER FOREIGN DATA WRAPPER %s NO HANDLER' ],
		[ 'CREATE SERVER', 'CREATE SERVER mine FOREIGN DATA WRAPPER %s' ]
	],
	server => [
		@other, server_grant(),
		[ 'ALTER', q(ALTER SERVER %s OPTIONS (ADD mine '1')) ],
		[ 'ALTER', q(ALTER SERVER %s VERSION '1') ],
		[ 'USE', 'CREATE FOREIGN TABLE room.mine () SERVER %s' ],
		[ 'USE', 'CREATE USER MAPPING FOR CURRENT_USER SERVER %s' ]
	],
	'event trigger' => [ @other, [ 'ALTER', 'ALTER EVENT TRIGGER %s DISABLE' ] ],
	extension => [
		[ 'COMMENT', 'COMMENT ON EXTENSION %s IS NULL' ],
		[ 'DROP EXTENSION', 'DROP EXTENSION %s CASCADE' ],
		[ 'DROP EXTENSION', 'DROP SCHEMA public CASCADE' ],
		[ 'UPDATE', 'ALTER EXTENSION %s UPDATE' ],
		[ 'ALTER', 'ALTER EXTENSION %s DROP VIEW domowf.stats' ],
		[ 'ALTER', 'ALTER EXTENSION %s ADD FUNCTION room.fire()' ]
	]);

# Of these kinds several have the same name.
my $same_name = qr/^(?:event trigger|extension|foreign-data wrapper|schema|server)$/;
my %kind = ('foreign-data wrapper' => 'FOREIGN DATA WRAPPER');

sub server_grant
{
	return [
		'GRANT', 'GRANT ALL ON FOREIGN SERVER %s TO room_owner',
		q(SELECT has_server_privilege('room_owner', '%s', 'USAGE'))
	];
}

# What is written into each table: a row like one that is there, but for this;
# and a column that is changed.
my %rows = (
	counter => [ '{"operation": "cancel"}', 'n = 1' ],
	earlier_trigger => [ '{"name": "new"}', q(name = 'changed') ],
	key => [ '{"key": "new"}', 'request_id = 7' ],
	log => [ '{"id": 1000}', q(error = 'changed') ],
	queue => [ '{"id": 1000}', q(error = 'changed') ],
	return_entry => [ '{"id": 1000}', 'tries = 7' ],
	state => [ '{}', 'paused = true' ],
	tracked => [ '{"request_id": 1000}', 'tries = 7' ],
	workflow => [ '{"name": "new"}', q(version = '2.0.0') ],
	workflow_input => [ '{"name": "new"}', 'required = true' ]);

# ---- who may

my @tables = @{ $objects{table} };
my @views = @{ $objects{view} };
my @foreign = @{ $objects{'foreign table'} };
my @secured = map { "domowf.$_" } qw(counter key log queue return_entry tracked);
my @open = map { "domowf.$_" } qw(earlier_trigger state workflow workflow_input);
my @calls = grep { /^domowf_/ && !/^domowf_(?:trigger|call_support)/ } sort keys %functions;
my ($enqueue) = grep { /^domowf_enqueue\(/ } @calls;
my @anyones = map { "domowf.$_" } @{ $settings{anyone} };
my @kept = grep { $_ ne 'domowf.token' } @anyones;
my @superusers = map { "domowf.$_" } @{ $settings{superuser} };

# What everybody may, who has been granted nothing.
my %everybody = (
	USE => $objects{type},
	SHOW => [ map { "domowf.$_" } map { @$_ } values %settings ],
	SET => \@anyones,
	'ALTER ROLE CURRENT_USER' => \@kept,
	'CREATE FUNCTION' => \@kept);

# A role, and what beyond that.  "none": without an error, but nothing is done.
my %may = (
	# nothing, but DML on the table of shopkeeper
	stranger => { SHOP => ['change'] },

	# EXECUTE on that one and SELECT on the view that it reads
	watcher => { EXECUTE => ['domowf_metrics()'] },

	# EXECUTE on one function, USAGE on the schema
	caller => { EXECUTE => [$enqueue] },

	# EXECUTE on all that is for people, no right on schema domowf, and all that
	# can be granted on the table of shopkeeper
	clerk => {
		EXECUTE => [ grep { !/metrics/ } @calls ],
		FIRE => ['domowf_trigger()'],
		SHOP => ['change'],
		'none ACT ON ANOTHER' => [qw(discard hold resolve retry retry_return)],
		'42704 ACT ON ANOTHER' => [qw(wait wait_finished)]
	},

	# what an administrator grants: USAGE on the schema, SELECT on all in it
	asker => {
		SELECT => [ @tables, @views, @foreign ],
		EXECUTE => [$enqueue]
	},

	# DML on the registry
	registrar => {
		(   map { ($_ => [qw(domowf.workflow domowf.workflow_input)]) }
			  qw(SELECT INSERT UPDATE DELETE LOCK)),
		REGISTER => ['own function']
	},

	# owner of a table with a domowf_trigger, EXECUTE on that
	shopkeeper => { FIRE => ['domowf_trigger()'], SHOP => [ 'change', 'make trigger' ] },

	# owner of server theirs, which a superuser gave him
	keeper => {
		SERVER => [
			'theirs: ALTER', 'theirs: DROP', 'theirs: GRANT', 'theirs: RENAME',
			'theirs: COMMENT', (map { "theirs: $_" } map { (split)[0] } @server_options),
			'theirs: token for stranger', 'theirs: token for CURRENT_USER',
			'theirs: token for mapped', 'theirs: ALTER mapping of PUBLIC',
			'theirs: DROP mapping of PUBLIC', 'theirs: see PUBLIC'
		]
	},

	# USAGE on the wrapper
	founder => {
		'CREATE SERVER' => ['foreign-data wrapper domowf'],
		SERVER => [ map { 'new: ' . (split)[0] } @server_options ]
	},

	# USAGE on servers, and a mapping for ours; EXECUTE on one function
	mapped => {
		EXECUTE => ['domowf_start(jsonb)'],
		SERVER => [
			'ours: call', 'ours: see mapped',
			'ours: ALTER mapping of mapped', 'ours: DROP mapping of mapped',

			# he has one, which stays as it is
			'ours: token for CURRENT_USER',
			'theirs: token for CURRENT_USER', 'theirs: token for mapped'
		],

		# refused for what its owner is
		'55000 SERVER' => ['theirs: call']
	},

	# owner of the database, and so of schema public
	landlord => {
		'ALTER DATABASE' => \@kept,

		# as he may drop the database; that of an object alone is refused
		'DROP EXTENSION' => ['DROP SCHEMA public CASCADE']
	},

	# makes roles, and so may alter those
	maker => { 'ALTER ROLE made' => \@kept },

	# SET ON PARAMETER of what is the superuser's, ALTER SYSTEM of one
	setter => {
		SET => \@superusers,
		'ALTER ROLE CURRENT_USER' => \@superusers,
		'CREATE FUNCTION' => \@superusers,
		'ALTER SYSTEM' => ['domowf.rate_limit']
	},

	# ---- members of PostgreSQL's own roles; those that are not here: nothing

	in_pg_monitor => {
		EXECUTE => ['domowf_metrics()'],
		SELECT => [ map { "domowf.$_" } qw(stats worker connection metric) ]
	},
	in_pg_read_all_data => {
		SELECT => [ @tables, @views, @foreign, @{ $objects{sequence} } ],
		SERVER => ['read tokens']
	},
	in_pg_write_all_data => {
		(map { ($_ => \@open) } qw(INSERT UPDATE DELETE)),
		'none UPDATE' => \@secured,
		'none DELETE' => [ @secured, 'domowf.returns' ],
		LOCK => \@tables,
		NEXTVAL => $objects{sequence},
		SETVAL => $objects{sequence},
		REGISTER => ['own function'],
		SHOP => ['change']
	},

	# with USAGE on the schema, which that role is without
	in_pg_maintain => { MAINTAIN => \@tables, LOCK => \@tables });

# What nobody may, the superuser included, with the SQLSTATE that says so where
# nothing else says no before.
my $configuration = join '|', @{ $settings{configuration} };
my @never = (
	[ qr/^(?:SET|ALTER (?:ROLE|DATABASE)\b.*|CREATE FUNCTION) domowf\.(?:$configuration)$/, '55P02' ],
	[ qr/^(?:ALTER (?:ROLE|DATABASE)\b.*|CREATE FUNCTION) domowf\.token$/, '22023' ],

	# members of the extension
	[ qr/^DROP (?!EXTENSION)/, '2BP01' ],

	# who gets these has to be a superuser
	[ qr/^OWNER (?:event trigger|foreign-data wrapper) /, '42501' ],

	# views that cannot be written into
	[ qr/^(?:INSERT|DELETE) domowf\.(?:batch|connection|metric|request|stats|worker)$/, '55000|0A000' ],
	[ qr/^DELETE domowf\.(?:connection|worker)_status$/, '0A000' ],
	[ qr/^INSERT domowf\.returns$/, '23502' ],

	# what is no function that can be called
	[ qr/^EXECUTE (?:domowf_call_support|domowf\.trigger_made)\(/, '0A000|42883' ],
	[ qr/^EXECUTE (?:@{[ join '|', map { quotemeta } trigger_functions() ]})\(\)/, '39P01' ],

	# its owner is no superuser, and it has a base_url
	[ qr/^SERVER theirs: call/, '55000' ],

	# there is one row
	[ qr/^INSERT domowf\.state/, '23505' ]);


# ---- a server with all of it

my $domo = Domo->new(tokens => [ Domowf::TOKEN ]);
my $node = Domowf->start_node(
	'main', $domo,
	preload => 1,
	conf => <<'END');
domowf.worker = off
domowf.track_instances = on
domowf.return_timeout = '10min'
END
my $session = Domowf->session($node);
my $superuser = $session->value('SELECT current_user');

# The predefined roles of this version, with a member each.
my @predefined = split ' ', $session->value(
	q{SELECT string_agg(rolname, ' ' ORDER BY rolname) FROM pg_roles
		WHERE rolname LIKE 'pg\_%' AND rolname <> 'pg_database_owner'});
my @roles = (
	(grep { !/^in_/ } sort keys %may),
	(map { "in_$_" } @predefined), $superuser);

$session->value("CREATE ROLE $_ LOGIN") foreach grep { !/^in_/ } keys %may;
$session->value("CREATE ROLE in_$_ LOGIN IN ROLE $_") foreach @predefined;
$session->value(sprintf <<'END', ($domo->url) x 2, (Domowf::TOKEN) x 3);
CREATE ROLE room_owner;
CREATE SCHEMA room;
GRANT ALL ON SCHEMA room TO PUBLIC;
ALTER ROLE maker CREATEROLE;
ALTER DATABASE postgres OWNER TO landlord;
GRANT USAGE ON SCHEMA domowf TO caller, asker, registrar;
GRANT EXECUTE ON FUNCTION domowf_enqueue TO caller, asker;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO clerk;
REVOKE EXECUTE ON FUNCTION domowf_call_support FROM clerk;
GRANT EXECUTE ON FUNCTION domowf_metrics TO watcher;
GRANT SELECT ON domowf.metric TO watcher;
GRANT SELECT ON ALL TABLES IN SCHEMA domowf TO asker;
GRANT SELECT, INSERT, UPDATE, DELETE ON domowf.workflow, domowf.workflow_input TO registrar;
GRANT EXECUTE ON FUNCTION domowf_trigger TO shopkeeper;
GRANT USAGE ON FOREIGN DATA WRAPPER domowf TO founder;
GRANT EXECUTE ON FUNCTION domowf_start(jsonb) TO mapped;
GRANT ALTER SYSTEM ON PARAMETER domowf.rate_limit TO setter;
CREATE SERVER ours FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
CREATE SERVER theirs FOREIGN DATA WRAPPER domowf OPTIONS (base_url '%s');
ALTER SERVER theirs OWNER TO keeper;
GRANT USAGE ON FOREIGN SERVER ours, theirs TO mapped;
CREATE USER MAPPING FOR mapped SERVER ours OPTIONS (token '%s');
CREATE USER MAPPING FOR PUBLIC SERVER ours OPTIONS (token '%s');
CREATE USER MAPPING FOR PUBLIC SERVER theirs OPTIONS (token '%s');
INSERT INTO domowf.workflow (name, model_id, version, message_name)
VALUES ('plain', 'm', '1.0.0', 'Start it');
INSERT INTO domowf.workflow_input (workflow, name, type) VALUES ('plain', 'n', 'text');
CREATE FUNCTION room.fire() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE FUNCTION room.told(domowf.request) RETURNS void LANGUAGE sql AS '';
CREATE TABLE room.orders (n text);
CREATE TRIGGER t AFTER INSERT ON room.orders FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain', 'n');
ALTER TABLE room.orders OWNER TO shopkeeper;
GRANT SELECT, INSERT, UPDATE, DELETE ON room.orders TO stranger;
GRANT ALL ON room.orders TO clerk;
CREATE TABLE room.asked (role name, queued bigint, settled bigint);
CREATE TABLE room.attempt (n int, sql text, done text);
GRANT SELECT ON room.asked, room.attempt TO PUBLIC
END
$session->value('GRANT USAGE ON SCHEMA domowf TO in_pg_maintain')
  if grep { $_ eq 'pg_maintain' } @predefined;
$session->value("CREATE FUNCTION room.instance() RETURNS text RETURN '"
	  . $session->value(Domowf->start_sql('m')) . q{'});
$session->value("GRANT SET ON PARAMETER $_ TO setter") foreach @superusers;
$session->value('SET SESSION AUTHORIZATION maker; CREATE ROLE made; RESET SESSION AUTHORIZATION');

# Tries everything, as its caller.  A query that tells whether it did anything
# has the last word; "SELECT FROM" has to find a row, as has what writes one.
$session->value(<<'END');
CREATE FUNCTION room.try() RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	attempt record;
	result text;
	rows bigint;
	done boolean;
BEGIN
	FOR attempt IN SELECT * FROM room.attempt ORDER BY n LOOP
		BEGIN
			EXECUTE attempt.sql;
			GET DIAGNOSTICS rows = ROW_COUNT;
			done := true;
			IF attempt.done IS NOT NULL THEN
				EXECUTE attempt.done INTO done;
			ELSIF attempt.sql ~ '^(INSERT|UPDATE|DELETE|SELECT FROM)' THEN
				done := rows > 0;
			END IF;
			RAISE EXCEPTION USING ERRCODE = 'ZZZZZ',
				MESSAGE = CASE WHEN done THEN 'ok' ELSE 'none' END;
		EXCEPTION WHEN OTHERS THEN
			result := CASE SQLSTATE WHEN 'ZZZZZ' THEN SQLERRM ELSE SQLSTATE END;
		END;
		RETURN NEXT attempt.n || ' ' || result;
	END LOOP;
END $$
END

# Rows of two roles and of the superuser, of each state.
foreach my $role ('asker', 'clerk', $superuser)
{
	my @ids = map {
		$session->value(qq{SET ROLE "$role"; SELECT domowf_enqueue('plain', key => '$role $_',
			run_at => now() + interval '1 day')})
	} 1, 2;

	$session->value(<<"END");
RESET ROLE;
INSERT INTO room.asked VALUES ('$role', $ids[0], $ids[1]);
SELECT domowf_resolve($ids[1], 'i');
UPDATE domowf.log SET instance_status = 'COMPLETED', instance_finished_at = now();
INSERT INTO domowf.tracked (request_id, instance_id, lane, due, tries, started_at)
	VALUES ($ids[1], 'i', 1, 'infinity', 1, now());
INSERT INTO domowf.return_entry (id, request_id, target, state, outcome, requested_by,
	requested_by_oid, since, due, tries) VALUES ($ids[0], $ids[0], 'function:none()', 'done',
	'{}', '$role', '"$role"'::regrole, now(), 'infinity', 1)
END
}
$session->value(q{INSERT INTO domowf.earlier_trigger VALUES ('room.asked', 'earlier')});
$session->value(q{INSERT INTO room.asked SELECT rolname, r.queued, r.settled
	FROM pg_roles, room.asked r WHERE r.role = 'asker'
		AND rolname NOT IN (SELECT role FROM room.asked)});

# ---- nothing is there that is not in the tables above

sub lines
{
	return join "\n", sort @_;
}

my $described = JSON::PP->new->decode($session->value(<<'END'));
SELECT jsonb_agg(jsonb_build_object('kind', i.type,
	'name', CASE WHEN d.classid = 'pg_proc'::regclass THEN d.objid::regprocedure::text
		WHEN d.classid = 'pg_type'::regclass THEN d.objid::regtype::text ELSE i.identity END,
	'definition', CASE WHEN d.classid = 'pg_proc'::regclass
		THEN pg_get_functiondef(d.objid) END))
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid,
	pg_identify_object(d.classid, d.objid, 0) i
WHERE e.extname = 'domowf' AND d.refclassid = 'pg_extension'::regclass AND d.deptype = 'e'
	-- later minor releases count the types that come with a table, too
	AND NOT EXISTS (SELECT FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE t.oid = d.objid AND d.classid = 'pg_type'::regclass
		AND (c.relkind <> 'c' OR t.typcategory = 'A'))
END
my %definition = map { ($_->{name} => $_->{definition}) } grep { $_->{definition} } @$described;

is( lines(map { "$_->{kind} $_->{name}" } @$described),
	lines(
		(map { my $kind = $_; map { "$kind $_" } @{ $objects{$kind} } }
			  grep { $_ ne 'extension' } keys %objects),
		map { "function $_" } keys %functions),
	'the objects of the extension are those of this test');
is( $session->value(
		q{SELECT string_agg(name, ' ' ORDER BY name COLLATE "C") FROM pg_settings
			WHERE name LIKE 'domowf.%' AND name NOT LIKE 'domowf.test\_%'}),
	join(' ', sort map { "domowf.$_" } map { @$_ } values %settings),
	'... and so are the settings');
is(lines(map { s/domowf\.//r } @tables), lines(keys %rows), '... each table has a row');

# ---- the attempts

my @attempts;

sub attempt
{
	my ($name, $sql, $done) = @_;

	push @attempts, { name => $name, sql => $sql, done => $done };
	return;
}

sub attempt_all
{
	my ($kind, $name, $actions) = @_;

	foreach my $action (@$actions)
	{
		my ($what, @sql) = @$action;

		foreach (@sql)
		{
			my $keyword = $kind{$kind} // uc $kind;

			s/%s/$name/g;
			s/%k/$keyword/;
			s/the_superuser/"$superuser"/;
		}
		my $subject = $kind =~ $same_name ? "$kind $name" : $name;

		$subject = $sql[0] if $sql[0] =~ /^DROP SCHEMA public/;
		attempt("$what $subject", @sql);
	}
	return;
}

foreach my $kind (sort keys %objects)
{
	attempt_all($kind, $_, $actions{$kind}) foreach @{ $objects{$kind} };
}
foreach my $name (sort keys %functions)
{
	attempt("EXECUTE $name", $functions{$name});
	attempt("REPLACE $name", $definition{$name});
	attempt_all(
		'function', $name,
		[
			@relation,
			[ 'ALTER', 'ALTER FUNCTION %s SECURITY DEFINER' ],
			[ 'ALTER', q(ALTER FUNCTION %s SET work_mem = '1MB') ],
			[   'GRANT', 'GRANT ALL ON FUNCTION %s TO room_owner',
				q(SELECT has_function_privilege('room_owner', '%s', 'EXECUTE'))
			]
		]);
}
attempt("FIRE $_()", 'CREATE TEMP TABLE mine (n int); CREATE TRIGGER mine AFTER INSERT'
	  . " ON mine FOR EACH ROW EXECUTE FUNCTION $_()")
  foreach trigger_functions();
foreach my $name (sort keys %rows)
{
	my ($new, $change) = @{ $rows{$name} };
	my $row = Domowf->literal($session->value(
			"SELECT to_jsonb(t) || '$new' FROM domowf.$name t LIMIT 1"));

	attempt("INSERT domowf.$name",
		"INSERT INTO domowf.$name SELECT (jsonb_populate_record(NULL::domowf.$name, $row)).*");
	attempt("UPDATE domowf.$name", "UPDATE domowf.$name SET $change");
}
attempt("ACT ON ANOTHER $_",
	"SELECT FROM (SELECT domowf_$_(queued" . ($_ eq 'resolve' ? ", 'i'" : '')
	  . ") AS done FROM $other OFFSET 0) d WHERE done")
  foreach qw(discard resolve retry retry_return);
attempt('ACT ON ANOTHER hold', 'SELECT FROM (SELECT domowf_hold() AS n OFFSET 0) h WHERE n > 1');
attempt('ACT ON ANOTHER wait', "SELECT (SELECT w.id FROM domowf_wait(queued, '0 s') w) FROM $other");
attempt('ACT ON ANOTHER wait_finished',
	"SELECT (SELECT w.id FROM domowf_wait_finished(settled, '0 s') w) FROM $other");
attempt('SHOP change', q{INSERT INTO room.orders VALUES ('x')});
attempt('SHOP make trigger', 'CREATE TRIGGER mine AFTER UPDATE ON room.orders'
	  . q{ FOR EACH ROW EXECUTE FUNCTION domowf_trigger('plain', 'n')});
attempt('REGISTER own function', <<'END');
CREATE FUNCTION room.own(domowf.request) RETURNS void LANGUAGE sql AS '';
UPDATE domowf.workflow SET on_settled = 'room.own(domowf.request)'
END
attempt('REGISTER function of another',
	q{UPDATE domowf.workflow SET on_settled = 'room.told(domowf.request)'});

# ---- ... of settings

my %value = map { split /\|/, $_, 2 } split /\n/, $session->value(
	q{SELECT name, current_setting(name) FROM pg_settings
		WHERE name LIKE 'domowf.%' AND name NOT LIKE 'domowf.test\_%'});

$value{'domowf.token'} = Domowf::TOKEN;
foreach my $name (sort keys %value)
{
	my $set = "SET $name = " . Domowf->literal($value{$name});

	attempt("SHOW $name", "SELECT current_setting('$name')");
	attempt("SET $name", $set);
	attempt("ALTER ROLE $_ $name", "ALTER ROLE $_ $set") foreach 'CURRENT_USER', 'made';
	attempt("ALTER ROLE of a superuser $name", qq{ALTER ROLE "$superuser" $set});
	attempt("ALTER ROLE ALL $name", "ALTER ROLE ALL $set");
	attempt("ALTER DATABASE $name", "ALTER DATABASE postgres $set");
	attempt("CREATE FUNCTION $name", "CREATE FUNCTION room.mine() RETURNS int $set RETURN 1");
	attempt("GRANT $name", "GRANT SET ON PARAMETER $name TO room_owner",
		"SELECT has_parameter_privilege('room_owner', '$name', 'SET')");
}

# ---- ... of servers and mappings

foreach my $server ('ours', 'theirs')
{
	my $on = "SERVER $server";
	my $for = sub { "USER MAPPING FOR $_[0] SERVER $server" };

	attempt("$on: ALTER", "ALTER $on VERSION '1'");
	attempt("$on: DROP", "DROP $on CASCADE");
	attempt("$on: COMMENT", "COMMENT ON $on IS NULL");
	attempt("$on: RENAME", "ALTER $on RENAME TO mine");
	attempt("$on: OWNER", "ALTER $on OWNER TO room_owner");
	attempt_all('server', "$server", [ server_grant() ]);
	$attempts[-1]{name} = "$on: GRANT";
	foreach my $option (@server_options)
	{
		my ($name) = split / /, $option;
		my $how = $name eq 'base_url' ? 'SET' : 'ADD';

		attempt("$on: $name", "ALTER $on OPTIONS ($how $option)");
	}
	attempt("$on: token for $_", 'CREATE USER MAPPING IF NOT EXISTS FOR'
		  . " $_ $on OPTIONS (token 'mine')")
	  foreach 'stranger', 'CURRENT_USER', $server eq 'theirs' ? 'mapped' : ();
	attempt("$on: token_file for $_", 'CREATE ' . $for->($_) . q( OPTIONS (token_file '/nowhere')))
	  foreach 'stranger', $server eq 'theirs' ? 'mapped' : ();
	foreach my $whose ('PUBLIC', $server eq 'ours' ? 'mapped' : ())
	{
		attempt("$on: ALTER mapping of $whose",
			'ALTER ' . $for->($whose) . q( OPTIONS (SET token 'mine')));
		attempt("$on: token_file in mapping of $whose",
			'ALTER ' . $for->($whose) . q( OPTIONS (DROP token, ADD token_file '/nowhere')));
		attempt("$on: DROP mapping of $whose", 'DROP ' . $for->($whose));
		attempt("$on: see $whose", 'SELECT FROM pg_user_mappings WHERE srvname = '
			  . "'$server' AND usename = '" . lc($whose) . q(' AND umoptions::text LIKE '%token%'));
	}
	attempt("$on: call", "SELECT i.id FROM domowf_start($start || '{\"server\": \"$server\"}') i");
}
attempt('SERVER read tokens', 'SELECT umoptions FROM pg_user_mapping');
attempt('SERVER new: ' . (split)[0], "CREATE SERVER mine FOREIGN DATA WRAPPER domowf OPTIONS ($_)")
  foreach @server_options;

$session->value('INSERT INTO room.attempt SELECT ordinality, a->>0, a->>1 FROM'
	  . ' jsonb_array_elements(' . Domowf->literal(JSON::PP->new->encode(
			[ map { [ $_->{sql}, $_->{done} ] } @attempts ]))
	  . ') WITH ORDINALITY a (a)');
note(@attempts . ' attempts, ' . @roles . ' roles');

# ---- nothing in the tables above is about what is not there

my %tried = map { ($_->{name} => 1) } @attempts;
my @said;

$tried{"ALTER SYSTEM $_"} = 1 foreach keys %value;
foreach my $rights (\%everybody, values %may)
{
	foreach my $key (keys %$rights)
	{
		my $action = $key =~ s/^(?:none|\d\w{4}) //r;

		push @said, map { "$action $_" } @{ $rights->{$key} };
	}
}
is(lines(grep { !$tried{$_} } @said), '', 'what roles may is tried');
is( lines(grep { my $pattern = $_; !grep { /$pattern/ } keys %tried } map { $_->[0] } @never),
	'', '... and what nobody may');

# ---- what comes of them

# What a role's attempt should come to: a regular expression.
sub expected
{
	my ($role, $name) = @_;
	my ($never) = map { $_->[1] } grep { $name =~ $_->[0] } @never;

	my $said;

	return $never // 'ok' if $role eq $superuser;
	foreach my $rights (\%everybody, $may{$role} // {})
	{
		foreach my $key (keys %$rights)
		{
			my ($result, $action) = $key =~ /^(?:(none|\d\w{4}) )?(.*)/;

			$said = $result // 'ok' if grep { "$action $_" eq $name } @{ $rights->{$key} };
		}
	}
	return "42501|$never" if defined $never && ($said // 'ok') eq 'ok';
	return $said if defined $said;

	# PostgreSQL warns where there is no right to grant, and shows no token
	return '42501|none' if $name =~ /\bGRANT\b/;
	return 'none' if $name =~ /: see /;
	return '42501';
}

foreach my $role (@roles)
{
	my $in = Domowf->session($node, user => $role);
	my %result = map { split / / } split /\n/, $in->value('SELECT * FROM room.try()');
	my @differences;

	is(scalar(keys %result), scalar(@attempts), "$role: everything is tried");
	foreach my $n (1 .. @attempts)
	{
		my $attempt = $attempts[ $n - 1 ];
		my $expected = expected($role, $attempt->{name});

		push @differences, "$attempt->{name}: $result{$n}, not $expected: $attempt->{sql}"
		  unless $result{$n} =~ /^(?:$expected)$/;
	}

	# not in a function, nor in a transaction
	my $out = $in->run(join "\n", map {
			'ALTER SYSTEM SET ' . "$_ = " . Domowf->literal($value{$_}) . ";\n\\echo $_ :SQLSTATE"
		} sort keys %value)->{out};
	$out =~ s/;$//;
	%result = map { split / / } split /\n/, $out;
	foreach my $name (sort keys %value)
	{
		my $expected = expected($role, "ALTER SYSTEM $name") eq 'ok' ? '00000' : '42501';

		push @differences, "ALTER SYSTEM $name: " . ($result{$name} // 'nothing') . ", not $expected"
		  if ($result{$name} // '') ne $expected;
	}
	is(join("\n", @differences), '', "$role: may what is said, and nothing else");
	$in->quit;
}
$session->value('ALTER SYSTEM RESET ALL');

# ---- of what it may read, the rows that a role sees

my %seen = (
	asker => 'counter 1, key 2, log 1, queue 1, return_entry 1, tracked 1,'
	  . ' batch 2, request 2, returns 1, stats 1, metric 1',
	in_pg_read_all_data => 'counter 3, key 6, log 4, queue 3, return_entry 3, tracked 3,'
	  . ' batch 6, request 6, returns 3, stats 3, metric 3',
	in_pg_monitor => 'stats 3, metric 3');

# What these count is what waits.
my %counted = (
	stats => 'SELECT sum(queued) FROM domowf.stats',
	metric => q{SELECT sum(value) FROM domowf.metric WHERE name = 'domowf_queue_waiting'});

$seen{$superuser} = $seen{in_pg_read_all_data};
foreach my $role (sort keys %seen)
{
	my $in = Domowf->session($node, user => $role);
	my @counts = map {
		my ($name) = split / /;
		my $count = $counted{$name} // "SELECT count(*) FROM domowf.$name";

		"'$name ' || ($count)"
	} split /, /, $seen{$role};

	is($in->value('SELECT concat_ws(\', \', ' . join(', ', @counts) . ')'),
		$seen{$role}, "$role sees rows");
	$in->quit;
}

# ---- processes: a worker, and one that returns what is the shopkeeper's

$session->value($_)
  foreach 'CREATE FUNCTION room.hold(domowf.request) RETURNS void LANGUAGE plpgsql'
  . q( AS 'BEGIN PERFORM pg_advisory_lock(1); END'),
  'ALTER FUNCTION room.hold(domowf.request) OWNER TO shopkeeper',
  'INSERT INTO domowf.workflow (name, model_id, version, message_name, on_settled)'
  . q{ VALUES ('held', 'm', '1.0.0', 'Start it', 'room.hold(domowf.request)')},
  'SELECT pg_advisory_lock(1)';
my $held = $session->value(q{SELECT domowf_enqueue('held', run_at => now() + interval '1 day')});

$session->configure('domowf.worker', 'on');
$session->value("SELECT domowf_resolve($held, 'i')");
$node->poll_query_until('postgres', <<'END') or die 'no processes';
SELECT count(*) = 3 FROM pg_stat_activity WHERE backend_type IN ('domowf launcher', 'domowf worker')
	OR backend_type = 'domowf returns' AND wait_event = 'advisory'
END
my %process = map { split /\|/ } split /\n/, $session->value(
	q{SELECT backend_type, pid FROM pg_stat_activity WHERE backend_type LIKE 'domowf%'});

foreach my $role (grep { $_ ne $superuser } @roles)
{
	my $in = Domowf->session($node, user => $role);

	is( join(' ', map {
			my $pid = $process{$_};
			map { $in->run("SELECT $_($pid)")->{sqlstate} } qw(pg_cancel_backend pg_terminate_backend)
		} sort keys %process),
		join(' ', ('42501') x 6),
		"$role: signals no process");
	$in->quit;
}
$session->value('SELECT pg_advisory_unlock(1)');
$session->configure('domowf.worker', 'off');

# ---- restored by who is no superuser, into a database of his own

my $dump = PostgreSQL::Test::Utils::tempdir . '/dump';

sub privileges_in
{
	my ($database) = @_;

	return join "\n", grep { /privilege/ } split /\n/, Domowf->look($node, $database, 'describe');
}

# What pg_restore by the owner of the database says.
sub restore
{
	my ($database) = @_;
	my ($out, $err) = run_command(
		[ 'pg_restore', '-d', $node->connstr($database) . ' user=landlord', $dump ]);

	return $err;
}

command_ok([ 'pg_dump', '-Fc', '-f', $dump, '-d', $node->connstr('postgres') ], 'pg_dump');
$session->value('CREATE DATABASE fresh');
$session->value("CREATE DATABASE $_ OWNER landlord") foreach qw(empty prepared);
$node->safe_psql($_, 'CREATE EXTENSION domowf') foreach qw(fresh prepared);

like(restore('empty'), qr/permission denied to create extension "domowf"/,
	'no superuser restores: the extension is not made');
is( $node->safe_psql('empty', q{SELECT count(*) FROM pg_extension WHERE extname = 'domowf'}),
	0, '... nor is it there');
like(restore('prepared'), qr/permission denied for schema domowf\nCommand was: COPY domowf\.workflow /,
	'... nor are rows loaded where a superuser has made it');
is($node->safe_psql('prepared', 'SELECT count(*) FROM domowf.workflow, domowf.workflow_input'),
	0, '... there are none');
is(privileges_in('prepared'), privileges_in('fresh'), '... and nobody has got a right');
is( $node->safe_psql('prepared', q{SELECT count(*) FROM pg_trigger t JOIN pg_proc p
		ON p.oid = t.tgfoid WHERE p.proname = 'domowf_trigger'}),
	0, '... nor a trigger');
is( $node->safe_psql('prepared', 'SELECT count(*) FROM pg_user_mappings'),
	0, '... nor a token');

# ---- out of reach of the owner of the database

$session->value('CREATE DATABASE apart OWNER landlord');
$node->safe_psql('apart', 'CREATE SCHEMA api; CREATE EXTENSION domowf SCHEMA api');
my $landlord = Domowf->session($node, dbname => 'apart', user => 'landlord');
is($landlord->run($_)->{sqlstate}, '42501', "in a superuser's schema: no $_")
  foreach 'DROP SCHEMA api CASCADE', 'DROP SCHEMA domowf CASCADE',
  'DROP FUNCTION api.domowf_check()', 'ALTER SCHEMA api RENAME TO mine';
is($landlord->run('DROP SCHEMA public CASCADE')->{sqlstate}, '', '... his own he drops');
$landlord->quit;
is( $node->safe_psql('apart', q{SELECT count(*) FROM pg_extension WHERE extname = 'domowf'}),
	1, '... and it is there');
$session->quit;
$domo->stop;
done_testing();
