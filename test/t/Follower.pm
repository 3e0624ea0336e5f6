
# Who follows domowf's tables as pg_repack and replication by triggers do: by a
# trigger that fires always, a copy of the table, and what has changed since, in
# order.  The functions stand in the schema follow:
#
#   $node->safe_psql('postgres', Follower->sql);
#   SELECT follow.start('queue');      from now on
#   SELECT follow.differs('queue');    rows that the copy and what was told of
#                                      have, and the table has not, or the other
#                                      way round; and ends it
#
# A column chaos_note may come and go meanwhile.

package Follower;

use strict;
use warnings;

sub sql
{
	return <<'END';
CREATE SCHEMA follow;
CREATE FUNCTION follow.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	EXECUTE format('INSERT INTO follow.%I (was, is_now) VALUES ($1, $2)', TG_TABLE_NAME)
		USING to_jsonb(OLD) - 'chaos_note', to_jsonb(NEW) - 'chaos_note';
	RETURN NULL;
END $$;
CREATE FUNCTION follow.start(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE format('LOCK TABLE domowf.%I IN SHARE ROW EXCLUSIVE MODE', name);
	EXECUTE format('CREATE TABLE follow.%I (n bigserial PRIMARY KEY, was jsonb, is_now jsonb)',
		name);
	EXECUTE format('CREATE TRIGGER follow AFTER INSERT OR UPDATE OR DELETE ON domowf.%I '
		'FOR EACH ROW EXECUTE FUNCTION follow.note()', name);
	EXECUTE format('ALTER TABLE domowf.%I ENABLE ALWAYS TRIGGER follow', name);
	EXECUTE format('CREATE TABLE follow.%I AS SELECT to_jsonb(t) - ''chaos_note'' AS row '
		'FROM domowf.%I t',
		name || '_copy', name);
	EXECUTE format('CREATE INDEX ON follow.%I USING hash (row)', name || '_copy');
END $$;
CREATE FUNCTION follow.differs(name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	change record;
	hit bigint;
	result bigint;
BEGIN
	EXECUTE format('LOCK TABLE domowf.%I', name);
	FOR change IN EXECUTE format('SELECT was, is_now FROM follow.%I ORDER BY n', name) LOOP
		IF change.was IS NOT NULL THEN
			EXECUTE format('DELETE FROM follow.%I WHERE row = $1', name || '_copy')
				USING change.was;
			GET DIAGNOSTICS hit = ROW_COUNT;
			IF hit <> 1 THEN
				RAISE 'of % there are %', change.was, hit;
			END IF;
		END IF;
		IF change.is_now IS NOT NULL THEN
			EXECUTE format('INSERT INTO follow.%I VALUES ($1)', name || '_copy')
				USING change.is_now;
		END IF;
	END LOOP;
	EXECUTE format('SELECT count(*) FROM (SELECT row FROM follow.%I) c FULL JOIN '
		'(SELECT to_jsonb(t) - ''chaos_note'' AS row FROM domowf.%I t) t USING (row) '
		'WHERE c IS NULL OR t IS NULL', name || '_copy', name) INTO result;
	EXECUTE format('DROP TABLE follow.%I, follow.%I', name, name || '_copy');
	EXECUTE format('DROP TRIGGER follow ON domowf.%I', name);
	RETURN result;
END $$
END
}

1;
