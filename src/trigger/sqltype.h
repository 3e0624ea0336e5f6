/*
 * sqltype.h
 *	  SQL types: what JSON their values are, and which of Domo's types they have
 *	  a place in.
 */
#ifndef DWF_SQLTYPE_H
#define DWF_SQLTYPE_H

#include "registry/input.h"

#include "fmgr.h"
#include "utils/jsonb.h"

/* SQL types by what becomes of their values in JSON. */
typedef enum DwfSqlKind
{
	DWF_SQL_BOOLEAN,
	DWF_SQL_INTEGER,			/* smallint, integer, bigint */
	DWF_SQL_NUMERIC,
	DWF_SQL_FLOAT,				/* real, double precision */
	DWF_SQL_DATE,
	DWF_SQL_TIME,
	DWF_SQL_TIMETZ,
	DWF_SQL_TIMESTAMP,
	DWF_SQL_TIMESTAMPTZ,
	DWF_SQL_INTERVAL,
	DWF_SQL_TEXT,				/* what has the form of text in memory */
	DWF_SQL_OTHER,				/* a string, by its output function */
	DWF_SQL_JSON,				/* text that holds JSON */
	DWF_SQL_JSONB,
	DWF_SQL_CAST,				/* has a cast to json or jsonb */
	DWF_SQL_COMPOSITE,
	DWF_SQL_ARRAY
} DwfSqlKind;

/*
 * A type that is no domain.  Kept from one value to the next, and found again by
 * what a value's cast runs; so it has no state of code that may come back to it: an
 * output function is a superuser's, in C, a cast anybody's, in any language.
 */
typedef struct DwfSqlType
{
	Oid			oid;
	DwfSqlKind	kind;
	int			max_digits;		/* of a numeric; 0: no bound */
	FmgrInfo	output;
	bool		is_pinned;		/* the output depends on settings */
	Oid			cast;			/* function; DWF_SQL_CAST */
	Oid			cast_to;		/* json or jsonb */
} DwfSqlType;

/*
 * Looks a type up, of a domain what it is over.  What it needs besides is
 * allocated in the current memory context.
 */
extern void dwf_sqltype_find(Oid oid, int32 typmod, DwfSqlType *type);

/* Whether what a value holds, and not its type, decides what JSON it is. */
extern bool dwf_sqltype_holds_json(const DwfSqlType *type);

/*
 * Whether values, but of types that hold JSON, have a place in one of Domo's
 * types, where they are not out of its range or form.
 */
extern bool dwf_sqltype_fits(const DwfSqlType *type, DwfInputType input);

/* Domo's type where none is declared; no use for an array. */
extern DwfInputType dwf_sqltype_natural(const DwfSqlType *type);

/*
 * Sets *out to the JSON of a value that is no array and no composite.  Returns
 * NULL, or a constant phrase that says why it has none ("it is infinite").
 * `as_integer`: a numeric with a fraction has none; zeros after the point are
 * left out.  May point into the value; the rest is palloc'd.
 */
extern const char *dwf_sqltype_form(const DwfSqlType *type, bool as_integer,
									Datum value, JsonbValue *out);

/*
 * A value for people to read, palloc'd: as its output function shows it,
 * whatever the settings, but a boolean as in JSON.
 */
extern char *dwf_sqltype_show(const DwfSqlType *type, Datum value);

/* Whether that would be a string in JSON. */
extern bool dwf_sqltype_is_string(const DwfSqlType *type);

#endif							/* DWF_SQLTYPE_H */
