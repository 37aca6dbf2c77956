# SPDX-License-Identifier: BSD-3-Clause
#
#   make              build/kelvin-server and build/kelvin-check
#   make run          install what is missing, build, serve on 127.0.0.1:6379 with the data in ./data, metrics
#                     on http://127.0.0.1:9121/metrics (METRICS_PORT=0: not)
#   make test         install what is missing, build, run all tests
#   make unit         unit tests alone (TESTS=tests/unit/base: only those below that folder)
#   make lint         layer check, clang-tidy, cppcheck, shellcheck
#   make bench        compare the speed with redis-server's (BENCH="--quick")
#   make instructions count the instructions of a request against limits (BENCH="--top 20")
#   make torture      crash and fault tests that take long
#   make foreign      Redis's own test suite (needs root, tcl; fetches Debian's source of redis)
#   make fuzz         fuzz parsers, records, configuration, command streams (FUZZ_SECONDS=30 each)
#   make install      PREFIX=/usr/local DESTDIR=   (make uninstall takes it away again)
#   make docs         write README's list of commands and redis.conf.example anew from the server's tables
#   make clean
#   make help         print this
#
# Variables: CC, CXX, CFLAGS, LDFLAGS as usual; BUILD=folder; WERROR=1 (or CI=1) makes warnings
# errors; V=1 shows the commands; LTO=1; SAN=address|undefined|thread builds with a sanitizer into $(BUILD)/$(SAN).
# CONF=FILE, a configuration for `make run`. A new source or test file needs no line here.

BUILD  ?= build
PREFIX ?= /usr/local
CFLAGS ?= -O2 -g
SAN    ?=
DATA   ?= ./data
METRICS_PORT ?= 9121
CONF   ?=
TESTS  ?= tests/unit
FUZZ_SECONDS ?= 30

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := g++
endif

# All processors, unless the caller says otherwise.
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif

OUT    := $(BUILD)$(if $(SAN),/$(SAN))
SERVER := $(OUT)/kelvin-server
CHECK  := $(OUT)/kelvin-check

# ---- flags -----------------------------------------------------------------------------------

IS_CLANG := $(findstring clang,$(shell $(CC) --version 2>/dev/null))

WARNINGS   := -Wall -Wextra -Wshadow -Wconversion
C_WARNINGS := -Wstrict-prototypes -Wmissing-prototypes
ifneq ($(IS_CLANG),)
WARNINGS   += -Wno-sign-conversion
endif
ifneq ($(filter 1,$(WERROR) $(CI))$(filter true,$(CI)),)
WARNINGS   += -Werror
endif

OUR_CPPFLAGS := -Isrc -D_GNU_SOURCE
OUR_FLAGS    := -pthread -fno-omit-frame-pointer
LIBRARIES    := -lleveldb -levent -lcrypto -lz -lm -pthread

ifeq ($(SAN),)
OUR_CPPFLAGS += -DKELVIN_JEMALLOC
LIBRARIES    += -ljemalloc
else ifeq ($(SAN),address)
OUR_FLAGS    += -fsanitize=address,undefined -fno-sanitize-recover=all
else ifeq ($(SAN),undefined)
OUR_FLAGS    += -fsanitize=undefined -fno-sanitize-recover=all
else ifeq ($(SAN),thread)
OUR_FLAGS    += -fsanitize=thread
else ifeq ($(SAN),fuzz) # for `make fuzz`; clang only
OUR_FLAGS    += -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=all
else
$(error SAN must be address, undefined or thread, not "$(SAN)")
endif

ifeq ($(LTO),1)
OUR_FLAGS    += $(if $(IS_CLANG),-flto,-flto=auto)
AR           := $(if $(IS_CLANG),llvm-ar,gcc-ar)
endif

COMPILE_C   = $(CC) -std=c11 $(OUR_CPPFLAGS) $(CPPFLAGS) $(CFLAGS) $(OUR_FLAGS) $(WARNINGS) $(C_WARNINGS)
# As LevelDB itself is built: Debian's library has no run-time types to inherit from.
COMPILE_CXX = $(CXX) -std=c++17 -fno-exceptions -fno-rtti $(OUR_CPPFLAGS) $(CPPFLAGS) $(CFLAGS) $(OUR_FLAGS) $(WARNINGS)
# C++ links, since LevelDB is C++. -rdynamic: a failed assertion names the functions.
LINK        = $(CXX) $(CFLAGS) $(OUR_FLAGS) -rdynamic $(LDFLAGS)

Q := $(if $(V),,@)
ifneq ($(V),1)
say = @echo '  $(1)'
endif

# ---- files -----------------------------------------------------------------------------------

SOURCES    := $(sort $(shell find src -name '*.c' -o -name '*.cc'))
OBJECTS    := $(patsubst %,$(OUT)/%.o,$(SOURCES))
MAIN       := $(OUT)/src/server/main.c.o
LIBRARY    := $(OUT)/libkelvin.a
CHECK_MAIN := $(OUT)/utils/check/kelvin_check.c.o
CHECK_LIB  := $(filter-out $(CHECK_MAIN),$(patsubst %,$(OUT)/%.o,$(sort $(wildcard utils/check/*.c utils/check/*.cc))))
UNIT_TESTS := $(patsubst %.c,$(OUT)/%,$(sort $(shell find $(TESTS) -name '*_test.c' 2>/dev/null)))
BENCHES    := $(patsubst %.c,$(OUT)/%,$(sort $(wildcard tests/bench/*_bench.c)))
FUZZERS    := $(patsubst %.c,$(OUT)/%,$(sort $(wildcard tests/fuzz/*_fuzz.c)))
CLIENTS    := $(patsubst %.c,$(OUT)/%,$(sort $(wildcard tests/clients/*.c)))
LOAD       := $(OUT)/kelvin-load
LOAD_MAIN  := $(OUT)/tests/bench/load/main.c.o
LOAD_PARTS := $(filter-out $(LOAD_MAIN),$(patsubst %,$(OUT)/%.o,$(sort $(wildcard tests/bench/load/*.c))))
TEST_LIBRARY := $(OUT)/libkelvin-test.a
TEST_LIB   := $(patsubst %,$(OUT)/%.o,$(sort $(wildcard tests/lib/*.c))) $(LOAD_PARTS)

.PHONY: all objects tests benches bench-tools fuzzers run test unit lint bench instructions torture foreign fuzz docs commands help install uninstall clean deps FORCE
.DELETE_ON_ERROR:
.SECONDARY:

# Before there is a main the layers can be built nevertheless.
all: objects $(if $(wildcard src/server/main.c),$(SERVER)) $(CHECK)
objects: $(OBJECTS)
tests: $(UNIT_TESTS) $(CLIENTS) $(LOAD)
benches: $(BENCHES) $(LOAD)
bench-tools: $(LOAD)
fuzzers: $(FUZZERS)

$(SERVER): $(OBJECTS)
	$(call say,LINK $@)
	$(Q)$(LINK) -o $@ $(OBJECTS) $(LIBRARIES)

$(CHECK): $(CHECK_MAIN) $(LIBRARY)
	$(call say,LINK $@)
	$(Q)$(LINK) -o $@ $< $(LIBRARY) $(LIBRARIES)

# An archive, so that a program is linked with what it uses alone.
$(LIBRARY): $(filter-out $(MAIN),$(OBJECTS)) $(CHECK_LIB)
$(TEST_LIBRARY): $(TEST_LIB)
$(LIBRARY) $(TEST_LIBRARY):
	$(call say,AR   $@)
	$(Q)rm -f $@
	$(Q)$(AR) rcs $@ $^

$(UNIT_TESTS): $(OUT)/%: $(OUT)/%.c.o $(TEST_LIBRARY) $(LIBRARY)
	$(call say,LINK $@)
	$(Q)$(LINK) -o $@ $< $(TEST_LIBRARY) $(LIBRARY) -lcmocka $(LIBRARIES)

$(BENCHES): $(OUT)/%: $(OUT)/%.c.o $(TEST_LIBRARY) $(LIBRARY)
	$(call say,LINK $@)
	$(Q)$(LINK) -o $@ $< $(TEST_LIBRARY) $(LIBRARY) $(LIBRARIES)

$(LOAD): $(LOAD_MAIN) $(TEST_LIBRARY) $(LIBRARY)
	$(call say,LINK $@)
	$(Q)$(LINK) -o $@ $< $(TEST_LIBRARY) $(LIBRARY) $(LIBRARIES)

$(CLIENTS): $(OUT)/%: $(OUT)/%.c.o
	$(call say,LINK $@)
	$(Q)$(LINK) -o $@ $< -lhiredis

$(FUZZERS): $(OUT)/%: $(OUT)/%.c.o $(TEST_LIBRARY) $(LIBRARY)
	$(call say,LINK $@)
	$(Q)$(LINK) -fsanitize=fuzzer -o $@ $< $(TEST_LIBRARY) $(LIBRARY) $(LIBRARIES)

$(OUT)/tests/%.o: private OUR_CPPFLAGS += -Itests -Iutils
$(OUT)/utils/%.o: private OUR_CPPFLAGS += -Iutils

$(OUT)/%.c.o: %.c $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CC   $<)
	$(Q)$(COMPILE_C) -MMD -MP -c -o $@ $<

$(OUT)/%.cc.o: %.cc $(OUT)/flags
	@mkdir -p $(@D)
	$(call say,CXX  $<)
	$(Q)$(COMPILE_CXX) -MMD -MP -c -o $@ $<

# Other flags than last time: everything is built anew.
$(OUT)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(COMPILE_C) | $(COMPILE_CXX) | $(LINK)' | cmp -s - $@ || \
	    echo '$(COMPILE_C) | $(COMPILE_CXX) | $(LINK)' > $@

-include $(OBJECTS:.o=.d) $(CHECK_MAIN:.o=.d) $(CHECK_LIB:.o=.d) $(patsubst %,%.c.d,$(UNIT_TESTS) $(BENCHES) $(CLIENTS) $(FUZZERS)) $(TEST_LIB:.o=.d) $(LOAD_MAIN:.o=.d)

# ---- what people call ------------------------------------------------------------------------

# Sanitizers: the first finding ends the process; LevelDB's library is not instrumented.
export ASAN_OPTIONS  ?= detect_leaks=1:abort_on_error=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS ?= print_stacktrace=1
export TSAN_OPTIONS  ?= halt_on_error=1:second_deadlock_stack=1:suppressions=$(CURDIR)/utils/tsan.supp

run:
	deps/install.sh run
	$(MAKE) all
	$(SERVER) $(CONF) --dir $(DATA) $(if $(CONF),,--metrics-port $(METRICS_PORT))

test:
	deps/install.sh run test
	$(MAKE) all tests
	tests/run_all.sh $(OUT)

unit: tests
	tests/unit/run.sh $(UNIT_TESTS)

lint:
	deps/install.sh run lint
	utils/lint.sh '$(OUR_CPPFLAGS)'

bench: all benches
	deps/install.sh test
	tests/bench/run $(SERVER) $(BENCH)

instructions: all $(LOAD)
	tests/bench/instructions $(SERVER) $(BENCH)

torture: all
	tests/fault/run $(SERVER) --long

foreign: all
	tests/foreign/run $(SERVER)

fuzz:
	deps/install.sh run lint
	$(MAKE) CC=clang CXX=clang++ SAN=fuzz fuzzers
	tests/fuzz/run.sh $(FUZZ_SECONDS) $(patsubst $(OUT)/%,$(BUILD)/fuzz/%,$(FUZZERS))

deps:
	deps/install.sh run

docs commands: all
	utils/refresh_docs.py $(SERVER)

help:
	@sed -n '3,/^$$/s/^# \{0,1\}//p' Makefile

DOC := $(DESTDIR)$(PREFIX)/share/doc/kelvin

install: all
	install -D -m 755 $(SERVER) $(DESTDIR)$(PREFIX)/bin/kelvin-server
	install -D -m 755 $(CHECK) $(DESTDIR)$(PREFIX)/bin/kelvin-check
	install -d $(DOC)
	install -m 644 LICENSE README.md redis.conf.example utils/kelvin.service $(DOC)

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/kelvin-server $(DESTDIR)$(PREFIX)/bin/kelvin-check
	rm -rf $(DOC)

clean:
	rm -rf $(BUILD)
