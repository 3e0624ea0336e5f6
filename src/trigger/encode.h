/*
 * encode.h
 *	  SQL values as the JSON that Domo takes, by the declared type of an input
 *	  (src/domo/README.md, "Input types").
 */
#ifndef DWF_ENCODE_H
#define DWF_ENCODE_H

#include "base/compat.h"
#include "registry/input.h"

#include "utils/jsonb.h"

/*
 * How values of one SQL type become JSON.  Prepared once for a column, used
 * for each row.  Read only; it lives in the memory context in which it was
 * prepared, and must have been used up before its type is dropped.
 */
typedef struct DwfEncoder DwfEncoder;

/* Data in the making.  Begin zeroed, but for a parse state that is open. */
typedef struct DwfEncoding
{
	DwfJsonbState json;
	DwfInputFaults faults;
	/* Bounds of how long the text of all that was pushed is, in bytes. */
	uint64		at_least;
	uint64		at_most;		/* UINT64_MAX: not known */
} DwfEncoding;

/*
 * Prepares for a type, domains included, with its typmod.  `declared` is the
 * input's declaration, or NULL: then a value becomes the JSON that is natural
 * for its type, and `name` stands for the input where something is wrong.
 * `is_element`: the values are those of a list, one by one.
 *
 * A type that has no place in the declared one is no error here: each value
 * of it will be a fault.
 */
extern DwfEncoder *dwf_encode_prepare(Oid type, int32 typmod,
									  const char *name,
									  const DwfInput *declared,
									  bool is_element);

/*
 * Pushes a value as `token` (WJB_VALUE or WJB_ELEM).  `element` is its number
 * in the list, counted from 1, or 0.  What does not fit is noted, and null is
 * pushed in its place.  What is pushed may point into the value, which has to
 * live on until the jsonb is made; the rest is in the current memory context.
 */
extern void dwf_encode_push(const DwfEncoder *encoder, DwfEncoding *encoding,
							JsonbIteratorToken token, int element,
							Datum value, bool isnull);

/* Pushes the name of an input, or of a member of an object. */
extern void dwf_encode_push_key(DwfEncoding *encoding, const char *name);

/* Pushes a constant, `len` bytes as JSON, as WJB_VALUE. */
extern void dwf_encode_push_constant(DwfEncoding *encoding,
									 const JsonbValue *value, uint64 len);

/*
 * A value as the text of an input that was declared to be text, palloc'd;
 * NULL where it is null, or does not fit, which is noted.
 */
extern char *dwf_encode_text(const DwfEncoder *encoder,
							 DwfInputFaults *faults, Datum value,
							 bool isnull);

#endif							/* DWF_ENCODE_H */
