/*
 * guc.h
 *	  The settings of domowf.  README.md, "Settings", says what each is for.
 */
#ifndef DWF_GUC_H
#define DWF_GUC_H

/* What domowf.after_promotion may be. */
typedef enum DwfAfterPromotion
{
	DWF_GO_ON,
	DWF_PAUSE_AFTER_PROMOTION,
	DWF_HOLD_AFTER_PROMOTION
} DwfAfterPromotion;

extern int	dwf_after_promotion;
extern char *dwf_base_url;
extern char *dwf_ca_file;
extern int	dwf_connect_timeout;	/* milliseconds */
extern int	dwf_drain_timeout;	/* milliseconds */
extern int	dwf_expire_after;	/* seconds, 0: never */
extern char *dwf_instance;
extern bool dwf_log_calls;
extern bool dwf_log_payload;
extern int	dwf_log_retention;	/* minutes, 0: all is kept */
extern int	dwf_max_attempts;
extern int	dwf_max_connections;
extern int	dwf_max_queue_length;	/* 0: no limit */
extern int	dwf_max_queue_length_per_role;	/* 0: no limit */
extern int	dwf_max_response_size;	/* kilobytes */
extern bool dwf_notify;
extern int	dwf_poll_interval;	/* milliseconds */
extern char *dwf_proxy;
extern int	dwf_rate_limit;		/* requests a minute, 0: no limit */
extern int	dwf_retry_base;		/* milliseconds */
extern int	dwf_retry_cap;		/* milliseconds */
extern int	dwf_return_timeout; /* milliseconds */
extern bool dwf_returns;
extern int	dwf_stall_after;	/* milliseconds */
extern int	dwf_timeout;		/* milliseconds */
extern char *dwf_token_file;
extern bool dwf_track_instances;
extern bool dwf_triggers;
extern bool dwf_worker_enabled;

/* Defines all settings.  To be called once, when the library is loaded. */
extern void dwf_guc_define(void);

/*
 * The value of domowf.token, or NULL where it is not set.  Valid until the
 * setting changes, so not across anything that may run SQL.
 */
extern const char *dwf_guc_token(void);

/*
 * Whether domowf.token comes from the server's configuration (postgresql.conf,
 * ALTER SYSTEM, command line) and not from the session.
 */
extern bool dwf_guc_token_is_configured(void);

/*
 * Raises 22023 where a value is none for the setting domowf.`name`.  A token is
 * not quoted.
 */
extern void dwf_guc_check_value(const char *name, const char *value);

/* A value that has been checked, of a setting that is a number, in its unit. */
extern int	dwf_guc_read_number(const char *name, const char *value);

/*
 * For what is kept and compared, and so must not depend on the session's
 * quote_all_identifiers: names are quoted where they have to be, until
 * AtEOXact_GUC(false, ...) of what it returns, or an error.
 */
extern int	dwf_guc_quote_as_needed(void);

#endif							/* DWF_GUC_H */
