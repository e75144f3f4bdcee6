/* SPDX-License-Identifier: MIT */
/*
 * One virtual machine: the QEMU process, its QMP connection, its console, the
 * transport and the agent client behind it.
 *
 *	created --boot--> booting --> booted <--pause/resume--> paused
 *	   booted|paused --shutdown, the guest powers off--> shutdown
 *	   shutdown --boot--> ...
 *	   any with a QEMU --QEMU exit, panic--> dead
 *	   booting --agent lost--> dead
 *	   booted|paused --agent lost, then silence of VM_AGENTLESS_NS--> dead
 *	   booting --alarm--> dead
 *
 * | state    | legal                                                      |
 * |----------|------------------------------------------------------------|
 * | created  | vm_boot_start, vm_free                                     |
 * | booting  | vm_free (kills it)                                         |
 * | booted   | vm_client, vm_shutdown_start, vm_pause_start,              |
 * |          | vm_reset_start, vm_power_cut_start, vm_free                |
 * | paused   | vm_client, vm_shutdown_start, vm_resume_start, vm_free     |
 * | shutdown | vm_boot_start, vm_free                                     |
 * | dead     | vm_free; the console log can still be read                 |
 *
 * An operation that is not legal finishes at once with -EINVAL and a text that
 * names the VM and its state; a second one beside boot, shutdown, pause, resume
 * or reset in flight with -EBUSY. vm_free is always legal, also in callbacks.
 *
 * Death (guest panic, QEMU exit, transport lost) fails every call in flight
 * through client_fail() with a text that ends in the last console lines. A
 * guest that powers itself off is not dead but shutdown; calls in flight fail
 * with "the guest powered off". A reset (the guest's own, or vm_reset_start)
 * leaves the VM booted: calls and streams fail with -ECONNRESET; later ones
 * wait until the guest is as a boot leaves it (vm_is_restarting()). When the
 * agent ends alone, calls fail in the same way; later ones fail at once, until
 * QEMU tells of a power-off or a reset. A line of the console that holds one of
 * spec.alarms fails calls in flight, reset among them, and leaves the VM as it
 * is.
 */
#ifndef VMM_VM_H
#define VMM_VM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "streams/client.h"
#include "streams/console.h"
#include "streams/loop.h"
#include "streams/op.h"
#include "streams/stream.h"
#include "vmm/alarm_rules.h"
#include "vmm/disk.h"
#include "vmm/host.h"
#include "vmm/net/bridge.h"
#include "vmm/news.h"
#include "vmm/overlay.h"

enum vm_state {
	VM_CREATED,
	VM_BOOTING,
	VM_BOOTED,
	VM_PAUSED,
	VM_SUSPENDED, /* to RAM (ACPI S3), by itself */
	VM_SHUTDOWN,
	VM_DEAD,
};

/* Everything a boot needs, resolved: no profile, no default left to fill.
 * Borrowed for vm_new(), which copies. */
struct vm_spec {
	const char *name;
	const char *run_dir; /* private, exists; sockets and logs go here */
	const char *qemu;    /* path of the binary */
	const char *kernel;  /* as guest_kernel_for_boot() gave it */
	const char *initrd;  /* or NULL */
	const char *cmdline; /* the user's, may be "" */
	bool is_linux_pvh;   /* kernel is an uncompressed vmlinux */
	/* The guest may suspend to RAM. Its kernel must be a bzImage: whatever
	 * QEMU puts into memory itself, as it does a vmlinux, it puts there
	 * anew at each reset, and a wake-up begins with one (QEMU,
	 * hw/core/loader.c). Over virtio-serial: the guest's driver keeps the
	 * port, while that of vsock drops all connections. */
	bool may_suspend;
	/* A panic of a booted guest is no death: calls in flight fail, and
	 * what comes then is the guest's own (it restarts with panic=1). */
	bool may_panic;
	uint64_t memory; /* bytes */
	unsigned cpus;
	/* What its real-time clock starts with, at each boot: seconds since
	 * 1970, UTC; 0: the host's time. */
	int64_t initial_time;
	/* After its agent ended, the nanoseconds for the guest to power off or
	 * to restart before the VM is dead; 0: two minutes. */
	int64_t agentless_ns;
	/* What QEMU's random numbers come from; else from the host's. */
	bool has_rng_seed;
	uint64_t rng_seed;
	enum accel accel;	  /* not AUTO */
	enum transport transport; /* not AUTO */
	const struct overlay_file *files;
	size_t n_files;
	const char *const *modules; /* for the transport, in order */
	size_t n_modules;
	const char *const *net_modules; /* also, for a boot with NICs */
	size_t n_net_modules;
	/* In the order in which the guest finds them; up to VM_DISKS_MAX. */
	const struct disk_spec *disks;
	size_t n_disks;
	const char *const *disk_modules; /* also, for a boot with disks */
	size_t n_disk_modules;
	/* A program of the guest that configures its NICs: at a start, given
	 * MAC=BRIDGE or MAC=BRIDGE,IPV6,GATEWAY for each, or - where there is
	 * no cable; see also vm_net_command(). NULL: the guest does that by
	 * itself. */
	const char *net_setup;
	unsigned spare_nics;	      /* without a cable, behind the others */
	const char *const *qemu_args; /* appended */
	size_t n_qemu_args;
	const struct alarm_rules *alarms; /* see enum vm_alarm; NULL: none */
	const void *agent; /* the agent program, borrowed for the VM's life */
	size_t agent_n;
};

struct vm;

/* The VM became dead, by itself, after it was booted; err says why, with the
 * console's end. From the loop; may free the VM. */
typedef void (*vm_dead_cb)(void *ctx, const struct err *err);

/* What the guest's console showed. */
enum vm_alarm {
	VM_ALARM_TEXT, /* a line that spec.alarms speak of */
	/* Its kernel panicked (or QEMU was told so), and the VM is dead. */
	VM_ALARM_PANIC,
};

/*
 * err says what and where, with the console's end. Comes before anyone else
 * hears of it: before on_dead and the failure of calls in flight. After a
 * VM_ALARM_TEXT on a booted VM, which lives on, calls in flight are failed if
 * cb returns true: a guest that goes on complaining shall not keep its
 * examiner from working. From the loop; must not free the VM.
 */
typedef bool (*vm_alarm_cb)(void *ctx, enum vm_alarm what,
			    const struct err *err);

struct vm *vm_new(struct loop *l, const struct vm_spec *spec,
		  vm_dead_cb on_dead, void *ctx, struct err *err);
/* Whom to tell, with vm_new()'s ctx. Without one, calls are always failed. */
void vm_on_alarm(struct vm *vm, vm_alarm_cb cb);
/* Called with vm_new()'s ctx whenever the VM has become shutdown or dead, and
 * uses the host's memory no more; must not free the VM. */
void vm_on_end(struct vm *vm, void (*cb)(void *ctx));
/* Kills QEMU with SIGKILL if it runs, reaps it, removes its files but the
 * logs: <name>.console, and <name>.qmp, what was said with QEMU. Bounded: it
 * does not wait for the guest. */
struct vm *vm_free(struct vm *vm);

/* NICs of one guest: free slots of a q35's root bus, and some left. */
#define VM_NICS_MAX 16

/*
 * The NICs that the guest has from the next boot on, in the order in which it
 * finds them, spec.spare_nics not counted; up to VM_NICS_MAX with those. Legal
 * in created and shutdown. The array is copied; the ports are borrowed until
 * they are replaced, dropped, or the VM is freed.
 */
void vm_set_nics(struct vm *vm, struct port *const *ports, size_t n);
unsigned vm_spare_nics(const struct vm *vm);
/* A guest that runs has a NIC without a cable. */
bool vm_has_free_nic(const struct vm *vm);
/* The port is about to be freed: legal in every state. A guest that runs keeps
 * the NIC and sees its link go down, as if the cable was pulled; the next boot
 * is without it. */
void vm_drop_nic(struct vm *vm, struct port *port);
/*
 * While the guest runs, puts the cable of a new port into the first NIC that
 * has none. There is no link before vm_link_start(). -ENODEV: every NIC has a
 * cable; -EADDRINUSE: another guest has the NIC's MAC.
 */
int vm_plug_nic(struct vm *vm, struct port *port, struct err *err);
/*
 * Whether there is a link on the NIC of port (QMP: set_link); the guest is
 * told, by an interrupt. Remembered over boots by the port. call is the
 * caller's, as for qmp_call_start(): it finishes with 0 when QEMU knows, which
 * where none runs is at once.
 */
struct qmp_call;
void vm_link_start(struct vm *vm, struct port *port, bool is_up,
		   struct qmp_call *call, int64_t deadline_ns);
/* The command that has a guest that runs see to the NIC of port: appended to
 * argv, nothing where the guest does that by itself. verb: "up", configure it;
 * "down", forget what was configured; "back", configure it if it is not. */
void vm_net_command(const struct vm *vm, const struct port *port,
		    const char *verb, struct strvec *argv);

/* --- disks: what a test may do with them from outside --- */

/* Their place by id; -ENOENT. */
int vm_disk_find(const struct vm *vm, const char *id);
/* NULL: there are not so many. */
const struct disk_spec *vm_disk_spec(const struct vm *vm, size_t i);
/* Bytes; 0: it was not booted yet. */
uint64_t vm_disk_size(const struct vm *vm, size_t i);
/* Of one that is mediated, once it was booted (vmm/cow.h); else NULL. */
struct cow *vm_disk_content(const struct vm *vm, size_t i);
/* Of one that is mediated: enum disk_fault, and the delay of FAULT_SLOW; below
 * 0: as it was. */
unsigned vm_disk_faults(const struct vm *vm, size_t i);
void vm_disk_set_faults(struct vm *vm, size_t i, unsigned faults,
			int64_t delay_ns);
/*
 * All disks that are mediated lose, at once, what the guest has not flushed;
 * then it is reset: as vm_reset_start(). What it asked of its disks in the
 * meantime did not happen, and was not answered.
 */
void vm_power_cut_start(struct vm *vm, struct op *op, int64_t deadline_ns);

/*
 * op (caller's, initialised here) finishes with 0 when the agent has answered,
 * and where there are NICs, they are configured (spec.net_setup).
 * Failing it kills QEMU; the error holds the reason (QEMU's own stderr, a
 * panic, "the guest did not answer within 60 s") and the last 4 KiB of console
 * are in vm_console().
 */
void vm_boot_start(struct vm *vm, struct op *op, int64_t deadline_ns);

/* Asks the agent to power off, waits for QEMU to exit, kills it at the
 * deadline; finishes with 0 in each of these cases. */
void vm_shutdown_start(struct vm *vm, struct op *op, int64_t deadline_ns);

/* Stop and continue the virtual CPUs. */
void vm_pause_start(struct vm *vm, struct op *op, int64_t deadline_ns);
void vm_resume_start(struct vm *vm, struct op *op, int64_t deadline_ns);
/* A hard reset; finishes with 0 when the agent has answered again and NICs
 * are configured again; where that fails, with its error, the VM booted. */
void vm_reset_start(struct vm *vm, struct op *op, int64_t deadline_ns);

/* Presses the button (QMP: system_powerdown): finishes with 0 when that is
 * done; what the guest makes of it is its own. */
void vm_power_button_start(struct vm *vm, struct op *op, int64_t deadline_ns);
/* Ends a suspend to RAM (QMP: system_wakeup); an error where the guest is in
 * none. */
void vm_wakeup_start(struct vm *vm, struct op *op, int64_t deadline_ns);

/*
 * Takes a snapshot (vmm/snapshot.h) of a booted or paused VM into the folder
 * dir; its CPUs stand still meanwhile. Streams are the caller's business.
 * note: taken, kept with it for the caller; or NULL.
 */
void vm_snapshot_start(struct vm *vm, const char *dir, json_t *take_note,
		       struct op *op, int64_t deadline_ns);
/*
 * Instead of a boot, of a VM in the state created whose spec is that of
 * snapshot_spec(), and whose NICs are as many as the snapshot's: op finishes
 * with 0 when the agent has answered. sets_clock: the guest's clock is set to
 * the host's time, else it goes on from then. s is borrowed for the call.
 */
struct snapshot;
void vm_restore_start(struct vm *vm, const struct snapshot *s, bool sets_clock,
		      struct op *op, int64_t deadline_ns);

enum vm_state vm_state(const struct vm *vm);
const char *vm_state_name(enum vm_state s);
/* Of its state, for users: a guest that restarts is booting, whoever restarted
 * it. */
const char *vm_state_text(const struct vm *vm);
const char *vm_name(const struct vm *vm);
/* How often its guest began anew without a boot: it was reset, or restarted
 * itself. Never falls. */
unsigned vm_restarts(const struct vm *vm);
pid_t vm_pid(const struct vm *vm);	 /* QEMU's, -1: none */
int64_t vm_cid(const struct vm *vm);	 /* -1 where vsock is not used */
struct client *vm_client(struct vm *vm); /* NULL unless booted or paused */
/* The guest of a booted VM was reset, and is not yet as a boot leaves it:
 * requests to its client wait for that. */
bool vm_is_restarting(const struct vm *vm);
struct console *vm_console(struct vm *vm);
struct stream_list *vm_streams(struct vm *vm);
/* Why it is dead; NULL otherwise. */
const struct err *vm_death(const struct vm *vm);
/* The same without the console's last lines. */
const struct err *vm_death_reason(const struct vm *vm);
/* What its console has said since the guest was last ready (from power-on,
 * where it never was), or since vm_news_mark(); see news_pick(). Lines that
 * end a healthy boot late are left out once it was ready. */
void vm_news(struct vm *vm, size_t max, struct news *news);
/* What the console has said by now is no news any more. */
void vm_news_mark(struct vm *vm);
/* It is dead of a panic, and may have more to say of it. */
bool vm_is_panicking(const struct vm *vm);
const char *vm_console_path(const struct vm *vm);
const char *vm_qmp_path(const struct vm *vm);
/* The socket that serves it (console_listen()), for the VM's life; NULL with
 * err when there is none. */
const char *vm_console_socket(const struct vm *vm, struct err *err);

#endif
