/*
 * worker_settings.h
 *	  Whose settings the worker of a database has.
 */
#ifndef DWF_WORKER_SETTINGS_H
#define DWF_WORKER_SETTINGS_H

/*
 * Remembers every setting.  To be called before the process connects to its
 * database, while all of them are the configuration's.
 */
extern void dwf_worker_settings_note(void);

/*
 * Undoes what ALTER DATABASE and ALTER ROLE have set, now and for reloads to
 * come, and sets what the worker's statements rest on.  To be called once,
 * when it is connected, outside of a transaction.
 */
extern void dwf_worker_settings_fix(void);

#endif							/* DWF_WORKER_SETTINGS_H */
