/*
 * assignment.h
 *	  An argument of a trigger, taken apart.
 */
#ifndef DWF_ASSIGNMENT_H
#define DWF_ASSIGNMENT_H

#include <stddef.h>

typedef enum DwfAssignmentKind
{
	DWF_ASSIGN_NAME,			/* 'input': the column has its name */
	DWF_ASSIGN_COLUMN,			/* 'input=column' */
	DWF_ASSIGN_LITERAL,			/* 'input:=literal' */
	DWF_ASSIGN_BACK				/* 'column<-field' */
} DwfAssignmentKind;

/* Both texts are parts of the argument, and either may be empty. */
typedef struct DwfAssignment
{
	DwfAssignmentKind kind;
	const char *target;			/* what gets something: its beginning ... */
	size_t		target_len;
	const char *source;			/* what it gets; of a name, that name */
} DwfAssignment;

/* The row of an event that a value is taken from. */
typedef enum DwfAssignmentRow
{
	DWF_ROW_CURRENT,			/* NEW; the OLD one of a DELETE */
	DWF_ROW_NEW,
	DWF_ROW_OLD
} DwfAssignmentRow;

/* Takes an argument apart; each text is one. */
extern DwfAssignment dwf_assignment_read(const char *argument);

/* The column of 'OLD.column' or 'NEW.column', and in *row whose; or as it is. */
extern const char *dwf_assignment_skip_row(const char *column,
										   DwfAssignmentRow *row);

#endif							/* DWF_ASSIGNMENT_H */
