/*
 * descriptors.h
 *	  Descriptors that are not PostgreSQL's own.
 */
#ifndef DWF_DESCRIPTORS_H
#define DWF_DESCRIPTORS_H

/*
 * Tells PostgreSQL that this process has `count` descriptors open, or is about
 * to, that it does not know of.  It keeps fewer files open for them, of those
 * that it opens again when they are needed.  Cheap where nothing has changed,
 * and without errors.
 */
extern void dwf_descriptors_tell(int count);

#endif							/* DWF_DESCRIPTORS_H */
