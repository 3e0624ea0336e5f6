/*
 * token.h
 *	  What may be a token.
 */
#ifndef DWF_TOKEN_H
#define DWF_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Whether these bytes are a token: visible ASCII characters, without white
 * space, so that in a header it is all of one line and nothing else.
 */
extern bool dwf_token_is_one(const char *text, size_t len);

/*
 * Cuts off the newline that ends a file's text, which has room for a NUL behind
 * it, and returns the length of what is left.
 */
extern size_t dwf_token_cut(char *text, size_t len);

#endif							/* DWF_TOKEN_H */
