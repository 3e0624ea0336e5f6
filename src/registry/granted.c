/*
 * granted.c
 *	  Whom a workflow is granted to.
 *
 * People write a name (granted_to), which may be that of another role tomorrow:
 * one is dropped, and whoever may create roles makes one that is called so.  So
 * the oid of the role is looked up when the name is written, and is what counts
 * from then on (workflow.c).  It is no reference: a role can be dropped, and
 * then nobody may.
 *
 * The trigger sets granted_oid whatever a statement says.  It looks only where
 * a name is new: an UPDATE that writes all columns as they were must not let
 * the present role of that name in.  Whoever wants just that sets granted_oid
 * to NULL.
 *
 * That the name follows the role is for people only, and done by the worker.
 */
#include "postgres.h"

#include "base/owner.h"
#include "base/table.h"
#include "registry/granted.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(domowf_set_granted_oid);

/* The columns of a row. */
typedef struct Granted
{
	bool		no_name;
	const char *name;			/* granted_to */
	bool		no_oid;
	Oid			oid;
} Granted;

/* A name of the same role is written: by dwf_granted_follow(). */
static bool is_following = false;

static void read_granted(Granted *granted, HeapTuple row, TupleDesc desc);
static Oid	find_oid(const Granted *old, const Granted *new);
static void follow_all(void);
static void follow(HeapTuple row, TupleDesc desc);

/*
 * domowf.set_granted_oid() returns trigger: BEFORE INSERT OR UPDATE, for each
 * row
 */
Datum
domowf_set_granted_oid(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	Granted		old = {0};
	Granted		new;
	bool		is_update;
	int			column;
	Datum		value;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		RelationGetRelid(trigger->tg_relation) != dwf_table_oid("workflow") ||
		!TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by domowf's own trigger")));
	is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	row = is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	desc = RelationGetDescr(trigger->tg_relation);
	if (is_update)
		read_granted(&old, trigger->tg_trigtuple, desc);
	read_granted(&new, row, desc);

	column = SPI_fnumber(desc, "granted_oid");
	value = ObjectIdGetDatum(find_oid(is_update ? &old : NULL, &new));
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column,
													 &value, &new.no_name));
}

static void
read_granted(Granted *granted, HeapTuple row, TupleDesc desc)
{
	Datum		value;

	value = heap_getattr(row, SPI_fnumber(desc, "granted_to"), desc,
						 &granted->no_name);
	granted->name = granted->no_name ? NULL : NameStr(*DatumGetName(value));
	value = heap_getattr(row, SPI_fnumber(desc, "granted_oid"), desc,
						 &granted->no_oid);
	granted->oid = granted->no_oid ? InvalidOid : DatumGetObjectId(value);
}

/* What granted_oid is to be; `old` is NULL for a new row. */
static Oid
find_oid(const Granted *old, const Granted *new)
{
	if (new->no_name)
		return InvalidOid;
	if (old != NULL && !old->no_name && !old->no_oid && !new->no_oid &&
		(is_following || strcmp(old->name, new->name) == 0))
		return old->oid;
	return get_role_oid(new->name, true);
}

/*
 * Nothing here may wait for anybody, nor keep a worker from its work.  It is
 * done as the owner of the table and in a restricted operation, so that what
 * hangs on the table has no more rights than whoever may hang it there.
 */
void
dwf_granted_follow(void)
{
	static bool told = false;
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Oid			table = dwf_table_oid("workflow");

	if (!OidIsValid(table) ||
		!ConditionalLockRelationOid(table, RowExclusiveLock))
		return;
	BeginInternalSubTransaction(NULL);
	PG_TRY();
	{
		follow_all();
		ReleaseCurrentSubTransaction();
		told = false;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		/* the same thing again and again is no news */
		if (!told)
			EmitErrorReport();
		told = true;
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	is_following = false;
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/*
 * Only rows whose role is known by number: a name that no role had stays so,
 * whoever is called so later.
 */
static void
follow_all(void)
{
	DwfOwnerScope scope;
	SPITupleTable *rows;
	uint64		count;

	dwf_owner_enter_registry(&scope);
	SPI_connect();
	if (SPI_execute("SELECT name, granted_to, granted_oid "
					"FROM domowf.workflow WHERE granted_oid <> 0 "
					"AND granted_to IS NOT NULL AND " DWF_GRANTED_IS_KEPT,
					true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.workflow");
	rows = SPI_tuptable;
	count = SPI_processed;
	for (uint64 i = 0; i < count; i++)
		follow(rows->vals[i], rows->tupdesc);
	SPI_finish();
	dwf_owner_leave(&scope);
}

/* A row of follow_all()'s query. */
static void
follow(HeapTuple row, TupleDesc desc)
{
	Oid			types[] = {TEXTOID, NAMEOID, OIDOID};
	Datum		values[lengthof(types)];
	bool		isnull;
	const char *name;
	NameData	now;

	for (int i = 0; i < lengthof(types); i++)
		values[i] = SPI_getbinval(row, desc, i + 1, &isnull);
	name = GetUserNameFromId(DatumGetObjectId(values[2]), true);
	if (name == NULL || strcmp(name, NameStr(*DatumGetName(values[1]))) == 0)
		return;
	namestrcpy(&now, name);
	values[1] = NameGetDatum(&now);

	/* a row that somebody is changing comes later */
	is_following = true;
	if (SPI_execute_with_args("UPDATE domowf.workflow SET granted_to = $2 "
							  "WHERE ctid = (SELECT ctid "
							  "FROM domowf.workflow WHERE name = $1 "
							  "AND granted_oid = $3 "
							  "FOR NO KEY UPDATE SKIP LOCKED)",
							  lengthof(types), types, values, NULL, false,
							  0) < 0)
		elog(ERROR, "could not update domowf.workflow");
	is_following = false;
}
