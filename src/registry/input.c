/*
 * input.c
 *	  Whether data fits the declared inputs of a workflow.
 *
 * What Domo does with a value of a wrong type is not known (src/domo/README.md:
 * it "may silently mis-handle" it), so it is found here, before anything is sent
 * or queued, and all of it at once: one line for each fault.  What strings of each
 * type look like is known to domo_type.c alone.
 *
 * Null stands for an input that is missing, which only an optional one may be.
 * An element of a list is never null.
 */
#include "postgres.h"

#include "registry/input.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* The longest value or name in a line, in bytes. */
#define MAX_SHOWN	60

static int	compare_input(const void *name, const void *input);
static void check_list(DwfInputFaults *faults, const DwfInput *input,
					   const JsonbValue *value);
static void check_value(DwfInputFaults *faults, const DwfInput *input,
						int element, const JsonbValue *value);
static const char *find_fault(DwfInputType type, const JsonbValue *value);
static bool is_container(const JsonbValue *value, bool is_array);
static void note_value(DwfInputFaults *faults, const DwfInput *input,
					   int element, const JsonbValue *value, const char *why);
static void note_unknown(DwfInputFaults *faults, const DwfInputs *inputs,
						 JsonbContainer *data);
static void append_unknown(const DwfInputFaults *faults,
						   const JsonbValue *value);
static bool shows(const DwfInputFaults *faults);
static void append_hidden(StringInfo out);
static void append_value(StringInfo out, const JsonbValue *value);
static bool begin_fault(DwfInputFaults *faults, const DwfInput *input,
						int element, bool is_missing);
static void end_fault(DwfInputFaults *faults, const DwfInput *input,
					  int element, const char *why);
static bool begin_line(DwfInputFaults *faults, const char *name);
static void append_quoted(StringInfo out, const char *text, size_t len);
static void append_cut(StringInfo out, const char *text, size_t len,
					   bool is_string);
static int	char_size(const char *text, const char *end);

const DwfInput *
dwf_input_find(const DwfInputs *inputs, const char *name)
{
	if (inputs->count == 0)
		return NULL;
	return bsearch(name, inputs->items, inputs->count, sizeof(DwfInput),
				   compare_input);
}

static int
compare_input(const void *name, const void *input)
{
	return strcmp(name, ((const DwfInput *) input)->name);
}

bool
dwf_input_check(const DwfInputs *inputs, const char *workflow,
				JsonbContainer *data, bool shows_values, DwfFault *fault)
{
	DwfInputFaults faults = {.hides_values = !shows_values};
	int			known = 0;

	if (inputs->count == 0)
		return true;
	for (int i = 0; i < inputs->count; i++)
	{
		const DwfInput *input = &inputs->items[i];
		JsonbValue	buffer;
		JsonbValue *value = getKeyJsonValueFromContainer(data, input->name,
														 strlen(input->name),
														 &buffer);

		if (value != NULL)
			known++;
		dwf_input_check_value(&faults, input, 0, value);
	}
	if (known < JsonContainerSize(data))
		note_unknown(&faults, inputs, data);
	if (faults.count == 0)
		return true;
	dwf_input_describe(&faults, inputs, workflow, fault);
	return false;
}

void
dwf_input_check_value(DwfInputFaults *faults, const DwfInput *input,
					  int element, const JsonbValue *value)
{
	if (element > 0)
		check_value(faults, input, element, value);
	else if (value == NULL || value->type == jbvNull)
	{
		if (input->required)
			note_value(faults, input, 0, value, "");
	}
	else if (input->is_list)
		check_list(faults, input, value);
	else
		check_value(faults, input, 0, value);
}

/* Each element is checked, so that all faults are told at once. */
static void
check_list(DwfInputFaults *faults, const DwfInput *input,
		   const JsonbValue *value)
{
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue	element;
	int			number = 0;

	if (!is_container(value, true))
	{
		note_value(faults, input, 0, value, "");
		return;
	}
	it = JsonbIteratorInit(value->val.binary.data);
	while ((token = JsonbIteratorNext(&it, &element, true)) != WJB_DONE)
	{
		CHECK_FOR_INTERRUPTS();
		if (token == WJB_ELEM)
			check_value(faults, input, ++number, &element);
	}
}

static void
check_value(DwfInputFaults *faults, const DwfInput *input, int element,
			const JsonbValue *value)
{
	const char *why = find_fault(input->type, value);

	if (why != NULL)
		note_value(faults, input, element, value, why);
}

/* NULL where a value is one of the type, else as dwf_domo_check_string(). */
static const char *
find_fault(DwfInputType type, const JsonbValue *value)
{
	const char *why;
	char	   *text;

	switch (type)
	{
		case DWF_INPUT_NUMBER:
			if (value->type != jbvNumeric)
				return "";
			text = DatumGetCString(DirectFunctionCall1(numeric_out,
													   NumericGetDatum(value->val.numeric)));
			why = dwf_domo_check_number(type, text, strlen(text));
			pfree(text);
			return why;
		case DWF_INPUT_DECIMAL:
			return value->type == jbvNumeric ? NULL : "";
		case DWF_INPUT_BOOLEAN:
			return value->type == jbvBool ? NULL : "";
		case DWF_INPUT_OBJECT:
			return is_container(value, false) ? NULL : "";
		case DWF_INPUT_TEXT:
		case DWF_INPUT_DATE:
		case DWF_INPUT_DATETIME:
		case DWF_INPUT_TIME:
		case DWF_INPUT_DURATION:
		case DWF_INPUT_PERSON:
		case DWF_INPUT_GROUP:
		case DWF_INPUT_DATASET:
			break;
	}
	if (value->type != jbvString)
		return "";
	return dwf_domo_check_string(type, value->val.string.val,
								 value->val.string.len);
}

/* Whether a value is an array, or an object. */
static bool
is_container(const JsonbValue *value, bool is_array)
{
	return value->type == jbvBinary &&
		JsonContainerIsArray(value->val.binary.data) == is_array;
}

static void
note_value(DwfInputFaults *faults, const DwfInput *input, int element,
		   const JsonbValue *value, const char *why)
{
	if (!begin_fault(faults, input, element, value == NULL))
		return;
	if (value != NULL && (value->type == jbvNull || shows(faults)))
		append_value(faults->lines, value);
	else if (value != NULL)
		append_hidden(faults->lines);
	end_fault(faults, input, element, why);
}

/* Whether the value at hand may be shown; that there is none always may. */
static bool
shows(const DwfInputFaults *faults)
{
	return !faults->hides_values && dwf_sight_of_value(&faults->origin);
}

static void
append_hidden(StringInfo out)
{
	appendStringInfoString(out, "a value that you may not read");
}

/* Appends a value as JSON, cut. */
static void
append_value(StringInfo out, const JsonbValue *value)
{
	StringInfoData text;

	if (value->type == jbvString)
	{
		append_quoted(out, value->val.string.val, value->val.string.len);
		return;
	}
	initStringInfo(&text);
	switch (value->type)
	{
		case jbvNull:
			appendStringInfoString(&text, "null");
			break;
		case jbvBool:
			appendStringInfoString(&text,
								   value->val.boolean ? "true" : "false");
			break;
		case jbvNumeric:
			appendStringInfoString(&text,
								   DatumGetCString(DirectFunctionCall1(numeric_out,
																	   NumericGetDatum(value->val.numeric))));
			break;
		case jbvBinary:
			JsonbToCString(&text, value->val.binary.data,
						   value->val.binary.len);
			break;
		case jbvString:
		case jbvArray:
		case jbvObject:
		case jbvDatetime:
			elog(ERROR, "unexpected type of a jsonb value: %d",
				 (int) value->type);
	}
	append_cut(out, text.data, text.len, false);
	pfree(text.data);
}

/* Notes the keys of `data` that no input has. */
static void
note_unknown(DwfInputFaults *faults, const DwfInputs *inputs,
			 JsonbContainer *data)
{
	JsonbIterator *it = JsonbIteratorInit(data);
	JsonbIteratorToken token;
	JsonbValue	value;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char	   *name;

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_KEY)
			continue;
		name = pnstrdup(value.val.string.val, value.val.string.len);
		(void) JsonbIteratorNext(&it, &value, true);
		if (dwf_input_find(inputs, name) == NULL)
		{
			faults->has_unknown = true;
			if (begin_line(faults, name))
				append_unknown(faults, &value);
		}
		pfree(name);
	}
}

static void
append_unknown(const DwfInputFaults *faults, const JsonbValue *value)
{
	appendStringInfoString(faults->lines, ": found ");
	if (shows(faults))
		append_value(faults->lines, value);
	else
		append_hidden(faults->lines);
	appendStringInfoString(faults->lines, ", but the workflow has no such input.");
}

void
dwf_input_note_fault(DwfInputFaults *faults, const DwfInput *input,
					 int element, const char *found, size_t len,
					 bool is_string, const char *why)
{
	if (!begin_fault(faults, input, element, found == NULL))
		return;
	if (found != NULL && !shows(faults))
		append_hidden(faults->lines);
	else if (found != NULL && is_string)
		append_quoted(faults->lines, found, len);
	else if (found != NULL)
		append_cut(faults->lines, found, len, false);
	end_fault(faults, input, element, why);
}

/* Begins a fault, if it is to be told; what was found follows, if anything. */
static bool
begin_fault(DwfInputFaults *faults, const DwfInput *input, int element,
			bool is_missing)
{
	if (!begin_line(faults, input->name))
		return false;
	if (element > 0)
		appendStringInfo(faults->lines, ", element %d", element);
	appendStringInfoString(faults->lines, is_missing ? ": missing" :
						   ": found ");
	return true;
}

/* As in: , expected a list of date (as "2026-04-23"); it is empty. */
static void
end_fault(DwfInputFaults *faults, const DwfInput *input, int element,
		  const char *why)
{
	appendStringInfo(faults->lines, ", expected %s%s (%s)",
					 input->is_list && element == 0 ? "a list of " : "",
					 dwf_domo_type_name(input->type),
					 dwf_domo_type_form(input->type));
	if (*why != '\0')
		appendStringInfo(faults->lines, "; %s", why);
	appendStringInfoChar(faults->lines, '.');
}

/* Counts a fault and begins its line, if it is to be told. */
static bool
begin_line(DwfInputFaults *faults, const char *name)
{
	if (faults->count++ >= DWF_MAX_FAULTS_TOLD)
		return false;
	if (faults->lines == NULL)
		faults->lines = makeStringInfo();
	else
		appendStringInfoChar(faults->lines, '\n');
	appendStringInfoString(faults->lines, "Input ");
	append_quoted(faults->lines, name, strlen(name));
	return true;
}

static void
append_quoted(StringInfo out, const char *text, size_t len)
{
	appendStringInfoChar(out, '"');
	append_cut(out, text, len, true);
	appendStringInfoChar(out, '"');
}

/*
 * Appends text cut between characters, control characters as JSON escapes
 * them, in a string also what would end it; bytes that are no text, by number.
 */
static void
append_cut(StringInfo out, const char *text, size_t len, bool is_string)
{
	bool		is_utf8 = GetDatabaseEncoding() == PG_UTF8 ||
	GetDatabaseEncoding() == PG_SQL_ASCII;
	const char *end = text + len;
	int			start = out->len;

	while (text < end)
	{
		int			size = char_size(text, end);
		unsigned char c = (unsigned char) *text;

		if (out->len - start + Max(size, (int) strlen("\\u0000")) > MAX_SHOWN)
		{
			appendStringInfoString(out, "...");
			return;
		}
		/* C1 in UTF-8: a terminal may take them for commands */
		if (is_utf8 && size == 2 && c == 0xC2 &&
			(unsigned char) text[1] < 0xA0)
			appendStringInfo(out, "\\u%04x", (unsigned char) text[1]);
		else if (size == 1 && (c < 0x20 || c == 0x7F))
			appendStringInfo(out, "\\u%04x", c);
		/* no UTF-8, so no character that could be sent to whoever reads this */
		else if (GetDatabaseEncoding() == PG_SQL_ASCII && size == 1 && c >= 0x80)
			appendStringInfo(out, "\\x%02x", c);
		else
		{
			if (is_string && (c == '"' || c == '\\'))
				appendStringInfoChar(out, '\\');
			appendBinaryStringInfo(out, text, size);
		}
		text += size;
	}
}

/* SQL_ASCII may hold anything: what is no UTF-8 there is a byte at a time. */
static int
char_size(const char *text, const char *end)
{
	int			size = GetDatabaseEncoding() == PG_SQL_ASCII ?
	(int) dwf_json_utf8_length(text, end - text) : pg_mblen(text);

	return Max(Min(size, end - text), 1);
}

void
dwf_input_describe(const DwfInputFaults *faults, const DwfInputs *inputs,
				   const char *workflow, DwfFault *fault)
{
	char	   *name = pg_server_to_any(workflow, strlen(workflow), PG_UTF8);

	memset(fault, 0, sizeof(*fault));
	snprintf(fault->message, sizeof(fault->message),
			 "data does not fit the inputs of workflow \"%.200s\"", name);
	if (faults->count > DWF_MAX_FAULTS_TOLD)
		appendStringInfo(faults->lines, "\nAnd %d more.",
						 faults->count - DWF_MAX_FAULTS_TOLD);
	fault->detail = faults->lines->data;
	if (faults->has_unknown)
		dwf_input_list(inputs, fault->hint, sizeof(fault->hint));
}

void
dwf_input_list(const DwfInputs *inputs, char *out, size_t size)
{
	StringInfoData list;
	const char *end = ".";

	initStringInfo(&list);
	appendStringInfoString(&list, "Its inputs are ");
	for (int i = 0; i < inputs->count && *end == '.'; i++)
	{
		const DwfInput *input = &inputs->items[i];
		int			whole = list.len;

		appendStringInfoString(&list, i == 0 ? "" : ", ");
		append_quoted(&list, input->name, strlen(input->name));
		appendStringInfo(&list, " (%s%s%s)",
						 input->is_list ? "list of " : "",
						 dwf_domo_type_name(input->type),
						 input->required ? ", required" : "");
		if (list.len + sizeof(", ...") > size)
		{
			list.len = whole;
			end = ", ...";
		}
	}
	appendStringInfoString(&list, end);
	strlcpy(out, list.data, size);
	pfree(list.data);
}
