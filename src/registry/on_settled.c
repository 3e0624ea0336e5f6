/*
 * on_settled.c
 *	  The function that is told what comes of a workflow's requests.
 *
 * It is called as its owner (worker/returns.c), so that whoever writes its name
 * into the registry has to have the owner's rights: else who may write there
 * could have anybody's function of that shape run.  It is looked at where it is
 * new, as a dump or an UPDATE of another column brings nothing that was not
 * there.
 *
 * What is kept is the signature, with schemas, and not its oid: a reg type would
 * stop pg_upgrade.  A function that takes its place later is found by it, and
 * called as its own owner.
 */
#include "postgres.h"

#include "base/apart.h"
#include "base/guc.h"
#include "base/table.h"
#include "registry/on_settled.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/logicalworker.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/rel.h"
#include "utils/syscache.h"

PG_FUNCTION_INFO_V1(domowf_set_on_settled);

/* What a publisher has sent, and what of it is taken. */
typedef struct Published
{
	const char *text;
	MemoryContext context;		/* of the result */
	char	   *signature;		/* NULL: it is not */
} Published;

static char *get_text(HeapTuple row, TupleDesc desc);
static char *find_signature(const char *text);
static char *find_published(const char *text);
static void read_published(void *arg);
static bool is_there(const char *text);
static void check_owner(Oid function);

/*
 * domowf.set_on_settled() returns trigger: BEFORE INSERT OR UPDATE, for each
 * row; and AFTER it, since a trigger of somebody who may make one may have
 * changed what the first one has seen.
 *
 * What a publisher sends to a superuser's subscription is taken as it is: its
 * function may come later, or never, which is a failed return.  Of another's, it
 * is what he could write himself, or nothing: an error would end the
 * subscription.
 */
Datum
domowf_set_on_settled(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc;
	HeapTuple	row;
	char	   *text;
	char	   *before;
	char	   *signature;
	Datum		value;
	bool		isnull = false;
	int			column;

	if (!CALLED_AS_TRIGGER(fcinfo) ||
		RelationGetRelid(trigger->tg_relation) != dwf_table_oid("workflow") ||
		TRIGGER_FIRED_INSTEAD(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("not called by domowf's own trigger")));
	desc = RelationGetDescr(trigger->tg_relation);
	row = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple :
		trigger->tg_trigtuple;
	text = get_text(row, desc);
	before = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ?
		get_text(trigger->tg_trigtuple, desc) : NULL;
	if (text == NULL || (IsLogicalWorker() && superuser()) ||
		(before != NULL && strcmp(text, before) == 0))
		return PointerGetDatum(row);
	signature = IsLogicalWorker() && TRIGGER_FIRED_BEFORE(trigger->tg_event) ?
		find_published(text) : find_signature(text);
	if (TRIGGER_FIRED_AFTER(trigger->tg_event))
	{
		if (strcmp(signature, text) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					 errmsg("a trigger on domowf.workflow changes column \"on_settled\", which is domowf's")));
		return PointerGetDatum(row);
	}
	isnull = signature == NULL;
	value = isnull ? (Datum) 0 : CStringGetTextDatum(signature);
	column = SPI_fnumber(desc, "on_settled");
	return PointerGetDatum(heap_modify_tuple_by_cols(row, desc, 1, &column,
													 &value, &isnull));
}

/* NULL where it is null. */
static char *
get_text(HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(row, SPI_fnumber(desc, "on_settled"), desc,
									 &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/*
 * The signature of a function that may be registered; raises why it may not.
 * check_function_bodies is off where a dump is restored: a function may come
 * later, or not at all.
 */
static char *
find_signature(const char *text)
{
	Oid			function;
	char	   *signature;
	int			level;

	if (!check_function_bodies && superuser() && !is_there(text))
		return pstrdup(text);
	/* raises that there is none, or what is wrong with the text */
	function = DatumGetObjectId(DirectFunctionCall1(regprocedurein,
													CStringGetDatum(text)));
	if (!dwf_on_settled_fits(function))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("function %s cannot be told what comes of a request",
						text),
				 errhint("It has to be a function with one parameter, of type domowf.request, that returns no set.")));
	check_owner(function);
	level = dwf_guc_quote_as_needed();
	signature = format_procedure_extended(function, FORMAT_PROC_FORCE_QUALIFY);
	AtEOXact_GUC(false, level);
	return signature;
}

/* The same of what a publisher has sent; NULL, and a warning, where it may not. */
static char *
find_published(const char *text)
{
	Published	published = {.text = text,.context = CurrentMemoryContext};
	ErrorData  *error = dwf_apart_try(read_published, &published);

	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("column \"on_settled\" is left empty: %s",
						error->message),
				 errdetail("The subscription's owner may not register function %s.",
						   text)));
	return published.signature;
}

static void
read_published(void *arg)
{
	Published  *published = arg;

	published->signature = MemoryContextStrdup(published->context,
											   find_signature(published->text));
}

static bool
is_there(const char *text)
{
	LOCAL_FCINFO(call, 1);

	InitFunctionCallInfoData(*call, NULL, 1, InvalidOid, NULL, NULL);
	call->args[0].value = CStringGetTextDatum(text);
	call->args[0].isnull = false;
	(void) to_regprocedure(call);
	return !call->isnull;
}

/* Raises 42501 where the current user has not its owner's rights. */
static void
check_owner(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	if (!has_privs_of_role(GetUserId(), owner))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of function %s",
						get_func_name(function)),
				 errdetail("It will be called with the rights of its owner, \"%s\".",
						   GetUserNameFromId(owner, false))));
}

bool
dwf_on_settled_fits(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Form_pg_proc form;
	bool		fits;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_proc) GETSTRUCT(tuple);
	fits = form->prokind == PROKIND_FUNCTION && !form->proretset &&
		form->pronargs == 1 &&
		form->proargtypes.values[0] == get_rel_type_id(dwf_table_oid("request"));
	ReleaseSysCache(tuple);
	return fits;
}
