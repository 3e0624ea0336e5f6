/*
 * json_text.c
 *	  JSON that SQL has as text, as jsonb.
 *
 * A column of type json holds whatever follows the grammar; jsonb, of which a
 * request is made, does not.  jsonb's own reader raises an error for that, which
 * names neither a trigger nor an input, and PostgreSQL 15 has none that returns
 * it.  So the error is caught: nothing but memory is in use there, and no
 * subtransaction is needed.
 */
#include "postgres.h"

#include "domo/json.h"
#include "trigger/json_text.h"

#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static bool is_about_text(int sqlstate);
static bool is_utf8(const char *text, size_t len);

const char *
dwf_json_text_read(char *text, JsonbValue *out)
{
	MemoryContext context = CurrentMemoryContext;
	const char *volatile why = NULL;
	volatile Datum jsonb = (Datum) 0;

	PG_TRY();
	{
		jsonb = DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (!is_about_text(geterrcode()))
			PG_RE_THROW();
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		why = psprintf("jsonb cannot hold it: %s", error->message);
		FreeErrorData(error);
	}
	PG_END_TRY();
	if (why == NULL)
		dwf_json_text_value(DatumGetJsonbP(jsonb), out);
	return why;
}

/* And not about what the server has too little of. */
static bool
is_about_text(int sqlstate)
{
	return strncmp(unpack_sql_state(sqlstate), "22", 2) == 0 ||
		sqlstate == ERRCODE_PROGRAM_LIMIT_EXCEEDED;
}

void
dwf_json_text_value(Jsonb *jsonb, JsonbValue *out)
{
	/* what is out of a scalar has to be taken out of its jsonb */
	if (JB_ROOT_IS_SCALAR(jsonb))
	{
		JsonbExtractScalar(&jsonb->root, out);
		return;
	}
	out->type = jbvBinary;
	out->val.binary.data = &jsonb->root;
	out->val.binary.len = VARSIZE(jsonb) - VARHDRSZ;
}

bool
dwf_json_text_is_utf8(const JsonbValue *value)
{
	StringInfoData text;
	bool		ok;

	if (GetDatabaseEncoding() != PG_SQL_ASCII)
		return true;
	if (value->type == jbvString)
		return is_utf8(value->val.string.val, value->val.string.len);
	if (value->type != jbvBinary)
		return true;
	initStringInfo(&text);
	JsonbToCString(&text, value->val.binary.data, value->val.binary.len);
	ok = is_utf8(text.data, text.len);
	pfree(text.data);
	return ok;
}

static bool
is_utf8(const char *text, size_t len)
{
	for (size_t at = 0; at < len;)
	{
		size_t		step = dwf_json_utf8_length(text + at, len - at);

		if (step == 0)
			return false;
		at += step;
	}
	return true;
}
