/*
 * tap.h
 *	  Tests in C that speak TAP, the language of prove.
 *
 * A test includes the source files that it tests, so that it reaches their
 * static functions, and this header; main() makes its checks and returns
 * done_testing().  Names of checks are formats, as of printf.
 */
#ifndef DWF_TAP_H
#define DWF_TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define ok(test, ...) \
	tap_ok((test), __FILE__, __LINE__, __VA_ARGS__)
#define is_int(got, want, ...) \
	tap_is_int((got), (want), __FILE__, __LINE__, __VA_ARGS__)
#define is_str(got, want, ...) \
	tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)

#define TAP_PRINTF(f) __attribute__((unused, format(printf, f, f + 1)))

static int	tap_count;
static int	tap_failures;

/* A line for whoever reads the output; never part of a result. */
TAP_PRINTF(1)
static void
diag(const char *format,...)
{
	va_list		args;

	va_start(args, format);
	fputs("# ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

/* One check: prints its line, and where it is if it failed. */
static bool
tap_result(bool passed, const char *file, int line, const char *format,
		   va_list args)
{
	tap_count++;
	printf("%sok %d - ", passed ? "" : "not ", tap_count);
	vprintf(format, args);
	putchar('\n');
	fflush(stdout);
	if (!passed)
	{
		tap_failures++;
		diag("failed at %s:%d", file, line);
	}
	return passed;
}

TAP_PRINTF(4)
static bool
tap_ok(bool passed, const char *file, int line, const char *format,...)
{
	va_list		args;

	va_start(args, format);
	tap_result(passed, file, line, format, args);
	va_end(args);
	return passed;
}

TAP_PRINTF(5)
static bool
tap_is_int(long long got, long long want, const char *file, int line,
		   const char *format,...)
{
	bool		passed = got == want;
	va_list		args;

	va_start(args, format);
	tap_result(passed, file, line, format, args);
	va_end(args);
	if (!passed)
		diag("got %lld, wanted %lld", got, want);
	return passed;
}

/* NULL equals only NULL. */
TAP_PRINTF(5)
static bool
tap_is_str(const char *got, const char *want, const char *file, int line,
		   const char *format,...)
{
	bool		passed;
	va_list		args;

	if (got == NULL || want == NULL)
		passed = got == want;
	else
		passed = strcmp(got, want) == 0;
	va_start(args, format);
	tap_result(passed, file, line, format, args);
	va_end(args);
	if (!passed)
	{
		diag("got    %s", got == NULL ? "NULL" : got);
		diag("wanted %s", want == NULL ? "NULL" : want);
	}
	return passed;
}

/* The plan, last; returns the exit status of main(). */
static int
done_testing(void)
{
	printf("1..%d\n", tap_count);
	return tap_count == 0 || tap_failures > 0;
}

#endif							/* DWF_TAP_H */
