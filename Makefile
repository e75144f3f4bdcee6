# provium: build, tests, installation. `make help` lists the targets.
#
# MODE=release|debug|asan|fuzz|cover chooses the flags; each has build/MODE to
# itself. WERROR= builds with warnings only.

MODE    ?= release
WERROR  ?= -Werror
VERSION := 0.1.0
B       := build/$(MODE)

prefix  ?= /usr/local
bindir  ?= $(prefix)/bin
mandir  ?= $(prefix)/share/man
DESTDIR ?=

PKG_CONFIG     ?= pkg-config
# Asks pkg-config once, and only where a recipe needs the answer: `make deps`
# runs before pkg-config is installed.
ask_pkg = $(eval $(1) := $$(shell $(PKG_CONFIG) $(2)))$($(1))
LUAJIT_CFLAGS  ?= $(call ask_pkg,LUAJIT_CFLAGS,--cflags luajit)
LUAJIT_LIBS    ?= $(call ask_pkg,LUAJIT_LIBS,--libs luajit)
EVENT_LIBS     ?= $(call ask_pkg,EVENT_LIBS,--libs libevent_core)
PCAP_LIBS      ?= $(call ask_pkg,PCAP_LIBS,--libs libpcap)
JANSSON_LIBS   ?= $(call ask_pkg,JANSSON_LIBS,--libs jansson)
COMPRESS_LIBS  ?= $(call ask_pkg,COMPRESS_LIBS,--libs libzstd liblzma liblz4 zlib)
# Its .pc file asks for glib's, which is in another package.
SLIRP_LIBS     ?= -lslirp
HASH_LIBS      ?= $(call ask_pkg,HASH_LIBS,--libs libxxhash)
CMOCKA_LIBS    ?= $(call ask_pkg,CMOCKA_LIBS,--libs cmocka)

WARN := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes \
	-Wmissing-prototypes -Wvla -Wundef -Wformat=2 -Wwrite-strings \
	-Wimplicit-fallthrough -Wcast-qual $(WERROR)
BASE := -std=gnu11 -D_GNU_SOURCE -DPROVIUM_VERSION='"$(VERSION)"' -I. \
	$(WARN) -MMD -MP -fno-strict-aliasing
HARDEN := -fstack-protector-strong -fPIE
LINK_HARDEN := -pie -Wl,-z,relro,-z,now

ifeq ($(MODE),release)
FLAGS   := -O2 -g -D_FORTIFY_SOURCE=2 $(HARDEN)
LDMODE  := $(LINK_HARDEN)
else ifeq ($(MODE),debug)
FLAGS   := -Og -g3
else ifeq ($(MODE),asan)
FLAGS   := -O1 -g3 -fsanitize=address,undefined -fno-sanitize-recover=all \
	-fno-omit-frame-pointer
LDMODE  := -fsanitize=address,undefined
else ifeq ($(MODE),fuzz)
CC      := clang
FLAGS   := -O1 -g -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer
LDMODE  := -fsanitize=fuzzer,address,undefined
else ifeq ($(MODE),cover)
CC      := clang
FLAGS   := -O1 -g -fsanitize=fuzzer-no-link -fprofile-instr-generate \
	-fcoverage-mapping
LDMODE  := -fsanitize=fuzzer -fprofile-instr-generate
else
$(error MODE is '$(MODE)': say release, debug, asan, fuzz or cover)
endif

CFLAGS  ?=
LDFLAGS ?=
COMPILE = $(CC) $(BASE) $(FLAGS) $(CFLAGS)

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

# --- what there is, by layer ------------------------------------------------

LAYERS := agent-proto streams vmm runner
SRC_agent-proto := $(sort $(wildcard agent-proto/*.c))
SRC_streams     := $(sort $(wildcard streams/*.c))
SRC_vmm         := $(sort $(wildcard vmm/*.c vmm/net/*.c))
SRC_runner      := $(sort $(wildcard runner/*.c))
SRC_provium     := $(sort $(wildcard cmd/provium/*.c))
SRC_agent       := $(sort $(wildcard cmd/provium-agent/*/*.c))
LUA_runner      := $(sort $(wildcard runner/lua/*.lua runner/html/*.html))

# An archive a layer; each binary names those at and below its own.
A_agent-proto := $(B)/libagent-proto.a
A_streams     := $(B)/libstreams.a $(A_agent-proto)
A_vmm         := $(B)/libvmm.a $(A_streams)
A_runner      := $(B)/librunner.a $(A_vmm)
A_agent       := $(A_streams)

LIBS_streams = $(EVENT_LIBS) $(PCAP_LIBS)
LIBS_agent   = $(LIBS_streams)
LIBS_vmm     = $(JANSSON_LIBS) $(COMPRESS_LIBS) $(HASH_LIBS) $(SLIRP_LIBS) \
		$(LIBS_streams)
LIBS_runner  = $(LUAJIT_LIBS) $(LIBS_vmm) -lm -ldl

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))

.PHONY: all
all: $(B)/provium
	@ln -sf $(MODE)/provium build/provium

$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC $<
	$(Q)$(COMPILE) $(CFLAGS_$(firstword $(subst /, ,$<))) -c -o $@ $<

CFLAGS_runner = $(LUAJIT_CFLAGS)
CFLAGS_cmd    = $(LUAJIT_CFLAGS)
CFLAGS_tests  = $(LUAJIT_CFLAGS) -DPROVIUM_B='"$(B)"'

define layer_rules
$$(B)/lib$(1).a: $$(call obj,$$(SRC_$(1))) $$(EXTRA_$(1))
	$$(say) AR $$@
	$$(Q)rm -f $$@ && $$(AR) rcs $$@ $$^
endef
EXTRA_vmm    := $(B)/obj/vmm/agent_blob.o $(B)/obj/vmm/guest_net_blob.o
EXTRA_runner := $(if $(LUA_runner),$(B)/obj/runner/lua_blob.o)
$(foreach l,$(LAYERS),$(eval $(call layer_rules,$(l))))

# The agent is static, small and the same in every mode; a second build of
# it, dynamic and with this mode's flags, is what its unit tests run.
AGENT_OBJ := $(patsubst %.c,$(B)/agent/%.o,$(SRC_agent) $(SRC_agent-proto))
AGENT_CC  := gcc

$(B)/agent/%.o: %.c
	@mkdir -p $(@D)
	$(say) CC "$< (agent)"
	$(Q)$(AGENT_CC) $(BASE) -O2 -g -ffunction-sections -fdata-sections \
	    -c -o $@ $<

$(B)/provium-agent: $(AGENT_OBJ)
	$(say) LD $@
	$(Q)$(AGENT_CC) -static -Wl,--gc-sections -o $@.full $^
	$(Q)strip -o $@ $@.full

# An agent that speaks another protocol, for the test that it is refused.
$(B)/provium-agent-other: $(SRC_agent) $(SRC_agent-proto) $(B)/provium-agent
	$(say) LD $@
	$(Q)$(AGENT_CC) $(filter-out -MMD -MP,$(BASE)) -DPROTO_VERSION=9999u \
	    -static -o $@ $(SRC_agent) $(SRC_agent-proto)

# One that means harm, and a thrower of malformed packets: for tests/hostile.
$(B)/provium-agent-hostile: $(AGENT_OBJ) $(B)/agent/tests/hostile/agent.o
	$(say) LD $@
	$(Q)$(AGENT_CC) -static -Wl,--gc-sections -Wl,--wrap=server_run \
	    -Wl,--wrap=server_set_port -o $@ $^

$(B)/packets: $(B)/agent/tests/hostile/packets.o
	$(say) LD $@
	$(Q)$(AGENT_CC) -static -Wl,--gc-sections -o $@ $^

# For tests/faults: makes calls of the C library fail.
$(B)/inject.so: tests/faults/inject.c
	$(say) LD $@
	$(Q)$(CC) $(filter-out -MMD -MP -Wpedantic,$(BASE)) -O2 -fPIC -shared -o $@ $< \
	    -ldl

# For test_vm_snapshot: makes QMP commands of a QEMU fail.
$(B)/qmp_faults.so: tests/unit/vmm/qmp_faults.c
	$(say) LD $@
	$(Q)$(CC) $(filter-out -MMD -MP,$(BASE)) -O2 -fPIC -shared -o $@ $< -ldl

$(B)/provium-agent-test: $(call obj,$(SRC_agent)) $(A_agent-proto)
	$(say) LD $@
	$(Q)$(CC) $(FLAGS) $(LDMODE) $(LDFLAGS) -o $@ $^

# Bytes linked in: the agent program, a script of the default guest, and the
# Lua part of the runner.
$(B)/obj/vmm/agent_blob.o: vmm/agent_blob.S $(B)/provium-agent
	@mkdir -p $(@D)
	$(Q)$(CC) -DAGENT_PATH='"$(B)/provium-agent"' -c -o $@ $<

$(B)/obj/vmm/guest_net_blob.o: vmm/guest_net_blob.S vmm/guest/provium-net.sh
	@mkdir -p $(@D)
	$(Q)$(CC) -c -o $@ $<

$(B)/lua_blob.c: tests/embed.sh $(LUA_runner)
	@mkdir -p $(@D)
	$(say) EMBED $@
	$(Q)sh tests/embed.sh $(LUA_runner) >$@

$(B)/obj/runner/lua_blob.o: $(B)/lua_blob.c
	@mkdir -p $(@D)
	$(Q)$(COMPILE) -Wno-overlength-strings -c -o $@ $<

$(B)/provium: $(call obj,$(SRC_provium)) $(A_runner)
	$(say) LD $@
	$(Q)$(CC) $(FLAGS) $(LDMODE) $(LDFLAGS) -rdynamic -o $@ $^ \
	    $(LIBS_runner)

# --- unit tests: tests/unit/LAYER/test_*.c, with LAYER's lib_*.c -------------

UNIT_LAYERS := agent-proto streams vmm runner agent
define unit_rules
UNIT_$(1) := $$(patsubst tests/unit/%.c,$$(B)/unit/%,\
	$$(sort $$(wildcard tests/unit/$(1)/test_*.c)))
$$(B)/unit/$(1)/%: $$(B)/obj/tests/unit/$(1)/%.o \
    $$(call obj,$$(sort $$(wildcard tests/unit/$(1)/lib_*.c))) $$(A_$(1))
	@mkdir -p $$(@D)
	$$(say) LD $$@
	$$(Q)$$(CC) $$(FLAGS) $$(LDMODE) $$(LDFLAGS) -o $$@ $$^ \
	    $$(LIBS_$(1)) $$(CMOCKA_LIBS)
endef
$(foreach l,$(UNIT_LAYERS),$(eval $(call unit_rules,$(l))))
UNIT := $(foreach l,$(UNIT_LAYERS),$(UNIT_$(l)))

.PHONY: unit unit-build $(addprefix unit-,$(UNIT_LAYERS))
.SECONDARY:
unit-build: $(UNIT) $(B)/provium-agent-test $(B)/qmp_faults.so
unit: unit-build
	$(Q)sh tests/check.sh unit $(B) $(UNIT)
# One layer's: make unit-vmm
$(addprefix unit-,$(UNIT_LAYERS)): unit-%: $(B)/provium-agent-test \
    $(B)/qmp_faults.so
	$(Q)$(MAKE) --no-print-directory $(UNIT_$*)
	$(Q)sh tests/check.sh unit $(B) $(UNIT_$*)

# Under valgrind, which sees the use of what was never set. Not those that
# start programs: the valgrind of Debian 12 knows no pidfd_open().
MEMCHECK := $(filter-out $(addprefix $(B)/unit/,\
	vmm/test_process vmm/test_program vmm/test_vm vmm/test_guest \
	vmm/test_net_kernel \
	runner/test_run runner/test_worker_proc),$(UNIT))
.PHONY: memcheck
memcheck: unit-build
	$(Q)sh tests/check.sh memcheck $(MEMCHECK)

# --- fuzzing: make MODE=fuzz fuzz-build; `make fuzz` runs each a minute -------

FUZZ := $(patsubst tests/fuzz/%.c,$(B)/fuzz/%,\
	$(sort $(wildcard tests/fuzz/fuzz_*.c)))
FUZZ_SECONDS ?= 60

$(B)/fuzz/%: $(B)/obj/tests/fuzz/%.o $(A_vmm)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(FLAGS) $(LDMODE) -o $@ $(filter %.o,$^) \
	    $(filter %.a,$^) $(LIBS_vmm)

# Those of the runner's; what they link needs Lua.
$(addprefix $(B)/fuzz/fuzz_,events history json): $(B)/fuzz/%: \
    $(B)/obj/tests/fuzz/%.o $(A_runner)
	@mkdir -p $(@D)
	$(say) LD $@
	$(Q)$(CC) $(FLAGS) $(LDMODE) -o $@ $(filter %.o,$^) \
	    $(filter %.a,$^) $(LIBS_runner)

$(B)/fuzz/fuzz_stream: $(B)/obj/tests/unit/streams/lib_model.o \
	$(B)/obj/tests/unit/streams/lib_model_play.o

.PHONY: fuzz fuzz-build
fuzz-build: $(FUZZ)
fuzz:
	$(Q)$(MAKE) --no-print-directory MODE=fuzz fuzz-build
	$(Q)sh tests/check.sh fuzz build/fuzz $(FUZZ_SECONDS)

# What the corpora reach: kept ones, and those that `make fuzz` has found.
.PHONY: fuzz-coverage
fuzz-coverage:
	$(Q)$(MAKE) --no-print-directory MODE=cover fuzz-build
	$(Q)sh tests/fuzz/coverage.sh build/cover

# --- the rest ---------------------------------------------------------------

.PHONY: deps deps-check
deps:
	$(Q)sh tests/deps.sh build
deps-check:
	$(Q)sh tests/deps.sh build check

# What a fresh machine runs first. Each step is skipped where it is done.
.PHONY: demo
demo: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)build/provium guest build
	$(Q)build/provium run tests/demo

# Every test: units, units under sanitizers, end to end on real guests.
.PHONY: check
check: deps-check
	$(Q)$(MAKE) --no-print-directory all
	$(Q)sh tests/check.sh all

.PHONY: lint fmt
lint:
	$(Q)sh tests/lint/lint.sh
fmt:
	$(Q)clang-format -i $$(git ls-files '*.c' '*.h')

.PHONY: bench
bench: deps-check
	$(Q)sh tests/deps.sh bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)python3 tests/bench/bench.py build/provium build/release $(ROWS)

# Before a release: SOAK_MINUTES=30 SOAK_BOOTS=1000 SOAK_RESTORES=5000.
SOAK_MINUTES  ?= 2
SOAK_BOOTS    ?= 20
SOAK_RESTORES ?= 200
SOAK_SEED     ?= 1
.PHONY: soak
soak: all
	$(Q)build/provium guest build
	$(Q)python3 tests/soak/soak.py build/provium --minutes $(SOAK_MINUTES) \
	    --boots $(SOAK_BOOTS) --restores $(SOAK_RESTORES) --seed $(SOAK_SEED)

.PHONY: install uninstall clean help
install: all
	install -Dm755 $(B)/provium $(DESTDIR)$(bindir)/provium
	install -Dm644 docs/provium.1 $(DESTDIR)$(mandir)/man1/provium.1
uninstall:
	rm -f $(DESTDIR)$(bindir)/provium $(DESTDIR)$(mandir)/man1/provium.1
clean:
	rm -rf build
help:
	@echo 'make demo       fresh machine: packages, build, guest, a first run'
	@echo 'make check      install what tests need, run every test'
	@echo 'make all        build/provium (MODE=release|debug|asan)'
	@echo 'make unit       unit tests alone; unit-LAYER for one layer'
	@echo 'make memcheck   unit tests under valgrind: some minutes'
	@echo 'make lint fmt   style, static analysis, include arrows; formatting'
	@echo 'make fuzz       fuzz every parser, FUZZ_SECONDS=60 each'
	@echo 'make fuzz-coverage   lines of each parser that the corpora reach'
	@echo 'make soak       many guests for SOAK_MINUTES=2, SOAK_BOOTS=20,'
	@echo '                SOAK_RESTORES=200: no growth; SOAK_SEED=1'
	@echo 'make bench      benchmarks beside their peers, docs/benchmarks.md;'
	@echo '                ROWS="boot tail" runs some'
	@echo 'make deps       install packages; install uninstall clean'

-include $(shell find $(B) -name '*.d' 2>/dev/null)
