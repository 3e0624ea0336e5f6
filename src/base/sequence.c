/*
 * sequence.c
 *	  The next id, without a trace in the session.
 *
 * PostgreSQL's own way to a sequence's next value makes that sequence the one
 * of lastval(), which drivers and object mappers read after an INSERT to learn
 * the id of their row: with a trigger of ours on the table they took the id of
 * a request for it, or were refused it.  There is no way to put that back, so
 * the value is taken here, from the sequence's one page, under the same lock
 * and with the same WAL record, so that nextval() and setval() of others, a
 * crash, and a standby see what they would have seen.
 *
 * Values are logged ahead by some, as there: a crash may leave that many out,
 * and most of them cost no WAL.  A cache of a session's own is not kept: within
 * one order key ids follow the commits.
 */
#include "postgres.h"

#include "base/compat.h"
#include "base/sequence.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xloginsert.h"
#include "catalog/pg_sequence.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/bufpage.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* So many values are logged ahead. */
#define AHEAD	32

/* A sequence's page, pinned and locked. */
typedef struct Place
{
	Relation	rel;
	Buffer		buffer;
	HeapTupleData tuple;
	Form_pg_sequence_data data;
} Place;

static void open_place(Place *place, Oid sequence);
static void read_definition(Oid sequence, FormData_pg_sequence * definition);
static uint64 steps_left(const FormData_pg_sequence * definition, int64 value);
static bool has_to_log(const Place *place);
static void log_value(const Place *place, int64 value);

int64
dwf_sequence_next(Oid sequence)
{
	FormData_pg_sequence definition;
	Place		place;
	int64		value;
	int			ahead;
	bool		is_logged;

	open_place(&place, sequence);
	read_definition(sequence, &definition);
	is_logged = RelationNeedsWAL(place.rel);
	if (is_logged && !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		(void) GetTopTransactionId();	/* its commit flushes the record */

	LockBuffer(place.buffer, BUFFER_LOCK_EXCLUSIVE);
	value = place.data->last_value;
	if (place.data->is_called)
	{
		if (steps_left(&definition, value) == 0)
			ereport(ERROR,
					(errcode(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED),
					 errmsg("sequence \"%s\" has no value left",
							RelationGetRelationName(place.rel))));
		value += definition.seqincrement;
	}
	ahead = (int) Min(steps_left(&definition, value), AHEAD);
	if (!has_to_log(&place))
	{
		ahead = (int) place.data->log_cnt - 1;
		is_logged = false;
	}

	START_CRIT_SECTION();
	MarkBufferDirty(place.buffer);
	if (is_logged)
		log_value(&place, value + ahead * definition.seqincrement);
	place.data->last_value = value;
	place.data->is_called = true;
	place.data->log_cnt = ahead;
	END_CRIT_SECTION();

	UnlockReleaseBuffer(place.buffer);
	relation_close(place.rel, NoLock);
	return value;
}

bool
dwf_sequence_raise(Oid sequence, int64 value)
{
	FormData_pg_sequence definition;
	Place		place;
	int64		next;
	bool		raises;

	open_place(&place, sequence);
	read_definition(sequence, &definition);
	if (RelationNeedsWAL(place.rel))
		(void) GetTopTransactionId();

	LockBuffer(place.buffer, BUFFER_LOCK_EXCLUSIVE);
	next = place.data->last_value;
	if (place.data->is_called && steps_left(&definition, next) > 0)
		next += definition.seqincrement;
	raises = definition.seqincrement > 0 && next <= value &&
		value <= definition.seqmax - definition.seqincrement;
	if (raises)
	{
		START_CRIT_SECTION();
		MarkBufferDirty(place.buffer);
		place.data->last_value = value;
		place.data->is_called = true;
		place.data->log_cnt = 0;
		if (RelationNeedsWAL(place.rel))
			log_value(&place, value);
		END_CRIT_SECTION();
	}
	UnlockReleaseBuffer(place.buffer);
	relation_close(place.rel, NoLock);
	return raises;
}

/*
 * Opens the sequence, locked until the transaction ends as any other use of it
 * is, and pins its page; LockBuffer() is left to the caller, since a look into
 * a catalog does not belong under it.
 */
static void
open_place(Place *place, Oid sequence)
{
	Page		page;
	ItemId		item;

	place->rel = relation_open(sequence, RowExclusiveLock);
	place->buffer = ReadBuffer(place->rel, 0);
	page = BufferGetPage(place->buffer);
	item = PageGetItemId(page, FirstOffsetNumber);
	place->tuple.t_data = (HeapTupleHeader) PageGetItem(page, item);
	place->tuple.t_len = ItemIdGetLength(item);
	place->data = (Form_pg_sequence_data) GETSTRUCT(&place->tuple);
}

static void
read_definition(Oid sequence, FormData_pg_sequence * definition)
{
	HeapTuple	tuple = SearchSysCache1(SEQRELID, ObjectIdGetDatum(sequence));

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for sequence %u", sequence);
	memcpy(definition, GETSTRUCT(tuple), sizeof(*definition));
	ReleaseSysCache(tuple);
}

/* How many values follow; none after the last one, CYCLE or not. */
static uint64
steps_left(const FormData_pg_sequence * definition, int64 value)
{
	int64		step = definition->seqincrement;

	if (step > 0)
		return ((uint64) definition->seqmax - (uint64) value) / (uint64) step;
	return ((uint64) value - (uint64) definition->seqmin) /
		(UINT64CONST(0) - (uint64) step);
}

/*
 * Whether the next value is none that was logged ahead, or that record may lie
 * before a checkpoint, whose redo would not find it.
 */
static bool
has_to_log(const Place *place)
{
	return !place->data->is_called || place->data->log_cnt < 1 ||
		PageGetLSN(BufferGetPage(place->buffer)) <= GetRedoRecPtr();
}

/* Logs the page as if `value` had been the last one that was taken. */
static void
log_value(const Place *place, int64 value)
{
	xl_seq_rec	record;
	XLogRecPtr	end;

	place->data->last_value = value;
	place->data->is_called = true;
	place->data->log_cnt = 0;
	dwf_set_sequence_place(&record, place->rel);

	XLogBeginInsert();
	XLogRegisterBuffer(0, place->buffer, REGBUF_WILL_INIT);
	XLogRegisterData((char *) &record, sizeof(record));
	XLogRegisterData((char *) place->tuple.t_data, place->tuple.t_len);
	end = XLogInsert(RM_SEQ_ID, XLOG_SEQ_LOG);
	PageSetLSN(BufferGetPage(place->buffer), end);
}
