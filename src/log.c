/*
 * log.c
 *	  What the rows of domowf.log that a call makes and those that a settled
 *	  request makes have in common: the instance.
 *
 * It has happened in Domo already, so nothing that a reply holds may make the
 * row fail.
 */
#include "postgres.h"

#include "columns.h"
#include "instance.h"
#include "log.h"

#include "utils/timestamp.h"

static void set_time(DwfTable *log, int column, bool present,
					 int64 unix_usec);

void
dwf_log_set_utf8(DwfTable *log, int column, const char *text)
{
	if (text != NULL)
		log->nulls[column] = !dwf_instance_text(text, &log->values[column]);
}

static void
set_time(DwfTable *log, int column, bool present, int64 unix_usec)
{
	log->values[column] = TimestampTzGetDatum(dwf_instance_time(unix_usec));
	log->nulls[column] = !present;
}

void
dwf_log_set_instance(DwfTable *log, const DwfInstance *instance)
{
	dwf_log_set_utf8(log, LOG_INSTANCE_ID, instance->id);
	dwf_log_set_utf8(log, LOG_MODEL_ID, instance->model_id);
	dwf_log_set_utf8(log, LOG_MODEL_NAME, instance->model_name);
	dwf_log_set_utf8(log, LOG_MODEL_VERSION, instance->model_version);
	dwf_log_set_utf8(log, LOG_DEPLOYMENT_ID, instance->deployment_id);
	dwf_log_set_utf8(log, LOG_BPMN_PROCESS_ID, instance->bpmn_process_id);
	dwf_log_set_utf8(log, LOG_BPMN_PROCESS_NAME, instance->bpmn_process_name);
	dwf_log_set_utf8(log, LOG_CREATED_BY, instance->created_by);
	dwf_log_set_utf8(log, LOG_UPDATED_BY, instance->updated_by);
	dwf_log_set_utf8(log, LOG_INSTANCE_STATUS, instance->status);
	set_time(log, LOG_CREATED_ON, instance->has_created_on,
			 instance->created_on);
	set_time(log, LOG_UPDATED_ON, instance->has_updated_on,
			 instance->updated_on);
	log->values[LOG_IS_TEST_RUN] = BoolGetDatum(instance->is_test_run);
	log->nulls[LOG_IS_TEST_RUN] = !instance->has_is_test_run;
}
