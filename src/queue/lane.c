/*
 * lane.c
 *	  The lane of a request: what rests by itself when it fails, and takes turns
 *	  with others.
 *
 * A lane is (destination, requester, workflow or operation).  It is a number,
 * so that an index on (lane, due, id) finds what is due of one whatever the
 * queue holds.  The role is half of it, the rest a hash: two lanes that meet in
 * it are one role's, who harms nobody else with that; and the lanes of a role
 * are neighbours in the index.  Its last bit tells whether it has a server, so
 * that most lanes need no look at where they go.
 *
 * The update script computes the same for the rows of 1.0.
 */
#include "postgres.h"

#include "base/columns.h"
#include "queue/lane.h"

#include "common/hashfn.h"
#include "utils/builtins.h"

#define HAS_SERVER	UINT32_C(1)

int64
dwf_lane_id(Oid role, const char *operation, const char *workflow,
			const DwfDestination *to)
{
	char	   *name = workflow != NULL ? psprintf("workflow:%s", workflow) :
	psprintf("operation:%s", operation);
	uint32		hash = hash_bytes((const unsigned char *) name, strlen(name));

	pfree(name);
	hash &= ~HAS_SERVER;
	if (NameStr(to->server)[0] != '\0')
	{
		name = psprintf("%u:%u:%s", to->owner, to->role, NameStr(to->server));
		hash = hash_combine(hash, hash_bytes((const unsigned char *) name,
											 strlen(name))) | HAS_SERVER;
		pfree(name);
	}
	return (int64) ((uint64) role << 32 | hash);
}

bool
dwf_lane_has_server(int64 lane)
{
	return (lane & HAS_SERVER) != 0;
}

void
dwf_lane_read_destination(const DwfTable *queue, DwfDestination *to)
{
	memset(to, 0, sizeof(*to));
	if (queue->nulls[QUEUE_SERVER])
		return;
	namestrcpy(&to->server, NameStr(*DatumGetName(queue->values[QUEUE_SERVER])));
	if (!queue->nulls[QUEUE_SERVER_OWNER])
		to->owner = DatumGetObjectId(queue->values[QUEUE_SERVER_OWNER]);
	if (!queue->nulls[QUEUE_SERVER_ROLE])
		to->role = DatumGetObjectId(queue->values[QUEUE_SERVER_ROLE]);
}

bool
dwf_lane_same_destination(const DwfDestination *a, const DwfDestination *b)
{
	return a->owner == b->owner && a->role == b->role &&
		strcmp(NameStr(a->server), NameStr(b->server)) == 0;
}
