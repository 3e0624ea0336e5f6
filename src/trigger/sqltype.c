/*
 * sqltype.c
 *	  SQL types: what JSON their values are, and which of Domo's types they have
 *	  a place in.
 *
 * The table is that of src/domo/README.md, "Input types", widened in two ways
 * that lose nothing: every scalar has a place in text, as a string in the form
 * that it has in JSON, and text has one in dates, times, durations and ids if
 * it has the form.  Not widened where a value would only now and then fit:
 * double precision is no number, date no dateTime.
 *
 * Numbers go into jsonb as numeric, digit for digit.  No setting of a session is
 * of effect, but that a timestamp without time zone is read in TimeZone (iso.h).
 * What money is, its digits included, only lc_monetary says: the one that the
 * session began with.
 */
#include "postgres.h"

#include <math.h>

#include "base/compat.h"
#include "trigger/iso.h"
#include "trigger/json_text.h"
#include "trigger/sqltype.h"

#include "access/transam.h"
#include "catalog/pg_type.h"
#include "common/shortest_dec.h"
#include "parser/parse_coerce.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

/* Phrases, as dwf_sqltype_form() returns them. */
#define FRACTION		"it has a fraction"
#define NO_NUMBER		"JSON has no such number"

#define PLACE(type)		(1 << (type))
#define IDS				(PLACE(DWF_INPUT_PERSON) | PLACE(DWF_INPUT_GROUP))
#define NUMBERS			(PLACE(DWF_INPUT_NUMBER) | PLACE(DWF_INPUT_DECIMAL))
#define TEXT			PLACE(DWF_INPUT_TEXT)
#define ALL_STRINGS		(TEXT | IDS | PLACE(DWF_INPUT_DATASET) | \
						 PLACE(DWF_INPUT_DATE) | PLACE(DWF_INPUT_DATETIME) | \
						 PLACE(DWF_INPUT_TIME) | PLACE(DWF_INPUT_DURATION))

/* By DwfSqlKind. */
static const struct
{
	DwfInputType natural;
	int			places;
}			kinds[] = {
	[DWF_SQL_BOOLEAN] = {DWF_INPUT_BOOLEAN, PLACE(DWF_INPUT_BOOLEAN) | TEXT},
	[DWF_SQL_INTEGER] = {DWF_INPUT_NUMBER, NUMBERS | IDS | TEXT},
	[DWF_SQL_NUMERIC] = {DWF_INPUT_DECIMAL, NUMBERS | IDS | TEXT},
	[DWF_SQL_FLOAT] = {DWF_INPUT_DECIMAL, PLACE(DWF_INPUT_DECIMAL) | TEXT},
	[DWF_SQL_DATE] = {DWF_INPUT_DATE, PLACE(DWF_INPUT_DATE) | TEXT},
	[DWF_SQL_TIME] = {DWF_INPUT_TIME, PLACE(DWF_INPUT_TIME) | TEXT},
	/* Domo's time has no zone */
	[DWF_SQL_TIMETZ] = {DWF_INPUT_TEXT, TEXT},
	[DWF_SQL_TIMESTAMP] = {DWF_INPUT_DATETIME,
	PLACE(DWF_INPUT_DATETIME) | TEXT},
	[DWF_SQL_TIMESTAMPTZ] = {DWF_INPUT_DATETIME,
	PLACE(DWF_INPUT_DATETIME) | TEXT},
	[DWF_SQL_INTERVAL] = {DWF_INPUT_DURATION, PLACE(DWF_INPUT_DURATION) | TEXT},
	[DWF_SQL_TEXT] = {DWF_INPUT_TEXT, ALL_STRINGS},
	[DWF_SQL_OTHER] = {DWF_INPUT_TEXT, ALL_STRINGS},
	[DWF_SQL_JSON] = {DWF_INPUT_OBJECT, 0},
	[DWF_SQL_JSONB] = {DWF_INPUT_OBJECT, 0},
	[DWF_SQL_CAST] = {DWF_INPUT_OBJECT, 0},
	[DWF_SQL_COMPOSITE] = {DWF_INPUT_OBJECT, PLACE(DWF_INPUT_OBJECT)},
	[DWF_SQL_ARRAY] = {DWF_INPUT_OBJECT, 0},
};

static DwfSqlKind find_kind(DwfSqlType *type);
static DwfSqlKind find_kind_of_other(DwfSqlType *type);
static bool find_cast(DwfSqlType *type, Oid target);
static bool needs_pinning(Oid oid);
static char *output_pinned(FmgrInfo *output, Datum value);
static int	pin_settings(bool pins_path);
static const char *form_json(const DwfSqlType *type, Datum value,
							 JsonbValue *out);
static const char *form_numeric(Numeric value, bool as_integer,
								JsonbValue *out);
static const char *form_float(const DwfSqlType *type, Datum value,
							  JsonbValue *out);
static const char *form_time(const DwfSqlType *type, Datum value,
							 JsonbValue *out);
static void form_text(const DwfSqlType *type, Datum value, JsonbValue *out);
static void form_other(const DwfSqlType *type, Datum value, JsonbValue *out);
static int64 get_integer(Oid oid, Datum value);
static void set_string(JsonbValue *out, char *text, int len);

void
dwf_sqltype_find(Oid oid, int32 typmod, DwfSqlType *type)
{
	Oid			output;
	bool		is_varlena;

	memset(type, 0, sizeof(*type));
	type->oid = getBaseTypeAndTypmod(oid, &typmod);
	type->kind = find_kind(type);
	/* a scale may be beyond the digits, on either side */
	if (type->kind == DWF_SQL_NUMERIC && typmod >= (int32) VARHDRSZ)
		type->max_digits = 2 * NUMERIC_MAX_PRECISION;
	getTypeOutputInfo(type->oid, &output, &is_varlena);
	fmgr_info(output, &type->output);
	type->is_pinned = needs_pinning(type->oid);
}

/*
 * By oid where the type is PostgreSQL's own; what users made is found by what
 * it is made of.
 */
static DwfSqlKind
find_kind(DwfSqlType *type)
{
	switch (type->oid)
	{
		case BOOLOID:
			return DWF_SQL_BOOLEAN;
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return DWF_SQL_INTEGER;
		case NUMERICOID:
			return DWF_SQL_NUMERIC;
		case FLOAT4OID:
		case FLOAT8OID:
			return DWF_SQL_FLOAT;
		case DATEOID:
			return DWF_SQL_DATE;
		case TIMEOID:
			return DWF_SQL_TIME;
		case TIMETZOID:
			return DWF_SQL_TIMETZ;
		case TIMESTAMPOID:
			return DWF_SQL_TIMESTAMP;
		case TIMESTAMPTZOID:
			return DWF_SQL_TIMESTAMPTZ;
		case INTERVALOID:
			return DWF_SQL_INTERVAL;
		case TEXTOID:
		case VARCHAROID:
		case BPCHAROID:
			return DWF_SQL_TEXT;
		case JSONOID:
			return DWF_SQL_JSON;
		case JSONBOID:
			return DWF_SQL_JSONB;
		default:
			return find_kind_of_other(type);
	}
}

static DwfSqlKind
find_kind_of_other(DwfSqlType *type)
{
	if (OidIsValid(get_element_type(type->oid)))
		return DWF_SQL_ARRAY;
	if (type_is_rowtype(type->oid))
		return DWF_SQL_COMPOSITE;
	if (type->oid < FirstNormalObjectId)
		return DWF_SQL_OTHER;
	if (find_cast(type, JSONBOID) || find_cast(type, JSONOID))
		return DWF_SQL_CAST;
	return IsBinaryCoercible(type->oid, TEXTOID) ? DWF_SQL_TEXT :
		DWF_SQL_OTHER;
}

/* Finds a function of one argument that casts a type, as hstore has one. */
static bool
find_cast(DwfSqlType *type, Oid target)
{
	Oid			function;

	if (find_coercion_pathway(target, type->oid, COERCION_EXPLICIT,
							  &function) != COERCION_PATH_FUNC ||
		get_func_nargs(function) != 1)
		return false;
	type->cast = function;
	type->cast_to = target;
	return true;
}

/* Of types that are not known it must be feared. */
static bool
needs_pinning(Oid oid)
{
	switch (oid)
	{
		case CHAROID:
		case NAMEOID:
		case UUIDOID:
		case INETOID:
		case CIDROID:
		case MACADDROID:
		case MACADDR8OID:
		case OIDOID:
		case BITOID:
		case VARBITOID:
			return false;
		default:
			return !type_is_enum(oid);
	}
}

bool
dwf_sqltype_holds_json(const DwfSqlType *type)
{
	return type->kind == DWF_SQL_JSON || type->kind == DWF_SQL_JSONB ||
		type->kind == DWF_SQL_CAST;
}

bool
dwf_sqltype_fits(const DwfSqlType *type, DwfInputType input)
{
	return (kinds[type->kind].places & PLACE(input)) != 0;
}

DwfInputType
dwf_sqltype_natural(const DwfSqlType *type)
{
	return kinds[type->kind].natural;
}

bool
dwf_sqltype_is_string(const DwfSqlType *type)
{
	return type->kind >= DWF_SQL_DATE && type->kind <= DWF_SQL_OTHER;
}

char *
dwf_sqltype_show(const DwfSqlType *type, Datum value)
{
	if (type->kind == DWF_SQL_BOOLEAN)
		return pstrdup(DatumGetBool(value) ? "true" : "false");
	return output_pinned(unconstify(FmgrInfo *, &type->output), value);
}

/* Calls an output function with settings that are always the same. */
static char *
output_pinned(FmgrInfo *output, Datum value)
{
	int			level = pin_settings(true);
	char	   *text = OutputFunctionCall(output, value);

	AtEOXact_GUC(false, level);
	return text;
}

/*
 * Sets all that the form of a value may depend on; AtEOXact_GUC() undoes it.
 * The search_path is left to a function of somebody's own, which may need it to
 * find what it uses.
 */
static int
pin_settings(bool pins_path)
{
	static const char *const settings[][2] = {
		{"DateStyle", "ISO, YMD"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"quote_all_identifiers", "off"},
		{"search_path", "pg_catalog, pg_temp"},
	};
	int			level = NewGUCNestLevel();
	int			count = lengthof(settings) - !pins_path;

	for (int i = 0; i < count; i++)
		(void) set_config_option(settings[i][0], settings[i][1], PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0,
								 false);
	(void) set_config_option("lc_monetary",
							 GetConfigOptionResetString("lc_monetary"),
							 PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true,
							 0, false);
	return level;
}

const char *
dwf_sqltype_form(const DwfSqlType *type, bool as_integer, Datum value,
				 JsonbValue *out)
{
	switch (type->kind)
	{
		case DWF_SQL_BOOLEAN:
			out->type = jbvBool;
			out->val.boolean = DatumGetBool(value);
			return NULL;
		case DWF_SQL_INTEGER:
			out->type = jbvNumeric;
			out->val.numeric = int64_to_numeric(get_integer(type->oid, value));
			return NULL;
		case DWF_SQL_NUMERIC:
			return form_numeric(DatumGetNumeric(value), as_integer, out);
		case DWF_SQL_FLOAT:
			return form_float(type, value, out);
		case DWF_SQL_DATE:
		case DWF_SQL_TIME:
		case DWF_SQL_TIMETZ:
		case DWF_SQL_TIMESTAMP:
		case DWF_SQL_TIMESTAMPTZ:
		case DWF_SQL_INTERVAL:
			return form_time(type, value, out);
		case DWF_SQL_TEXT:
			form_text(type, value, out);
			return NULL;
		case DWF_SQL_OTHER:
			form_other(type, value, out);
			return NULL;
		case DWF_SQL_JSON:
		case DWF_SQL_JSONB:
		case DWF_SQL_CAST:
			return form_json(type, value, out);
		case DWF_SQL_COMPOSITE:
		case DWF_SQL_ARRAY:
			break;
	}
	elog(ERROR, "type %u is no scalar", type->oid);
}

/*
 * NULL, or why it has no place.  A cast to JSON is the user's own code, hence the
 * pinned settings; what it raises is his error.  It is called as if for the first
 * time, as to_jsonb() does: what it has the trigger do may call it again, and a
 * function in SQL keeps how far it has come where it was called from.
 */
static const char *
form_json(const DwfSqlType *type, Datum value, JsonbValue *out)
{
	bool		is_text = type->kind == DWF_SQL_JSON;

	if (type->kind == DWF_SQL_CAST)
	{
		int			level = pin_settings(false);

		value = OidFunctionCall1(type->cast, value);
		AtEOXact_GUC(false, level);
		is_text = type->cast_to == JSONOID;
	}
	if (is_text)
		return dwf_json_text_read(TextDatumGetCString(value), out);
	dwf_json_text_value(DatumGetJsonbP(value), out);
	return NULL;
}

static int64
get_integer(Oid oid, Datum value)
{
	switch (oid)
	{
		case INT2OID:
			return DatumGetInt16(value);
		case INT4OID:
			return DatumGetInt32(value);
		default:
			return DatumGetInt64(value);
	}
}

/*
 * NULL, or why it has no place.  By numeric's own functions, since a float
 * would lose digits; a fraction of zeros is none, and is not sent.
 */
static const char *
form_numeric(Numeric value, bool as_integer, JsonbValue *out)
{
	if (numeric_is_nan(value) || numeric_is_inf(value))
		return NO_NUMBER;
	out->type = jbvNumeric;
	out->val.numeric = value;
	if (!as_integer)
		return NULL;
	out->val.numeric =
		DatumGetNumeric(DirectFunctionCall2(numeric_trunc,
											NumericGetDatum(value),
											Int32GetDatum(0)));
	return DatumGetBool(DirectFunctionCall2(numeric_eq,
											NumericGetDatum(value),
											NumericGetDatum(out->val.numeric))) ?
		NULL : FRACTION;
}

/* The shortest decimal that is read as the same float. */
static const char *
form_float(const DwfSqlType *type, Datum value, JsonbValue *out)
{
	bool		is_short = type->oid == FLOAT4OID;
	double		number = is_short ? DatumGetFloat4(value) :
	DatumGetFloat8(value);
	char		text[DOUBLE_SHORTEST_DECIMAL_LEN];

	if (isnan(number) || isinf(number))
		return NO_NUMBER;
	if (is_short)
		float_to_shortest_decimal_buf(DatumGetFloat4(value), text);
	else
		double_to_shortest_decimal_buf(number, text);
	out->type = jbvNumeric;
	out->val.numeric =
		DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(text),
											ObjectIdGetDatum(InvalidOid),
											Int32GetDatum(-1)));
	return NULL;
}

/* Dates, times and intervals, in ISO 8601. */
static const char *
form_time(const DwfSqlType *type, Datum value, JsonbValue *out)
{
	char	   *text = palloc(DWF_ISO_SIZE);
	const char *why;

	switch (type->oid)
	{
		case DATEOID:
			why = dwf_iso_date(DatumGetDateADT(value), text);
			break;
		case TIMEOID:
			why = dwf_iso_time(DatumGetTimeADT(value), text);
			break;
		case TIMETZOID:
			why = dwf_iso_timetz(DatumGetTimeTzADTP(value), text);
			break;
		case TIMESTAMPOID:
			why = dwf_iso_timestamp(DatumGetTimestamp(value), text);
			break;
		case TIMESTAMPTZOID:
			why = dwf_iso_timestamptz(DatumGetTimestampTz(value), text);
			break;
		default:
			why = dwf_iso_interval(DatumGetIntervalP(value), text);
	}
	if (why == NULL)
		set_string(out, text, strlen(text));
	return why;
}

/* Blanks at the end of a char(n) are no part of its value. */
static void
form_text(const DwfSqlType *type, Datum value, JsonbValue *out)
{
	struct varlena *content = PG_DETOAST_DATUM_PACKED(value);
	char	   *text = VARDATA_ANY(content);
	int			len = VARSIZE_ANY_EXHDR(content);

	set_string(out, text,
			   type->oid == BPCHAROID ? bpchartruelen(text, len) : len);
}

static void
form_other(const DwfSqlType *type, Datum value, JsonbValue *out)
{
	FmgrInfo   *output = unconstify(FmgrInfo *, &type->output);
	char	   *text = type->is_pinned ? output_pinned(output, value) :
	OutputFunctionCall(output, value);

	set_string(out, text, strlen(text));
}

static void
set_string(JsonbValue *out, char *text, int len)
{
	out->type = jbvString;
	out->val.string.val = text;
	out->val.string.len = len;
}
