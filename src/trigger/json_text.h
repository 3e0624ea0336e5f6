/*
 * json_text.h
 *	  JSON that SQL has as text, as jsonb.
 */
#ifndef DWF_JSON_TEXT_H
#define DWF_JSON_TEXT_H

#include "utils/jsonb.h"

/* A phrase for faults, as domo_type.h has them. */
#define DWF_NOT_UTF8	"it is not valid UTF-8"

/*
 * Reads JSON text, in the database's encoding, into *out, which may point into
 * a jsonb in the current memory context.  Returns NULL, or a phrase, palloc'd,
 * that says why jsonb cannot hold it: numbers beyond numeric, an escaped NUL,
 * half of a surrogate pair, what is no JSON.
 */
extern const char *dwf_json_text_read(char *text, JsonbValue *out);

/* The value that a jsonb is: what it points to is the jsonb's. */
extern void dwf_json_text_value(Jsonb *jsonb, JsonbValue *out);

/*
 * Whether what a value holds can be sent, which a database in SQL_ASCII may have
 * otherwise: all of its text is UTF-8.  Always, in one of another encoding.
 */
extern bool dwf_json_text_is_utf8(const JsonbValue *value);

#endif							/* DWF_JSON_TEXT_H */
