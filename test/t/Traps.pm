
# What a hostile owner of a database puts into it, for the script of an
# extension to fall into: operators, functions, aggregates, types, relations and
# casts of every name that the script uses, and of signatures that fit better
# than PostgreSQL's own.  Each says in the server's log that it ran, and as whom.
#
#   Traps->set($session, $names, @schemas);   as the owner of the database
#   Traps->sprung($node, $offset)             lines of the log
#
# The names are found in the text of the scripts, so that no list is kept.

package Traps;

use strict;
use warnings;

use Domowf;

# Operands and arguments: what there is in the scripts, as PostgreSQL spells it.
my @types = qw(text name "char" oid regclass regrole int4 int8 numeric float8 bool
  timestamptz interval jsonb xid8);

# Those of functions of two arguments, which are many.
my @some_types = qw(text name oid regclass int8 numeric timestamptz interval);

# sets traps in these schemas, made where they are not there; $text is the
# scripts'.
sub set
{
	my ($class, $session, $text, @schemas) = @_;

	$text =~ s/^\\.*//mg;
	$text =~ s/--.*//mg;
	$text =~ s/'(?:[^']|'')*'/''/g;
	my %operators = map { $_ => 1 } $text =~ m{([-+*/<>=~!@#%^&|`?]+)}g;
	my %words = map { lc $_ => 1 } $text =~ /\b([a-z_]\w*)\b/gi;

	foreach my $schema (@schemas)
	{
		$session->value("CREATE SCHEMA IF NOT EXISTS $schema");
		$session->value(_springs($schema));
		$session->value(_operators($schema, sort keys %operators));
		$session->value(_functions($schema, sort keys %words));
		$session->value(_types($schema, sort keys %words));
		$session->value(_relations($schema, sort keys %words));
	}
	return;
}

sub sprung
{
	my ($class, $node, $offset) = @_;

	return grep { /trap/ } split /\n/, Domowf->log_since($node, $offset);
}

sub _list
{
	return 'ARRAY[' . join(', ', map { Domowf->literal($_) } @_) . ']::text[]';
}

# What all traps are made of.  Functions of one operand are those of unary
# operators and of casts.
sub _springs
{
	my ($schema) = @_;
	my $types = _list(@types);

	return <<"END";
CREATE FUNCTION $schema.sprung(text) RETURNS bool LANGUAGE plpgsql AS \$\$
BEGIN
	RAISE LOG 'trap % of $schema ran as %', \$1, current_user;
	RETURN true;
END \$\$;
DO \$do\$
DECLARE
	l text;
	r text;
	result text;
BEGIN
	FOREACH l IN ARRAY $types LOOP
		FOREACH r IN ARRAY $types LOOP
			FOREACH result IN ARRAY ARRAY['bool', 'numeric'] LOOP
				EXECUTE pg_catalog.format('CREATE FUNCTION $schema.%I(pg_catalog.%s, pg_catalog.%s)
					RETURNS pg_catalog.%s LANGUAGE plpgsql AS
					\$f\$ BEGIN PERFORM $schema.sprung(%L); RETURN NULL; END \$f\$',
					'of_' OPERATOR(pg_catalog.||) result, l, r, result,
					pg_catalog.concat_ws(' ', 'operator', l, r));
			END LOOP;
		END LOOP;
		EXECUTE pg_catalog.format('CREATE FUNCTION $schema.step(pg_catalog.int8, pg_catalog.%s)
			RETURNS pg_catalog.int8 LANGUAGE plpgsql AS
			\$f\$ BEGIN PERFORM $schema.sprung(%L); RETURN NULL; END \$f\$', l,
			'aggregate of ' OPERATOR(pg_catalog.||) l);
	END LOOP;
END \$do\$
END
}

sub _operators
{
	my ($schema, @names) = @_;
	my ($names, $types) = (_list(@names), _list(@types));

	return <<"END";
DO \$do\$
DECLARE
	o pg_catalog.record;
BEGIN
	FOR o IN SELECT DISTINCT n, l, r, CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_operator p
			WHERE p.oprname::pg_catalog.text OPERATOR(pg_catalog.=) n AND p.oprresult OPERATOR(pg_catalog.=) 16)
			THEN 'bool' ELSE 'numeric' END AS result
		FROM pg_catalog.unnest($names) n, pg_catalog.unnest($types) l, pg_catalog.unnest($types) r
		WHERE n OPERATOR(pg_catalog.=) ANY (SELECT oprname::pg_catalog.text FROM pg_catalog.pg_operator)
	LOOP
		EXECUTE pg_catalog.format('CREATE OPERATOR $schema.%s (LEFTARG = pg_catalog.%s,
			RIGHTARG = pg_catalog.%s, FUNCTION = $schema.%I)', o.n, o.l, o.r,
			'of_' OPERATOR(pg_catalog.||) o.result);
	END LOOP;
END \$do\$
END
}

# Of each function and aggregate: no, one and two arguments, and PostgreSQL's
# own signatures, where a type is not one that only C may have.
sub _functions
{
	my ($schema, @names) = @_;
	my ($names, $types, $some) = (_list(@names), _list(@types), _list(@some_types));

	return <<"END";
DO \$do\$
DECLARE
	f pg_catalog.record;
BEGIN
	FOR f IN WITH own AS (
			SELECT proname, pg_catalog.bool_or(prokind OPERATOR(pg_catalog.=) 'a') AS is_aggregate,
				pg_catalog.min(CASE WHEN typtype OPERATOR(pg_catalog.=) 'b'
				THEN 'pg_catalog.' OPERATOR(pg_catalog.||) pg_catalog.quote_ident(typname) END) AS result
			FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_type t ON t.oid OPERATOR(pg_catalog.=) prorettype
			WHERE pronamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
				AND proname::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($names)
			GROUP BY proname),
		list AS (
			SELECT '' AS args
			UNION ALL SELECT 'pg_catalog.' OPERATOR(pg_catalog.||) a FROM pg_catalog.unnest($types) a
			UNION ALL SELECT pg_catalog.format('pg_catalog.%s, pg_catalog.%s', a, b)
			FROM pg_catalog.unnest($some) a, pg_catalog.unnest($some) b)
		SELECT proname, args, is_aggregate, result FROM own, list
		WHERE NOT is_aggregate OR args OPERATOR(pg_catalog.<>) ''
		UNION
		SELECT proname, pg_catalog.pg_get_function_identity_arguments(oid), false, result
		FROM pg_catalog.pg_proc JOIN own USING (proname)
		WHERE pronamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
			AND NOT is_aggregate AND pronargs OPERATOR(pg_catalog.>) 2
	LOOP
		BEGIN
			IF f.is_aggregate THEN
				EXECUTE pg_catalog.format('CREATE AGGREGATE $schema.%I (%s)
					(SFUNC = $schema.step, STYPE = pg_catalog.int8)', f.proname, f.args);
			ELSE
				EXECUTE pg_catalog.format('CREATE FUNCTION $schema.%I(%s) RETURNS %s
					LANGUAGE plpgsql AS \$f\$ BEGIN PERFORM $schema.sprung(%L); RETURN NULL; END \$f\$',
					f.proname, f.args, coalesce(f.result, 'pg_catalog.text'), pg_catalog.format('function %s(%s)', f.proname, f.args));
			END IF;
		EXCEPTION WHEN undefined_function OR invalid_function_definition OR duplicate_function
			OR feature_not_supported THEN
			NULL;
		END;
	END LOOP;
	CREATE AGGREGATE $schema.percentile_cont(pg_catalog.numeric ORDER BY pg_catalog.interval)
		(SFUNC = $schema.step, STYPE = pg_catalog.int8);
EXCEPTION WHEN duplicate_function THEN
	NULL;
END \$do\$
END
}

# Domains of the names of types, and a type of which there are implicit casts to
# and from PostgreSQL's own.
sub _types
{
	my ($schema, @names) = @_;
	my ($names, $types) = (_list(@names), _list(@types));

	return <<"END";
DO \$do\$
DECLARE
	t pg_catalog.text;
BEGIN
	FOR t IN SELECT typname FROM pg_catalog.pg_type
		WHERE typnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
			AND typname::pg_catalog.text OPERATOR(pg_catalog.=) ANY (
				pg_catalog.array_cat($types, pg_catalog.array_cat($names,
				ARRAY['int2', 'char', 'bool', 'varchar', 'regproc'])))
			AND typrelid OPERATOR(pg_catalog.=) 0
	LOOP
		EXECUTE pg_catalog.format('CREATE DOMAIN $schema.%I AS pg_catalog.text
			CHECK ($schema.sprung(%L))', t, 'domain ' OPERATOR(pg_catalog.||) t);
	END LOOP;
	CREATE TYPE $schema.bait AS ENUM ('bait');
	FOREACH t IN ARRAY $types LOOP
		EXECUTE pg_catalog.format('CREATE FUNCTION $schema.cast_to(pg_catalog.%s)
			RETURNS $schema.bait LANGUAGE plpgsql AS
			\$f\$ BEGIN PERFORM $schema.sprung(%L); RETURN NULL; END \$f\$;
			CREATE CAST (pg_catalog.%1\$s AS $schema.bait)
			WITH FUNCTION $schema.cast_to(pg_catalog.%1\$s) AS IMPLICIT',
			t, 'cast of ' OPERATOR(pg_catalog.||) t);
	END LOOP;
END \$do\$
END
}

sub _relations
{
	my ($schema, @names) = @_;
	my $names = _list(@names);

	return <<"END";
DO \$do\$
DECLARE
	c pg_catalog.text;
BEGIN
	FOR c IN SELECT relname FROM pg_catalog.pg_class
		WHERE relnamespace OPERATOR(pg_catalog.=) 'pg_catalog'::pg_catalog.regnamespace
			AND relname::pg_catalog.text OPERATOR(pg_catalog.=) ANY ($names)
			AND relkind OPERATOR(pg_catalog.=) ANY (ARRAY['r', 'v']::pg_catalog."char"[])
	LOOP
		EXECUTE pg_catalog.format('CREATE VIEW $schema.%I AS SELECT t.* FROM pg_catalog.%1\$I t
			WHERE $schema.sprung(%L)', c, 'relation ' OPERATOR(pg_catalog.||) c);
	END LOOP;
END \$do\$
END
}

1;
