/*
 * test_domo_cut.c
 *	  Unit tests of domo_request.c: long names in messages.
 *
 * A name that a user made up can be of any length and script.  It is cut
 * between characters, or else the message would be invalid UTF-8 and raise an
 * error of its own, and nothing may be written behind the message's end.
 */
#include "../../src/domo/domo_request.c"
#include "../../src/domo/operation.c"

/* json.c has a static of this name too */
#define check_text	check_json_text
#include "../../src/domo/json.c"
#undef check_text

#include "tap.h"
#include "text.h"

/* A string field. */
#define STRING(key, value)	{key, DWF_JSON_STRING, value, strlen(value)}

/*
 * Where a long name is put into a message, of `room` bytes with its NUL: cut
 * between characters, whatever their width and wherever they stand.
 */
static void
check_cut(const char *character, int shift, int room,
		  const char *(*show) (const char *name, DwfRequest *request,
							   DwfFault *fault))
{
	char	   *filler = repeat("a", shift);
	char	   *rest = repeat(character, 300);
	char	   *name = malloc(strlen(filler) + strlen(rest) + 1);
	DwfRequest *request = malloc(sizeof(*request));
	DwfFault   *fault = malloc(sizeof(*fault));
	char		want[512];
	size_t		kept = shift;
	const char *shown;

	stpcpy(stpcpy(name, filler), rest);
	while (kept + strlen(character) <= (size_t) room - 4)
		kept += strlen(character);
	snprintf(want, sizeof(want), "%.*s...", (int) kept, name);

	shown = show(name, request, fault);
	ok(strstr(shown, want) != NULL && is_utf8(shown),
	   "%d bytes of %zu-byte characters after %d bytes", (int) kept,
	   strlen(character), shift);
	if (strstr(shown, want) == NULL)
		diag("%s", shown);
	is_str(fault->hint, "", "nothing is written behind the message");
	free(filler);
	free(rest);
	free(name);
	free(request);
	free(fault);
}

/* A start with an unknown key. */
static const char *
show_key(const char *name, DwfRequest *request, DwfFault *fault)
{
	DwfField	field = {name, DWF_JSON_STRING, "", 0};

	dwf_domo_read_request(DWF_START, &field, 1, request, fault);
	return fault->message;
}

/* Reads one permission entry; `name` stands where %s is. */
static void
read_entry(const char *format, const char *name, DwfRequest *request,
		   DwfFault *fault)
{
	size_t		size = strlen(format) + strlen(name) + 1;
	char	   *text = malloc(size);
	DwfField	fields[] = {
		STRING("modelId", "m"), {"permissions", DWF_JSON_ARRAY, NULL, 0},
	};
	const char *at = strstr(format, "%s");

	stpcpy(stpcpy(stpncpy(text, format, at - format), name), at + 2);
	fields[1].text = text;
	fields[1].len = strlen(text);
	dwf_domo_read_request(DWF_SET_PERMISSIONS, fields, 2, request, fault);
	free(text);
}

static const char *
show_entry_key(const char *name, DwfRequest *request, DwfFault *fault)
{
	read_entry("[{\"%s\":{}}]", name, request, fault);
	return fault->message;
}

static const char *
show_entry_type(const char *name, DwfRequest *request, DwfFault *fault)
{
	read_entry("[{\"id\":\"1\",\"permissions\":[],\"type\":\"%s\"}]", name,
			   request, fault);
	return fault->message;
}

static const char *
show_permission(const char *name, DwfRequest *request, DwfFault *fault)
{
	read_entry("[{\"id\":\"1\",\"type\":\"USER\",\"permissions\":[\"%s\"]}]",
			   name, request, fault);
	return request->unknown_permission;
}

static void
test_cuts(void)
{
	static const char *const characters[] = {
		"b", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80",
	};

	for (int i = 0; i < LENGTH(characters); i++)
	{
		for (int shift = 0; shift < 4; shift++)
		{
			check_cut(characters[i], shift, 100, show_key);
			check_cut(characters[i], shift, 100, show_entry_key);
			check_cut(characters[i], shift, 100, show_entry_type);
			check_cut(characters[i], shift, 64, show_permission);
		}
	}
}

int
main(void)
{
	test_cuts();
	return done_testing();
}
