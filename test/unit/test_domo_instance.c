/*
 * test_domo_instance.c
 *	  Unit tests of domo_reply.c: instances and times.
 *
 * Only `id` is relied on; every other member may be missing, null, of another
 * type than the page says, or not known to us, and none of that may make a
 * reply senseless: the instance runs all the same.  Times are compared with
 * the C library's calendar.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "../../src/domo/domo_reply.c"
#include "../../src/domo/iso8601.c"
#include "../../src/domo/operation.c"
#include "../../src/domo/json.c"

#include <time.h>

#include "tap.h"

/* the tables below leave out what is 0 */
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

#define SECOND	INT64_C(1000000)

/* 2023-11-15T15:28:57Z, from Domo's page. */
#define PAGE	(INT64_C(1700062137) * SECOND)

typedef struct InstanceCase
{
	const char *name;
	const char *json;
	const char *want;			/* as describe() has it, or the fault */
} InstanceCase;

typedef struct TimeCase
{
	const char *json;
	bool		read;
	int64_t		usec;
} TimeCase;

static const InstanceCase instance_cases[] = {
	{"the page's start", "{\"id\":\"2052e10a-d142-4391-a731-2be1ab1c0188\","
		"\"modelId\":\"a8afdc89-9491-4ee4-b7c3-b9e9b86c0138\","
		"\"modelName\":\"AddTwoNumbers\",\"modelVersion\":\"1.1.0\","
		"\"createdBy\":\"8811501\",\"createdOn\":\"2023-11-15T15:28:57.479Z\","
		"\"updatedBy\":\"8811501\",\"updatedOn\":\"2023-11-15T15:28:57.479Z\","
		"\"status\":\"null\"}",
		"id=2052e10a-d142-4391-a731-2be1ab1c0188 "
		"model_id=a8afdc89-9491-4ee4-b7c3-b9e9b86c0138 "
		"model_name=AddTwoNumbers model_version=1.1.0 created_by=8811501 "
	"updated_by=8811501 created_on=1700062137479000 updated_on=1700062137479000"},
	{"a cancel with every field", "{\"id\":\"i\",\"modelId\":\"m\","
		"\"deploymentId\":\"d\",\"modelName\":\"n\",\"modelVersion\":\"v\","
		"\"bpmnProcessId\":\"p\",\"bpmnProcessName\":\"pn\",\"createdBy\":\"c\","
		"\"createdOn\":1700062137479,\"updatedBy\":\"u\",\"updatedOn\":0,"
		"\"status\":\"IN_PROGRESS\",\"isTestRun\":true}",
		"id=i model_id=m model_name=n model_version=v deployment_id=d "
		"bpmn_process_id=p bpmn_process_name=pn created_by=c updated_by=u "
		"status=IN_PROGRESS created_on=1700062137479000 updated_on=0 "
	"is_test_run=true"},
	{"an id alone", "{\"id\":\"i\"}", "id=i"},
	{"every field null", "{\"id\":\"i\",\"modelId\":null,\"deploymentId\":null,"
		"\"modelName\":null,\"modelVersion\":null,\"bpmnProcessId\":null,"
		"\"bpmnProcessName\":null,\"createdBy\":null,\"createdOn\":null,"
		"\"updatedBy\":null,\"updatedOn\":null,\"status\":null,"
	"\"isTestRun\":null}", "id=i"},
	{"unknown fields", "{\"x\":{\"id\":\"j\"},\"id\":\"i\",\"Status\":\"x\","
	"\"instances\":[1,2,{}],\"n\":1e400}", "id=i"},
	{"fields of other types", "{\"id\":\"i\",\"modelId\":true,"
		"\"modelName\":[\"n\"],\"modelVersion\":{},\"createdOn\":false,"
	"\"updatedOn\":[],\"status\":false,\"isTestRun\":\"true\"}", "id=i"},
	{"isTestRun as a number", "{\"id\":\"i\",\"isTestRun\":1}", "id=i"},
	{"isTestRun false", "{\"id\":\"i\",\"isTestRun\":false}",
	"id=i is_test_run=false"},

	/* one n or two, and null in both its forms */
	{"CANCELLED", "{\"id\":\"i\",\"status\":\"CANCELLED\"}",
	"id=i status=CANCELED"},
	{"CANCELED", "{\"id\":\"i\",\"status\":\"CANCELED\"}",
	"id=i status=CANCELED"},
	{"cancelled", "{\"id\":\"i\",\"status\":\"cancelled\"}",
	"id=i status=cancelled"},
	{"a status of the future", "{\"id\":\"i\",\"status\":\"ON_HOLD\"}",
	"id=i status=ON_HOLD"},
	{"NULL as text", "{\"id\":\"i\",\"status\":\"NULL\"}",
	"id=i status=NULL"},
	{"a name that is null as text", "{\"id\":\"i\",\"modelName\":\"null\"}",
	"id=i model_name=null"},

	/* numbers where text is documented */
	{"a user id as a number", "{\"id\":\"i\",\"createdBy\":8811501}",
	"id=i created_by=8811501"},
	{"a large one", "{\"id\":\"i\",\"createdBy\":1234567890123456}",
	"id=i created_by=1234567890123456"},
	{"the last exact one", "{\"id\":\"i\",\"createdBy\":9007199254740991}",
	"id=i created_by=9007199254740991"},
	{"one that a double rounds", "{\"id\":\"i\",\"createdBy\":9007199254740993}",
	"id=i"},
	{"one below zero that a double rounds",
	"{\"id\":\"i\",\"createdBy\":-9007199254740993}", "id=i"},
	{"a huge one", "{\"id\":\"i\",\"createdBy\":1e400}", "id=i"},
	{"zero", "{\"id\":\"i\",\"createdBy\":0}", "id=i created_by=0"},
	{"below zero", "{\"id\":\"i\",\"createdBy\":-17}", "id=i created_by=-17"},
	{"a version as a number", "{\"id\":\"i\",\"modelVersion\":1.1}",
	"id=i model_version=1.1"},

	/* text of all kinds */
	{"escapes and UTF-8", "{\"id\":\"\\u00e9\",\"modelName\":\"a\\n\\\"\xE2\x82\xAC\"}",
	"id=\xC3\xA9 model_name=a\n\"\xE2\x82\xAC"},
	{"empty text", "{\"id\":\"i\",\"modelName\":\"\",\"status\":\"\"}",
	"id=i model_name= status="},
	{"an id with blanks", "{\"id\":\" i \"}", "id= i "},

	{"no object", "[]", "it is not an object"},
	{"null", "null", "it is not an object"},
	{"no id", "{\"modelId\":\"m\",\"createdBy\":1}", "it has no instance id"},
	{"a null id", "{\"id\":null}", "it has no instance id"},
	{"null as an id", "{\"id\":\"null\"}", "it has no instance id"},
	{"an empty id", "{\"id\":\"\"}", "it has no instance id"},
	{"a number as an id", "{\"id\":1}", "it has no instance id"},
	{"true as an id", "{\"id\":true}", "it has no instance id"},
};

static const TimeCase time_cases[] = {
	{"\"1970-01-01T00:00:00Z\"", true, 0},
	{"\"1970-01-01T00:00:00.000001Z\"", true, 1},
	{"\"1969-12-31T23:59:59.999999Z\"", true, -1},
	{"\"2023-11-15T15:28:57.479Z\"", true, PAGE + 479000},
	{"\"2023-11-15T15:28:57Z\"", true, PAGE},
	{"\"2023-11-15 15:28:57z\"", true, PAGE},
	{"\"2023-11-15T15:28:57,5Z\"", true, PAGE + 500000},
	{"\"2023-11-15T15:28:57.1234567890123456789Z\"", true, PAGE + 123456},
	{"\"2023-11-15T15:28:57.999999999Z\"", true, PAGE + 999999},

	/* zones */
	{"\"2023-11-15T15:28:57+00:00\"", true, PAGE},
	{"\"2023-11-15T15:28:57-00:00\"", true, PAGE},
	{"\"2023-11-15T16:58:57+01:30\"", true, PAGE},
	{"\"2023-11-15T16:58:57+0130\"", true, PAGE},
	{"\"2023-11-15T17:28:57+02\"", true, PAGE},
	{"\"2023-11-15T08:28:57.5-07:00\"", true, PAGE + 500000},
	{"\"2023-11-16T05:28:57+14:00\"", true, PAGE},
	{"\"2023-11-15T23:30:00-08:00\"", true,
	PAGE - 57 * SECOND + (16 * 60 + 2) * 60 * SECOND},
	{"\"1970-01-01T15:59:00+15:59\"", true, 0},

	/* leap days and seconds */
	{"\"2024-02-29T00:00:00Z\"", true, INT64_C(1709164800) * SECOND},
	{"\"2000-02-29T00:00:00Z\"", true, INT64_C(951782400) * SECOND},
	{"\"2023-02-29T00:00:00Z\"", false},
	{"\"1900-02-29T00:00:00Z\"", false},
	{"\"2100-02-29T00:00:00Z\"", false},
	{"\"2016-12-31T23:59:60Z\"", true, INT64_C(1483228800) * SECOND},
	{"\"2016-12-31T23:59:61Z\"", false},

	/* bounds */
	{"\"0001-01-01T00:00:00Z\"", true, MIN_EPOCH * SECOND},
	{"\"9999-12-31T23:59:59.999999Z\"", true, MAX_EPOCH * SECOND - 1},
	{"\"0000-01-01T00:00:00Z\"", false},
	{"\"2023-00-15T15:28:57Z\"", false},
	{"\"2023-13-15T15:28:57Z\"", false},
	{"\"2023-11-00T15:28:57Z\"", false},
	{"\"2023-11-31T15:28:57Z\"", false},
	{"\"2023-12-32T15:28:57Z\"", false},
	{"\"2023-11-15T24:00:00Z\"", false},
	{"\"2023-11-15T15:60:00Z\"", false},
	{"\"2023-11-15T15:28:57+16:00\"", false},
	{"\"2023-11-15T15:28:57+01:60\"", false},

	/* malformed: cut at each place, and other shapes */
	{"\"\"", false},
	{"\"2\"", false},
	{"\"2023\"", false},
	{"\"2023-\"", false},
	{"\"2023-11\"", false},
	{"\"2023-11-15\"", false},
	{"\"2023-11-15T\"", false},
	{"\"2023-11-15T15\"", false},
	{"\"2023-11-15T15:28\"", false},
	{"\"2023-11-15T15:28Z\"", false},
	{"\"2023-11-15T15:28:57\"", false},
	{"\"2023-11-15T15:28:57.\"", false},
	{"\"2023-11-15T15:28:57.479\"", false},
	{"\"2023-11-15T15:28:57.Z\"", false},
	{"\"2023-11-15T15:28:57+\"", false},
	{"\"2023-11-15T15:28:57+1\"", false},
	{"\"2023-11-15T15:28:57+01:\"", false},
	{"\"2023-11-15T15:28:57+01:3\"", false},
	{"\"2023-11-15T15:28:57+013\"", false},
	{"\"2023-11-15T15:28:57+01:300\"", false},
	{"\"2023-11-15T15:28:57ZZ\"", false},
	{"\"2023-11-15T15:28:57Z \"", false},
	{"\" 2023-11-15T15:28:57Z\"", false},
	{"\"2023-11-15T15:28:57 Z\"", false},
	{"\"2023-11-15T15:28:57UTC\"", false},
	{"\"2023-11-15T15:28:57Z+01:00\"", false},
	{"\"20231115T152857Z\"", false},
	{"\"+2023-11-15T15:28:57Z\"", false},
	{"\"-023-11-15T15:28:57Z\"", false},
	{"\"12023-11-15T15:28:57Z\"", false},
	{"\"2023-1-15T15:28:57Z\"", false},
	{"\"2023-11-15T5:28:57Z\"", false},
	{"\"2023/11/15T15:28:57Z\"", false},
	{"\"Wed, 15 Nov 2023 15:28:57 GMT\"", false},
	{"\"1700062137479\"", false},
	{"\"null\"", false},
	{"\"NaN\"", false},
	{"\"infinity\"", false},
	{"\"2023-11-15T15:28:57\xC3\xA9\"", false},

	/* milliseconds since 1970 */
	{"0", true, 0},
	{"-0", true, 0},
	{"1", true, 1000},
	{"-1", true, -1000},
	{"1700062137479", true, PAGE + 479000},
	{"1.700062137479e12", true, PAGE + 479000},
	{"1700062137479.5", true, PAGE + 479500},
	{"0.001", true, 1},
	{"-62135596800000", true, MIN_EPOCH * SECOND},
	{"-62135596800001", false},
	{"253402300799999", true, MAX_EPOCH * SECOND - 1000},
	{"253402300800000", false},
	{"1e300", false},
	{"-1e300", false},
	{"1e999", false},
	{"-1e999", false},

	/* neither */
	{"null", false},
	{"true", false},
	{"[1700062137479]", false},
	{"{\"t\":1700062137479}", false},
};

static DwfJsonNode *
parse(const char *json)
{
	const char *fault;

	return dwf_json_parse(json, strlen(json), &fault);
}

/* All that an instance has, in the order of its members. */
static const char *
describe(const DwfInstance *instance)
{
	static char text[1000];
	const struct
	{
		const char *name;
		const char *value;
	}			members[] = {
		{"id", instance->id},
		{"model_id", instance->model_id},
		{"model_name", instance->model_name},
		{"model_version", instance->model_version},
		{"deployment_id", instance->deployment_id},
		{"bpmn_process_id", instance->bpmn_process_id},
		{"bpmn_process_name", instance->bpmn_process_name},
		{"created_by", instance->created_by},
		{"updated_by", instance->updated_by},
		{"status", instance->status},
	};
	char	   *at = text;

	*at = '\0';
	for (int i = 0; i < LENGTH(members); i++)
	{
		if (members[i].value != NULL)
			at += sprintf(at, "%s%s=%s", at == text ? "" : " ",
						  members[i].name, members[i].value);
	}
	if (instance->has_created_on)
		at += sprintf(at, " created_on=%lld",
					  (long long) instance->created_on);
	if (instance->has_updated_on)
		at += sprintf(at, " updated_on=%lld",
					  (long long) instance->updated_on);
	if (instance->has_is_test_run)
		at += sprintf(at, " is_test_run=%s",
					  instance->is_test_run ? "true" : "false");
	return text;
}

static void
test_instances(void)
{
	for (int i = 0; i < LENGTH(instance_cases); i++)
	{
		const InstanceCase *c = &instance_cases[i];
		DwfJsonNode *root = parse(c->json);
		DwfInstance instance;
		const char *fault;

		memset(&instance, 0x5A, sizeof(instance));
		fault = read_instance(root, &instance);
		is_str(fault != NULL ? fault : describe(&instance), c->want, "%s",
			   c->name);
		dwf_json_free(root);
	}
}

static void
test_times(void)
{
	int64_t		usec;

	for (int i = 0; i < LENGTH(time_cases); i++)
	{
		const TimeCase *c = &time_cases[i];
		DwfJsonNode *root = parse(c->json);
		bool		read = read_time(root, &usec);

		is_int(root != NULL && read, c->read, "time %s", c->json);
		if (read && c->read)
			is_int(usec, c->usec, "its microseconds");
		dwf_json_free(root);
	}
	ok(!read_time(NULL, &usec), "no time at all");
}

/* The first and last day of every month of ten thousand years. */
static void
test_calendar(void)
{
	int			wrong = 0;

	for (int month = 0; month < 9999 * 12; month++)
	{
		struct tm	tm = {
			.tm_year = 1 + month / 12 - 1900,.tm_mon = month % 12,.tm_mday = 1
		};
		time_t		first = timegm(&tm);
		char		text[40];
		int64_t		usec;

		snprintf(text, sizeof(text), "%04d-%02d-01T00:00:00Z",
				 1 + month / 12, month % 12 + 1);
		if (!dwf_iso8601_read_time(text, &usec) || usec != first * SECOND)
			wrong++;

		/* the day before the next month's first */
		tm = (struct tm)
		{
			.tm_year = 1 + month / 12 - 1900,.tm_mon = month % 12 + 1,
		};
		first = timegm(&tm);
		snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z",
				 1 + month / 12, month % 12 + 1, tm.tm_mday);
		if (!dwf_iso8601_read_time(text, &usec) || usec != first * SECOND)
			wrong++;
		snprintf(text, sizeof(text), "%04d-%02d-%02dT00:00:00Z",
				 1 + month / 12, month % 12 + 1, tm.tm_mday + 1);
		if (dwf_iso8601_read_time(text, &usec))
			wrong++;
	}
	is_int(wrong, 0, "each month has its days, as the C library counts them");
}

int
main(void)
{
	test_instances();
	test_times();
	test_calendar();
	return done_testing();
}
