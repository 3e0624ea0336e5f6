/*
 * halves.h
 *	  What is done to many rows, of which some may be refused for what they hold.
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
 * Does it to all rows at once; where one is refused, to one half and then the
 * other, down to those that are refused alone, which are passed by: few among many
 * cost few tries.  Returns false where `refused` has.  Raises what is no row's
 * fault.
 */
extern bool dwf_halves_do(const DwfHalves *halves, const int64 *ids, int count);

#endif							/* DWF_HALVES_H */
