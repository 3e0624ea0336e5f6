/*
 * columns.c
 *	  What the extension's script makes of each column that C code knows.
 *
 * C code takes a column for what stands here without a look, so that a table
 * in which one is anything else is not touched (objects.c).
 */
#include "postgres.h"

#include "base/columns.h"
#include "base/extension.h"

#include "catalog/pg_type.h"

const DwfColumn dwf_queue_columns[QUEUE_COLUMNS] = {
	[QUEUE_ID] = {"id", INT8OID, true},
	[QUEUE_LANE] = {"lane", INT8OID, true,.since = "1.1"},
	[QUEUE_BATCH] = {"batch", XID8OID, true},
	[QUEUE_ENQUEUED_AT] = {"enqueued_at", TIMESTAMPTZOID, true},
	[QUEUE_RUN_AT] = {"run_at", TIMESTAMPTZOID, true},
	[QUEUE_DUE] = {"due", TIMESTAMPTZOID, true},
	[QUEUE_REQUESTED_BY_OID] = {"requested_by_oid", OIDOID, true},
	[QUEUE_MAX_ATTEMPTS] = {"max_attempts", INT4OID, true},
	[QUEUE_REQUESTED_BY] = {"requested_by", NAMEOID, true},
	[QUEUE_WAITING] = {"waiting", BOOLOID, true},
	[QUEUE_OPERATION] = {"operation", TEXTOID, true},
	[QUEUE_WORKFLOW] = {"workflow", TEXTOID},
	[QUEUE_REQUEST] = {"request", JSONBOID, true},
	[QUEUE_ON_DOUBT] = {"on_doubt", TEXTOID, true},
	[QUEUE_KEY] = {"key", TEXTOID},
	[QUEUE_ORDER_KEY] = {"order_key", TEXTOID},
	[QUEUE_ORDER_SPACE] = {"order_space", TEXTOID,.since = "1.1"},
	[QUEUE_SOURCE] = {"source", TEXTOID},
	[QUEUE_SOURCE_OID] = {"source_oid", OIDOID,.since = "1.1"},
	[QUEUE_EXPIRES_AT] = {"expires_at", TIMESTAMPTZOID},
	[QUEUE_SERVER] = {"server", NAMEOID,.since = "1.1"},
	[QUEUE_SERVER_OWNER] = {"server_owner", OIDOID,.since = "1.1"},
	[QUEUE_SERVER_ROLE] = {"server_role", OIDOID,.since = "1.1"},
	[QUEUE_TRACK] = {"track", BOOLOID,.since = "1.1"},
	[QUEUE_RETURNS_TO] = {"returns_to", JSONBOID,.since = "1.1"},
	[QUEUE_DEPTH] = {"depth", INT4OID,.since = "1.1"},
	[QUEUE_HTTP_STATUS] = {"http_status", INT4OID},
	[QUEUE_ERROR] = {"error", TEXTOID},
	[QUEUE_ERRORS] = {"errors", JSONBOID},
	[QUEUE_ATTEMPTS] = {"attempts", INT4OID, true},
	[QUEUE_FAILURES] = {"failures", INT4OID, true},
	[QUEUE_CLAIM] = {"claim", INT4OID, true},
	[QUEUE_STATE] = {"state", TEXTOID, true},
	[QUEUE_OWNER] = {"owner", INT8OID},
	[QUEUE_SENT_AT] = {"sent_at", TIMESTAMPTZOID},
};

const DwfColumn dwf_log_columns[LOG_COLUMNS] = {
	[LOG_ID] = {"id", INT8OID, true},
	[LOG_OPERATION] = {"operation", TEXTOID, true},
	[LOG_WORKFLOW] = {"workflow", TEXTOID},
	[LOG_OUTCOME] = {"outcome", TEXTOID, true},
	[LOG_ORIGIN] = {"origin", TEXTOID, true},
	[LOG_KEY] = {"key", TEXTOID},
	[LOG_ORDER_KEY] = {"order_key", TEXTOID},
	[LOG_SOURCE] = {"source", TEXTOID},
	[LOG_ATTEMPTS] = {"attempts", INT4OID, true},
	[LOG_HTTP_STATUS] = {"http_status", INT4OID},
	[LOG_INSTANCE_ID] = {"instance_id", TEXTOID},
	[LOG_MODEL_ID] = {"model_id", TEXTOID},
	[LOG_MODEL_NAME] = {"model_name", TEXTOID},
	[LOG_MODEL_VERSION] = {"model_version", TEXTOID},
	[LOG_DEPLOYMENT_ID] = {"deployment_id", TEXTOID},
	[LOG_BPMN_PROCESS_ID] = {"bpmn_process_id", TEXTOID},
	[LOG_BPMN_PROCESS_NAME] = {"bpmn_process_name", TEXTOID},
	[LOG_CREATED_BY] = {"created_by", TEXTOID},
	[LOG_CREATED_ON] = {"created_on", TIMESTAMPTZOID},
	[LOG_UPDATED_BY] = {"updated_by", TEXTOID},
	[LOG_UPDATED_ON] = {"updated_on", TIMESTAMPTZOID},
	[LOG_INSTANCE_STATUS] = {"instance_status", TEXTOID},
	[LOG_IS_TEST_RUN] = {"is_test_run", BOOLOID},
	[LOG_REQUEST] = {"request", JSONBOID},
	[LOG_RESPONSE] = {"response", JSONBOID},
	[LOG_ERROR] = {"error", TEXTOID},
	[LOG_ERRORS] = {"errors", JSONBOID},
	[LOG_REQUESTED_BY] = {"requested_by", NAMEOID, true},
	[LOG_REQUESTED_BY_OID] = {"requested_by_oid", OIDOID, true},
	[LOG_ENQUEUED_AT] = {"enqueued_at", TIMESTAMPTZOID},
	[LOG_SENT_AT] = {"sent_at", TIMESTAMPTZOID},
	[LOG_SETTLED_AT] = {"settled_at", TIMESTAMPTZOID, true},
	[LOG_BATCH] = {"batch", XID8OID, true},
	[LOG_ON_DOUBT] = {"on_doubt", TEXTOID},
	[LOG_MAX_ATTEMPTS] = {"max_attempts", INT4OID},
	[LOG_EXPIRES_AT] = {"expires_at", TIMESTAMPTZOID},
	[LOG_INSTANCE_FINISHED_AT] = {"instance_finished_at", TIMESTAMPTZOID},
	[LOG_ORDER_SPACE] = {"order_space", TEXTOID,.since = "1.1"},
	[LOG_SERVER] = {"server", NAMEOID,.since = "1.1"},
	[LOG_RETURNS_TO] = {"returns_to", JSONBOID,.since = "1.1"},
	[LOG_DEPTH] = {"depth", INT4OID,.since = "1.1"},
	[LOG_SOURCE_OID] = {"source_oid", OIDOID,.since = "1.1"},
};

const DwfColumn dwf_key_columns[KEY_COLUMNS] = {
	[KEY_SCOPE] = {"scope", TEXTOID, true},
	[KEY_KEY] = {"key", TEXTOID, true},
	[KEY_REQUEST_ID] = {"request_id", INT8OID, true},
	[KEY_KEY_OWNER] = {"key_owner", OIDOID,.since = "1.1"},
	[KEY_SOURCE_OID] = {"source_oid", OIDOID,.since = "1.1"},
};

const DwfColumn dwf_state_columns[STATE_COLUMNS] = {
	[STATE_ONLY_ROW] = {"only_row", BOOLOID, true},
	[STATE_DATABASE] = {"database", OIDOID, true},
	[STATE_PAUSED] = {"paused", BOOLOID, true},
	[STATE_PAUSE_REASON] = {"pause_reason", TEXTOID},
	[STATE_PAUSED_AT] = {"paused_at", TIMESTAMPTZOID},
	[STATE_TIMELINE] = {"timeline", INT8OID,.since = "1.1"},
	[STATE_SYSTEM_IDENTIFIER] = {"system_identifier", INT8OID,.since = "1.1"},
};

const DwfColumn dwf_workflow_columns[WORKFLOW_COLUMNS] = {
	[WORKFLOW_NAME] = {"name", TEXTOID, true},
	[WORKFLOW_MODEL_ID] = {"model_id", TEXTOID, true},
	[WORKFLOW_VERSION] = {"version", TEXTOID, true},
	[WORKFLOW_MESSAGE_NAME] = {"message_name", TEXTOID, true},
	[WORKFLOW_ON_DOUBT] = {"on_doubt", TEXTOID, true},
	[WORKFLOW_TRACK] = {"track", BOOLOID, true},
	[WORKFLOW_MAX_ATTEMPTS] = {"max_attempts", INT4OID},
	[WORKFLOW_EXPIRE_AFTER] = {"expire_after", INTERVALOID},
	[WORKFLOW_GRANTED_TO] = {"granted_to", NAMEOID},
	[WORKFLOW_SERVER] = {"server", NAMEOID},
	[WORKFLOW_ORDER_SCOPE] = {"order_scope", TEXTOID,.since = "1.1"},
	[WORKFLOW_GRANTED_OID] = {"granted_oid", OIDOID,.since = "1.1"},
	[WORKFLOW_ON_SETTLED] = {"on_settled", TEXTOID,.since = "1.1"},
};

const DwfColumn dwf_input_columns[INPUT_COLUMNS] = {
	[INPUT_WORKFLOW] = {"workflow", TEXTOID, true},
	[INPUT_NAME] = {"name", TEXTOID, true},
	[INPUT_TYPE] = {"type", TEXTOID, true},
	[INPUT_IS_LIST] = {"is_list", BOOLOID, true},
	[INPUT_REQUIRED] = {"required", BOOLOID, true},
};

const DwfColumn dwf_earlier_columns[EARLIER_COLUMNS] = {
	[EARLIER_RELATION] = {"relation", REGCLASSOID, true},
	[EARLIER_NAME] = {"name", NAMEOID, true},
};

const DwfColumn dwf_tracked_columns[TRACKED_COLUMNS] = {
	[TRACKED_REQUEST_ID] = {"request_id", INT8OID, true},
	[TRACKED_INSTANCE_ID] = {"instance_id", TEXTOID, true},
	[TRACKED_LANE] = {"lane", INT8OID, true},
	[TRACKED_DUE] = {"due", TIMESTAMPTZOID, true},
	[TRACKED_TRIES] = {"tries", INT4OID, true},
	[TRACKED_STARTED_AT] = {"started_at", TIMESTAMPTZOID, true},
	[TRACKED_SERVER] = {"server", NAMEOID},
	[TRACKED_SERVER_OWNER] = {"server_owner", OIDOID},
	[TRACKED_SERVER_ROLE] = {"server_role", OIDOID},
	[TRACKED_ERROR] = {"error", TEXTOID},
	[TRACKED_MISSING_SINCE] = {"missing_since", TIMESTAMPTZOID},
};

const DwfColumn dwf_return_columns[RETURN_COLUMNS] = {
	[RETURN_ID] = {"id", INT8OID, true},
	[RETURN_REQUEST_ID] = {"request_id", INT8OID, true},
	[RETURN_TARGET] = {"target", TEXTOID, true},
	[RETURN_STATE] = {"state", TEXTOID, true},
	[RETURN_RETURNS_TO] = {"returns_to", JSONBOID},
	[RETURN_OUTCOME] = {"outcome", JSONBOID, true},
	[RETURN_DEPTH] = {"depth", INT4OID},
	[RETURN_REQUESTED_BY] = {"requested_by", NAMEOID, true},
	[RETURN_REQUESTED_BY_OID] = {"requested_by_oid", OIDOID, true},
	[RETURN_SINCE] = {"since", TIMESTAMPTZOID, true},
	[RETURN_DUE] = {"due", TIMESTAMPTZOID, true},
	[RETURN_TRIES] = {"tries", INT4OID, true},
	[RETURN_TRIED_AT] = {"tried_at", TIMESTAMPTZOID},
	[RETURN_ERROR] = {"error", TEXTOID},
};

#define WAITED(i)	[COUNTER_WAITED_0 + i] = {"waited_" #i, INT8OID},
#define TOOK(i)		[COUNTER_TOOK_0 + i] = {"took_" #i, INT8OID},

const DwfColumn dwf_counter_columns[COUNTER_COLUMNS] = {
	[COUNTER_OPERATION] = {"operation", TEXTOID, true},
	[COUNTER_WORKFLOW] = {"workflow", TEXTOID},
	[COUNTER_SERVER] = {"server", NAMEOID},
	[COUNTER_REQUESTED_BY] = {"requested_by", NAMEOID, true},
	[COUNTER_REQUESTED_BY_OID] = {"requested_by_oid", OIDOID, true},
	[COUNTER_CLASS] = {"class", TEXTOID},
	[COUNTER_OUTCOME] = {"outcome", TEXTOID},
	[COUNTER_SLOT] = {"slot", TIMESTAMPTZOID},
	[COUNTER_N] = {"n", INT8OID, true},
	[COUNTER_REOPENED] = {"reopened", INT8OID},
	[COUNTER_ATTEMPTS] = {"attempts", INT8OID},
	[COUNTER_WAITED] = {"waited", INT8OID},
	[COUNTER_TOOK] = {"took", INT8OID},
	DWF_EACH_BUCKET(WAITED)
	DWF_EACH_BUCKET(TOOK)
	[COUNTER_FOLDED] = {"folded", BOOLOID},
};

bool
dwf_columns_has(const DwfColumn *column)
{
	return column->since == NULL || dwf_extension_is_since(column->since);
}
