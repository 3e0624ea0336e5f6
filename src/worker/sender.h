/*
 * sender.h
 *	  The worker's attempts: from what is due to a result that can be written.
 *
 * What a sender consists of is known to its own files alone (sender_state.h).
 * All times are of the steady clock.
 */
#ifndef DWF_SENDER_H
#define DWF_SENDER_H

#include "base/clock.h"
#include "base/news.h"
#include "base/shared.h"

typedef struct DwfSender DwfSender;

/* Makes it, with its engine and what waits for that.  Once in a process. */
extern DwfSender *dwf_sender_open(void);

/* Has it look for what is due, `now` or when it has not done so for a while. */
extern void dwf_sender_look_again(DwfSender *sender, bool now);

/* Takes note of what was committed. */
extern void dwf_sender_take_news(DwfSender *sender, const DwfNews *news,
								 DwfSteady now);

/* When there may be a request to send; the past where there may be one now. */
extern DwfSteady dwf_sender_due_at(const DwfSender *sender, DwfSteady now);

/*
 * Ends every pause of its lanes and connections; and what could not be written
 * may be now.
 */
extern void dwf_sender_resume(DwfSender *sender, DwfSteady now);

/* Whether connections are to be opened, or looked up, (again). */
extern bool dwf_sender_must_reopen(const DwfSender *sender);

/*
 * Opens connections where they must be.  In a transaction.  Where one cannot be
 * opened the sender says why and sends nothing on it.
 */
extern void dwf_sender_reopen(DwfSender *sender);

/*
 * How many requests may be claimed now, beside those whose results have not
 * been written and are not being written in the transaction under way.
 */
extern int	dwf_sender_room(DwfSender *sender, DwfSteady now);

/*
 * In a transaction: claims for `owner` what is due, as much as there is room
 * for, to be sent when that has committed; nothing where a domowf_pause() has
 * not been looked at yet.
 */
extern void dwf_sender_claim(DwfSender *sender, int64 owner, DwfSteady now);

/* Whether each is claimed by itself the next time, since one was refused. */
extern bool dwf_sender_claims_each(const DwfSender *sender);
extern int	dwf_sender_claimed(const DwfSender *sender);

/*
 * Whether the writing of a result has failed and may be tried again; also of one
 * that is set aside (sender_results.c).
 */
extern bool dwf_sender_has_failed(const DwfSender *sender, DwfSteady now,
								  bool aside);

/*
 * Whether there are results that have not been tried to be written; these, in a
 * list of the current context; and when the first of all may be written,
 * DT_NOEND where there is none.
 */
extern bool dwf_sender_has_fresh(const DwfSender *sender);
extern DwfSteady dwf_sender_write_at(const DwfSender *sender);

/*
 * In a transaction: settles what has ended and not been tried to be written, as
 * what `owner` has claimed; or one whose writing has failed, alone, those that
 * are set aside last.
 */
extern void dwf_sender_write_fresh(DwfSender *sender, int64 owner);
extern void dwf_sender_write_failed(DwfSender *sender, int64 owner,
									DwfSteady now);

/*
 * How many results wait to be written and take one of so many places in flight;
 * those that are set aside, since they stop nobody, take none.
 */
extern int	dwf_sender_waiting(const DwfSender *sender, int places);

/* What failed before may be written now. */
extern void dwf_sender_write_at_once(DwfSender *sender);

/*
 * Tells how the transaction ended that wrote `written` results and took the
 * claims.  What was aborted, by an error of this code, is written again at
 * growing intervals, short ones where it only met somebody's lock; what is
 * refused for what it holds (refusal.h) is held in doubt instead, at once; and
 * what is refused even so is set aside.
 */
extern void dwf_sender_committed(DwfSender *sender, DwfSteady now);
extern void dwf_sender_aborted(DwfSender *sender, DwfSteady now, int code);

/*
 * Puts back what was claimed, to be claimed again at once, and says why it is
 * not sent.  It has used no attempt.
 */
extern void dwf_sender_hold_back(DwfSender *sender, const char *reason);

/* Sends what was claimed. */
extern void dwf_sender_send(DwfSender *sender);

/*
 * Drives the network and turns what has ended into results.  `has_news`: the
 * engine's descriptor is readable, or may be.
 */
extern void dwf_sender_harvest(DwfSender *sender, bool has_news);

/*
 * Waits for the network, the latch, or `timeout` milliseconds (-1: no time).
 * Returns whether the network has news.
 */
extern bool dwf_sender_wait(DwfSender *sender, long timeout);

/*
 * To be called at each poll: gives back what a burst has left, once nothing was
 * sent for as long as its connections could be used again.
 */
extern void dwf_sender_rest(DwfSender *sender);

/* When the engine wants to be driven though nothing comes: as of http.h. */
extern long dwf_sender_timeout_ms(const DwfSender *sender);

/*
 * Says what does not get on (progress.h): results that wait to be written, and
 * requests that are due and held by somebody.
 */
extern void dwf_sender_note_progress(DwfSender *sender, DwfSteady now);

/*
 * Whether nothing is in flight nor waits to be written; or nothing but what is
 * set aside.
 */
extern bool dwf_sender_is_idle(const DwfSender *sender);
extern bool dwf_sender_is_drained(const DwfSender *sender);

/* Has connections opened again that could not be. */
extern void dwf_sender_try_again(DwfSender *sender);

/* Fills in the counts and the last error. */
extern void dwf_sender_fill_status(const DwfSender *sender,
								   DwfWorkerStatus *status);

/* Notes the error being handled, for the worker view. */
extern void dwf_sender_note_error(DwfSender *sender);

/* Fills in up to `max` rows of the view `connection`; how many. */
extern int	dwf_sender_show_connections(const DwfSender *sender,
										DwfConnectionStatus *rows, int max);

/* When the sender has room again; DT_NOEND: when something has settled. */
extern DwfSteady dwf_sender_room_at(const DwfSender *sender, DwfSteady now);

/*
 * Until when nothing is sent and why, where that is so: the settings'
 * connection rests, or every lane of it that has something to send, and no
 * server's is used; 0 where it is not.  `is_private`:
 * the reason tells of a request.
 */
extern DwfSteady dwf_sender_paused_until(const DwfSender *sender,
										 const char **reason,
										 bool *is_private);

/*
 * Says in the server's log what is in flight and this worker will not settle,
 * and what has happened meanwhile.
 */
extern void dwf_sender_report_lost(DwfSender *sender, const char *event);

#endif							/* DWF_SENDER_H */
