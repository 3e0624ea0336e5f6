/*
 * instance.c
 *	  From Domo's replies to rows of domowf_instance.
 *
 * What is formed here has happened in Domo already, so nothing that a reply
 * holds may make it fail: text that the database's encoding lacks, or a number
 * outside of numeric's range, costs its own column only.
 */
#include "postgres.h"

#include "base/client.h"
#include "base/compat.h"
#include "call/instance.h"

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
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

StaticAssertDecl(NCOLUMNS <= DWF_MAX_ROWTYPE, "a row type has room for them");

static const DwfColumn columns[NCOLUMNS] = {
	[COLUMN_ID] = {"id", TEXTOID},
	[COLUMN_MODEL_ID] = {"model_id", TEXTOID},
	[COLUMN_MODEL_NAME] = {"model_name", TEXTOID},
	[COLUMN_MODEL_VERSION] = {"model_version", TEXTOID},
	[COLUMN_DEPLOYMENT_ID] = {"deployment_id", TEXTOID},
	[COLUMN_BPMN_PROCESS_ID] = {"bpmn_process_id", TEXTOID},
	[COLUMN_BPMN_PROCESS_NAME] = {"bpmn_process_name", TEXTOID},
	[COLUMN_CREATED_BY] = {"created_by", TEXTOID},
	[COLUMN_CREATED_ON] = {"created_on", TIMESTAMPTZOID},
	[COLUMN_UPDATED_BY] = {"updated_by", TEXTOID},
	[COLUMN_UPDATED_ON] = {"updated_on", TIMESTAMPTZOID},
	[COLUMN_STATUS] = {"status", TEXTOID},
	[COLUMN_IS_TEST_RUN] = {"is_test_run", BOOLOID},
	[COLUMN_RESPONSE] = {"response", JSONBOID},
};

/* Microseconds from 1970-01-01 to PostgreSQL's epoch. */
#define EPOCH_OFFSET \
	((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* Something of a reply on its way to a datum. */
typedef struct Conversion
{
	const DwfJsonNode *root;	/* what was parsed of the text; NULL: nothing */
	const char *text;			/* UTF-8, not terminated */
	size_t		len;
	Datum		value;
} Conversion;

static bool convert(Conversion *conversion);
static void convert_text(Conversion *conversion);
static bool convert_tree(Conversion *conversion);
static bool begin_container(DwfJsonbState *state,
							const DwfJsonNode *container);
static JsonbIteratorToken end_of(const DwfJsonNode *container);
static void set_string(JsonbValue *value, const char *text);

void
dwf_instance_find(DwfRowType *type, TupleDesc desc)
{
	dwf_rowtype_find(type, desc, "type domowf_instance", columns, NCOLUMNS);
}

HeapTuple
dwf_instance_form(const DwfRowType *type, const DwfInstance *instance,
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

	memset(nulls, true, sizeof(nulls));
	for (int i = 0; i < NCOLUMNS; i++)
	{
		if (texts[i] != NULL)
			nulls[i] = !dwf_instance_text(texts[i], &values[i]);
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
	return dwf_rowtype_form(type, values, nulls);
}

NullableDatum
dwf_instance_response(const DwfJsonNode *root, const char *body, size_t len)
{
	Conversion	conversion = {.root = root,.text = body,.len = len};
	NullableDatum response = {.isnull = true};

	if (root != NULL && convert(&conversion))
	{
		response.value = conversion.value;
		response.isnull = false;
	}
	return response;
}

bool
dwf_instance_text(const char *text, Datum *value)
{
	Conversion	conversion = {.text = text,.len = strlen(text)};

	/* domo_reply.c has checked the encoding: nothing else can fail */
	if (!dwf_json_is_whole(text))
	{
		dwf_client_tell(WARNING, ERRCODE_UNTRANSLATABLE_CHARACTER,
						"part of Domo's reply cannot be stored in this database: it has \\u0000 or half of a surrogate pair",
						NULL, NULL);
		return false;
	}
	if (GetDatabaseEncoding() == PG_UTF8)
	{
		*value = PointerGetDatum(cstring_to_text_with_len(text,
														  conversion.len));
		return true;
	}
	if (!convert(&conversion))
		return false;
	*value = conversion.value;
	return true;
}

/*
 * Converts; false, after a WARNING, where that raises an error.  What is done
 * holds no resources, so that the error can be dropped without a
 * subtransaction.
 */
static bool
convert(Conversion *conversion)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool ok = true;

	PG_TRY();
	{
		if (conversion->root == NULL || !convert_tree(conversion))
			convert_text(conversion);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		ok = false;
		dwf_client_tell(WARNING, error->sqlerrcode,
						psprintf("part of Domo's reply cannot be stored in this database: %s",
								 error->message),
						NULL, NULL);
		FreeErrorData(error);
	}
	PG_END_TRY();
	return ok;
}

/* To a text, or to a jsonb where it was parsed. */
static void
convert_text(Conversion *conversion)
{
	char	   *text = pnstrdup(conversion->text, conversion->len);

	text = pg_any_to_server(text, conversion->len, PG_UTF8);
	conversion->value = conversion->root == NULL ? CStringGetTextDatum(text) :
		DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

/*
 * The short way to a jsonb, which costs a third of parsing the text once more.
 * False where it does not lead there: to the parser a number is a double, not
 * what Domo wrote, other encodings have to be converted, and what no text can
 * hold is told of by the long way.
 */
static bool
convert_tree(Conversion *conversion)
{
	DwfJsonbState state = {0};
	JsonbValue *value;

	if (GetDatabaseEncoding() != PG_UTF8 ||
		dwf_json_type(conversion->root) < DWF_JSON_ARRAY ||
		!begin_container(&state, conversion->root))
		return false;
	value = dwf_end_jsonb(&state, end_of(conversion->root));
	conversion->value = JsonbPGetDatum(JsonbValueToJsonb(value));
	return true;
}

/*
 * Pushes an array or object with all that is in it, but for its end; false
 * where there is a number, or a string that is not whole.  domo_reply.c has
 * bounded how deep it is.
 */
static bool
begin_container(DwfJsonbState *state, const DwfJsonNode *container)
{
	bool		is_object = dwf_json_type(container) == DWF_JSON_OBJECT;
	JsonbValue	value;

	pushJsonbValue(state, is_object ? WJB_BEGIN_OBJECT : WJB_BEGIN_ARRAY,
				   NULL);
	for (const DwfJsonNode *node = dwf_json_first(container); node != NULL;
		 node = dwf_json_next(node))
	{
		if (is_object)
		{
			if (!dwf_json_is_whole(dwf_json_key(node)))
				return false;
			set_string(&value, dwf_json_key(node));
			pushJsonbValue(state, WJB_KEY, &value);
		}
		switch (dwf_json_type(node))
		{
			case DWF_JSON_NUMBER:
				return false;
			case DWF_JSON_ARRAY:
			case DWF_JSON_OBJECT:
				if (!begin_container(state, node))
					return false;
				pushJsonbValue(state, end_of(node), NULL);
				continue;
			case DWF_JSON_STRING:
				if (!dwf_json_is_whole(dwf_json_string(node)))
					return false;
				set_string(&value, dwf_json_string(node));
				break;
			case DWF_JSON_BOOLEAN:
				value.type = jbvBool;
				dwf_json_boolean(node, &value.val.boolean);
				break;
			case DWF_JSON_NULL:
				value.type = jbvNull;
				break;
		}
		pushJsonbValue(state, is_object ? WJB_VALUE : WJB_ELEM, &value);
	}
	return true;
}

static JsonbIteratorToken
end_of(const DwfJsonNode *container)
{
	return dwf_json_type(container) == DWF_JSON_OBJECT ? WJB_END_OBJECT :
		WJB_END_ARRAY;
}

static void
set_string(JsonbValue *value, const char *text)
{
	value->type = jbvString;
	value->val.string.val = unconstify(char *, text);
	value->val.string.len = strlen(text);
}

int64
dwf_instance_time(int64 unix_usec)
{
	return unix_usec - EPOCH_OFFSET;
}
