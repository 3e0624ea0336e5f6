/*
 * fuzz_json.c
 *	  Fuzz target: any text as JSON.
 *
 * A second reader, written from RFC 8259 and from nothing of ours or cJSON's,
 * says whether a text is valid; json.c has to agree about every one.  That is
 * how a lenience of cJSON shows that nobody thought of.
 */
#include "../../src/domo/json.c"

#include "fuzz.h"

/* Where the second reader stands. */
typedef struct Reader
{
	const unsigned char *at;
	const unsigned char *end;
	int			depth;
} Reader;

static bool read_value(Reader *r);

static bool
take(Reader *r, const char *text)
{
	size_t		len = strlen(text);

	if ((size_t) (r->end - r->at) < len || memcmp(r->at, text, len) != 0)
		return false;
	r->at += len;
	return true;
}

static void
skip_blanks(Reader *r)
{
	while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' ||
							  *r->at == '\r' || *r->at == '\n'))
		r->at++;
}

static bool
take_digits(Reader *r)
{
	const unsigned char *start = r->at;

	while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
		r->at++;
	return r->at > start;
}

static bool
read_number(Reader *r)
{
	take(r, "-");
	if (!take(r, "0") && !take_digits(r))
		return false;
	if (take(r, ".") && !take_digits(r))
		return false;
	if (take(r, "e") || take(r, "E"))
	{
		if (!take(r, "+"))
			take(r, "-");
		return take_digits(r);
	}
	return true;
}

/* Four hexadecimal digits; -1: not there. */
static int
read_hex(Reader *r)
{
	int			value = 0;

	for (int i = 0; i < 4; i++, r->at++)
	{
		unsigned char c = r->at < r->end ? *r->at : 0;

		if (c >= '0' && c <= '9')
			value = value * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + c - 'A' + 10;
		else
			return -1;
	}
	return value;
}

static bool
read_escape(Reader *r)
{
	int			unit;

	if (r->at < r->end && *r->at != '\0' &&
		strchr("\"\\/bfnrt", *r->at) != NULL)
	{
		r->at++;
		return true;
	}
	if (!take(r, "u"))
		return false;
	unit = read_hex(r);
	if (unit <= 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
		return false;
	if (unit < 0xD800 || unit > 0xDBFF)
		return true;
	if (!take(r, "\\u"))
		return false;
	unit = read_hex(r);
	return unit >= 0xDC00 && unit <= 0xDFFF;
}

/* One character beyond ASCII, by decoding it and looking at its number. */
static bool
read_character(Reader *r)
{
	static const unsigned int least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char c = *r->at++;
	int			len = c >= 0xF0 ? 4 : c >= 0xE0 ? 3 : 2;
	unsigned int number = c & (0xFF >> (len + 1));

	if (c < 0xC0 || c > 0xF7)
		return false;
	for (int i = 1; i < len; i++)
	{
		if (r->at == r->end || (*r->at & 0xC0) != 0x80)
			return false;
		number = number << 6 | (*r->at++ & 0x3F);
	}
	return number >= least[len] && number <= 0x10FFFF &&
		(number < 0xD800 || number > 0xDFFF);
}

static bool
read_string(Reader *r)
{
	if (!take(r, "\""))
		return false;
	while (r->at < r->end)
	{
		if (take(r, "\""))
			return true;
		if (*r->at < 0x20)
			return false;
		if (*r->at >= 0x80)
		{
			if (!read_character(r))
				return false;
		}
		else if (take(r, "\\"))
		{
			if (!read_escape(r))
				return false;
		}
		else
			r->at++;
	}
	return false;
}

/* What stands between brackets, with keys or without. */
static bool
read_members(Reader *r, const char *close, bool with_keys)
{
	if (++r->depth > DWF_MAX_JSON_DEPTH)
		return false;
	skip_blanks(r);
	if (!take(r, close))
	{
		do
		{
			skip_blanks(r);
			if (with_keys)
			{
				if (!read_string(r))
					return false;
				skip_blanks(r);
				if (!take(r, ":"))
					return false;
			}
			if (!read_value(r))
				return false;
		} while (take(r, ","));
		if (!take(r, close))
			return false;
	}
	r->depth--;
	return true;
}

/* A value and the blanks around it. */
static bool
read_value(Reader *r)
{
	bool		ok;

	skip_blanks(r);
	if (r->at == r->end)
		return false;
	if (take(r, "{"))
		ok = read_members(r, "}", true);
	else if (take(r, "["))
		ok = read_members(r, "]", false);
	else if (*r->at == '"')
		ok = read_string(r);
	else
		ok = take(r, "true") || take(r, "false") || take(r, "null") ||
			read_number(r);
	skip_blanks(r);
	return ok;
}

/* Whether one reading of what cJSON prints is the first one again. */
static void
check_printed(const DwfJsonNode *root)
{
	char	   *text = cJSON_PrintUnformatted(root);
	const char *fault;
	DwfJsonNode *again;

	REQUIRE(text != NULL);
	again = dwf_json_parse(text, strlen(text), &fault);
	REQUIRE(again != NULL);
	dwf_json_free(again);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char	   *text = copy_exactly(data, size);
	Reader		reader = {data, data + size, 0};
	bool		valid = read_value(&reader) && reader.at == reader.end;
	const char *fault = NULL;
	DwfJsonNode *root = dwf_json_parse(text, size, &fault);

	REQUIRE((root == NULL) == (fault != NULL));
	if (root != NULL)
	{
		REQUIRE(valid);
		check_printed(root);
	}
	else if (strcmp(fault, "a key stands twice in an object") != 0)
		REQUIRE(!valid);
	else
		REQUIRE(valid);
	dwf_json_free(root);
	free(text);
	return 0;
}
