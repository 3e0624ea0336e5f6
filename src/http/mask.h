/*
 * mask.h
 *	  Takes a token out of what was received, in whatever way it is written
 *	  there.
 *
 * Pure: no PostgreSQL, no globals.
 */
#ifndef DWF_MASK_H
#define DWF_MASK_H

#include <stdbool.h>
#include <stddef.h>

/* A token and the ways to write it; `text` has them all. */
typedef struct DwfNeedle
{
	size_t		offset;
	size_t		len;
	size_t		min_cut;		/* so much of its beginning is worth hiding */
	bool		shares_first;	/* a base64 digit before it holds some bits
								 * ... */
	bool		shares_last;	/* ... or one behind it */
} DwfNeedle;

#define DWF_MAX_NEEDLES	7

typedef struct DwfMask
{
	bool		is_number;		/* it can stand in JSON as a number */
	bool		has_escape;		/* it has what reads as an escape */
	int			count;
	DwfNeedle	needles[DWF_MAX_NEEDLES];
	char		text[];
} DwfMask;

/* Bytes that a mask for a token of this length takes. */
extern size_t dwf_mask_size(size_t token_len);

/* Makes a mask for a token of visible ASCII characters, not empty. */
extern void dwf_mask_init(DwfMask *mask, const char *token);

/*
 * Puts stars, as many as there were bytes, in the place of the token: as it
 * stands, with any of its characters as an escape of JSON, of URLs (%41) or of
 * HTML (&#65;, &amp;), escaped twice, also where it has in itself what reads
 * as an escape, and in base64 of both alphabets at any
 * place of what was encoded.  Also in place of its beginning at the end of a
 * text, which may be cut off there.  What was valid JSON stays valid: only
 * the insides of strings get stars; the digits of a number that holds the
 * token become ones.  Takes time and memory in proportion to the text; where
 * memory is short, all of it becomes stars.
 */
extern void dwf_mask_text(const DwfMask *mask, char *text, size_t len);

#endif							/* DWF_MASK_H */
