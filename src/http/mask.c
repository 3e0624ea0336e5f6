/*
 * mask.c
 *	  Takes a token out of what was received.
 *
 * Pure: it must not know PostgreSQL or do any I/O.
 *
 * A text is searched as it stands, and then decoded, as often as somebody who
 * reads it might decode it.  Each decoded byte remembers where in the text it
 * began, so that what is found is starred there.  Searching is memmem's, which
 * takes linear time whatever the text and the token.
 */
#include "http/mask.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Kinds of escapes, of which a text may have several. */
#define JSON_KIND		1
#define PERCENT_KIND	2
#define ENTITY_KIND		4
#define ALL_KINDS		(JSON_KIND | PERCENT_KIND | ENTITY_KIND)

/* So much of a token that was cut off is worth hiding; in base64, too. */
#define MIN_CUT			4
#define MIN_CUT_BASE64	6

/* A shorter token would stand in base64 by chance. */
#define MIN_BASE64		8

/* The longest entity of HTML that is decoded: &#x0000041; */
#define MAX_ENTITY		12

/* Stands for a character that no token has. */
#define OTHER			'\377'

static const char alphabets[2][65] = {
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
};

/* A text, decoded so and so often.  starts[len] is its end in the original. */
typedef struct Layer
{
	char	   *bytes;
	uint32_t   *starts;
	size_t		len;
} Layer;

/* What stands at a place: so many bytes, 0 for no escape, that mean `meaning`. */
typedef struct Escape
{
	size_t		len;
	char		meaning;
	bool		is_cut;			/* by the end of the text */
} Escape;

static void add_base64(DwfMask *mask, const char *alphabet, int before);
static size_t end_of_text(const DwfMask *mask);
static bool is_plain(const DwfMask *mask, const char *text, size_t len);
static bool is_json(const char *text, size_t len);
static bool is_between_strings(const char *text, size_t len);
static void copy_layer(Layer *layer, const char *text, size_t len);
static bool read_json(const DwfMask *mask, Layer *layer, char *text,
					  size_t len);
static void mask_number(const DwfMask *mask, char *text, size_t len);
static bool has_several_kinds(const char *text, size_t len);
static void mask_decoded(const DwfMask *mask, char *text, size_t len,
						 Layer *layer, int first, int second);
static bool decode(Layer *layer, int kinds);
static Escape read_escape(const char *text, size_t left, int kinds);
static Escape read_json_escape(const char *text, size_t left);
static Escape read_percent(const char *text, size_t left);
static Escape read_entity(const char *text, size_t left);
static bool read_hex(const char *text, size_t count, unsigned long *value);
static char meaning_of(unsigned long code);
static void mask_layer(const DwfMask *mask, char *text, size_t text_len,
					   const Layer *layer);
static void mask_cut(const DwfMask *mask, char *text, size_t text_len,
					 const Layer *layer);
static bool is_base64(char c);

size_t
dwf_mask_size(size_t token_len)
{
	return sizeof(DwfMask) + token_len +
		(DWF_MAX_NEEDLES - 1) * ((token_len + 4) * 4 / 3 + 4);
}

void
dwf_mask_init(DwfMask *mask, const char *token)
{
	size_t		len = strlen(token);

	memset(mask, 0, sizeof(*mask));
	mask->is_number = strspn(token, "0123456789+-.eE") == len;
	mask->count = 1;
	mask->needles[0].len = len;
	mask->needles[0].min_cut = MIN_CUT;
	memcpy(mask->text, token, len);
	for (size_t i = 0; i < len; i++)
		mask->has_escape |= read_escape(token + i, len - i, ALL_KINDS).len > 0;
	if (len < MIN_BASE64)
		return;
	for (int before = 0; before < 3; before++)
	{
		const DwfNeedle *needle = &mask->needles[mask->count];

		add_base64(mask, alphabets[0], before);
		for (size_t i = 0; i < needle->len; i++)
		{
			/* most have none of the characters that make a difference */
			if (strchr("+/", mask->text[needle->offset + i]) == NULL)
				continue;
			add_base64(mask, alphabets[1], before);
			break;
		}
	}
}

static size_t
end_of_text(const DwfMask *mask)
{
	const DwfNeedle *last = &mask->needles[mask->count - 1];

	return last->offset + last->len;
}

/*
 * Adds what stands in base64 for the token where `before` bytes of its group
 * of three come before it: the digits that hold bits of nothing else.
 */
static void
add_base64(DwfMask *mask, const char *alphabet, int before)
{
	size_t		first = (8 * before + 5) / 6;
	size_t		bits = 8 * (before + mask->needles[0].len);
	DwfNeedle	needle = {
		.offset = end_of_text(mask),
		.len = bits / 6 - first,
		.min_cut = MIN_CUT_BASE64,
		.shares_first = before > 0,
		.shares_last = bits % 6 != 0,
	};

	for (size_t i = 0; i < needle.len; i++)
	{
		size_t		bit = 6 * (first + i) - 8 * before;
		unsigned	pair = (unsigned char) mask->text[bit / 8] << 8;

		if (bit / 8 + 1 < mask->needles[0].len)
			pair |= (unsigned char) mask->text[bit / 8 + 1];
		mask->text[needle.offset + i] =
			alphabet[pair >> (10 - bit % 8) & 0x3F];
	}
	mask->needles[mask->count++] = needle;
}

void
dwf_mask_text(const DwfMask *mask, char *text, size_t len)
{
	Layer		layer = {.bytes = text,.len = len};

	if (len == 0)
		return;
	if (is_plain(mask, text, len))
	{
		mask_cut(mask, text, len, &layer);
		return;
	}
	layer.bytes = len < UINT32_MAX ? malloc(len + 1) : NULL;
	layer.starts = layer.bytes == NULL ? NULL :
		malloc((len + 1) * sizeof(uint32_t));
	if (layer.starts == NULL)
		memset(text, '*', len);
	else
	{
		bool		apart = mask->has_escape || has_several_kinds(text, len);

		mask_decoded(mask, text, len, &layer, ALL_KINDS, ALL_KINDS);

		/* what reads as an escape of one kind may be none, by another */
		for (int first = 1; apart && first < ALL_KINDS; first *= 2)
		{
			for (int second = 1; second < ALL_KINDS; second *= 2)
				mask_decoded(mask, text, len, &layer, first, second);
		}
	}
	free(layer.bytes);
	free(layer.starts);
}

/* Of escapes, as far as their first bytes tell. */
static bool
has_several_kinds(const char *text, size_t len)
{
	return (memchr(text, '\\', len) != NULL) + (memchr(text, '%', len) != NULL) +
		(memchr(text, '&', len) != NULL) > 1;
}

/* Decodes twice, JSON's own escapes not counted. */
static void
mask_decoded(const DwfMask *mask, char *text, size_t len, Layer *layer,
			 int first, int second)
{
	if (!is_json(text, len) || !read_json(mask, layer, text, len))
		copy_layer(layer, text, len);
	mask_layer(mask, text, len, layer);
	if (decode(layer, first))
		mask_layer(mask, text, len, layer);
	if (decode(layer, second))
		mask_layer(mask, text, len, layer);
}

/* Whether nothing has to be decoded, and there is no token: the usual case. */
static bool
is_plain(const DwfMask *mask, const char *text, size_t len)
{
	if (memchr(text, '\\', len) != NULL || memchr(text, '%', len) != NULL ||
		memchr(text, '&', len) != NULL)
		return false;
	for (int i = 0; i < mask->count; i++)
	{
		if (memmem(text, len, mask->text + mask->needles[i].offset,
				   mask->needles[i].len) != NULL)
			return false;
	}
	return true;
}

/* Whether a text begins as JSON does. */
static bool
is_json(const char *text, size_t len)
{
	size_t		at = 0;

	while (at < len && memchr(" \t\r\n", text[at], 4) != NULL)
		at++;
	return at < len && memchr("{[\"-0123456789tfn", text[at], 17) != NULL;
}

/*
 * Whether nothing stands in a part of a text but what JSON has outside of
 * strings, and no token that is not a number can hide in.
 */
static bool
is_between_strings(const char *text, size_t len)
{
	static const char *const words[] = {"true", "false", "null"};
	size_t		at = 0;

	while (at < len)
	{
		size_t		from = at;

		while (at < len && memchr("{}[]:, \t\r\n", text[at], 11) == NULL)
			at++;
		if (at == from)
			at++;
		else if (memchr("-0123456789", text[from], 11) != NULL)
		{
			for (; from < at; from++)
			{
				if (memchr("0123456789+-.eE", text[from], 15) == NULL)
					return false;
			}
		}
		else
		{
			bool		is_word = false;

			/* the last one may be cut off */
			for (int i = 0; i < 3; i++)
				is_word |= strncmp(text + from, words[i], at - from) == 0;
			if (!is_word)
				return false;
		}
	}
	return true;
}

static void
copy_layer(Layer *layer, const char *text, size_t len)
{
	memcpy(layer->bytes, text, len);
	for (size_t i = 0; i <= len; i++)
		layer->starts[i] = (uint32_t) i;
	layer->len = len;
}

/*
 * What the strings in a JSON text mean, with a byte that no token has around
 * each.  Numbers are masked here, at once.  False: it is not JSON.
 */
static bool
read_json(const DwfMask *mask, Layer *layer, char *text, size_t len)
{
	bool		in_string = false;
	size_t		at = 0;
	size_t		n = 0;

	while (at < len)
	{
		Escape		itself = {.len = 1,.meaning = text[at]};
		Escape		escape = itself;

		if (!in_string || text[at] == '"')
		{
			size_t		from = at;

			while (at < len && text[at] != '"')
				at++;
			if (!is_between_strings(text + from, at - from))
				return false;
			mask_number(mask, text + from, at - from);
			layer->bytes[n] = OTHER;
			layer->starts[n++] = (uint32_t) from;
			in_string = at < len && !in_string;
			at += at < len;
			continue;
		}
		if (text[at] == '\\')
			escape = read_json_escape(text + at, len - at);
		if (escape.is_cut)
			break;
		if (escape.len == 0)
			escape = itself;
		layer->bytes[n] = escape.meaning;
		layer->starts[n++] = (uint32_t) at;
		at += escape.len;
	}
	layer->starts[n] = (uint32_t) at;
	layer->len = n;
	return true;
}

/* JSON outside of strings: a number that holds the token. */
static void
mask_number(const DwfMask *mask, char *text, size_t len)
{
	if (!mask->is_number ||
		memmem(text, len, mask->text, mask->needles[0].len) == NULL)
		return;
	for (size_t i = 0; i < len; i++)
	{
		if (isdigit((unsigned char) text[i]))
			text[i] = '1';
	}
}

/* Decodes once more, in place.  False: there is nothing to decode. */
static bool
decode(Layer *layer, int kinds)
{
	size_t		n = 0;
	size_t		at = 0;
	size_t		end = layer->len;
	bool		found = false;

	while (at < end)
	{
		Escape		escape = read_escape(layer->bytes + at, end - at,
										 kinds);

		if (escape.is_cut)
			break;
		found |= escape.len > 0;
		layer->bytes[n] = escape.len > 0 ? escape.meaning : layer->bytes[at];
		layer->starts[n++] = layer->starts[at];
		at += escape.len > 0 ? escape.len : 1;
	}
	found |= at < end;
	layer->starts[n] = layer->starts[at];
	layer->len = n;
	return found;
}

/*
 * Of whatever kind: a token may be escaped by several in turn, and which is
 * not known.  A length of 0: no escape.
 */
static Escape
read_escape(const char *text, size_t left, int kinds)
{
	if (*text == '\\' && (kinds & JSON_KIND))
		return read_json_escape(text, left);
	if (*text == '%' && (kinds & PERCENT_KIND))
		return read_percent(text, left);
	if (*text == '&' && (kinds & ENTITY_KIND))
		return read_entity(text, left);
	return (Escape)
	{
		0
	};
}

/*
 * An escape of no byte that a token may have counts as one, so that what
 * stands behind it is not read as its end.  `is_cut`: more text could make it
 * one.
 */
static Escape
read_json_escape(const char *text, size_t left)
{
	Escape		escape = {0};
	unsigned long code;

	if (left < 2 ||
		(left < 6 && text[1] == 'u' && read_hex(text + 2, left - 2, &code)))
		escape.is_cut = true;
	else if (left >= 6 && text[1] == 'u' && read_hex(text + 2, 4, &code))
	{
		escape.len = 6;
		escape.meaning = meaning_of(code);
	}
	else if (memchr("\"\\/", text[1], 3) != NULL)
	{
		escape.len = 2;
		escape.meaning = text[1];
	}
	else if (memchr("bfnrt", text[1], 5) != NULL)
	{
		escape.len = 2;
		escape.meaning = OTHER;
	}
	return escape;
}

static Escape
read_percent(const char *text, size_t left)
{
	Escape		escape = {0};
	unsigned long code;

	if (left < 3)
		escape.is_cut = read_hex(text + 1, left - 1, &code);
	else if (read_hex(text + 1, 2, &code))
	{
		escape.len = 3;
		escape.meaning = meaning_of(code);
	}
	return escape;
}

/*
 * The entities of characters that a token may have; others stay as they are.
 * A number longer than MAX_ENTITY is none.  `is_cut`: more text could make it
 * one.
 */
static Escape
read_entity(const char *text, size_t left)
{
	static const struct
	{
		const char *name;
		char		meaning;
	}			entities[] = {
		{"amp;", '&'}, {"apos;", '\''}, {"gt;", '>'}, {"lt;", '<'}, {"quot;", '"'},
	};
	size_t		longest = left < MAX_ENTITY ? left : MAX_ENTITY;
	const char *end = memchr(text, ';', longest);
	Escape		escape = {0};
	char		digits[MAX_ENTITY];
	char	   *rest;

	if (end == NULL)
	{
		size_t		at = 1;

		while (at < longest &&
			   (isalnum((unsigned char) text[at]) || text[at] == '#'))
			at++;
		escape.is_cut = at == left && left < MAX_ENTITY;
		return escape;
	}
	for (size_t i = 0; i < sizeof(entities) / sizeof(*entities); i++)
	{
		size_t		len = strlen(entities[i].name);

		if (len == (size_t) (end - text) &&
			memcmp(text + 1, entities[i].name, len) == 0)
			return (Escape)
		{
			.len = len + 1,.meaning = entities[i].meaning
		};
	}
	if (end - text < 3 || text[1] != '#')
		return escape;
	memcpy(digits, text + 2, end - text - 2);
	digits[end - text - 2] = '\0';
	if (digits[0] == 'x' || digits[0] == 'X')
	{
		if (!isxdigit((unsigned char) digits[1]))
			return escape;
		escape.meaning = meaning_of(strtoul(digits + 1, &rest, 16));
	}
	else
	{
		if (!isdigit((unsigned char) digits[0]))
			return escape;
		escape.meaning = meaning_of(strtoul(digits, &rest, 10));
	}
	if (rest == digits + (end - text - 2))
		escape.len = end - text + 1;
	return escape;
}

/* Reads exactly `count` hexadecimal digits, of which there are as many. */
static bool
read_hex(const char *text, size_t count, unsigned long *value)
{
	*value = 0;
	for (size_t i = 0; i < count; i++)
	{
		unsigned char c = (unsigned char) text[i];

		if (!isxdigit(c))
			return false;
		*value = *value * 16 + (isdigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
	}
	return true;
}

static char
meaning_of(unsigned long code)
{
	return code < 0x80 ? (char) code : OTHER;
}

/* Stars in the text for each way to write the token that a layer has. */
static void
mask_layer(const DwfMask *mask, char *text, size_t text_len,
		   const Layer *layer)
{
	for (int i = 0; i < mask->count; i++)
	{
		const DwfNeedle *needle = &mask->needles[i];
		size_t		at = 0;
		const char *found;

		while ((found = memmem(layer->bytes + at, layer->len - at,
							   mask->text + needle->offset,
							   needle->len)) != NULL)
		{
			size_t		from = found - layer->bytes;
			size_t		to = from + needle->len;

			at = to;
			if (needle->shares_first && from > 0 &&
				is_base64(layer->bytes[from - 1]))
				from--;
			if (needle->shares_last && to < layer->len &&
				is_base64(layer->bytes[to]))
				to++;
			memset(text + layer->starts[from], '*',
				   layer->starts[to] - layer->starts[from]);
		}
	}
	mask_cut(mask, text, text_len, layer);
}

/*
 * Stars for what begins at the end of a text and may go on behind it, an
 * escape that is cut off included.
 */
static void
mask_cut(const DwfMask *mask, char *text, size_t text_len,
		 const Layer *layer)
{
	for (int i = 0; i < mask->count; i++)
	{
		const DwfNeedle *needle = &mask->needles[i];
		const char *pattern = mask->text + needle->offset;
		size_t		cut = needle->len - 1;

		if (cut > layer->len)
			cut = layer->len;
		for (; cut >= needle->min_cut; cut--)
		{
			size_t		from = layer->len - cut;

			if (memcmp(layer->bytes + from, pattern, cut) != 0)
				continue;
			from = layer->starts == NULL ? from : layer->starts[from];
			memset(text + from, '*', text_len - from);
			break;
		}
	}
}

static bool
is_base64(char c)
{
	return isalnum((unsigned char) c) || (c != '\0' && strchr("+/-_", c));
}
