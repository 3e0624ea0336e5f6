/*
 * domowf.pml
 *	  The delivery of requests, as a model that spin looks through completely:
 *	  every order in which the steps below can happen, with a crash between any
 *	  two of them.  test/model/run builds each configuration, and each variant
 *	  with a fault put in, which spin has to find.
 *
 * Two requests with one order key.  What a step stands for, by its function:
 *
 *	client		dwf_enqueue_put() (queue/enqueue.c) and the COMMIT of whoever asks
 *	recover		recover_orphans() (worker/worker.c); under HOLD, a row that refuses to be
 *				held is not claimed (queue/hold.c)
 *	claim		dwf_claim_requests() (queue/claim.c), committed and waited for by
 *				write_turn() (worker/worker.c)
 *	send		dwf_sender_send() (worker/sender.c)
 *	settle		dwf_settlement_write() (queue/settlement.c); that a row refuses to
 *				be let go (queue/watch.c) only has it wait for longer
 *	give up		dwf_verdict_decide() (queue/verdict.c)
 *	refuse		dwf_verdict_refuse() (queue/verdict.c), and dwf_upkeep_expire()
 *				(queue/upkeep.c)
 *	person		domowf_retry() and domowf_resolve() (queue/control.c)
 *	key			dwf_key_take() (queue/key.c)
 *	domo		what the network and Domo can do
 *
 * A server's state is kept three times: as its sessions see it, as it is on its
 * disk, and as the standby has it.  WAL has an order, so what is on the disk or
 * on the standby is always an earlier state as a whole.
 *
 * Configurations: SYNC (a standby that commits wait for), ASYNC (one that they
 * do not wait for), neither; HOLD (domowf.after_promotion = hold); KEYS (both
 * requests have one key, and the second is not made); REPEAT (on_doubt = retry,
 * with two attempts, and a Domo that may reject).
 */

#define N 2
#ifndef CRASHES
#define CRASHES 1				/* of the server; and as many of the worker */
#endif
#define RETRIES 1				/* of a person */
#define REFUSALS 1				/* Domo says: not executed (a 429, say) */

#if defined(SYNC) || defined(ASYNC)
#define STANDBY
#endif

/* States of a request; and where a message is. */
#define NONE	0
#define QUEUED	1
#define SENDING	2
#define DOUBT	3
#define DONE	4
#define ENDED_UNDONE	5		/* rejected, or expired */

/* What came of an attempt. */
#define EXECUTED	1
#define REFUSED		2
#define REJECTED	3

typedef Rows {
	byte s[N];					/* of each request */
	byte owner[N];				/* claim that it was sent under */
#ifdef REPEAT
	bool used[N];				/* an attempt, which may have been executed */
#endif
	byte commits;				/* so many rows were enqueued */
	byte timeline				/* on which it was served (domowf.state) */
};

Rows now_, disk, standby;

bool up = true;					/* the postmaster lives */
bool dying;						/* it died, and its worker does not know yet */
bool promoted;					/* the standby has taken over; there is no other */
bool kill;						/* the worker is to die */
byte timeline;					/* of this server */

byte place[N];					/* order of the commits, from 1; 0: none */
bool is_open[N];				/* its transaction is under way */
bool acknowledged[N];			/* the client was told that it is committed */
bool rolled_back[N];
byte runs[N];					/* how often Domo executed it */
#ifdef REPEAT
byte may_run[N] = 2;			/* how often its owner said that it may be */
#else
byte may_run[N] = 1;
#endif
byte since[N];					/* claim with which its installation began */
bool resolved[N];				/* a person said that it is done */
byte claims;					/* how many there were */
byte retries, refusals, crashes, kills;

/* Messages under way, and replies: request, claim. */
chan wire = [2] of { byte, byte };
chan reply = [2] of { byte, byte, byte };

inline copy(to, from) {
	to.s[0] = from.s[0]; to.s[1] = from.s[1];
	to.owner[0] = from.owner[0]; to.owner[1] = from.owner[1];
	to.commits = from.commits;
#ifdef REPEAT
	to.used[0] = from.used[0]; to.used[1] = from.used[1];
#endif
#ifndef FORGETFUL
	to.timeline = from.timeline
#endif
}

#define SAME(a, b) (a.s[0] == b.s[0] && a.s[1] == b.s[1] && \
	a.owner[0] == b.owner[0] && a.owner[1] == b.owner[1] && \
	a.commits == b.commits && SAME_TIMELINE(a, b))

#ifdef FORGETFUL
#define SAME_TIMELINE(a, b) true
#else
#define SAME_TIMELINE(a, b) (a.timeline == b.timeline)
#endif

/* Whether all that was committed before is as safe as was asked for. */
#ifdef SYNC
#define SAFE (SAME(disk, now_) && (promoted || SAME(standby, now_)))
#else
#define SAFE SAME(disk, now_)
#endif

/* The request that has to be settled before this one goes. */
#define BEFORE(r) (now_.s[1 - r] != NONE && now_.s[1 - r] != DONE && \
	place[1 - r] < place[r])
#ifdef ORDER_EARLY
#undef BEFORE
#define BEFORE(r) (now_.s[1 - r] == QUEUED && place[1 - r] < place[r])
#endif

#define GOES(r) (now_.s[r] == QUEUED && !BEFORE(r))
#define ANY(state) (now_.s[0] == state || now_.s[1] == state)

/* What is in doubt; and what is refused, by Domo or because its time is over. */
inline doubt(r) {
#ifdef REPEAT
	now_.s[r] = (now_.used[r] -> DOUBT : QUEUED);
	now_.used[r] = true
#else
	now_.s[r] = DOUBT
#endif
}

#ifdef REPEAT
inline refuse(r) {
#ifdef DOUBT_FORGOTTEN
	now_.s[r] = ENDED_UNDONE
#else
	now_.s[r] = (now_.used[r] -> DOUBT : ENDED_UNDONE)
#endif
}
#endif

/* One session: it asks for a start, and commits or rolls back. */
proctype client(byte r) {
	bool found;

	/* the key, and the order key, are locked until the transaction ends */
	atomic {
#ifdef KEY_EARLY
		up && !dying;
#else
		up && !dying && !is_open[1 - r];
#endif
		/* who finds the key held gets that request, and makes none */
		found = now_.s[1 - r] != NONE;
		is_open[r] = true
	}
	if
	:: atomic {
			rolled_back[r] = true;
			is_open[r] = false
		}
	:: atomic {
			up && !dying;
#ifdef KEYS
			if
			:: found ->
				is_open[r] = false;
				goto end
			:: else
			fi;
#endif
			now_.s[r] = QUEUED;
			now_.commits++;
			place[r] = now_.commits;
			is_open[r] = false
		}
		/* the server may die first: then the client is told nothing */
		if
		:: atomic { up && SAFE && now_.s[r] != NONE -> acknowledged[r] = true }
		:: dying || !up || crashes > 0
		fi
	:: atomic { dying || !up || crashes > 0 -> is_open[r] = false }
	fi;
end:
	skip
}

/* Writes to the disk and sends to the standby, as often and late as it likes. */
proctype wal() {
end:
	do
	:: atomic { up && !SAME(disk, now_) -> copy(disk, now_) }
#ifdef STANDBY
	:: atomic { up && !dying && !promoted && !SAME(standby, disk) ->
		copy(standby, disk) }
#endif
	od
}

/* Domo, and the network on the way there and back. */
proctype domo() {
	byte r, c;
end:
	do
	:: wire ? r, c ->
		if
		:: atomic {
				runs[r] = runs[r] + (c > since[r] -> 1 : 0);
				assert(runs[r] <= may_run[r]);
				assert(!rolled_back[r])
			}
			if
			:: reply ! r, c, EXECUTED
			:: skip			/* the reply is lost */
			fi
		:: refusals < REFUSALS -> atomic { refusals++; reply ! r, c, REFUSED }
#ifdef REPEAT
		:: reply ! r, c, REJECTED
#endif
		:: skip				/* the message is lost */
		fi
	od
}

inline settle(r, c, what) {
	atomic {
		if
#ifdef NO_OWNER
		:: now_.s[r] == SENDING ->
#else
		:: now_.s[r] == SENDING && now_.owner[r] == c ->
#endif
			if
			:: what == EXECUTED -> now_.s[r] = DONE
			:: what == REFUSED -> now_.s[r] = QUEUED
#ifdef REPEAT
			:: what == REJECTED -> refuse(r)
#endif
			fi
		:: else				/* it is another claim's by now: dropped */
		fi
	}
}

inline send(r) {
	atomic {
		assert(place[1 - r] == 0 || place[1 - r] > place[r] ||
			now_.s[1 - r] == DONE || now_.s[1 - r] == NONE);
		wire ! r, now_.owner[r]
	}
}

/* The worker: one for a database, whatever dies. */
proctype worker() {
	byte r, c, what, mine;

start:
	{
		do
		/* recovery: what somebody was sending is in doubt */
		:: atomic {
				up && !dying ->
				mine = claims + 1;
				r = 0;
				do
				:: r < N ->
					if
#ifdef RECOVER_QUEUED
					:: now_.s[r] == SENDING -> now_.s[r] = QUEUED
#else
					:: now_.s[r] == SENDING -> doubt(r)
#endif
#ifdef HOLD
					:: now_.s[r] == QUEUED && now_.timeline != timeline -> now_.s[r] = DOUBT
#endif
					:: else
					fi;
					r++
				:: r == N -> break
				od;
				now_.timeline = timeline;
				r = 0
			}
			break
		od;
		do
		:: atomic {
				up && !dying && (GOES(0) || GOES(1));
				if
				:: GOES(0) -> r = 0
				:: GOES(1) -> r = 1
				fi;
				claims++;
				now_.s[r] = SENDING;
				now_.owner[r] = claims
			}
#ifdef SEND_FIRST
			send(r);
#endif
			/* the claim is waited for; who is told to end ends here */
			if
			:: SAFE
#ifdef WAIT_ENDS
			:: dying
#endif
			fi;
#ifndef SEND_FIRST
			send(r)
#endif
		:: reply ? r, c, what ->
			if
			:: c >= mine && up && !dying -> settle(r, c, what)
			:: else
			fi
		:: atomic {			/* its time is over */
				up && !dying && ANY(SENDING);
				if
				:: now_.s[0] == SENDING -> doubt(0)
				:: now_.s[1] == SENDING -> doubt(1)
				fi
			}
#ifdef REPEAT
		:: atomic {			/* it expires */
				up && !dying && now_.s[0] == QUEUED;
				refuse(0)
			}
#endif
		od
	} unless { atomic { kill -> kill = false } };
	goto start
}

/* Worker, server and machine die; a manager starts one again. */
proctype chaos() {
	do
	:: atomic { up && kills < CRASHES -> kills++; kill = true } !kill
	:: atomic { up && crashes < CRASHES -> crashes++; dying = true }
		/* the worker goes on until it notices */
		atomic { kill = true }
		atomic { !kill -> up = false; dying = false }
#ifdef STANDBY
		if
		:: !promoted -> atomic {
				promoted = true;
				copy(disk, standby);
				timeline++
			}
		:: skip
		fi;
#endif
		atomic { copy(now_, disk); up = true }
	:: break
	od
}

/* Somebody who settles what is in doubt, once he has looked in Domo. */
proctype person() {
	do
	:: atomic { up && !dying && retries < RETRIES && ANY(DOUBT) ->
			if
			:: now_.s[0] == DOUBT -> may_run[0]++; now_.s[0] = QUEUED
			:: now_.s[1] == DOUBT -> may_run[1]++; now_.s[1] = QUEUED
			fi;
			retries++
		}
	:: atomic { up && !dying && ANY(DOUBT) ->
			if
			:: now_.s[0] == DOUBT -> now_.s[0] = DONE; resolved[0] = true
			:: now_.s[1] == DOUBT -> now_.s[1] = DONE; resolved[1] = true
			fi
		}
	:: break
	od
}

#ifdef REINSTALL
/* DROP EXTENSION, CREATE EXTENSION, and a request that gets the same id. */
proctype reinstall() {
	atomic { up && !dying && (now_.s[0] == SENDING || now_.s[0] == DOUBT) ->
		now_.s[0] = QUEUED;
		now_.owner[0] = 0;
		since[0] = claims;
		runs[0] = 0;
		may_run[0] = 1
	}
}
#endif

#ifdef AGE
/* Something that takes what has been sending for long for a dead one's. */
proctype age() {
	do
	:: atomic { up && !dying && ANY(SENDING) ->
			if
			:: now_.s[0] == SENDING -> now_.s[0] = QUEUED
			:: now_.s[1] == SENDING -> now_.s[1] = QUEUED
			fi
		}
	:: break
	od
}
#endif

/* Settled, in doubt, or behind one that is in doubt. */
#define ENDED(r) (now_.s[r] != SENDING && \
	(now_.s[r] != QUEUED || (BEFORE(r) && now_.s[1 - r] == DOUBT)))

/* When nothing can happen any more, all that was committed is settled or in doubt. */
proctype judge() {
	timeout;
#ifndef ASYNC
	assert(!acknowledged[0] || now_.s[0] != NONE);
	assert(!acknowledged[1] || now_.s[1] != NONE);
#endif
	assert(ENDED(0) && ENDED(1));
	assert(up);
	/* what is done was done */
	assert(now_.s[0] != DONE || runs[0] > 0 || resolved[0]);
	assert(now_.s[1] != DONE || runs[1] > 0 || resolved[1]);
	/* what is rejected or expired was not */
	assert(now_.s[0] != ENDED_UNDONE || runs[0] == 0);
	assert(now_.s[1] != ENDED_UNDONE || runs[1] == 0);
#ifdef KEYS
	assert(place[0] == 0 || place[1] == 0 || crashes > 0);
#endif
}

init {
	atomic {
		run client(0);
#ifdef TWO
		run client(1);
#endif
		run wal(); run domo(); run worker(); run chaos(); run judge();
#ifdef PERSON
		run person();
#endif
#ifdef REINSTALL
		run reinstall();
#endif
#ifdef AGE
		run age();
#endif
	}
}
