/*
 * halves.h
 *	  What is done to many rows, of which some may fail.
 */
#ifndef DWF_HALVES_H
#define DWF_HALVES_H

typedef struct DwfHalves
{
	/* what is done to the rows, in a subtransaction (apart.h) */
	void		(*work) (void *arg, const int64 *ids, int count);

	/* told of each that is refused; false: the rest is left as it is */
	bool		(*refused) (void *arg, int64 id, const ErrorData *error);
	void	   *arg;
} DwfHalves;

/*
 * Does it to all rows at once; where that fails, to one half and then the other,
 * down to those that fail alone, for whatever it is, which are passed by: few among
 * many cost few tries.  Returns false where `refused` has.  Raises what every row
 * meets (apart.h).  In a background process.
 */
extern bool dwf_halves_do(const DwfHalves *halves, const int64 *ids, int count);

#endif							/* DWF_HALVES_H */
