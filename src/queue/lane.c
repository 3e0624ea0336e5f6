/*
 * lane.c
 *	  The lane of a request: what rests by itself when it fails, and takes turns
 *	  with others.
 *
 * A lane is (server, requester, workflow or operation); there are no servers
 * yet, and their name will go into the hash.  It is a number, so that an index
 * on (lane, due, id) finds what is due of one whatever the queue holds.  The
 * role is half of it, the rest a hash: two lanes that meet in it are one
 * role's, who harms nobody else with that; and the lanes of a role are
 * neighbours in the index.
 *
 * The update script computes the same for the rows of 1.0.
 */
#include "postgres.h"

#include "queue/lane.h"

#include "common/hashfn.h"

int64
dwf_lane_id(Oid role, const char *operation, const char *workflow)
{
	char	   *name = workflow != NULL ? psprintf("workflow:%s", workflow) :
	psprintf("operation:%s", operation);
	uint32		hash = hash_bytes((const unsigned char *) name, strlen(name));

	pfree(name);
	return (int64) ((uint64) role << 32 | hash);
}
