/*
 * testpoint.h
 *	  Places where a test can make something go wrong; nothing in a normal
 *	  build.
 *
 * With -DDWF_TEST_HOOKS the setting domowf.test_point, "NAME=ACTION", makes
 * the process that comes to the point NAME die (kill), raise an error (error)
 * or wait until the setting is changed (wait).
 */
#ifndef DWF_TESTPOINT_H
#define DWF_TESTPOINT_H

#ifdef DWF_TEST_HOOKS
/* The setting domowf.test_point, defined with all others in guc.c. */
extern char *dwf_test_point;

/* Does what the setting asks for, if it names this point. */
extern void dwf_testpoint_reach(const char *name);
#define DWF_TESTPOINT(name)	dwf_testpoint_reach(name)
#else
#define DWF_TESTPOINT(name)	((void) 0)
#endif

#endif							/* DWF_TESTPOINT_H */
