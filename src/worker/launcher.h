/*
 * launcher.h
 *	  The background worker that starts the other ones.
 */
#ifndef DWF_LAUNCHER_H
#define DWF_LAUNCHER_H

#include "catalog/pg_database.h"

/* Registers the launcher; to be called while libraries are preloaded. */
extern void dwf_launcher_register(void);

/* Whether a database, where it has the extension, has a worker. */
extern bool dwf_launcher_serves(Form_pg_database database);

/* Main function of the launcher. */
extern PGDLLEXPORT void domowf_launcher_main(Datum arg);

#endif							/* DWF_LAUNCHER_H */
