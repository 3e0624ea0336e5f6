-- All that is to be known of domowf's objects, a line of text each, in words
-- that are the same in any database: what an installation and an update have
-- to agree on.
--
-- Run it with search_path = pg_catalog and quote_all_identifiers = off.
WITH RECURSIVE member AS (
	SELECT d.classid, d.objid
	FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid
	WHERE e.extname = 'domowf' AND d.refclassid = 'pg_extension'::regclass
		AND d.deptype = 'e'
), own AS (
	SELECT classid, objid FROM member
	UNION
	SELECT d.classid, d.objid
	FROM own o JOIN pg_depend d
		ON d.refclassid = o.classid AND d.refobjid = o.objid
	WHERE d.deptype NOT IN ('n', 'e', 'x')
), relation AS (
	SELECT c.*, c.oid::regclass::text AS name
	FROM own o JOIN pg_class c ON c.oid = o.objid
	WHERE o.classid = 'pg_class'::regclass
), acl (classid, objid, objsubid, acl) AS (
	SELECT 'pg_proc'::regclass, oid, 0, coalesce(proacl, acldefault('f', proowner))
	FROM pg_proc
	UNION ALL
	SELECT 'pg_class'::regclass, oid, 0, coalesce(relacl,
		acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner))
	FROM pg_class
	UNION ALL
	SELECT 'pg_class'::regclass, attrelid, attnum, attacl FROM pg_attribute
	UNION ALL
	SELECT 'pg_type'::regclass, oid, 0, coalesce(typacl, acldefault('T', typowner))
	FROM pg_type
	UNION ALL
	SELECT 'pg_namespace'::regclass, oid, 0,
		coalesce(nspacl, acldefault('n', nspowner)) FROM pg_namespace
	UNION ALL
	SELECT 'pg_foreign_data_wrapper'::regclass, oid, 0,
		coalesce(fdwacl, acldefault('F', fdwowner)) FROM pg_foreign_data_wrapper
	UNION ALL
	SELECT 'pg_foreign_server'::regclass, oid, 0,
		coalesce(srvacl, acldefault('S', srvowner)) FROM pg_foreign_server
), line (line) AS (
	SELECT format('extension %s version %s schema %s relocatable %s', extname,
		extversion, extnamespace::regnamespace, extrelocatable)
	FROM pg_extension WHERE extname = 'domowf'
	UNION ALL
	SELECT format('extension configuration %s where %s', t.oid::regclass, t.condition)
	FROM pg_extension, unnest(extconfig, extcondition) t (oid, condition)
	WHERE extname = 'domowf'

	UNION ALL
	SELECT format('member %s %s', i.type, i.identity)
	FROM member m, pg_identify_object(m.classid, m.objid, 0) i
	UNION ALL
	SELECT format('owner of %s %s %s', i.type, i.identity, s.refobjid::regrole)
	FROM member m LEFT JOIN pg_shdepend s ON s.classid = m.classid
			AND s.objid = m.objid AND s.deptype = 'o'
			AND s.refclassid = 'pg_authid'::regclass
			AND s.dbid = (SELECT oid FROM pg_database
						  WHERE datname = current_database()),
		pg_identify_object(m.classid, m.objid, 0) i
	UNION ALL
	SELECT format('comment on %s %s: %s', i.type, i.identity, d.description)
	FROM own o JOIN pg_description d ON d.classoid = o.classid AND d.objoid = o.objid,
		pg_identify_object(o.classid, o.objid, d.objsubid) i
	UNION ALL
	SELECT format('privilege on %s %s: %s %s%s', i.type, i.identity,
		CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
		x.privilege_type, CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' END)
	FROM member m JOIN acl a USING (classid, objid), aclexplode(a.acl) x,
		pg_identify_object(m.classid, m.objid, a.objsubid) i
	UNION ALL
	SELECT format('initial privilege on %s %s: %s %s', i.type, i.identity,
		CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END,
		x.privilege_type)
	FROM member m JOIN pg_init_privs p ON p.classoid = m.classid AND p.objoid = m.objid,
		aclexplode(p.initprivs) x,
		pg_identify_object(m.classid, m.objid, p.objsubid) i

	UNION ALL
	SELECT format('relation %s kind %s persistence %s method %s options %s row security %s forced %s replica identity %s tablespace %s',
		name, relkind, relpersistence,
		(SELECT amname FROM pg_am a WHERE a.oid = relam), reloptions,
		relrowsecurity, relforcerowsecurity, relreplident, reltablespace)
	FROM relation WHERE relnamespace <> 'pg_toast'::regnamespace
	UNION ALL
	SELECT format('column %s %s %s %s not null %s default %s identity "%s" generated "%s" storage %s compression "%s" statistics %s collation %s options %s foreign options %s local %s inherited %s',
		-- the queue's have an order of their own where it is new
		r.name, CASE WHEN r.name <> 'domowf.queue' THEN a.attnum END, a.attname, format_type(a.atttypid, a.atttypmod),
		a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity,
		a.attgenerated, a.attstorage, a.attcompression, a.attstattarget,
		a.attcollation::regcollation,
		-- pg_attver is PostgreSQL's own: what it knows a column by
		(SELECT array_agg(o) FROM unnest(a.attoptions) o WHERE NOT starts_with(o, 'pg_attver=')),
		a.attfdwoptions,
		a.attislocal, a.attinhcount)
	FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
	WHERE a.attnum > 0 AND r.relnamespace <> 'pg_toast'::regnamespace
	UNION ALL
	SELECT format('view %s %s', name, pg_get_viewdef(oid))
	FROM relation WHERE relkind IN ('v', 'm')
	UNION ALL
	SELECT format('rule %s %s', w.ev_enabled, pg_get_ruledef(w.oid))
	FROM relation r JOIN pg_rewrite w ON w.ev_class = r.oid
	UNION ALL
	SELECT format('index %s valid %s clustered %s replica identity %s',
		pg_get_indexdef(indexrelid), indisvalid, indisclustered, indisreplident)
	FROM relation r JOIN pg_index i ON i.indrelid = r.oid
	WHERE r.relnamespace <> 'pg_toast'::regnamespace
	UNION ALL
	SELECT format('constraint %s of %s %s valid %s local %s', c.conname, r.name,
		pg_get_constraintdef(c.oid), c.convalidated, c.conislocal)
	FROM relation r JOIN pg_constraint c ON c.conrelid = r.oid
	UNION ALL
	SELECT format('trigger %s enabled %s',
		CASE WHEN t.tgisinternal
		THEN format('of a constraint of %s: %s, type %s', r.name,
			t.tgfoid::regprocedure, t.tgtype)
		ELSE pg_get_triggerdef(t.oid) END, t.tgenabled)
	FROM relation r JOIN pg_trigger t ON t.tgrelid = r.oid
	UNION ALL
	SELECT format('policy %s on %s for %s to %s permissive %s using %s check %s',
		p.polname, r.name, p.polcmd, p.polroles::regrole[], p.polpermissive,
		pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
	FROM relation r JOIN pg_policy p ON p.polrelid = r.oid
	UNION ALL
	SELECT format('sequence %s %s', r.name, to_jsonb(s) - 'seqrelid')
	FROM relation r JOIN pg_sequence s ON s.seqrelid = r.oid
	UNION ALL
	SELECT format('function %s', pg_get_functiondef(p.oid))
	FROM member m JOIN pg_proc p ON p.oid = m.objid
	WHERE m.classid = 'pg_proc'::regclass
	UNION ALL
	SELECT format('type %s kind %s category %s not null %s default %s', t.oid::regtype,
		t.typtype, t.typcategory, t.typnotnull, t.typdefault)
	FROM own o JOIN pg_type t ON t.oid = o.objid
	WHERE o.classid = 'pg_type'::regclass AND t.typnamespace <> 'pg_toast'::regnamespace
	UNION ALL
	SELECT format('wrapper %s handler %s validator %s options %s', fdwname,
		fdwhandler::regproc, fdwvalidator::regproc, fdwoptions)
	FROM member m JOIN pg_foreign_data_wrapper f ON f.oid = m.objid
	UNION ALL
	SELECT format('server %s of %s type %s version %s options %s', srvname,
		(SELECT fdwname FROM pg_foreign_data_wrapper WHERE oid = srvfdw), srvtype,
		srvversion, srvoptions)
	FROM member m JOIN pg_foreign_server s ON s.oid = m.objid
	UNION ALL
	SELECT format('foreign table %s of %s options %s', t.ftrelid::regclass,
		(SELECT srvname FROM pg_foreign_server WHERE oid = t.ftserver), t.ftoptions)
	FROM relation r JOIN pg_foreign_table t ON t.ftrelid = r.oid
	UNION ALL
	SELECT format('event trigger %s on %s calls %s enabled %s tags %s', evtname,
		evtevent, evtfoid::regprocedure, evtenabled, evttags)
	FROM member m JOIN pg_event_trigger t ON t.oid = m.objid
	WHERE m.classid = 'pg_event_trigger'::regclass
)
SELECT line FROM line ORDER BY line COLLATE "C";
