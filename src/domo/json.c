/*
 * json.c
 *	  Bounded, strict JSON on top of cJSON.
 *
 * This is the only file that includes cJSON.  cJSON is lenient where we must
 * not be: it takes control characters for white space and lets them stand in
 * strings, cuts a string at an escaped NUL, reads "01" as a number, and keeps
 * keys that stand twice.  A reply that one reader takes for id A and the next
 * one for id B must not settle anything, so a scan of the text (check_text)
 * refuses all that before cJSON sees it, and a second pass over the tree
 * refuses double keys.  Whatever passes both is also valid for jsonb, save
 * for numbers outside numeric's range.
 *
 * It must not know PostgreSQL or Domo.  Memory is malloc's.
 */
#include "domo/json.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

/* Stands for the backslash of an escape of no character: a byte of no UTF-8. */
#define MARK	'\xFF'

/* An object of so few members is small. */
#define MAX_SMALL_OBJECT	16

static const char *check_text(const char *text, size_t len);
static const char *check_escape(const char *escape, size_t len);
static size_t check_string(const char *text, size_t len, size_t at,
						   const char **fault);
static size_t skip_digits(const char *text, size_t len, size_t at);
static size_t check_number(const char *text, size_t len, size_t at,
						   const char **fault);
static DwfJsonNode *parse_checked(const char *text, size_t len,
								  const char **fault);
static bool put_marks(char *copy, const char *text, size_t len, char mark);
static long read_utf16(const char *escape, const char *end);
static size_t escape_length(const char *escape, const char *end,
							bool *is_bad);
static bool has_double_key(const cJSON *object, bool *out_of_memory);
static bool has_equal_keys(const cJSON *object);
static const char *check_keys(const cJSON *root);
static int	compare_keys(const void *a, const void *b);
static bool add_member(cJSON *object, const DwfJsonMember *member);

DwfJsonNode *
dwf_json_parse(const char *text, size_t len, const char **fault)
{
	*fault = check_text(text, len);
	return *fault != NULL ? NULL : parse_checked(text, len, fault);
}

/* The rest of it, for what has passed check_text(). */
static DwfJsonNode *
parse_checked(const char *text, size_t len, const char **fault)
{
	cJSON	   *root;
	const char *end = NULL;

	*fault = NULL;
	errno = 0;
	root = cJSON_ParseWithLengthOpts(text, len, &end, false);
	if (root == NULL)
	{
		/* cJSON does not tell; malloc() does */
		*fault = errno == ENOMEM ? "out of memory" : "not JSON";
		return NULL;
	}

	/* check_text() leaves only JSON's own white space outside of values */
	while (end < text + len && strchr(" \t\r\n", *end) != NULL)
		end++;
	if (end < text + len)
		*fault = "something follows the JSON value";
	else
		*fault = check_keys(root);

	if (*fault != NULL)
	{
		cJSON_Delete(root);
		return NULL;
	}
	return root;
}

/*
 * A mark in place of the backslash of each bad escape leaves all else as it was,
 * and two keys as different as they were.
 */
DwfJsonNode *
dwf_json_parse_foreign(const char *text, size_t len, const char **fault)
{
	DwfJsonNode *root = dwf_json_parse(text, len, fault);
	char	   *copy = root != NULL || len == 0 ? NULL : malloc(len + 1);

	if (copy == NULL)
		return root;
	memcpy(copy, text, len);
	if (put_marks(copy, text, len, '?'))
	{
		*fault = check_text(copy, len);
		(void) put_marks(copy, text, len, MARK);
		if (*fault == NULL)
			root = parse_checked(copy, len, fault);
	}
	free(copy);
	return root;
}

/* Whether there was any escape to be marked. */
static bool
put_marks(char *copy, const char *text, size_t len, char mark)
{
	bool		found = false;
	size_t		step;

	for (size_t at = 0; at < len; at += step)
	{
		bool		is_bad = false;

		step = text[at] == '\\' ?
			escape_length(text + at, text + len, &is_bad) : 1;
		if (is_bad)
			copy[at] = mark;
		found |= is_bad;
	}
	return found;
}

/* The length of an escape, or pair of them; *is_bad where it is half of one. */
static size_t
escape_length(const char *escape, const char *end, bool *is_bad)
{
	long		code = read_utf16(escape, end);
	long		next;

	if (code < 0)
		return 2;
	*is_bad = code == 0 || (code >= 0xDC00 && code <= 0xDFFF);
	if (code < 0xD800 || code > 0xDBFF)
		return 6;
	next = read_utf16(escape + 6, end);
	*is_bad = next < 0xDC00 || next > 0xDFFF;
	return *is_bad ? 6 : 12;
}

/* The value of \uXXXX; -1 where there is something else. */
static long
read_utf16(const char *escape, const char *end)
{
	char		digits[5] = {0};

	if (end - escape < 6 || escape[0] != '\\' || escape[1] != 'u')
		return -1;
	memcpy(digits, escape + 2, 4);
	return strspn(digits, "0123456789abcdefABCDEF") == 4 ?
		strtol(digits, NULL, 16) : -1;
}

bool
dwf_json_is_whole(const char *string)
{
	return strchr(string, (unsigned char) MARK) == NULL;
}

void
dwf_json_free(DwfJsonNode *root)
{
	cJSON_Delete(root);
}

/*
 * Checks what cJSON does not: UTF-8, NUL, control characters, numbers, depth.
 * Returns NULL or the fault.
 */
static const char *
check_text(const char *text, size_t len)
{
	size_t		at = 0;
	int			depth = 0;
	const char *fault = NULL;

	if (len == 0)
		return "empty";
	if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
		return "it starts with a byte order mark";

	while (at < len && fault == NULL)
	{
		unsigned char c = (unsigned char) text[at];

		if (c == ' ')
			at++;
		else if (c == '"')
			at = check_string(text, len, at, &fault);
		else if (c == '-' || (c >= '0' && c <= '9'))
			at = check_number(text, len, at, &fault);
		else if (c == '\0')
			fault = "a NUL character";
		else if (c >= 0x80 || (c < 0x20 && strchr("\t\r\n", c) == NULL))
			fault = "not JSON";
		else
		{
			if (c == '{' || c == '[')
				depth++;
			else if (c == '}' || c == ']')
				depth--;
			if (depth > DWF_MAX_JSON_DEPTH)
				fault = "nested too deep";
			at++;
		}
	}
	return fault;
}

/*
 * Checks an escape of four hexadecimal digits: cJSON reads other ones as NUL,
 * and ends the string there.  It checks all other escapes itself.
 */
static const char *
check_escape(const char *escape, size_t len)
{
	if (len < 2 || escape[1] != 'u')
		return NULL;
	for (size_t i = 2; i < 6; i++)
	{
		if (i >= len)
			return "cut off in a string";
		if (strchr("0123456789abcdefABCDEF", escape[i]) == NULL ||
			escape[i] == '\0')
			return "not JSON";
	}
	return memcmp(escape + 2, "0000", 4) == 0 ? "a NUL character" : NULL;
}

/*
 * Checks the string that opens at text[at].  Returns the position behind its
 * closing quote, or sets *fault.
 */
static size_t
check_string(const char *text, size_t len, size_t at, const char **fault)
{
	at++;
	while (at < len)
	{
		unsigned char c = (unsigned char) text[at];
		size_t		step = 1;

		/* nearly all of them, so first */
		if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\')
		{
			at++;
			continue;
		}
		if (c == '"')
			return at + 1;
		if (c == '\0')
			*fault = "a NUL character";
		else if (c < 0x20)
			*fault = "a control character in a string";
		else if (c >= 0x80)
		{
			step = dwf_json_utf8_length(text + at, len - at);
			if (step == 0)
				*fault = "invalid UTF-8";
		}
		else if (c == '\\')
		{
			*fault = check_escape(text + at, len - at);
			step = 2;
		}
		if (*fault != NULL)
			return at;
		at += step;
	}
	*fault = "cut off in a string";
	return at;
}

static size_t
skip_digits(const char *text, size_t len, size_t at)
{
	while (at < len && text[at] >= '0' && text[at] <= '9')
		at++;
	return at;
}

/*
 * Checks the number at text[at] against RFC 8259, section 6.  Returns the
 * position behind it, or sets *fault.
 */
static size_t
check_number(const char *text, size_t len, size_t at, const char **fault)
{
	size_t		start;

	if (text[at] == '-')
		at++;
	start = at;
	at = skip_digits(text, len, at);
	if (at == start || (text[start] == '0' && at > start + 1))
		*fault = "not a JSON number";

	if (at < len && text[at] == '.')
	{
		start = ++at;
		at = skip_digits(text, len, at);
		if (at == start)
			*fault = "not a JSON number";
	}
	if (at < len && (text[at] == 'e' || text[at] == 'E'))
	{
		at++;
		if (at < len && (text[at] == '+' || text[at] == '-'))
			at++;
		start = at;
		at = skip_digits(text, len, at);
		if (at == start)
			*fault = "not a JSON number";
	}
	return at;
}

size_t
dwf_json_utf8_length(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *) s;
	unsigned char low = 0x80,
				high = 0xBF;
	size_t		want;

	if (len == 0)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xC2 || u[0] > 0xF4)
		return 0;
	want = u[0] < 0xE0 ? 2 : u[0] < 0xF0 ? 3 : 4;
	if (len < want)
		return 0;

	/* the second byte's range closes overlong forms and surrogates */
	if (u[0] == 0xE0)
		low = 0xA0;
	else if (u[0] == 0xED)
		high = 0x9F;
	else if (u[0] == 0xF0)
		low = 0x90;
	else if (u[0] == 0xF4)
		high = 0x8F;
	if (u[1] < low || u[1] > high)
		return 0;
	for (size_t i = 2; i < want; i++)
	{
		if (u[i] < 0x80 || u[i] > 0xBF)
			return 0;
	}
	return want;
}

/*
 * Whether a key stands twice in the object.  By sorting where it is not small:
 * an object can fill a whole reply, and comparing each with each would take
 * minutes then.
 */
static bool
has_double_key(const cJSON *object, bool *out_of_memory)
{
	const char **keys;
	size_t		count = 0;
	bool		found = false;

	for (const cJSON *m = object->child; m != NULL; m = m->next)
		count++;
	if (count <= MAX_SMALL_OBJECT)
		return has_equal_keys(object);
	keys = malloc(count * sizeof(*keys));
	if (keys == NULL)
	{
		*out_of_memory = true;
		return false;
	}

	count = 0;
	for (const cJSON *m = object->child; m != NULL; m = m->next)
		keys[count++] = m->string;
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (size_t i = 1; i < count && !found; i++)
		found = strcmp(keys[i - 1], keys[i]) == 0;
	free(keys);
	return found;
}

/* The same, by comparing each with each. */
static bool
has_equal_keys(const cJSON *object)
{
	for (const cJSON *m = object->child; m != NULL; m = m->next)
	{
		for (const cJSON *n = m->next; n != NULL; n = n->next)
		{
			if (strcmp(m->string, n->string) == 0)
				return true;
		}
	}
	return false;
}

static int
compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *) a, *(const char *const *) b);
}

/*
 * Looks for double keys in the whole tree.  Recursion is bounded by
 * DWF_MAX_JSON_DEPTH, which check_text() has enforced.
 */
static const char *
check_keys(const cJSON *root)
{
	bool		out_of_memory = false;

	if (cJSON_IsObject(root) && has_double_key(root, &out_of_memory))
		return "a key stands twice in an object";
	if (out_of_memory)
		return "out of memory";
	for (const cJSON *m = root->child; m != NULL; m = m->next)
	{
		const char *fault = m->child == NULL ? NULL : check_keys(m);

		if (fault != NULL)
			return fault;
	}
	return NULL;
}

DwfJsonType
dwf_json_type(const DwfJsonNode *node)
{
	if (cJSON_IsBool(node))
		return DWF_JSON_BOOLEAN;
	if (cJSON_IsNumber(node))
		return DWF_JSON_NUMBER;
	if (cJSON_IsString(node))
		return DWF_JSON_STRING;
	if (cJSON_IsArray(node))
		return DWF_JSON_ARRAY;
	if (cJSON_IsObject(node))
		return DWF_JSON_OBJECT;
	return DWF_JSON_NULL;
}

const DwfJsonNode *
dwf_json_get(const DwfJsonNode *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

const char *
dwf_json_string(const DwfJsonNode *node)
{
	return cJSON_GetStringValue(node);
}

bool
dwf_json_number(const DwfJsonNode *node, double *value)
{
	if (!cJSON_IsNumber(node))
		return false;
	*value = node->valuedouble;
	return true;
}

bool
dwf_json_boolean(const DwfJsonNode *node, bool *value)
{
	if (!cJSON_IsBool(node))
		return false;
	*value = cJSON_IsTrue(node);
	return true;
}

const DwfJsonNode *
dwf_json_first(const DwfJsonNode *node)
{
	return node == NULL ? NULL : node->child;
}

const DwfJsonNode *
dwf_json_next(const DwfJsonNode *node)
{
	return node->next;
}

const char *
dwf_json_key(const DwfJsonNode *node)
{
	return node->string;
}

char *
dwf_json_build(const DwfJsonMember *members, int count, size_t *len)
{
	cJSON	   *object = cJSON_CreateObject();
	char	   *text = NULL;
	bool		ok = object != NULL;

	for (int i = 0; ok && i < count; i++)
		ok = add_member(object, &members[i]);
	if (ok)
		text = cJSON_PrintUnformatted(object);
	cJSON_Delete(object);
	*len = text == NULL ? 0 : strlen(text);
	return text;
}

static bool
add_member(cJSON *object, const DwfJsonMember *member)
{
	if (member->raw != NULL)
		return cJSON_AddRawToObject(object, member->key, member->raw) != NULL;
	return cJSON_AddStringToObject(object, member->key,
								   member->string) != NULL;
}

char *
dwf_json_drop_nulls(const char *text, size_t len, const char *key,
					size_t *new_len)
{
	cJSON	   *array = cJSON_ParseWithLength(text, len);
	char	   *result = NULL;

	if (array != NULL)
	{
		for (cJSON *object = array->child; object != NULL;
			 object = object->next)
		{
			if (cJSON_IsNull(cJSON_GetObjectItemCaseSensitive(object, key)))
				cJSON_DeleteItemFromObjectCaseSensitive(object, key);
		}
		result = cJSON_PrintUnformatted(array);
	}
	cJSON_Delete(array);
	*new_len = result == NULL ? 0 : strlen(result);
	return result;
}
