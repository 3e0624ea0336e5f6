/*
 * mapping_cache.h
 *	  The mappings of triggers that fired in this session.
 */
#ifndef DWF_MAPPING_CACHE_H
#define DWF_MAPPING_CACHE_H

#include "trigger/mapping.h"

/*
 * The mapping of the trigger that fired, read (dwf_mapping_read(), and its
 * errors) the first time and again after its table, the table that it was made
 * on or the workflow has changed.  Stays as it is while the current memory
 * context lives, or until that is reset.
 */
extern const DwfMapping *dwf_mapping_cache_find(const TriggerData *data,
												const DwfWorkflow *workflow);

#endif							/* DWF_MAPPING_CACHE_H */
