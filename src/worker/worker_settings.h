/*
 * worker_settings.h
 *	  Whose settings the worker of a database has, and the launcher.
 */
#ifndef DWF_WORKER_SETTINGS_H
#define DWF_WORKER_SETTINGS_H

/*
 * Connects the calling background worker to its database, as the bootstrap
 * superuser.  Of what ALTER DATABASE and ALTER ROLE have set nothing reaches
 * it, now or later; all else comes from the configuration, as before.  To be
 * called once, in no transaction, and before the configuration is read again.
 */
extern void dwf_worker_settings_connect(Oid database);

/*
 * Connects the launcher, to no database.  It has the configuration's settings,
 * but for timeouts that would end it while it connects or looks.
 */
extern void dwf_worker_settings_connect_launcher(void);

#endif							/* DWF_WORKER_SETTINGS_H */
