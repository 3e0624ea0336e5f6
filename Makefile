# domowf: start, cancel and share Domo Workflows from SQL.
#
#   make                        build; needs a compiler, libcurl, cJSON and
#   make install                PostgreSQL's server headers, and nothing else
#   make installcheck           as in any extension, on a server that is set up
#                               for it; `make check` is the way without one
#
#   make deps                   install what is missing for all of this (Debian)
#   make check                  all tests, on servers of their own
#   make check TESTS="t/010_calls unit"     groups, or tests by group and name
#                               (groups: domo unit regress isolation t)
#   make unit [SAN=1]           C unit tests alone [with sanitizers]
#   make fuzz [FUZZ_SECONDS=20] fuzz the parsers, each so long
#   make format, format-check   lay the C out as pgindent does, or tell where not
#   make rules                  house rules, one script each in test/ci/
#   make static [STATIC=gcc]    analyzers of the C code, shellcheck, hardening
#   make model                  have spin look through the model of the delivery
#   make matrix                 all tests on other builds of PostgreSQL (root)
#   make deb, dist              Debian's package, PGXN's archive, in .build/
#   make demo, bench, ha, soak, torture     test/*/run, test/bench/soak/run
#
# PG_CONFIG chooses the PostgreSQL, PG_VERSION=17 one of Debian's; WERROR=1 is
# strict about warnings; VERBOSE=1 shows each test.  A new source file, test,
# spec or rule is found by its place: nothing here needs an edit.

EXTENSION = domowf
MODULE_big = domowf
# src/domowf.c, and the layers, a folder each
OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))
DATA = $(wildcard sql/domowf--*.sql)

# Headers of PostgreSQL 15 are none of C23, which is gcc 15's default.
PG_CPPFLAGS = -std=gnu17 -Isrc $(if $(TEST_HOOKS),-DDWF_TEST_HOOKS)
SHLIB_LINK = -lcurl -lcjson \
	$(if $(filter linux,$(PORTNAME)),-Wl$(comma)--version-script=src/domowf.map)
comma = ,

# What PostgreSQL's own headers pass.
WARNINGS = -Wextra -Wno-unused-parameter -Wno-sign-compare \
	-Wno-missing-field-initializers -Wshadow=local -Wold-style-definition \
	-Wwrite-strings -Wformat=2 -Wlogical-op -Wduplicated-cond
PG_CFLAGS = $(if $(WERROR),-Werror $(WARNINGS))

# Expected output of both kinds is found in ./expected, hence iso_* as names
# of specs.
REGRESS = $(sort $(basename $(notdir $(wildcard test/sql/*.sql))))
REGRESS_OPTS = --inputdir=test --load-extension=domowf
ISOLATION = $(sort $(basename $(notdir $(wildcard test/specs/*.spec))))
ISOLATION_OPTS = --inputdir=test --outputdir=. --load-extension=domowf
TAP_TESTS = 1
PROVE_TESTS ?= test/t/*.pl
EXTRA_CLEAN = .build results

PG_CONFIG ?= $(if $(PG_VERSION),/usr/lib/postgresql/$(PG_VERSION)/bin/)pg_config
export PG_CONFIG

# Targets of our own do without PGXS, so that they also work where pg_config is
# yet to be installed, and PGXS has a `check` of its own, which only says no.
OWN = bench check deb demo deps dist format format-check fuzz ha matrix model rules soak static torture unit

ifneq ($(filter $(OWN),$(MAKECMDGOALS)),)

.PHONY: $(MAKECMDGOALS)
.NOTPARALLEL:

demo bench ha torture: ; @test/$@/run
soak: ; @test/bench/$@/run
# in python, which must be there for it to install what is missing
format format-check: ; @command -v python3 >/dev/null || test/run/deps format; \
	test/run/format $(if $(filter %-check,$@),--check)
$(filter-out demo bench ha soak torture format format-check,$(OWN)): ; @test/run/$@
$(filter-out $(OWN),$(MAKECMDGOALS)): ; @$(MAKE) --no-print-directory $@

else

PGXS := $(shell $(PG_CONFIG) --pgxs 2>/dev/null)
ifeq ($(wildcard $(PGXS)),)
$(error No PGXS found by way of "$(PG_CONFIG)": run "make deps", or set PG_CONFIG)
endif
include $(PGXS)

# An earlier installation left 1.0's script there, which a database's owner can
# make run his code.
install: uninstall-unsafe
.PHONY: uninstall-unsafe
uninstall-unsafe:
	rm -f '$(DESTDIR)$(datadir)/$(datamoduledir)/domowf--1.0.sql'

# What it needs is told before anything fails for want of it.
installcheck: installcheck-server
.PHONY: installcheck-server
installcheck-server:
	@'$(bindir)/psql' -Xqc 'SHOW domowf.base_url' postgres >/dev/null || { \
		echo 'Set a server up for this: type test/run/standin' >&2; exit 1; }

PROVE_FLAGS += -Itest/domo -Itest/t
$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*/*.h) Makefile

endif
