/*
 * encode.c
 *	  SQL values as the JSON that Domo takes.
 *
 * An encoder is a tree with the shape of the type: one node for a scalar, one
 * more for the elements of an array, one for each attribute of a composite
 * type.  All that can be known of a type is worked out when a node is
 * prepared; for a value there is left what its bits decide.
 *
 * What a declaration asks for reaches down to the elements of a list and no
 * further: within an object, and where nothing is declared, each value becomes
 * the JSON that is natural for its type.
 */
#include "postgres.h"

#include "domo/domo_type.h"
#include "trigger/encode.h"
#include "trigger/iso.h"
#include "trigger/json_text.h"
#include "trigger/sqltype.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/typcache.h"

/*
 * Bounds of JSON's text: of a byte of a string; of any other scalar, and what
 * is around it; of what is around a key,
 * an array or an object.
 */
#define MAX_ESCAPED		6
#define MAX_SCALAR		400
#define MAX_PUNCTUATION	6

/* A phrase for faults, as domo_type.h has them. */
#define MANY_DIMENSIONS	"it has more than one dimension"

/* The attributes of a composite type, as they were when they were looked at. */
typedef struct Attributes
{
	uint64		identifier;		/* of the type's cache entry */
	TupleDesc	desc;
	DwfEncoder **encoders;		/* NULL where one is dropped */
} Attributes;

struct DwfEncoder
{
	const DwfInput *input;		/* as faults name it */
	const char *path;			/* within an object; NULL: not within one */
	bool		is_declared;
	DwfInputType type;			/* declared, or natural */
	DwfSqlType	sql_type;
	bool		fits;			/* the SQL type has a place in the type */
	DwfEncoder *element;		/* of an array */
	int16		element_len;
	bool		element_by_value;
	char		element_align;
	Attributes *attributes;		/* of a composite; NULL: not looked at */
};

/* An array taken apart, while its dimensions are gone through. */
typedef struct Elements
{
	Datum	   *values;
	bool	   *nulls;
	int			next;
	int			ndims;
	int		   *dims;
} Elements;

static DwfEncoder *prepare(Oid type, int32 typmod, const DwfInput *input,
						   bool is_declared, bool wants_list,
						   const char *path);
static void prepare_array(DwfEncoder *encoder, int32 typmod);
static void push_null(const DwfEncoder *encoder, DwfEncoding *encoding,
					  JsonbIteratorToken token, int element);
static void push_array(const DwfEncoder *encoder, DwfEncoding *encoding,
					   JsonbIteratorToken token, int element, Datum value);
static void push_dimension(const DwfEncoder *encoder, DwfEncoding *encoding,
						   Elements *elements, int depth);
static void push_composite(const DwfEncoder *encoder, DwfEncoding *encoding,
						   Datum value);
static const Attributes *find_attributes(const DwfEncoder *encoder);
static Attributes *prepare_attributes(const DwfEncoder *encoder,
									  TypeCacheEntry *cached);
static bool form(const DwfEncoder *encoder, DwfInputFaults *faults,
				 int element, Datum value, JsonbValue *out);
static void make_string(JsonbValue *value);
static void push_counted(const DwfEncoder *encoder, DwfEncoding *encoding,
						 JsonbIteratorToken token, JsonbValue *value);
static void count_text(DwfEncoding *encoding, uint64 at_least, uint64 at_most);
static void note(const DwfEncoder *encoder, DwfInputFaults *faults,
				 int element, Datum value, const char *why);

DwfEncoder *
dwf_encode_prepare(Oid type, int32 typmod, const char *name,
				   const DwfInput *declared, bool is_element)
{
	DwfInput   *input = palloc0(sizeof(DwfInput));
	DwfEncoder *encoder;

	if (declared != NULL)
		*input = *declared;
	input->name = pstrdup(name);
	encoder = prepare(type, typmod, input, declared != NULL,
					  input->is_list && !is_element, NULL);
	if (declared == NULL)
	{
		input->is_list = is_element || encoder->sql_type.kind == DWF_SQL_ARRAY;
		input->type = encoder->element ? encoder->element->type :
			encoder->type;
	}
	return encoder;
}

/*
 * Types nest, and each user's type may: hence the depth.  What does not fit is
 * no error yet, but is told with all other faults of a row.
 */
static DwfEncoder *
prepare(Oid type, int32 typmod, const DwfInput *input, bool is_declared,
		bool wants_list, const char *path)
{
	DwfEncoder *encoder = palloc0(sizeof(DwfEncoder));
	DwfSqlType *sql_type = &encoder->sql_type;

	check_stack_depth();
	dwf_sqltype_find(type, typmod, sql_type);
	encoder->input = input;
	encoder->path = path;
	encoder->is_declared = is_declared;
	encoder->type = is_declared ? input->type : dwf_sqltype_natural(sql_type);
	if (!is_declared || dwf_sqltype_holds_json(sql_type))
		encoder->fits = true;
	else if (wants_list)
		encoder->fits = sql_type->kind == DWF_SQL_ARRAY;
	else
		encoder->fits = dwf_sqltype_fits(sql_type, encoder->type);
	if (sql_type->kind == DWF_SQL_ARRAY)
		prepare_array(encoder, typmod);
	return encoder;
}

static void
prepare_array(DwfEncoder *encoder, int32 typmod)
{
	Oid			type = get_element_type(encoder->sql_type.oid);

	get_typlenbyvalalign(type, &encoder->element_len,
						 &encoder->element_by_value, &encoder->element_align);
	encoder->element = prepare(type, typmod, encoder->input,
							   encoder->is_declared, false, encoder->path);
}

void
dwf_encode_push(const DwfEncoder *encoder, DwfEncoding *encoding,
				JsonbIteratorToken token, int element, Datum value,
				bool isnull)
{
	JsonbValue	json;

	if (isnull)
	{
		push_null(encoder, encoding, token, element);
		return;
	}
	if (encoder->fits && encoder->sql_type.kind == DWF_SQL_ARRAY)
	{
		push_array(encoder, encoding, token, element, value);
		return;
	}
	if (encoder->fits && encoder->sql_type.kind == DWF_SQL_COMPOSITE)
	{
		push_composite(encoder, encoding, value);
		return;
	}
	if (!form(encoder, &encoding->faults, element, value, &json))
		json.type = jbvNull;
	else if (!dwf_json_text_is_utf8(&json))
	{
		note(encoder, &encoding->faults, element, value, DWF_NOT_UTF8);
		json.type = jbvNull;
	}
	push_counted(encoder, encoding, token, &json);
}

/* An element of a declared list is never null, a required input neither. */
static void
push_null(const DwfEncoder *encoder, DwfEncoding *encoding,
		  JsonbIteratorToken token, int element)
{
	JsonbValue	json = {.type = jbvNull};

	if (encoder->is_declared)
		dwf_input_check_value(&encoding->faults, encoder->input, element,
							  &json);
	push_counted(encoder, encoding, token, &json);
}

/*
 * A declared list has one dimension: what has more becomes null and a fault.
 * An array that is empty has none at all.
 */
static void
push_array(const DwfEncoder *encoder, DwfEncoding *encoding,
		   JsonbIteratorToken token, int element, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	Elements	elements = {.ndims = ARR_NDIM(array),.dims = ARR_DIMS(array)};
	int			count;

	count_text(encoding, 2, MAX_PUNCTUATION);
	if (encoder->is_declared && elements.ndims > 1)
	{
		JsonbValue	json = {.type = jbvNull};

		note(encoder, &encoding->faults, element, value, MANY_DIMENSIONS);
		push_counted(encoder, encoding, token, &json);
		return;
	}
	deconstruct_array(array, ARR_ELEMTYPE(array), encoder->element_len,
					  encoder->element_by_value, encoder->element_align,
					  &elements.values, &elements.nulls, &count);
	if (count > 0)
	{
		push_dimension(encoder, encoding, &elements, 0);
		return;
	}
	pushJsonbValue(&encoding->json, WJB_BEGIN_ARRAY, NULL);
	pushJsonbValue(&encoding->json, WJB_END_ARRAY, NULL);
}

/* Pushes what is next among the elements, as lists of lists down to `depth`. */
static void
push_dimension(const DwfEncoder *encoder, DwfEncoding *encoding,
			   Elements *elements, int depth)
{
	/* numbers are told of a list's elements, not of a list within an object */
	bool		is_told = elements->ndims == 1 && encoder->path == NULL;

	pushJsonbValue(&encoding->json, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < elements->dims[depth]; i++)
	{
		int			at = elements->next;

		CHECK_FOR_INTERRUPTS();
		if (depth < elements->ndims - 1)
		{
			push_dimension(encoder, encoding, elements, depth + 1);
			continue;
		}
		dwf_encode_push(encoder->element, encoding, WJB_ELEM,
						is_told ? at + 1 : 0, elements->values[at],
						elements->nulls[at]);
		elements->next++;
	}
	pushJsonbValue(&encoding->json, WJB_END_ARRAY, NULL);
}

/*
 * Columns that were dropped have no encoder.  The value is a row of its type
 * as it is now (find_attributes()), older rows included.
 */
static void
push_composite(const DwfEncoder *encoder, DwfEncoding *encoding, Datum value)
{
	const Attributes *attributes = find_attributes(encoder);
	TupleDesc	desc = attributes->desc;
	HeapTupleHeader header = DatumGetHeapTupleHeader(value);
	HeapTupleData tuple = {
		.t_len = HeapTupleHeaderGetDatumLength(header),
		.t_data = header
	};
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);

	check_stack_depth();
	heap_deform_tuple(&tuple, desc, values, nulls);
	count_text(encoding, 2, MAX_PUNCTUATION);
	pushJsonbValue(&encoding->json, WJB_BEGIN_OBJECT, NULL);
	for (int i = 0; i < desc->natts; i++)
	{
		if (attributes->encoders[i] == NULL)
			continue;
		dwf_encode_push_key(encoding, NameStr(TupleDescAttr(desc, i)->attname));
		dwf_encode_push(attributes->encoders[i], encoding, WJB_VALUE, 0,
						values[i], nulls[i]);
	}
	pushJsonbValue(&encoding->json, WJB_END_OBJECT, NULL);
}

/*
 * ALTER TYPE changes a composite type and tells nothing of the tables that use
 * it, so that this is asked for each value.  What was prepared before may be
 * in use, further out in the stack; it goes with the encoder.
 */
static const Attributes *
find_attributes(const DwfEncoder *encoder)
{
	TypeCacheEntry *cached = lookup_type_cache(encoder->sql_type.oid,
											   TYPECACHE_TUPDESC);
	MemoryContext old;

	if (cached->tupDesc == NULL)
		elog(ERROR, "type %u is not composite", encoder->sql_type.oid);
	if (encoder->attributes != NULL &&
		encoder->attributes->identifier == cached->tupDesc_identifier)
		return encoder->attributes;
	old = MemoryContextSwitchTo(GetMemoryChunkContext((void *) encoder));
	unconstify(DwfEncoder *, encoder)->attributes =
		prepare_attributes(encoder, cached);
	MemoryContextSwitchTo(old);
	return encoder->attributes;
}

/*
 * In the encoder's context.  The row type is copied: the cache's own may go at
 * any invalidation.
 */
static Attributes *
prepare_attributes(const DwfEncoder *encoder, TypeCacheEntry *cached)
{
	Attributes *attributes = palloc0(sizeof(Attributes));
	TupleDesc	desc = CreateTupleDescCopy(cached->tupDesc);

	attributes->identifier = cached->tupDesc_identifier;
	attributes->desc = desc;
	attributes->encoders = palloc0(sizeof(DwfEncoder *) * desc->natts);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		const char *path = NameStr(attribute->attname);

		if (attribute->attisdropped)
			continue;
		path = encoder->path == NULL ? pstrdup(path) :
			psprintf("%s.%s", encoder->path, path);
		attributes->encoders[i] = prepare(attribute->atttypid,
										  attribute->atttypmod,
										  encoder->input, false, false, path);
	}
	return attributes;
}

char *
dwf_encode_text(const DwfEncoder *encoder, DwfInputFaults *faults,
				Datum value, bool isnull)
{
	JsonbValue	json;

	if (isnull || !form(encoder, faults, 0, value, &json) ||
		json.type == jbvNull)
		return NULL;
	Assert(json.type == jbvString);

	/* of who has another time zone it is the same, and of no other value */
	if (encoder->sql_type.oid == TIMESTAMPOID)
	{
		char	   *text = palloc(DWF_ISO_SIZE);

		(void) dwf_iso_timestamptz(DatumGetTimestamp(value), text);
		return text;
	}
	return pnstrdup(json.val.string.val, json.val.string.len);
}

/*
 * Forms the JSON of any value but an array or a composite that fits.  Returns
 * false where it is not what was declared, which is noted.
 */
static bool
form(const DwfEncoder *encoder, DwfInputFaults *faults, int element,
	 Datum value, JsonbValue *out)
{
	const DwfSqlType *sql_type = &encoder->sql_type;
	bool		as_integer = encoder->is_declared &&
	encoder->type != DWF_INPUT_DECIMAL && encoder->type != DWF_INPUT_TEXT;
	const char *why;

	if (!encoder->fits)
	{
		note(encoder, faults, element, value,
			 psprintf("its SQL type is %s", format_type_be(sql_type->oid)));
		return false;
	}
	why = dwf_sqltype_form(sql_type, as_integer, value, out);
	if (why == NULL && encoder->is_declared)
	{
		if (dwf_sqltype_holds_json(sql_type))
		{
			int			before = faults->count;

			dwf_input_check_value(faults, encoder->input, element, out);
			return faults->count == before;
		}
		if (dwf_domo_type_is_string(encoder->type))
		{
			make_string(out);
			why = dwf_domo_check_string(encoder->type, out->val.string.val,
										out->val.string.len);
		}
	}
	if (why != NULL)
		note(encoder, faults, element, value, why);
	return why == NULL;
}

/* Makes a scalar the string that its JSON is. */
static void
make_string(JsonbValue *value)
{
	char	   *text;

	if (value->type == jbvString)
		return;
	if (value->type == jbvBool)
		text = pstrdup(value->val.boolean ? "true" : "false");
	else
		text = DatumGetCString(DirectFunctionCall1(numeric_out,
												   NumericGetDatum(value->val.numeric)));
	value->type = jbvString;
	value->val.string.val = text;
	value->val.string.len = strlen(text);
}

/* Pushes a scalar or what jsonb holds, and adds to the bounds of the text. */
static void
push_counted(const DwfEncoder *encoder, DwfEncoding *encoding,
			 JsonbIteratorToken token, JsonbValue *value)
{
	const DwfSqlType *sql_type = &encoder->sql_type;
	uint64		len = value->type == jbvString ? value->val.string.len : 0;

	if (dwf_sqltype_holds_json(sql_type) ||
		(sql_type->kind == DWF_SQL_NUMERIC && sql_type->max_digits == 0))
		encoding->at_most = UINT64_MAX;
	count_text(encoding, Max(len, 1),
			   len * MAX_ESCAPED + MAX_SCALAR + sql_type->max_digits);
	pushJsonbValue(&encoding->json, token, value);
}

static void
count_text(DwfEncoding *encoding, uint64 at_least, uint64 at_most)
{
	encoding->at_least += at_least;
	if (encoding->at_most != UINT64_MAX)
		encoding->at_most += at_most;
}

void
dwf_encode_push_key(DwfEncoding *encoding, const char *name)
{
	JsonbValue	key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	count_text(encoding, key.val.string.len,
			   key.val.string.len * MAX_ESCAPED + MAX_PUNCTUATION);
	pushJsonbValue(&encoding->json, WJB_KEY, &key);
}

void
dwf_encode_push_constant(DwfEncoding *encoding, const JsonbValue *value,
						 uint64 len)
{
	JsonbValue	copy = *value;

	count_text(encoding, len, len);
	pushJsonbValue(&encoding->json, WJB_VALUE, &copy);
}

/* Notes a value that does not fit. */
static void
note(const DwfEncoder *encoder, DwfInputFaults *faults, int element,
	 Datum value, const char *why)
{
	const char *found = "";

	if (faults->count < DWF_MAX_FAULTS_TOLD)
		found = dwf_sqltype_show(&encoder->sql_type, value);
	if (encoder->path != NULL)
		why = psprintf("in its member \"%s\": %s", encoder->path, why);
	dwf_input_note_fault(faults, encoder->input, element, found,
						 strlen(found),
						 dwf_sqltype_is_string(&encoder->sql_type), why);
}
