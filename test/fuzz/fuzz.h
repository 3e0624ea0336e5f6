/*
 * fuzz.h
 *	  What the fuzz targets share: a check that stays in every build, and input
 *	  that ends where its memory ends.
 */
#ifndef DWF_FUZZ_H
#define DWF_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libFuzzer keeps the input of a run that aborts. */
#define REQUIRE(condition) \
	((condition) ? (void) 0 : \
	 (fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition), \
	  abort()))

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy that ends where its memory ends, for AddressSanitizer. */
static char *
copy_exactly(const uint8_t *data, size_t size)
{
	char	   *copy = malloc(size);

	REQUIRE(size == 0 || copy != NULL);
	if (size > 0)
		memcpy(copy, data, size);
	return copy;
}

#endif							/* DWF_FUZZ_H */
