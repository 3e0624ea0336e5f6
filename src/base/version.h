/*
 * version.h
 *	  Versions in order.  Pure.
 */
#ifndef DWF_VERSION_H
#define DWF_VERSION_H

#include <stdbool.h>

/*
 * Whether a library of version `library` serves the SQL of version `sql`: its
 * own and every earlier one.  Numbers with dots between them, in which 1.10
 * comes after 1.9, and 1.0 is 1.0.0.  What does not read so may be anything,
 * and is not served.
 */
extern bool dwf_version_serves(const char *library, const char *sql);

#endif							/* DWF_VERSION_H */
