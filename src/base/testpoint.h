/*
 * testpoint.h
 *	  Places where a test can make something go wrong; nothing in a normal
 *	  build.
 *
 * With -DDWF_TEST_HOOKS the setting domowf.test_point, "NAME=ACTION", makes
 * the process that comes to the point NAME die (kill), raise an error (error),
 * find the disk full (disk-full) or wait until the setting is changed (wait);
 * "NAME=NUMBER" puts a number in place of that of the code.  Several stand with
 * commas between them.
 *
 * domowf.test_mark does nothing, but a background process that takes it up with
 * a reload says so in the server's log, and has taken up all other settings.
 */
#ifndef DWF_TESTPOINT_H
#define DWF_TESTPOINT_H

#ifdef DWF_TEST_HOOKS
/* The setting domowf.test_point, defined with all others in guc.c. */
extern char *dwf_test_point;

/* domowf.test_mark, and its assign hook. */
extern char *dwf_test_mark;
extern void dwf_testpoint_assign_mark(const char *mark, void *extra);

/* Does what the setting asks for, if it names this point. */
extern void dwf_testpoint_reach(const char *name);
#define DWF_TESTPOINT(name)	dwf_testpoint_reach(name)

/* The number that the setting gives, if it names this one, or else `usual`. */
extern int	dwf_testpoint_number(const char *name, int usual);
#define DWF_TESTNUMBER(name, usual)	dwf_testpoint_number((name), (usual))
#else
#define DWF_TESTPOINT(name)	((void) 0)
#define DWF_TESTNUMBER(name, usual)	(usual)
#endif

#endif							/* DWF_TESTPOINT_H */
