/*
 * instance.c
 *	  From Domo's replies to rows of domowf_instance.
 *
 * What is formed here has happened in Domo already, so nothing that a reply
 * holds may make it fail: text that the database's encoding lacks, or a number
 * outside of numeric's range, costs its own column only.
 */
#include "postgres.h"

#include "instance.h"

#include "access/htup_details.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* The columns of domowf_instance, in their order. */
typedef enum Column
{
	COLUMN_ID,
	COLUMN_MODEL_ID,
	COLUMN_MODEL_NAME,
	COLUMN_MODEL_VERSION,
	COLUMN_DEPLOYMENT_ID,
	COLUMN_BPMN_PROCESS_ID,
	COLUMN_BPMN_PROCESS_NAME,
	COLUMN_CREATED_BY,
	COLUMN_CREATED_ON,
	COLUMN_UPDATED_BY,
	COLUMN_UPDATED_ON,
	COLUMN_STATUS,
	COLUMN_IS_TEST_RUN,
	COLUMN_RESPONSE
} Column;

#define NCOLUMNS	(COLUMN_RESPONSE + 1)

/* Microseconds from 1970-01-01 to PostgreSQL's epoch. */
#define EPOCH_OFFSET \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

HeapTuple
dwf_instance_form(TupleDesc desc, const DwfInstance *instance,
				  NullableDatum response)
{
	Datum		values[NCOLUMNS] = {0};
	bool		nulls[NCOLUMNS];
	const char *const texts[NCOLUMNS] = {
		[COLUMN_ID] = instance->id,
		[COLUMN_MODEL_ID] = instance->model_id,
		[COLUMN_MODEL_NAME] = instance->model_name,
		[COLUMN_MODEL_VERSION] = instance->model_version,
		[COLUMN_DEPLOYMENT_ID] = instance->deployment_id,
		[COLUMN_BPMN_PROCESS_ID] = instance->bpmn_process_id,
		[COLUMN_BPMN_PROCESS_NAME] = instance->bpmn_process_name,
		[COLUMN_CREATED_BY] = instance->created_by,
		[COLUMN_UPDATED_BY] = instance->updated_by,
		[COLUMN_STATUS] = instance->status,
	};

	if (desc->natts != NCOLUMNS)
		elog(ERROR, "domowf_instance has %d columns, not %d", desc->natts,
			 NCOLUMNS);
	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < NCOLUMNS; i++)
	{
		if (texts[i] != NULL)
			nulls[i] = !dwf_instance_to_database(texts[i], strlen(texts[i]), false,
												 &values[i]);
	}
	values[COLUMN_RESPONSE] = response.value;
	nulls[COLUMN_RESPONSE] = response.isnull;

	values[COLUMN_CREATED_ON] =
		TimestampTzGetDatum(dwf_instance_time(instance->created_on));
	nulls[COLUMN_CREATED_ON] = !instance->has_created_on;
	values[COLUMN_UPDATED_ON] =
		TimestampTzGetDatum(dwf_instance_time(instance->updated_on));
	nulls[COLUMN_UPDATED_ON] = !instance->has_updated_on;
	values[COLUMN_IS_TEST_RUN] = BoolGetDatum(instance->is_test_run);
	nulls[COLUMN_IS_TEST_RUN] = !instance->has_is_test_run;
	return heap_form_tuple(desc, values, nulls);
}

NullableDatum
dwf_instance_response(const char *body, size_t len)
{
	NullableDatum response = {0};

	response.isnull = len == 0 ||
		!dwf_instance_to_database(body, len, true, &response.value);
	return response;
}

/*
 * The conversions hold no resources when they raise, so that the error can be
 * dropped without a subtransaction.
 */
bool
dwf_instance_to_database(const char *text, size_t len, bool as_jsonb, Datum *value)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	/* domo_reply.c has checked the encoding: nothing can fail */
	if (!as_jsonb && GetDatabaseEncoding() == PG_UTF8)
	{
		*value = PointerGetDatum(cstring_to_text_with_len(text, len));
		return true;
	}

	PG_TRY();
	{
		char	   *terminated = pnstrdup(text, len);
		char	   *converted = pg_any_to_server(terminated, len, PG_UTF8);

		if (as_jsonb)
			*value = DirectFunctionCall1(jsonb_in, CStringGetDatum(converted));
		else
			*value = CStringGetTextDatum(converted);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ok = false;
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("part of Domo's reply cannot be stored in this database: %s",
						error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	return ok;
}

int64
dwf_instance_time(int64 unix_usec)
{
	return unix_usec - EPOCH_OFFSET;
}
