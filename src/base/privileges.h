/*
 * privileges.h
 *	  What is granted on the extension's objects.
 */
#ifndef DWF_PRIVILEGES_H
#define DWF_PRIVILEGES_H

/*
 * What everybody may do with objects of the extension, in words and palloc'd;
 * NULL: nothing.  That everybody may use its types is PostgreSQL's default, and
 * does not count.
 */
extern char *dwf_privileges_of_public(void);

#endif							/* DWF_PRIVILEGES_H */
