/*
 * return_call.c
 *	  A function is told what came of a request.
 *
 * It is looked up by its signature each time, and called below SQL: its owner
 * needs no right on schema domowf to get a row of domowf.request.
 */
#include "postgres.h"

#include "base/owner.h"
#include "base/table.h"
#include "base/testpoint.h"
#include "registry/on_settled.h"
#include "worker/return_call.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"
#include "utils/syscache.h"

/* How the signature of each ends. */
#define ARGUMENT	"(domowf.request)"

static Datum make_row(const DwfReturn *entry);
static Oid	find_function(const char *signature);
static Oid	owner_of(Oid function);

void
dwf_return_call(const DwfReturn *entry, Oid owner)
{
	const char *signature = entry->target + strcspn(entry->target, ":");
	Datum		row;
	Oid			function;
	DwfOwnerScope scope;
	FmgrInfo	function_info;

	LOCAL_FCINFO(call, 1);

	if (*signature++ == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("what is to be called cannot be read: \"%s\"",
						entry->target)));
	dwf_owner_enter_to_read(&scope);
	row = make_row(entry);
	function = find_function(signature);
	dwf_owner_leave(&scope);
	fmgr_info(function, &function_info);
	if (owner_of(function) != owner)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the owner of function %s has changed meanwhile",
						signature)));

	/* whatever it returns, null or not */
	InitFunctionCallInfoData(*call, &function_info, 1, InvalidOid, NULL, NULL);
	call->args[0].value = row;
	call->args[0].isnull = false;
	(void) FunctionCallInvoke(call);
	DWF_TESTPOINT("return-written");
}

/* The row of domowf.request as it was.  As domowf's owner. */
static Datum
make_row(const DwfReturn *entry)
{
	Oid			types[] = {JSONBOID};
	Datum		values[] = {JsonbPGetDatum(entry->outcome)};
	bool		isnull;

	if (SPI_execute_with_args("SELECT jsonb_populate_record(NULL::domowf.request, $1)",
							  1, types, values, NULL, true, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not make a row of domowf.request");
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1,
						 &isnull);
}

/*
 * One that fits; raises 42883 where there is none.  Not by regprocedurein(), since
 * domowf's owner need not have rights on its schema.
 */
static Oid
find_function(const char *signature)
{
	Oid			type = get_rel_type_id(dwf_table_oid("request"));
	size_t		len = strlen(signature);
	Oid			function = InvalidOid;
	char	   *schema;
	char	   *name;
	List	   *names;

	if (len > strlen(ARGUMENT) &&
		strcmp(signature + len - strlen(ARGUMENT), ARGUMENT) == 0)
	{
		names = textToQualifiedNameList(cstring_to_text_with_len(signature,
																 len - strlen(ARGUMENT)));
		DeconstructQualifiedName(names, &schema, &name);
		if (schema != NULL)
			function = GetSysCacheOid3(PROCNAMEARGSNSP, Anum_pg_proc_oid,
									   CStringGetDatum(name),
									   PointerGetDatum(buildoidvector(&type, 1)),
									   ObjectIdGetDatum(get_namespace_oid(schema, true)));
	}
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function \"%s\" does not exist", signature)));
	if (!dwf_on_settled_fits(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("function %s is no function of this kind any more",
						signature)));
	return function;
}

static Oid
owner_of(Oid function)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	Oid			owner = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
		ReleaseSysCache(tuple);
	}
	return owner;
}
