/*
 * key.h
 *	  Keys: who asks for the same thing twice gets the request that is there.
 */
#ifndef DWF_KEY_H
#define DWF_KEY_H

#include "queue/request.h"

/*
 * Takes a request's key for it, as `id`.  Returns that, or the id of the
 * request that has the key already and that whoever asks may see.  Waits for
 * a transaction under way that has taken it; 40001 where this one cannot see
 * what that one did, 23505 where the holder is none of the asker's business.
 */
extern int64 dwf_key_take(const DwfEnqueue *request, int64 id);

#endif							/* DWF_KEY_H */
