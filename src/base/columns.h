/*
 * columns.h
 *	  The columns of domowf's tables that C code knows, and what each one is.
 *
 * Where a column stands in its table is nobody's business but table.c's, which
 * finds it by its name: after an update somebody's own may stand before it.
 * columns.c says since when a column is there.
 */
#ifndef DWF_COLUMNS_H
#define DWF_COLUMNS_H

#include "base/bucket.h"

/* domowf.queue, as the script that makes it new has them */
typedef enum DwfQueueColumn
{
	QUEUE_ID,
	QUEUE_LANE,
	QUEUE_BATCH,
	QUEUE_ENQUEUED_AT,
	QUEUE_RUN_AT,
	QUEUE_DUE,
	QUEUE_REQUESTED_BY_OID,
	QUEUE_MAX_ATTEMPTS,
	QUEUE_REQUESTED_BY,
	QUEUE_WAITING,
	QUEUE_OPERATION,
	QUEUE_WORKFLOW,
	QUEUE_REQUEST,
	QUEUE_ON_DOUBT,
	QUEUE_KEY,
	QUEUE_ORDER_KEY,
	QUEUE_ORDER_SPACE,
	QUEUE_SOURCE,
	QUEUE_SOURCE_OID,
	QUEUE_EXPIRES_AT,
	QUEUE_SERVER,
	QUEUE_SERVER_OWNER,
	QUEUE_SERVER_ROLE,
	QUEUE_TRACK,
	QUEUE_RETURNS_TO,
	QUEUE_DEPTH,
	QUEUE_HTTP_STATUS,
	QUEUE_ERROR,
	QUEUE_ERRORS,
	QUEUE_ATTEMPTS,
	QUEUE_FAILURES,
	QUEUE_CLAIM,
	QUEUE_STATE,
	QUEUE_OWNER,
	QUEUE_SENT_AT
} DwfQueueColumn;

#define QUEUE_COLUMNS	(QUEUE_SENT_AT + 1)

/* domowf.log */
typedef enum DwfLogColumn
{
	LOG_ID,
	LOG_OPERATION,
	LOG_WORKFLOW,
	LOG_OUTCOME,
	LOG_ORIGIN,
	LOG_KEY,
	LOG_ORDER_KEY,
	LOG_SOURCE,
	LOG_ATTEMPTS,
	LOG_HTTP_STATUS,
	LOG_INSTANCE_ID,
	LOG_MODEL_ID,
	LOG_MODEL_NAME,
	LOG_MODEL_VERSION,
	LOG_DEPLOYMENT_ID,
	LOG_BPMN_PROCESS_ID,
	LOG_BPMN_PROCESS_NAME,
	LOG_CREATED_BY,
	LOG_CREATED_ON,
	LOG_UPDATED_BY,
	LOG_UPDATED_ON,
	LOG_INSTANCE_STATUS,
	LOG_IS_TEST_RUN,
	LOG_REQUEST,
	LOG_RESPONSE,
	LOG_ERROR,
	LOG_ERRORS,
	LOG_REQUESTED_BY,
	LOG_REQUESTED_BY_OID,
	LOG_ENQUEUED_AT,
	LOG_SENT_AT,
	LOG_SETTLED_AT,
	LOG_BATCH,
	LOG_ON_DOUBT,
	LOG_MAX_ATTEMPTS,
	LOG_EXPIRES_AT,
	LOG_INSTANCE_FINISHED_AT,
	LOG_ORDER_SPACE,
	LOG_SERVER,
	LOG_RETURNS_TO,
	LOG_DEPTH,
	LOG_SOURCE_OID
} DwfLogColumn;

#define LOG_COLUMNS		(LOG_SOURCE_OID + 1)

/* domowf.key */
typedef enum DwfKeyColumn
{
	KEY_SCOPE,
	KEY_KEY,
	KEY_REQUEST_ID,
	KEY_KEY_OWNER,
	KEY_SOURCE_OID
} DwfKeyColumn;

#define KEY_COLUMNS		(KEY_SOURCE_OID + 1)

/* domowf.state */
typedef enum DwfStateColumn
{
	STATE_ONLY_ROW,
	STATE_DATABASE,
	STATE_PAUSED,
	STATE_PAUSE_REASON,
	STATE_PAUSED_AT,
	STATE_TIMELINE,
	STATE_SYSTEM_IDENTIFIER
} DwfStateColumn;

#define STATE_COLUMNS	(STATE_SYSTEM_IDENTIFIER + 1)

/* domowf.workflow */
typedef enum DwfWorkflowColumn
{
	WORKFLOW_NAME,
	WORKFLOW_MODEL_ID,
	WORKFLOW_VERSION,
	WORKFLOW_MESSAGE_NAME,
	WORKFLOW_ON_DOUBT,
	WORKFLOW_TRACK,
	WORKFLOW_MAX_ATTEMPTS,
	WORKFLOW_EXPIRE_AFTER,
	WORKFLOW_GRANTED_TO,
	WORKFLOW_SERVER,
	WORKFLOW_ORDER_SCOPE,
	WORKFLOW_GRANTED_OID,
	WORKFLOW_ON_SETTLED
} DwfWorkflowColumn;

#define WORKFLOW_COLUMNS	(WORKFLOW_ON_SETTLED + 1)

/* domowf.workflow_input */
typedef enum DwfInputColumn
{
	INPUT_WORKFLOW,
	INPUT_NAME,
	INPUT_TYPE,
	INPUT_IS_LIST,
	INPUT_REQUIRED
} DwfInputColumn;

#define INPUT_COLUMNS	(INPUT_REQUIRED + 1)

/* domowf.earlier_trigger */
typedef enum DwfEarlierColumn
{
	EARLIER_RELATION,
	EARLIER_NAME
} DwfEarlierColumn;

#define EARLIER_COLUMNS	(EARLIER_NAME + 1)

/* domowf.tracked */
typedef enum DwfTrackedColumn
{
	TRACKED_REQUEST_ID,
	TRACKED_INSTANCE_ID,
	TRACKED_LANE,
	TRACKED_DUE,
	TRACKED_TRIES,
	TRACKED_STARTED_AT,
	TRACKED_SERVER,
	TRACKED_SERVER_OWNER,
	TRACKED_SERVER_ROLE,
	TRACKED_ERROR,
	TRACKED_MISSING_SINCE
} DwfTrackedColumn;

#define TRACKED_COLUMNS	(TRACKED_MISSING_SINCE + 1)

/* domowf.return_entry */
typedef enum DwfReturnColumn
{
	RETURN_ID,
	RETURN_REQUEST_ID,
	RETURN_TARGET,
	RETURN_STATE,
	RETURN_RETURNS_TO,
	RETURN_OUTCOME,
	RETURN_DEPTH,
	RETURN_REQUESTED_BY,
	RETURN_REQUESTED_BY_OID,
	RETURN_SINCE,
	RETURN_DUE,
	RETURN_TRIES,
	RETURN_TRIED_AT,
	RETURN_ERROR
} DwfReturnColumn;

#define RETURN_COLUMNS	(RETURN_ERROR + 1)

/* domowf.counter */
typedef enum DwfCounterColumn
{
	COUNTER_OPERATION,
	COUNTER_WORKFLOW,
	COUNTER_SERVER,
	COUNTER_REQUESTED_BY,
	COUNTER_REQUESTED_BY_OID,
	COUNTER_CLASS,
	COUNTER_OUTCOME,
	COUNTER_SLOT,
	COUNTER_N,
	COUNTER_REOPENED,
	COUNTER_ATTEMPTS,
	COUNTER_WAITED,
	COUNTER_TOOK,
	COUNTER_WAITED_0,
	COUNTER_TOOK_0 = COUNTER_WAITED_0 + DWF_BUCKETS,
	COUNTER_FOLDED = COUNTER_TOOK_0 + DWF_BUCKETS
} DwfCounterColumn;

#define COUNTER_COLUMNS	(COUNTER_FOLDED + 1)

/* What the script makes of a column. */
typedef struct DwfColumn
{
	const char *name;
	Oid			type;			/* without modifier, of its own collation */
	bool		not_null;
	const char *since;			/* version of the SQL; NULL: the first one */
} DwfColumn;

extern const DwfColumn dwf_queue_columns[QUEUE_COLUMNS];
extern const DwfColumn dwf_log_columns[LOG_COLUMNS];
extern const DwfColumn dwf_key_columns[KEY_COLUMNS];
extern const DwfColumn dwf_state_columns[STATE_COLUMNS];
extern const DwfColumn dwf_workflow_columns[WORKFLOW_COLUMNS];
extern const DwfColumn dwf_input_columns[INPUT_COLUMNS];
extern const DwfColumn dwf_earlier_columns[EARLIER_COLUMNS];
extern const DwfColumn dwf_tracked_columns[TRACKED_COLUMNS];
extern const DwfColumn dwf_return_columns[RETURN_COLUMNS];
extern const DwfColumn dwf_counter_columns[COUNTER_COLUMNS];

/* Whether the installed version has such a column.  In a transaction. */
extern bool dwf_columns_has(const DwfColumn *column);

#endif							/* DWF_COLUMNS_H */
