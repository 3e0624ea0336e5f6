/*
 * hung.c
 *	  Whose code hangs on domowf's objects, and on tables that it writes.
 *
 * Whoever may hang code on a table (its owner, or who was granted TRIGGER) is
 * not always who wrote it.  PostgreSQL keeps what an expression needs, in
 * pg_depend, but for what is pinned as its own; so a walk along these entries
 * reaches every function that can run, by operators, casts, types and their
 * input and output, operator classes and aggregates as well.  The walk ends
 * where PostgreSQL's own objects begin.  It goes on behind what belongs to
 * somebody who has the rights: he may have bound a thing of somebody else's
 * without knowing.
 *
 * Everything passed is watched (changes.h) before it is read.
 */
#include "postgres.h"

#include "base/changes.h"
#include "base/extension.h"
#include "base/hung.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/partition.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_am.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_index.h"
#include "catalog/pg_language.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "rewrite/rewriteDefine.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#define SCHEMA	"domowf"

/* A thing on the way, and what hangs on the object and has led there. */
typedef struct Step
{
	Oid			class;
	Oid			oid;
	Oid			root_class;
	Oid			root;
} Step;

typedef struct Walk
{
	Oid			class;			/* the object itself */
	Oid			oid;
	List	   *parts;			/* of a table that is somebody's, and UPDATEd */
	List	   *steps;			/* of Step, all that there were so far */
	bool		is_written;		/* its rows are, below SQL */
	bool		fires;			/* triggers, when they are */
	bool		differs;		/* triggers or rules that do not always fire */
	Oid			rule;			/* one that would change what is written */
	Oid			deferred;		/* a trigger that would fire when all is over */
	Oid			foreign;		/* a foreign key that nobody would see to */
	Oid			unchecked;		/* a constraint, likewise */
} Walk;

/* Rows of these catalogs hang on the relation whose oid they hold. */
static const struct
{
	Oid			catalog;
	Oid			index;
	AttrNumber	relation;
	Oid			class;			/* what a row's first column is the oid of */
}			hooks[] = {

	{IndexRelationId, IndexIndrelidIndexId, Anum_pg_index_indrelid,
	RelationRelationId},
	{ConstraintRelationId, ConstraintRelidTypidNameIndexId,
	Anum_pg_constraint_conrelid, ConstraintRelationId},
	{AttrDefaultRelationId, AttrDefaultIndexId, Anum_pg_attrdef_adrelid,
	AttrDefaultRelationId},
	{TriggerRelationId, TriggerRelidNameIndexId, Anum_pg_trigger_tgrelid,
	TriggerRelationId},
	{RewriteRelationId, RewriteRelRulenameIndexId, Anum_pg_rewrite_ev_class,
	RewriteRelationId},
	{StatisticExtRelationId, StatisticExtRelidIndexId,
	Anum_pg_statistic_ext_stxrelid, StatisticExtRelationId},
};

/* What code is, or what leads to code and can be changed by its owner. */
static const struct
{
	Oid			class;
	int			cache;
	AttrNumber	owner;
}			owned[] = {
	{ProcedureRelationId, PROCOID, Anum_pg_proc_proowner},
	{OperatorRelationId, OPEROID, Anum_pg_operator_oprowner},
	{TypeRelationId, TYPEOID, Anum_pg_type_typowner},
	{OperatorClassRelationId, CLAOID, Anum_pg_opclass_opcowner},
	{OperatorFamilyRelationId, OPFAMILYOID, Anum_pg_opfamily_opfowner},
	{RelationRelationId, RELOID, Anum_pg_class_relowner},
};

typedef void (*TakeRow) (Walk *walk, const Step *from, HeapTuple row,
						 int hook);

static void add(Walk *walk, Oid class, Oid oid, const Step *from);
static void each_row(Walk *walk, const Step *from, Oid catalog, Oid index,
					 AttrNumber column, Oid value, int hook, TakeRow take);
static void add_hooks(Walk *walk, Oid relation, const Step *from);
static void take_hook(Walk *walk, const Step *from, HeapTuple row, int hook);
static bool take_trigger(Walk *walk, const Step *from, Form_pg_trigger trigger);
static bool take_own_constraint(Walk *walk, const Step *from,
								Form_pg_constraint constraint);
static bool take_rule(Walk *walk, const Step *from, Form_pg_rewrite rule);
static bool is_passed_by(const Walk *walk, const char *name, char **message,
						 char **hint);
static bool is_own(Oid function);
static void go_on(Walk *walk, const Step *step);
static void add_needed(Walk *walk, Oid class, Oid oid, const Step *from);
static bool find_strangers(Walk *walk, const char *name, Oid owner,
						   DwfHung *hung, char **message, char **hint);
static bool fires_by_update(const Walk *walk, const Step *from,
							Form_pg_trigger trigger);
static bool is_generated(Form_pg_attrdef value);
static void add_of_type(Walk *walk, const Step *from);
static void take_constraint(Walk *walk, const Step *from, HeapTuple row,
							int hook);
static void take_amproc(Walk *walk, const Step *from, HeapTuple row,
						int hook);
static void take_amop(Walk *walk, const Step *from, HeapTuple row, int hook);
static bool is_strangers(const Step *step, Oid owner, Oid *whose);
static bool is_index(const Step *step);
static bool is_enum(const Step *step);

bool
dwf_hung_find_fault(Oid class, Oid oid, const char *name, Oid owner,
					bool is_written, DwfHung *hung, char **message,
					char **hint)
{
	Walk		walk = {.class = class,.oid = oid,.is_written = is_written};

	memset(hung, 0, sizeof(*hung));
	if (class == NamespaceRelationId)
		return false;
	if (class == RelationRelationId)
		add_hooks(&walk, oid, NULL);
	else
		add(&walk, class, oid, NULL);
	if (is_passed_by(&walk, name, message, hint) ||
		find_strangers(&walk, name, owner, hung, message, hint))
		return true;
	hung->fires = walk.fires;
	hung->differs = walk.differs;
	return false;
}

/*
 * Of a partition all that is its own is looked at, of what it is a partition of
 * only what its rows are checked by: triggers and constraints are copied.
 */
bool
dwf_hung_find_strangers(Oid table, const char *name, Oid owner, List *parts,
						char **message)
{
	Walk		walk = {.class = RelationRelationId,.oid = table,.parts = parts};
	List	   *above = get_partition_ancestors(table);
	DwfHung		hung = {0};
	char	   *hint;
	ListCell   *cell;

	walk.parts = list_union_oid(parts, above);
	foreach(cell, walk.parts)
	{
		dwf_changes_relation(lfirst_oid(cell));
		add_needed(&walk, RelationRelationId, lfirst_oid(cell), NULL);
	}
	foreach(cell, parts)
		add_hooks(&walk, lfirst_oid(cell), NULL);
	if (!find_strangers(&walk, name, owner, &hung, message, &hint))
		return false;
	*message = psprintf("%s; %s", *message, hint);
	return true;
}

/* Whether anything on the way is a stranger's; walks on to the end. */
static bool
find_strangers(Walk *walk, const char *name, Oid owner, DwfHung *hung,
			   char **message, char **hint)
{
	/* the list grows while it is walked along */
	for (int i = 0; i < list_length(walk->steps); i++)
	{
		const Step *step = list_nth(walk->steps, i);
		Oid			whose;

		if (is_strangers(step, owner, &whose))
		{
			char	   *role = GetUserNameFromId(whose, true);
			char	   *what = getObjectDescriptionOids(step->class, step->oid);
			char	   *root = getObjectDescriptionOids(step->root_class, step->root);

			*message = psprintf("%s: %s needs %s of \"%s\", who does not have the rights of its owner",
								name, root, what,
								role == NULL ? "nobody" : role);
			*hint = psprintf("drop %s, or give %s to \"%s\"", root, what,
							 GetUserNameFromId(owner, false));
			return true;
		}
		hung->runs |= step->class == ProcedureRelationId && !is_own(step->oid);
		go_on(walk, step);
	}
	return false;
}

/* Whether something would not be done as an ordinary statement would do it. */
static bool
is_passed_by(const Walk *walk, const char *name, char **message, char **hint)
{
	if (OidIsValid(walk->rule))
	{
		*message = psprintf("%s would change what is done to %s",
							getObjectDescriptionOids(RewriteRelationId, walk->rule), name);
		*hint = pstrdup("drop the rule");
	}
	else if (OidIsValid(walk->deferred))
	{
		/* PostgreSQL refuses it in a restricted operation, with good reason */
		*message = psprintf("%s would fire when its owner's rights are laid down again",
							getObjectDescriptionOids(TriggerRelationId, walk->deferred));
		*hint = pstrdup("make it one that is not deferred, or does not fire always");
	}
	else if (OidIsValid(walk->foreign))
	{
		*message = psprintf("%s would be broken by what is done to %s",
							getObjectDescriptionOids(ConstraintRelationId, walk->foreign),
							name);
		*hint = pstrdup("drop the foreign key: requests move from one table to another, and the worker checks none");
	}
	else if (OidIsValid(walk->unchecked))
	{
		*message = psprintf("%s would not be checked where %s is written",
							getObjectDescriptionOids(ConstraintRelationId, walk->unchecked),
							name);
		*hint = pstrdup("make it one that is NOT DEFERRABLE");
	}
	else
		return false;
	return true;
}

bool
dwf_hung_fires(char enabled, bool is_internal, Oid function)
{
	return !is_internal &&
		(enabled == TRIGGER_FIRES_ALWAYS ||
		 enabled == TRIGGER_FIRES_ON_REPLICA) && !is_own(function);
}

/*
 * Whether a function is one that the extension's script made for its tables;
 * domowf_trigger(), which stands in another schema, is everybody's.
 */
static bool
is_own(Oid function)
{
	const DwfExtension *extension = dwf_extension_find();

	return extension != NULL &&
		get_func_namespace(function) == get_namespace_oid(SCHEMA, true) &&
		getExtensionOfObject(ProcedureRelationId, function) == extension->oid;
}

/* Adds a thing, unless it is PostgreSQL's own or was there before. */
static void
add(Walk *walk, Oid class, Oid oid, const Step *from)
{
	Step	   *step;
	ListCell   *cell;

	if (oid < FirstNormalObjectId || class == NamespaceRelationId ||
		class == ExtensionRelationId || class == LanguageRelationId)
		return;
	if (from != NULL && class == walk->class && oid == walk->oid)
		return;
	if (class == RelationRelationId && list_member_oid(walk->parts, oid))
		return;
	foreach(cell, walk->steps)
	{
		step = lfirst(cell);
		if (step->class == class && step->oid == oid)
			return;
	}
	step = palloc(sizeof(Step));
	step->class = class;
	step->oid = oid;
	step->root_class = from == NULL ? class : from->root_class;
	step->root = from == NULL ? oid : from->root;
	walk->steps = lappend(walk->steps, step);
}

/* Calls `take` for each row of a catalog that has `value` in a column. */
static void
each_row(Walk *walk, const Step *from, Oid catalog, Oid index,
		 AttrNumber column, Oid value, int hook, TakeRow take)
{
	Relation	rel = table_open(catalog, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(value));
	scan = systable_beginscan(rel, index, true, NULL, 1, &key);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
		take(walk, from, row, hook);
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* Adds what hangs on a relation. */
static void
add_hooks(Walk *walk, Oid relation, const Step *from)
{
	for (int i = 0; i < lengthof(hooks); i++)
		each_row(walk, from, hooks[i].catalog, hooks[i].index,
				 hooks[i].relation, relation, i, take_hook);
}

/* What hangs on the object itself, where it counts, and leads to code. */
static void
take_hook(Walk *walk, const Step *from, HeapTuple row, int hook)
{
	/* each of these catalogs has it first */
	Oid			oid = *(Oid *) GETSTRUCT(row);
	bool		counts = true;

	if (hooks[hook].catalog == TriggerRelationId)
		counts = take_trigger(walk, from, (Form_pg_trigger) GETSTRUCT(row));
	else if (hooks[hook].catalog == ConstraintRelationId)
		counts = take_own_constraint(walk, from,
									 (Form_pg_constraint) GETSTRUCT(row));
	else if (hooks[hook].catalog == RewriteRelationId)
		counts = take_rule(walk, from, (Form_pg_rewrite) GETSTRUCT(row));
	else if (hooks[hook].catalog == AttrDefaultRelationId && walk->parts != NIL)
		counts = is_generated((Form_pg_attrdef) GETSTRUCT(row));
	if (counts)
		add(walk, hooks[hook].class, oid, from);
}

/*
 * Triggers and rules that do not fire under session_replication_role = replica
 * are as good as not there: all that C code does is done under it (firing.h).
 * So are the triggers of foreign keys, which are the code of that kind of
 * constraint; both tables have some, and so tell of it.
 */
static bool
take_trigger(Walk *walk, const Step *from, Form_pg_trigger trigger)
{
	if (walk->parts != NIL)
		return fires_by_update(walk, from, trigger);
	if (from == NULL && walk->is_written && trigger->tgisinternal &&
		OidIsValid(trigger->tgconstrrelid))
		walk->foreign = trigger->tgconstraint;
	if (from == NULL)
		walk->differs |= trigger->tgenabled != TRIGGER_FIRES_ALWAYS &&
			trigger->tgenabled != TRIGGER_DISABLED;
	if (trigger->tgenabled != TRIGGER_FIRES_ALWAYS &&
		trigger->tgenabled != TRIGGER_FIRES_ON_REPLICA)
		return false;
	if (from == NULL && trigger->tginitdeferred)
		walk->deferred = trigger->oid;
	if (from == NULL)
		walk->fires |= dwf_hung_fires(trigger->tgenabled,
									  trigger->tgisinternal, trigger->tgfoid);
	return true;
}

/*
 * By an ordinary session's UPDATE; of a partition's row, what fires where it
 * leaves it for another one, too.  Foreign keys are looked after with the
 * rights of the other table's owner, but for what fires AFTER that, which is why
 * such a table is one of the parts.
 */
static bool
fires_by_update(const Walk *walk, const Step *from, Form_pg_trigger trigger)
{
	bool		is_part = trigger->tgrelid != walk->oid;

	if ((trigger->tgenabled != TRIGGER_FIRES_ON_ORIGIN &&
		 trigger->tgenabled != TRIGGER_FIRES_ALWAYS) ||
		(trigger->tgisinternal && OidIsValid(trigger->tgconstrrelid)))
		return false;
	if (from != NULL)
		return true;
	return TRIGGER_FOR_UPDATE(trigger->tgtype) ||
		(is_part && TRIGGER_FOR_ROW(trigger->tgtype));
}

/* A default is taken by an INSERT, the value of a generated column is made anew. */
static bool
is_generated(Form_pg_attrdef value)
{
	return get_attgenerated(value->adrelid, value->adnum) != '\0';
}

/* What is checked late is checked by triggers that do not fire here. */
static bool
take_own_constraint(Walk *walk, const Step *from,
					Form_pg_constraint constraint)
{
	if (constraint->contype == CONSTRAINT_FOREIGN)
		return false;
	if (from == NULL && walk->is_written && constraint->condeferrable &&
		constraint->contype != CONSTRAINT_TRIGGER)
		walk->unchecked = constraint->oid;
	return true;
}

/* As a trigger; of a table that is UPDATEd, one for whatever is done to it. */
static bool
take_rule(Walk *walk, const Step *from, Form_pg_rewrite rule)
{
	/* '1' is SELECT: a view itself */
	if (rule->ev_type == '1')
		return true;
	if (from == NULL)
		walk->differs |= rule->ev_enabled != RULE_FIRES_ALWAYS &&
			rule->ev_enabled != RULE_DISABLED;
	if (walk->parts != NIL)
		return rule->ev_enabled == RULE_FIRES_ON_ORIGIN ||
			rule->ev_enabled == RULE_FIRES_ALWAYS;
	if (rule->ev_enabled != RULE_FIRES_ALWAYS &&
		rule->ev_enabled != RULE_FIRES_ON_REPLICA)
		return false;
	if (from == NULL)
		walk->rule = rule->oid;
	return true;
}

/* Adds what a thing needs. */
static void
go_on(Walk *walk, const Step *step)
{
	add_needed(walk, step->class, step->oid, step);
	if (step->class == TypeRelationId)
		add_of_type(walk, step);
	else if (step->class == OperatorFamilyRelationId)
	{
		/* which know their family, and not the other way round */
		each_row(walk, step, AccessMethodProcedureRelationId,
				 AccessMethodProcedureIndexId, Anum_pg_amproc_amprocfamily,
				 step->oid, 0, take_amproc);
		each_row(walk, step, AccessMethodOperatorRelationId,
				 AccessMethodStrategyIndexId, Anum_pg_amop_amopfamily,
				 step->oid, 0, take_amop);
	}
	else if (step->class == RelationRelationId &&
			 !is_index(step))
		add_hooks(walk, step->oid, step);
}

/* What pg_depend says of a thing. */
static void
add_needed(Walk *walk, Oid class, Oid oid, const Step *from)
{
	Relation	rel = table_open(DependRelationId, AccessShareLock);
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&keys[0], Anum_pg_depend_classid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(class));
	ScanKeyInit(&keys[1], Anum_pg_depend_objid, BTEqualStrategyNumber,
				F_OIDEQ, ObjectIdGetDatum(oid));
	scan = systable_beginscan(rel, DependDependerIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(row = systable_getnext(scan)))
	{
		Form_pg_depend depend = (Form_pg_depend) GETSTRUCT(row);

		add(walk, depend->refclassid, depend->refobjid, from);
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
}

/* A domain's checks, a row's columns, and how values are compared. */
static void
add_of_type(Walk *walk, const Step *from)
{
	Oid			methods[] = {BTREE_AM_OID, HASH_AM_OID};
	Oid			row = get_typ_typrelid(from->oid);

	if (OidIsValid(row))
		add(walk, RelationRelationId, row, from);
	each_row(walk, from, ConstraintRelationId, ConstraintTypidIndexId,
			 Anum_pg_constraint_contypid, from->oid, 0, take_constraint);
	for (int i = 0; i < lengthof(methods); i++)
	{
		Oid			opclass = GetDefaultOpClass(from->oid, methods[i]);

		if (OidIsValid(opclass))
			add(walk, OperatorClassRelationId, opclass, from);
	}
}

static void
take_constraint(Walk *walk, const Step *from, HeapTuple row, int hook)
{
	add(walk, ConstraintRelationId,
		((Form_pg_constraint) GETSTRUCT(row))->oid, from);
}

static void
take_amproc(Walk *walk, const Step *from, HeapTuple row, int hook)
{
	add(walk, ProcedureRelationId,
		((Form_pg_amproc) GETSTRUCT(row))->amproc, from);
}

static void
take_amop(Walk *walk, const Step *from, HeapTuple row, int hook)
{
	add(walk, OperatorRelationId,
		((Form_pg_amop) GETSTRUCT(row))->amopopr, from);
}

/*
 * Whether a thing belongs to somebody without the rights of `owner`.  An index
 * belongs to whoever has its table, and is not what he could change by it.
 */
static bool
is_strangers(const Step *step, Oid owner, Oid *whose)
{
	for (int i = 0; i < lengthof(owned); i++)
	{
		HeapTuple	tuple;
		bool		isnull;

		if (step->class != owned[i].class || is_index(step) || is_enum(step))
			continue;
		if (step->class == RelationRelationId)
			dwf_changes_relation(step->oid);
		else
			dwf_changes_row(owned[i].cache, step->oid);
		tuple = SearchSysCache1(owned[i].cache, ObjectIdGetDatum(step->oid));
		if (!HeapTupleIsValid(tuple))
			return false;
		*whose = DatumGetObjectId(SysCacheGetAttr(owned[i].cache, tuple,
												  owned[i].owner, &isnull));
		ReleaseSysCache(tuple);
		return !has_privs_of_role(*whose, owner);
	}
	return false;
}

static bool
is_index(const Step *step)
{
	char		kind;

	if (step->class != RelationRelationId)
		return false;
	kind = get_rel_relkind(step->oid);
	return kind == RELKIND_INDEX || kind == RELKIND_PARTITIONED_INDEX;
}

/* Of an enum, or an array of one, nothing runs but PostgreSQL's own. */
static bool
is_enum(const Step *step)
{
	Oid			element = step->class == TypeRelationId ?
	get_element_type(step->oid) : InvalidOid;

	return step->class == TypeRelationId &&
		get_typtype(OidIsValid(element) ? element : step->oid) == TYPTYPE_ENUM;
}
