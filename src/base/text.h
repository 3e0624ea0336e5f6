/*
 * text.h
 *	  Text that people are to read, in a buffer of fixed size.
 */
#ifndef DWF_TEXT_H
#define DWF_TEXT_H

/*
 * Copies UTF-8 text into a buffer so that it can be shown in a message: cut
 * between characters, no control characters, in the database's encoding ('?'
 * for what that may lack).  Asks for no memory and cannot fail.
 */
extern void dwf_text_show(char *out, size_t size, const char *text);

/* Copies text in the database's encoding, cut between characters. */
extern void dwf_text_cut(char *out, size_t size, const char *text);

#endif							/* DWF_TEXT_H */
