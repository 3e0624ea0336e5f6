/*
 * workflow.c
 *	  The registry.
 *
 * It is read afresh for each start, so that a changed row applies to the next
 * one.  Whoever starts needs no right on the table: `granted_to` is checked
 * here, against the role that starts.
 */
#include "postgres.h"

#include "queue.h"
#include "workflow.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "mb/pg_wchar.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

static char *text_column(int number);
static bool is_granted(const char *granted_to, Oid role);
static void push_text(JsonbParseState **state, const char *key,
					  const char *value);
static void push_key(JsonbParseState **state, const char *key);

int
dwf_workflow_resolve(DwfRequest *request, Oid role, DwfWorkflow *workflow,
					 DwfFault *fault)
{
	static SPIPlanPtr plan = NULL;
	MemoryContext context = CurrentMemoryContext;
	char	   *name = pg_any_to_server(request->workflow,
										strlen(request->workflow), PG_UTF8);
	Datum		values[] = {CStringGetTextDatum(name)};
	DwfQueueScope scope;
	int			code = 0;

	dwf_queue_enter(&scope);
	SPI_connect();
	if (plan == NULL)
	{
		Oid			types[] = {TEXTOID};

		plan = SPI_prepare("SELECT model_id, version, message_name, "
						   "granted_to, on_doubt = 'retry', max_attempts, "
						   "expire_after FROM domowf.workflow "
						   "WHERE name = $1", 1, types);
		SPI_keepplan(plan);
	}
	if (SPI_execute_plan(plan, values, NULL, false, 1) != SPI_OK_SELECT)
		elog(ERROR, "could not read domowf.workflow");
	if (SPI_processed == 0)
	{
		snprintf(fault->message, sizeof(fault->message),
				 "workflow \"%.200s\" is not registered", request->workflow);
		strlcpy(fault->hint, "Insert it into domowf.workflow.",
				sizeof(fault->hint));
		code = ERRCODE_UNDEFINED_OBJECT;
	}
	else if (!is_granted(text_column(4), role))
	{
		snprintf(fault->message, sizeof(fault->message),
				 "permission denied for workflow \"%.200s\"",
				 request->workflow);
		code = ERRCODE_INSUFFICIENT_PRIVILEGE;
	}
	else
	{
		HeapTuple	tuple = SPI_tuptable->vals[0];
		TupleDesc	desc = SPI_tuptable->tupdesc;
		MemoryContext old = MemoryContextSwitchTo(context);
		Datum		value;
		bool		isnull;

		workflow->model_id = text_column(1);
		workflow->version = text_column(2);
		workflow->message_name = text_column(3);
		workflow->retry_on_doubt = DatumGetBool(SPI_getbinval(tuple, desc, 5,
															  &isnull));
		value = SPI_getbinval(tuple, desc, 6, &isnull);
		workflow->max_attempts = isnull ? 0 : DatumGetInt32(value);
		value = SPI_getbinval(tuple, desc, 7, &isnull);
		workflow->has_expire_after = !isnull;
		if (!isnull)
			workflow->expire_after = *DatumGetIntervalP(value);
		MemoryContextSwitchTo(old);
	}
	SPI_finish();
	dwf_queue_leave(&scope);

	if (code == 0)
	{
		request->id = workflow->model_id;
		request->version = workflow->version;
		request->message_name = workflow->message_name;
	}
	return code;
}

/* A text column of the row found, in UTF-8; NULL where it is. */
static char *
text_column(int number)
{
	char	   *text = SPI_getvalue(SPI_tuptable->vals[0],
									SPI_tuptable->tupdesc, number);

	return text == NULL ? NULL :
		pg_server_to_any(text, strlen(text), PG_UTF8);
}

/* A role that is gone grants nothing. */
static bool
is_granted(const char *granted_to, Oid role)
{
	Oid			granted;

	if (granted_to == NULL)
		return true;
	granted = get_role_oid(granted_to, true);
	return OidIsValid(granted) && has_privs_of_role(role, granted);
}

Jsonb *
dwf_workflow_request(const DwfWorkflow *workflow, JsonbContainer *data)
{
	JsonbParseState *state = NULL;
	JsonbValue	value;

	pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	push_text(&state, "messageName", workflow->message_name);
	push_text(&state, "version", workflow->version);
	push_text(&state, "modelId", workflow->model_id);
	push_key(&state, "data");
	value.type = jbvBinary;
	value.val.binary.data = data;
	value.val.binary.len = 0;
	pushJsonbValue(&state, WJB_VALUE, &value);
	return JsonbValueToJsonb(pushJsonbValue(&state, WJB_END_OBJECT, NULL));
}

static void
push_key(JsonbParseState **state, const char *key)
{
	JsonbValue	value;

	value.type = jbvString;
	value.val.string.val = (char *) key;
	value.val.string.len = strlen(key);
	pushJsonbValue(state, WJB_KEY, &value);
}

/* Pushes a member whose value is UTF-8 text. */
static void
push_text(JsonbParseState **state, const char *key, const char *text)
{
	JsonbValue	value;
	char	   *converted = pg_any_to_server(text, strlen(text), PG_UTF8);

	push_key(state, key);
	value.type = jbvString;
	value.val.string.val = converted;
	value.val.string.len = strlen(converted);
	pushJsonbValue(state, WJB_VALUE, &value);
}
