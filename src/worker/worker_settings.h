/*
 * worker_settings.h
 *	  Whose settings the processes of domowf have.
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
 * Connects a process and makes it a session of a role (returns.c): session
 * authorization is the role, settings are what a new session of it would get,
 * but for those that returns rest on, and pg_temp is last in its search_path.
 * Nothing of what is set for others reaches it.  False: there is no such role.
 */
extern bool dwf_worker_settings_connect_as(Oid database, Oid role);

/*
 * Connects the launcher, to no database.  It has the configuration's settings,
 * but for timeouts that would end it while it connects or looks.
 */
extern void dwf_worker_settings_connect_launcher(void);

#endif							/* DWF_WORKER_SETTINGS_H */
