/*
 * test_version.c
 *	  Unit tests of version.c: which SQL a library serves.
 *
 * A worker that takes newer SQL for its own writes into tables that it does
 * not know; one that takes its own for newer sends nothing.
 */
#include "../../src/base/version.c"

#include "tap.h"

/* In order; each serves itself and what stands before it. */
static const char *const versions[] = {
	"0.9", "0.10", "1.0", "1.0.1", "1.0.10", "1.1", "1.9.9", "1.10", "2",
	"10.0", "10.0.0.1", "999999999"
};

static void
check_order(void)
{
	int			count = sizeof(versions) / sizeof(versions[0]);

	for (int i = 0; i < count; i++)
	{
		for (int j = 0; j < count; j++)
			ok(dwf_version_serves(versions[i], versions[j]) == (j <= i),
			   "a library %s %s %s", versions[i],
			   j <= i ? "serves" : "does not serve", versions[j]);
	}
}

static void
check_same(void)
{
	ok(dwf_version_serves("1.0.0", "1.0"), "1.0.0 serves 1.0");
	ok(dwf_version_serves("1.0", "1.0.0"), "1.0 serves 1.0.0");
	ok(dwf_version_serves("1", "1.0.0"), "1 serves 1.0.0");
	ok(dwf_version_serves("1.01", "1.1"), "leading zeros do not count");
	ok(!dwf_version_serves("1.0", "1.0.0.1"), "1.0 does not serve 1.0.0.1");
}

static void
check_odd(void)
{
	static const char *const odd[] = {
		"", ".", "0.", ".1", "0..1", "0.a", "a", "0.1-dev", "0.1beta", "dev",
		"-1", "0.-1", " 0.1", "0.1 ", "0,1", "0.1\n", "9999999999",
		"0.99999999999999999999999"
	};

	for (int i = 0; i < (int) (sizeof(odd) / sizeof(odd[0])); i++)
		ok(!dwf_version_serves("1.0.0", odd[i]), "\"%s\" is not served",
		   odd[i][0] != '\0' && strchr(odd[i], '\n') ? "0.1\\n" : odd[i]);
}

int
main(void)
{
	check_order();
	check_same();
	check_odd();
	return done_testing();
}
