/*
 * json.h
 *	  JSON as domowf needs it: a bounded, strict parse with typed getters, and
 *	  the building of small objects around text that is JSON already.
 *
 * Pure: no PostgreSQL, no globals.  json.c is the only file that knows which
 * library does the work.
 */
#ifndef DWF_JSON_H
#define DWF_JSON_H

#include <stdbool.h>
#include <stddef.h>

/* Nesting beyond this is refused; Domo's replies are 2 or 3 deep. */
#define DWF_MAX_JSON_DEPTH	100

typedef enum DwfJsonType
{
	DWF_JSON_NULL,
	DWF_JSON_BOOLEAN,
	DWF_JSON_NUMBER,
	DWF_JSON_STRING,
	DWF_JSON_ARRAY,
	DWF_JSON_OBJECT
} DwfJsonType;

/* A node of a parsed document; the root owns all of them. */
typedef struct cJSON DwfJsonNode;

/*
 * A member of an object to be built.  Where `raw` is set, it is JSON text and
 * goes in as it is, digit for digit; else `string` goes in as a JSON string.
 */
typedef struct DwfJsonMember
{
	const char *key;
	const char *string;
	const char *raw;
} DwfJsonMember;

/*
 * Parses `len` bytes as one JSON text in UTF-8 (RFC 8259), nothing beside it
 * but white space.  Refused beyond the grammar: NUL as a byte or an escape,
 * keys that stand twice in one object, nesting over DWF_MAX_JSON_DEPTH, a
 * byte order mark.  Returns a root to be given to dwf_json_free(), or NULL
 * and in *fault a constant phrase that says why ("invalid UTF-8").
 */
extern DwfJsonNode *dwf_json_parse(const char *text, size_t len,
								   const char **fault);

/*
 * The same for what others wrote, where one string that no database can hold is
 * to cost that string only: an escaped NUL, or half of a surrogate pair.  Such a
 * string is none that dwf_json_is_whole(); a key that has one matches no other.
 */
extern DwfJsonNode *dwf_json_parse_foreign(const char *text, size_t len,
										   const char **fault);

/* Whether a string, or a key, is all that was written. */
extern bool dwf_json_is_whole(const char *string);

/* Frees a root and all its nodes; NULL is fine. */
extern void dwf_json_free(DwfJsonNode *root);

/* What a node is; a NULL node is DWF_JSON_NULL. */
extern DwfJsonType dwf_json_type(const DwfJsonNode *node);

/* A member of an object by its exact key; NULL where there is none. */
extern const DwfJsonNode *dwf_json_get(const DwfJsonNode *object,
									   const char *key);

/* A string's value, owned by the root; NULL for any other type. */
extern const char *dwf_json_string(const DwfJsonNode *node);

/* Fetches a number as a double.  False for any other type. */
extern bool dwf_json_number(const DwfJsonNode *node, double *value);

/* Fetches a boolean.  False for any other type. */
extern bool dwf_json_boolean(const DwfJsonNode *node, bool *value);

/* First child of an array or object, NULL where there is none. */
extern const DwfJsonNode *dwf_json_first(const DwfJsonNode *node);

/* The sibling that follows, NULL at the end. */
extern const DwfJsonNode *dwf_json_next(const DwfJsonNode *node);

/* A member's key, owned by the root; NULL for an element of an array. */
extern const char *dwf_json_key(const DwfJsonNode *node);

/*
 * Builds an object of `count` members in their order.  Returns malloc'd text
 * that the caller frees, its length in *len; NULL when memory is short.
 */
extern char *dwf_json_build(const DwfJsonMember *members, int count,
							size_t *len);

/*
 * Rewrites an array of objects without those members of the key that are
 * null.  For text without numbers: these would lose digits.  Returns malloc'd
 * text that the caller frees, its length in *new_len; NULL when memory is short.
 */
extern char *dwf_json_drop_nulls(const char *text, size_t len,
								 const char *key, size_t *new_len);

/*
 * Length of the valid UTF-8 sequence that starts at `s`, of which `len` bytes
 * are there; 0 where it is not one (RFC 3629: no overlong forms, surrogates
 * or code points over U+10FFFF).
 */
extern size_t dwf_json_utf8_length(const char *s, size_t len);

#endif							/* DWF_JSON_H */
