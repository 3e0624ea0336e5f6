/*
 * compat.h
 *	  What differs between PostgreSQL versions; the only place that asks which
 *	  one it is.
 */
#ifndef DWF_COMPAT_H
#define DWF_COMPAT_H

#include "replication/walsender_private.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif
#if PG_VERSION_NUM >= 180000
#include "storage/waiteventset.h"
#endif
#include "commands/dbcommands.h"
#include "commands/sequence.h"
#if PG_VERSION_NUM >= 190000
#include "commands/sequence_xlog.h"
#include "utils/lsyscache.h"
#endif

/* A setting's `extra` belongs to the GUC machinery, which frees it so. */
#if PG_VERSION_NUM >= 160000
#define dwf_guc_alloc(size)		guc_malloc(LOG, (size))
#define dwf_guc_free(pointer)	guc_free(pointer)
#define dwf_guc_strdup(text)	guc_strdup(LOG, (text))
#else
#define dwf_guc_alloc(size)		malloc(size)
#define dwf_guc_free(pointer)	free(pointer)
#define dwf_guc_strdup(text)	strdup(text)
#endif

/* All settings, and how many (an int *).  utils/guc_tables.h declares them. */
#if PG_VERSION_NUM >= 160000
#define dwf_guc_variables(count)	get_guc_variables(count)
#else
#define dwf_guc_variables(count) \
	(*(count) = GetNumConfigOptions(), get_guc_variables())
#endif

/* What is kept of a setting that is a text. */
#if PG_VERSION_NUM >= 190000
#define dwf_guc_string(generic)	(&(generic)->_string)
#else
#define dwf_guc_string(generic)	((struct config_string *) (generic))
#endif

/* Whether a DROP DATABASE was not interrupted. */
#if PG_VERSION_NUM >= 150004
#define dwf_database_is_valid(form)	\
	((form)->datconnlimit != DATCONNLIMIT_INVALID_DB)
#else
#define dwf_database_is_valid(form)	true
#endif

/* Whether a role owns a database, or is a superuser. */
#if PG_VERSION_NUM >= 160000
#define dwf_owns_database(database, role) \
	object_ownercheck(DatabaseRelationId, (database), (role))
#else
#define dwf_owns_database(database, role) \
	pg_database_ownercheck((database), (role))
#endif

/*
 * Since 19 PostgreSQL ends a worker that allows it, where its database is to
 * be dropped, renamed, moved to a tablespace or copied (evict.c).
 */
#if PG_VERSION_NUM >= 190000
#define DWF_BGWORKER_INTERRUPTIBLE	BGWORKER_INTERRUPTIBLE
#else
#define DWF_BGWORKER_INTERRUPTIBLE	0
#endif

/* A signal handler's arguments, handed on: since 19 with who sent it. */
#if PG_VERSION_NUM >= 190000
#define DWF_SIGNAL_PASS	postgres_signal_arg, pg_siginfo
#else
#define DWF_SIGNAL_PASS	postgres_signal_arg
#endif

/*
 * A jsonb in the making, zeroed to begin with, to be given to pushJsonbValue();
 * and what is made of it by its outermost end.
 */
#if PG_VERSION_NUM >= 190000
typedef struct JsonbInState DwfJsonbState;
#define dwf_end_jsonb(state, token) \
	(pushJsonbValue((state), (token), NULL), (state)->result)
#else
typedef struct JsonbParseState *DwfJsonbState;
#define dwf_end_jsonb(state, token)	pushJsonbValue((state), (token), NULL)
#endif

/* Whether a role may execute a function. */
#if PG_VERSION_NUM >= 160000
#define dwf_may_execute(function, role) \
	(object_aclcheck(ProcedureRelationId, (function), (role), ACL_EXECUTE) == \
	 ACLCHECK_OK)
#else
#define dwf_may_execute(function, role) \
	(pg_proc_aclcheck((function), (role), ACL_EXECUTE) == ACLCHECK_OK)
#endif

/* Whether a role may use a foreign server. */
#if PG_VERSION_NUM >= 160000
#define dwf_may_use_server(server, role) \
	(object_aclcheck(ForeignServerRelationId, (server), (role), ACL_USAGE) == \
	 ACLCHECK_OK)
#else
#define dwf_may_use_server(server, role) \
	(pg_foreign_server_aclcheck((server), (role), ACL_USAGE) == ACLCHECK_OK)
#endif

/* Whether a role is another one, may SET ROLE to it, or is a superuser. */
#if PG_VERSION_NUM >= 160000
#define dwf_may_become(role, other)	member_can_set_role((role), (other))
#else
#define dwf_may_become(role, other)	is_member_of_role((role), (other))
#endif

/* Since 17 an interval can be infinite. */
#if PG_VERSION_NUM >= 170000
#define dwf_interval_is_infinite(interval)	INTERVAL_NOT_FINITE(interval)
#else
#define dwf_interval_is_infinite(interval)	false
#endif

/* Since 17 what a MERGE joins by stands by itself. */
#if PG_VERSION_NUM >= 170000
#define dwf_merge_condition(query)	((query)->mergeJoinCondition)
#else
#define dwf_merge_condition(query)	((Node *) NULL)
#endif

/* Since 18 a generated column may be virtual: a trigger has no value of it. */
#if PG_VERSION_NUM >= 180000
#define dwf_is_virtual(attribute) \
	((attribute)->attgenerated == ATTRIBUTE_GENERATED_VIRTUAL)
#else
#define dwf_is_virtual(attribute)	false
#endif

/* PostgreSQL 18 has the attribute as C11 has it, before the declaration. */
#ifndef pg_attribute_noreturn
#define pg_attribute_noreturn()	__attribute__((noreturn))
#endif

/* The number of this backend's transaction among its own. */
#if PG_VERSION_NUM >= 170000
#define dwf_my_lxid()	(MyProc->vxid.lxid)
#else
#define dwf_my_lxid()	(MyProc->lxid)
#endif

/* A hash table in shared memory, with room for so many entries from the start. */
#if PG_VERSION_NUM >= 190000
#define dwf_shmem_init_hash(name, nelems, control, flags) \
	ShmemInitHash((name), (nelems), (control), (flags))
#else
#define dwf_shmem_init_hash(name, nelems, control, flags) \
	ShmemInitHash((name), (nelems), (nelems), (control), (flags))
#endif

/* Which file a sequence's WAL record is about. */
#if PG_VERSION_NUM >= 160000
#define dwf_set_sequence_place(record, rel) \
	((record)->locator = (rel)->rd_locator)
#else
#define dwf_set_sequence_place(record, rel) \
	((record)->node = (rel)->rd_node)
#endif

/* A wait event set that lives as long as the process. */
#if PG_VERSION_NUM >= 170000
#define dwf_create_wait_set(count)	CreateWaitEventSet(NULL, (count))
#else
#define dwf_create_wait_set(count) \
	CreateWaitEventSet(TopMemoryContext, (count))
#endif

/*
 * Wait events shown in pg_stat_activity: for Domo, for work, for a
 * request's outcome (domowf_wait()), and the launcher's.
 */
#if PG_VERSION_NUM >= 170000
#define dwf_wait_event_http()	WaitEventExtensionNew("DomowfHttp")
#define dwf_wait_event_main()	WaitEventExtensionNew("DomowfMain")
#define dwf_wait_event_request()	WaitEventExtensionNew("DomowfRequest")
#define dwf_wait_event_launcher()	WaitEventExtensionNew("DomowfLauncher")
#else
#define dwf_wait_event_http()	PG_WAIT_EXTENSION
#define dwf_wait_event_main()	PG_WAIT_EXTENSION
#define dwf_wait_event_request()	PG_WAIT_EXTENSION
#define dwf_wait_event_launcher()	PG_WAIT_EXTENSION
#endif

/*
 * Whether commits have to wait for standbys, as shared memory has it.  Minor
 * versions before those of 2025 have a boolean there.
 */
#ifdef SYNC_STANDBY_DEFINED
#define dwf_standbys_are_named() \
	((WalSndCtl->sync_standbys_status & SYNC_STANDBY_DEFINED) != 0)
#else
#define dwf_standbys_are_named()	(WalSndCtl->sync_standbys_defined)
#endif

/*
 * What an index keeps from one insertion to the next is let go, where pages are
 * among it; then so is the memory of it (ii_Context).
 */
#if PG_VERSION_NUM >= 170000
#define DWF_INDEX_KEEPS_PAGES	true
#define dwf_index_let_go(index, info) \
	do { \
		index_insert_cleanup((index), (info)); \
		(info)->ii_AmCache = NULL; \
	} while (0)
#else
#define DWF_INDEX_KEEPS_PAGES	false
#define dwf_index_let_go(index, info)	((void) 0)
#endif

/* What a hook of ExecutorRun() gets, and what it passes on. */
#if PG_VERSION_NUM >= 180000
#define DWF_RUN_PARAMETERS \
	QueryDesc *query, ScanDirection direction, uint64 count
#define DWF_RUN_ARGUMENTS		query, direction, count
#else
#define DWF_RUN_PARAMETERS \
	QueryDesc *query, ScanDirection direction, uint64 count, bool once
#define DWF_RUN_ARGUMENTS		query, direction, count, once
#endif

/* A path over a foreign table of one row. */
#if PG_VERSION_NUM >= 180000
#define dwf_create_foreignscan_path(root, rel) \
	create_foreignscan_path((root), (rel), NULL, 1, 0, 0, 1, NIL, NULL, NULL, \
							NIL, NIL)
#elif PG_VERSION_NUM >= 170000
#define dwf_create_foreignscan_path(root, rel) \
	create_foreignscan_path((root), (rel), NULL, 1, 0, 1, NIL, NULL, NULL, \
							NIL, NIL)
#else
#define dwf_create_foreignscan_path(root, rel) \
	create_foreignscan_path((root), (rel), NULL, 1, 0, 1, NIL, NULL, NULL, NIL)
#endif

/*
 * Entries in all indexes of a row that was just inserted; `may_conflict`: put
 * into *conflict (a bool *) whether a unique index has one like it.
 */
#if PG_VERSION_NUM >= 190000
#define dwf_insert_index_tuples(target, slot, estate, may_conflict, conflict) \
	ExecInsertIndexTuples((target), (estate), \
						  (may_conflict) ? EIIT_NO_DUPE_ERROR : 0, (slot), \
						  NIL, (conflict))
#elif PG_VERSION_NUM >= 160000
#define dwf_insert_index_tuples(target, slot, estate, may_conflict, conflict) \
	ExecInsertIndexTuples((target), (slot), (estate), false, (may_conflict), \
						  (conflict), NIL, false)
#else
#define dwf_insert_index_tuples(target, slot, estate, may_conflict, conflict) \
	ExecInsertIndexTuples((target), (slot), (estate), false, (may_conflict), \
						  (conflict), NIL)
#endif

/* The same for a row that was just updated, as table_tuple_update() says. */
#if PG_VERSION_NUM >= 190000
#define DwfUpdatedIndexes		TU_UpdateIndexes
#define dwf_update_index_tuples(target, slot, estate, updated) \
	do { \
		if ((updated) != TU_None) \
			list_free(ExecInsertIndexTuples((target), (estate), \
											EIIT_IS_UPDATE | \
											((updated) == TU_Summarizing ? \
											 EIIT_ONLY_SUMMARIZING : 0), \
											(slot), NIL, NULL)); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define DwfUpdatedIndexes		TU_UpdateIndexes
#define dwf_update_index_tuples(target, slot, estate, updated) \
	do { \
		if ((updated) != TU_None) \
			list_free(ExecInsertIndexTuples((target), (slot), (estate), true, \
											false, NULL, NIL, \
											(updated) == TU_Summarizing)); \
	} while (0)
#else
#define DwfUpdatedIndexes		bool
#define dwf_update_index_tuples(target, slot, estate, updated) \
	do { \
		if (updated) \
			list_free(ExecInsertIndexTuples((target), (slot), (estate), true, \
											false, NULL, NIL)); \
	} while (0)
#endif

/* Updates or deletes the row at *tid, waiting for who has locked it. */
#if PG_VERSION_NUM >= 190000
#define dwf_tuple_update(rel, tid, slot, cid, snapshot, failure, mode, updated) \
	table_tuple_update((rel), (tid), (slot), (cid), 0, (snapshot), \
					   InvalidSnapshot, true, (failure), (mode), (updated))
#define dwf_tuple_delete(rel, tid, cid, snapshot, failure) \
	table_tuple_delete((rel), (tid), (cid), 0, (snapshot), InvalidSnapshot, \
					   true, (failure))
#else
#define dwf_tuple_update(rel, tid, slot, cid, snapshot, failure, mode, updated) \
	table_tuple_update((rel), (tid), (slot), (cid), (snapshot), \
					   InvalidSnapshot, true, (failure), (mode), (updated))
#define dwf_tuple_delete(rel, tid, cid, snapshot, failure) \
	table_tuple_delete((rel), (tid), (cid), (snapshot), InvalidSnapshot, true, \
					   (failure), false)
#endif

/*
 * A range table of one relation, whose entry is made, for an EState; and which
 * of its columns are set.
 */
#if PG_VERSION_NUM >= 180000
#define dwf_init_range_table(estate, entry) \
	do { \
		List	   *permissions = NIL; \
		(void) addRTEPermissionInfo(&permissions, (entry)); \
		ExecInitRangeTable((estate), list_make1(entry), permissions, NULL); \
	} while (0)
#elif PG_VERSION_NUM >= 160000
#define dwf_init_range_table(estate, entry) \
	do { \
		List	   *permissions = NIL; \
		(void) addRTEPermissionInfo(&permissions, (entry)); \
		ExecInitRangeTable((estate), list_make1(entry), permissions); \
	} while (0)
#else
#define dwf_init_range_table(estate, entry) \
	ExecInitRangeTable((estate), list_make1(entry))
#endif
#if PG_VERSION_NUM >= 160000
#define dwf_set_updated_columns(estate, columns) \
	(((RTEPermissionInfo *) linitial((estate)->es_rteperminfos))->updatedCols = \
	 (columns))
#else
#define dwf_set_updated_columns(estate, columns) \
	(((RangeTblEntry *) linitial((estate)->es_range_table))->updatedCols = \
	 (columns))
#endif

/* For a row that nobody else can change, so that nothing is evaluated again. */
#if PG_VERSION_NUM >= 160000
#define dwf_init_epq(epq, estate) \
	EvalPlanQualInit((epq), (estate), NULL, NIL, -1, NIL)
#else
#define dwf_init_epq(epq, estate) \
	EvalPlanQualInit((epq), (estate), NULL, NIL, -1)
#endif

/*
 * BEFORE triggers of a row that this transaction has locked.  False: one of
 * them does without.
 */
#if PG_VERSION_NUM >= 180000
#define dwf_before_update_triggers(estate, epq, target, tid, slot) \
	ExecBRUpdateTriggers((estate), (epq), (target), (tid), NULL, (slot), NULL, \
						 NULL, false)
#define dwf_before_delete_triggers(estate, epq, target, tid) \
	ExecBRDeleteTriggers((estate), (epq), (target), (tid), NULL, NULL, NULL, \
						 NULL, false)
#elif PG_VERSION_NUM >= 160000
#define dwf_before_update_triggers(estate, epq, target, tid, slot) \
	ExecBRUpdateTriggers((estate), (epq), (target), (tid), NULL, (slot), NULL, \
						 NULL)
#define dwf_before_delete_triggers(estate, epq, target, tid) \
	ExecBRDeleteTriggers((estate), (epq), (target), (tid), NULL, NULL, NULL, \
						 NULL)
#else
#define dwf_before_update_triggers(estate, epq, target, tid, slot) \
	ExecBRUpdateTriggers((estate), (epq), (target), (tid), NULL, (slot), NULL)
#define dwf_before_delete_triggers(estate, epq, target, tid) \
	ExecBRDeleteTriggers((estate), (epq), (target), (tid), NULL, NULL)
#endif

/* Whether no unique index has a row like this; else its place in *tid. */
#if PG_VERSION_NUM >= 180000
#define dwf_check_index_constraints(target, slot, estate, tid) \
	ExecCheckIndexConstraints((target), (slot), (estate), (tid), \
							  &(slot)->tts_tid, NIL)
#else
#define dwf_check_index_constraints(target, slot, estate, tid) \
	ExecCheckIndexConstraints((target), (slot), (estate), (tid), NIL)
#endif

/* A scan of an index with so many keys. */
#if PG_VERSION_NUM >= 190000
#define dwf_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0, SO_NONE)
#elif PG_VERSION_NUM >= 180000
#define dwf_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), NULL, (nkeys), 0)
#else
#define dwf_index_beginscan(rel, index, snapshot, nkeys) \
	index_beginscan((rel), (index), (snapshot), (nkeys), 0)
#endif

#endif							/* DWF_COMPAT_H */
