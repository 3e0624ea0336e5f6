/*
 * token_file.h
 *	  Files that hold a token each.
 */
#ifndef DWF_TOKEN_FILE_H
#define DWF_TOKEN_FILE_H

/*
 * The token of a file, palloc'd: from memory where the configuration has not
 * been reloaded since it was read, nor the token refused.  Raises 55000 where
 * it cannot be used, with the name of the server whose it is; NULL: the file of
 * domowf.token_file.
 */
extern char *dwf_token_file_read(const char *path, const char *server);

/* Has a file read again at its next use. */
extern void dwf_token_file_forget(const char *path);

#endif							/* DWF_TOKEN_FILE_H */
