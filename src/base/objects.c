/*
 * objects.c
 *	  What C code reads, writes or runs in schema domowf.
 *
 * Everything is read from the catalogs and nothing opened, so that whoever has
 * locked a table holds up nobody here.  What was found right is kept until a
 * change is told (changes.c); what was not is looked at again each time, since
 * nobody tells of an object that is yet to come.  So a fault costs a look at
 * each try, and ends with its cause.
 *
 * It must not know what the objects are for, nor what hangs on them (hung.c).
 */
#include "postgres.h"

#include "base/changes.h"
#include "base/columns.h"
#include "base/extension.h"
#include "base/hung.h"
#include "base/index.h"
#include "base/objects.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/syscache.h"

#define SCHEMA	"domowf"

typedef enum Kind
{
	SCHEMA_ITSELF,
	TABLE,
	SEQUENCE,
	VIEW,
	FUNCTION
} Kind;

/* Kinds, as SQL and pg_class call them. */
static const struct
{
	const char *word;
	Oid			class;
	char		relkind;
}			kinds[] = {
	[SCHEMA_ITSELF] = {"schema", NamespaceRelationId},
	[TABLE] = {"table", RelationRelationId, RELKIND_RELATION},
	[SEQUENCE] = {"sequence", RelationRelationId, RELKIND_SEQUENCE},
	[VIEW] = {"view", RelationRelationId, RELKIND_VIEW},
	[FUNCTION] = {"function", ProcedureRelationId},
};

typedef struct Object
{
	const char *name;
	Kind		kind;
	const DwfColumn *columns;	/* a table's */
	int			ncolumns;
	const char *since;			/* version of the SQL; NULL: the first one */
	bool		is_written;		/* a table, below SQL */
	Oid			args[2];		/* a function's */
	Oid			result;
} Object;

#define COLUMNS(columns)	(columns), lengthof(columns)

/* The schema comes first: without it there is nothing. */
static const Object objects[] = {
	{SCHEMA, SCHEMA_ITSELF},
	{"queue", TABLE, COLUMNS(dwf_queue_columns),.is_written = true},
	{"key", TABLE, COLUMNS(dwf_key_columns),.is_written = true},
	{"log", TABLE, COLUMNS(dwf_log_columns),.is_written = true},
	{"state", TABLE, COLUMNS(dwf_state_columns)},
	{"workflow", TABLE, COLUMNS(dwf_workflow_columns)},
	{"workflow_input", TABLE, COLUMNS(dwf_input_columns)},
	{"earlier_trigger", TABLE, COLUMNS(dwf_earlier_columns), "1.1"},
	{"tracked", TABLE, COLUMNS(dwf_tracked_columns), "1.1",.is_written = true},
	{"return_entry", TABLE, COLUMNS(dwf_return_columns), "1.1"},
	{"counter", TABLE, COLUMNS(dwf_counter_columns), "1.1",.is_written = true},
	{"request_id", SEQUENCE},
	{"return_id", SEQUENCE,.since = "1.1"},
	{"request", VIEW},
	{"may_see", FUNCTION,.args = {OIDOID, OIDOID},.result = BOOLOID},
	{"key_scope", FUNCTION,.since = "1.1",.args = {TEXTOID, TEXTOID},.result = TEXTOID},
};

/* An object that was found right; oid InvalidOid: none is known to be. */
typedef struct Known
{
	Oid			oid;
	Oid			owner;
	DwfHung		hung;
} Known;

static Known known[lengthof(objects)];
static uint64 known_generation = 0;

static bool is_in_version(const Object *object);
static int	find_entry(const char *name);
static const Known *look(int i, DwfObjectFault *fault);
static Oid	find_oid(const Object *object, Oid schema);
static bool find_fault(const Object *object, Known *found,
					   DwfObjectFault *fault);
static bool find_wrong_owner(const Object *object, const char *name,
							 Oid owner, Oid expected, DwfObjectFault *fault);
static bool find_wrong_relation(const Object *object, const char *name,
								Known *found, DwfObjectFault *fault);
static bool find_wrong_kind(const Object *object, const char *name,
							Form_pg_class form, DwfObjectFault *fault);
static bool find_wrong_column(const Object *object, Oid table,
							  DwfObjectFault *fault);
static bool find_wrong_addition(const Object *object, Oid table,
								DwfObjectFault *fault);
static bool is_extensions(const Object *object, const char *column);
static char *describe_column(const Object *object, const DwfColumn *expected,
							 Form_pg_attribute column);
static char *describe_added(const Object *object, Form_pg_attribute column);
static bool find_wrong_function(const Object *object, const char *name,
								Known *found, DwfObjectFault *fault);
static Oid	owner_of_schema(Oid schema);
static bool set_fault(DwfObjectFault *fault, char *message, char *hint);
static void refuse(const DwfObjectFault *fault);

Oid
dwf_object_oid(const char *name)
{
	int			i = find_entry(name);
	const DwfExtension *extension = dwf_extension_find();
	Oid			schema = get_namespace_oid(SCHEMA, true);
	Oid			oid;

	if (extension == NULL || !OidIsValid(schema))
		return InvalidOid;
	if (known_generation == dwf_changes_generation() && OidIsValid(known[i].oid))
		return known[i].oid;
	oid = find_oid(&objects[i], schema);
	if (!OidIsValid(oid) ||
		getExtensionOfObject(kinds[objects[i].kind].class, oid) !=
		extension->oid)
		return InvalidOid;
	return oid;
}

Oid
dwf_object_require(const char *name, Oid *owner)
{
	DwfObjectFault fault;
	const Known *object = look(find_entry(name), &fault);

	if (object == NULL)
		refuse(&fault);
	if (owner != NULL)
		*owner = object->owner;
	return object->oid;
}

const DwfHung *
dwf_object_hung(const char *name)
{
	(void) dwf_object_require(name, NULL);
	return &known[find_entry(name)].hung;
}

bool
dwf_object_is_right(const char *name, DwfObjectFault *fault)
{
	int			entry = find_entry(name);

	return !is_in_version(&objects[entry]) || look(entry, fault) != NULL;
}

void
dwf_objects_require(void)
{
	DwfObjectFault fault;

	if (!dwf_objects_are_right(&fault))
		refuse(&fault);
}

bool
dwf_objects_are_right(DwfObjectFault *fault)
{
	for (int i = 0; i < lengthof(objects); i++)
	{
		if (is_in_version(&objects[i]) && look(i, fault) == NULL)
			return false;
	}
	return true;
}

const DwfColumn *
dwf_object_columns(const char *name, int *count)
{
	const Object *object = &objects[find_entry(name)];

	*count = object->ncolumns;
	return object->columns;
}

/* Whether the installed version has such an object. */
static bool
is_in_version(const Object *object)
{
	return object->since == NULL || dwf_extension_is_since(object->since);
}

static int
find_entry(const char *name)
{
	for (int i = 0; i < lengthof(objects); i++)
	{
		if (strcmp(objects[i].name, name) == 0)
			return i;
	}
	elog(ERROR, "unknown object \"%s\"", name);
}

/*
 * An object as it is known to be right, after a look at it if need be.  NULL
 * where it is not, with the fault.
 */
static const Known *
look(int i, DwfObjectFault *fault)
{
	uint64		generation = dwf_changes_generation();
	Known		found = {InvalidOid, InvalidOid};

	if (known_generation != generation)
	{
		memset(known, 0, sizeof(known));
		dwf_changes_restart();
		known_generation = generation;
	}
	if (OidIsValid(known[i].oid))
		return &known[i];
	if (dwf_extension_has_changed())
		return look(i, fault);
	if (i > 0 && look(0, fault) == NULL)
		return NULL;
	if (find_fault(&objects[i], &found, fault))
	{
		/* of tables that this library does not know, only that matters */
		if (!dwf_extension_is_served())
			(void) set_fault(fault, dwf_extension_describe_skew(),
							 dwf_extension_mend_skew());
		return NULL;
	}
	known[i] = found;
	return &known[i];
}

/* What is there by an object's name, right or not. */
static Oid
find_oid(const Object *object, Oid schema)
{
	switch (object->kind)
	{
		case SCHEMA_ITSELF:
			return schema;
		case TABLE:
		case SEQUENCE:
		case VIEW:
			return get_relname_relid(object->name, schema);
		case FUNCTION:
			return GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
								   CStringGetDatum(object->name),
								   PointerGetDatum(buildoidvector(object->args,
																  lengthof(object->args))),
								   ObjectIdGetDatum(schema));
	}
	return InvalidOid;
}

/*
 * Whether something is wrong with an object.  `found` is set where nothing is.
 * All that it rests on is watched before it is read.  Each look at a catalog
 * may find that the extension has been dropped since the look before it, so
 * that what is known of it is from one look.
 */
static bool
find_fault(const Object *object, Known *found, DwfObjectFault *fault)
{
	const DwfExtension *extension = dwf_extension_find();
	Oid			schema = get_namespace_oid(SCHEMA, true);
	const char *word = kinds[object->kind].word;
	char	   *name = object->kind == SCHEMA_ITSELF ?
	psprintf("%s %s", word, SCHEMA) :
	psprintf("%s %s.%s", word, SCHEMA, object->name);

	if (extension == NULL)
		return set_fault(fault,
						 pstrdup("extension domowf is not installed in this database"),
						 pstrdup("CREATE EXTENSION domowf"));
	if (OidIsValid(schema))
	{
		dwf_changes_row(NAMESPACEOID, schema);
		found->oid = find_oid(object, schema);
	}
	if (!OidIsValid(found->oid))
		return set_fault(fault, psprintf("%s is missing", name),
						 pstrdup("undo what has renamed or removed it, or create the extension anew"));
	if (kinds[object->kind].class == RelationRelationId)
		dwf_changes_relation(found->oid);
	if (getExtensionOfObject(kinds[object->kind].class, found->oid) !=
		extension->oid)
		return set_fault(fault,
						 psprintf("%s is not a member of extension domowf",
								  name),
						 pstrdup("remove it; if it is the extension's own, ALTER EXTENSION domowf ADD it"));

	switch (object->kind)
	{
		case SCHEMA_ITSELF:
			found->owner = owner_of_schema(found->oid);
			break;
		case TABLE:
		case SEQUENCE:
		case VIEW:
			if (find_wrong_relation(object, name, found, fault))
				return true;
			break;
		case FUNCTION:
			if (find_wrong_function(object, name, found, fault))
				return true;
			break;
	}
	if (find_wrong_owner(object, name, found->owner, extension->owner, fault))
		return true;
	return dwf_hung_find_fault(kinds[object->kind].class, found->oid, name,
							   found->owner, object->is_written, &found->hung,
							   &fault->message, &fault->hint);
}

static Oid
owner_of_schema(Oid schema)
{
	HeapTuple	tuple = SearchSysCache1(NAMESPACEOID,
										ObjectIdGetDatum(schema));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_namespace) GETSTRUCT(tuple))->nspowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * An owner can make of its object what it likes, so that it must be one who
 * could do so with the extension.  Not just the same: pg_upgrade gives the
 * extension to the superuser who runs it, and leaves the rest to whom it was.
 */
static bool
find_wrong_owner(const Object *object, const char *name, Oid owner,
				 Oid expected, DwfObjectFault *fault)
{
	char	   *whose;
	char	   *role;

	if (OidIsValid(owner) && has_privs_of_role(owner, expected))
		return false;
	whose = GetUserNameFromId(owner, true);
	role = GetUserNameFromId(expected, true);
	return set_fault(fault,
					 psprintf("%s belongs to \"%s\", who does not have the rights of the extension's owner, \"%s\"",
							  name, whose == NULL ? "nobody" : whose,
							  role == NULL ? "nobody" : role),
					 psprintf("ALTER %s OWNER TO %s", name,
							  role == NULL ? "a superuser" :
							  quote_identifier(role)));
}

/* Sets the owner of what is found. */
static bool
find_wrong_relation(const Object *object, const char *name, Known *found,
					DwfObjectFault *fault)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(found->oid));
	bool		is_wrong;

	if (!HeapTupleIsValid(tuple))
		return set_fault(fault, psprintf("%s is missing", name),
						 pstrdup("create the extension anew"));
	found->owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	is_wrong = find_wrong_kind(object, name,
							   (Form_pg_class) GETSTRUCT(tuple), fault);
	ReleaseSysCache(tuple);
	return is_wrong ||
		(object->kind == TABLE &&
		 (find_wrong_column(object, found->oid, fault) ||
		  find_wrong_addition(object, found->oid, fault) ||
		  dwf_index_find_fault(found->oid, object->name, object->columns,
							   &fault->message, &fault->hint)));
}

/*
 * What would lose rows in a crash, bring rows from elsewhere or hide some.  A
 * fault's texts are palloc'd.
 */
static bool
find_wrong_kind(const Object *object, const char *name, Form_pg_class form,
				DwfObjectFault *fault)
{
	const char *wrong = NULL;
	const char *hint = "undo the change";

	if (form->relkind != kinds[object->kind].relkind)
		wrong = psprintf("is not a%s %s",
						 object->kind == TABLE ? "n ordinary" : "",
						 kinds[object->kind].word);
	else if (form->relpersistence != RELPERSISTENCE_PERMANENT)
	{
		wrong = "is not safe in a crash";
		hint = psprintf("ALTER %s SET LOGGED", name);
	}
	else if (form->relispartition || has_superclass(form->oid) ||
			 find_inheritance_children(form->oid, NoLock) != NIL)
		wrong = "inherits, or is inherited from";
	else if (check_enable_rls(form->oid, form->relowner, true) == RLS_ENABLED)
	{
		wrong = "hides rows from its owner";
		hint = psprintf("ALTER %s NO FORCE ROW LEVEL SECURITY", name);
	}
	return wrong != NULL &&
		set_fault(fault, psprintf("%s %s", name, wrong), pstrdup(hint));
}

/* The table must have its own columns as the script made them, anywhere. */
static bool
find_wrong_column(const Object *object, Oid table, DwfObjectFault *fault)
{
	char	   *wrong = NULL;

	for (int i = 0; i < object->ncolumns && wrong == NULL; i++)
	{
		const DwfColumn *expected = &object->columns[i];
		HeapTuple	tuple;

		if (!dwf_columns_has(expected))
			continue;
		tuple = SearchSysCacheAttName(table, expected->name);
		wrong = describe_column(object, expected,
								!HeapTupleIsValid(tuple) ? NULL :
								(Form_pg_attribute) GETSTRUCT(tuple));
		if (HeapTupleIsValid(tuple))
			ReleaseSysCache(tuple);
	}
	return wrong != NULL &&
		set_fault(fault, wrong, pstrdup("undo the change of the table"));
}

/*
 * Others may be added: they are null in what is written here, and stay as they
 * are in what is changed, so that they must demand nothing.  Those of a version
 * that is not known may mean anything.
 */
static bool
find_wrong_addition(const Object *object, Oid table, DwfObjectFault *fault)
{
	HeapTuple	relation = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	int			natts = ((Form_pg_class) GETSTRUCT(relation))->relnatts;
	bool		is_known = dwf_extension_is_served();
	char	   *wrong = NULL;

	ReleaseSysCache(relation);
	for (int attno = 1; attno <= natts && wrong == NULL; attno++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(table),
											Int16GetDatum(attno));
		Form_pg_attribute column;

		if (!HeapTupleIsValid(tuple))
			continue;
		column = (Form_pg_attribute) GETSTRUCT(tuple);
		if (!column->attisdropped &&
			!is_extensions(object, NameStr(column->attname)))
			wrong = is_known ? describe_added(object, column) :
				dwf_extension_describe_skew();
		ReleaseSysCache(tuple);
	}
	return wrong != NULL &&
		set_fault(fault, wrong, pstrdup("undo the change of the table"));
}

static bool
is_extensions(const Object *object, const char *column)
{
	for (int i = 0; i < object->ncolumns; i++)
	{
		if (strcmp(object->columns[i].name, column) == 0)
			return dwf_columns_has(&object->columns[i]);
	}
	return false;
}

/* What is wrong with one of the extension's own columns; NULL: nothing. */
static char *
describe_column(const Object *object, const DwfColumn *expected,
				Form_pg_attribute column)
{
	const char *wrong = NULL;

	if (column == NULL)
		return psprintf("table %s.%s has lost its column \"%s\"", SCHEMA,
						object->name, expected->name);
	if (column->atttypid != expected->type || column->atttypmod != -1)
		wrong = psprintf("is of type %s, expected %s",
						 format_type_with_typemod(column->atttypid,
												  column->atttypmod),
						 format_type_be(expected->type));
	else if (column->attcollation != get_typcollation(expected->type))
		wrong = "has another collation";
	else if (column->attnotnull != expected->not_null)
		wrong = expected->not_null ? "is not NOT NULL" : "is NOT NULL";
	else if (column->attgenerated != '\0' || column->attidentity != '\0')
		wrong = "is generated";
	return wrong == NULL ? NULL :
		psprintf("column \"%s\" of table %s.%s %s", expected->name, SCHEMA,
				 object->name, wrong);
}

/* What is wrong with a column that somebody has added; NULL: nothing. */
static char *
describe_added(const Object *object, Form_pg_attribute column)
{
	const char *wrong = NULL;

	if (column->attnotnull)
		wrong = "is NOT NULL";
	else if (column->atthasdef)
		wrong = "has a default";
	else if (get_typtype(column->atttypid) == TYPTYPE_DOMAIN)
		wrong = "is of a domain, which may demand something";
	return wrong == NULL ? NULL :
		psprintf("column \"%s\" of table %s.%s %s", NameStr(column->attname),
				 SCHEMA, object->name, wrong);
}

/* Sets the owner of what is found. */
static bool
find_wrong_function(const Object *object, const char *name, Known *found,
					DwfObjectFault *fault)
{
	HeapTuple	tuple;
	Form_pg_proc form;
	bool		is_wrong;

	dwf_changes_row(PROCOID, found->oid);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(found->oid));
	if (!HeapTupleIsValid(tuple))
		return set_fault(fault, psprintf("%s is missing", name),
						 pstrdup("create the extension anew"));
	form = (Form_pg_proc) GETSTRUCT(tuple);
	found->owner = form->proowner;
	is_wrong = form->prokind != PROKIND_FUNCTION || form->proretset ||
		form->prorettype != object->result;
	ReleaseSysCache(tuple);
	return is_wrong &&
		set_fault(fault, psprintf("%s is another function", name),
				  pstrdup("create the extension anew"));
}

/* True, to be returned. */
static bool
set_fault(DwfObjectFault *fault, char *message, char *hint)
{
	fault->message = message;
	fault->hint = hint;
	return true;
}

static void
refuse(const DwfObjectFault *fault)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg_internal("%s", fault->message),
			 errdetail("Nothing is read, sent or run until what domowf uses is as its extension made it."),
			 errhint("To mend it: %s.", fault->hint)));
}
