/* SPDX-License-Identifier: MIT */
/* What the files of vm share; see vm.c for the theory. */
#ifndef VMM_VM_PRIVATE_H
#define VMM_VM_PRIVATE_H

#include "streams/exec.h"
#include "vmm/filehash.h"
#include "vmm/nbd.h"
#include "vmm/net/wire.h"
#include "vmm/process.h"
#include "vmm/qemu_argv.h"
#include "vmm/qmp.h"
#include "vmm/snapshot.h"
#include "vmm/transport.h"
#include "vmm/vm.h"
#include "vmm/vm_spec.h"

/* After a connection broke, so long the reason is waited for: on a busy machine
 * a QEMU that ends closes its sockets long before its exit can be seen. */
#define VM_LOST_GRACE_NS (1000 * NS_PER_MS)
/* After the agent ended, the time for the guest to power off or to restart. An
 * init kills every process first: systemd 257 then waits up to 90 s for those
 * that do not end (DefaultTimeoutStopSec), and unmounts (systemd-shutdown(8)).
 */
#define VM_AGENTLESS_NS (120 * NS_PER_SEC)
/* The same where the reason is known: the guest is being powered off, or its
 * agent has said that it will be. */
#define VM_OFF_GRACE_NS (30 * NS_PER_SEC)
/* The same where the guest may be about to suspend: its driver lets go of the
 * agent's port a moment before. */
#define VM_SUSPEND_GRACE_NS (10 * NS_PER_SEC)
/* After a panic QEMU lives on to print the rest of the trace: until the console
 * has been silent for so long, and never longer than that. */
#define VM_PANIC_SILENCE_NS (300 * NS_PER_MS)
#define VM_PANIC_LINGER_NS  (2 * NS_PER_SEC)

/* What is going to kill the VM, the better known the higher. */
enum vm_doom {
	DOOM_NONE,
	DOOM_AGENT, /* the agent ended; the guest may follow, or restart */
	DOOM_LOST,  /* a connection broke; there must be a reason */
	DOOM_EXIT,  /* QEMU ended */
	DOOM_ALARM, /* the guest or its agent said it; it holds at once */
	DOOM_TEXT,  /* the same, by a string of spec.alarms */
	DOOM_PANIC, /* the same, and the guest has more to print */
};

/* What a VM is being asked for. */
enum vm_ask {
	ASK_NONE,
	ASK_PAUSE,
	ASK_RESUME,
	ASK_RESET,
	ASK_CUT,
	ASK_BUTTON,
	ASK_WAKEUP,
	ASK_SNAPSHOT,
	ASK_SHUTDOWN
};

/* The state of the agent's link. In LINK_FILES provium asks whether the files
 * of the boot options are in their places; in LINK_NET the agent configures the
 * guest's NICs; in LINK_WORD provium tells it of a restore. In LINK_GONE the
 * agent has ended, and provium waits for the guest to power off or to restart.
 */
enum vm_link {
	LINK_NONE,
	LINK_GONE,
	LINK_DIALING,
	LINK_HELLO,
	LINK_FILES,
	LINK_NET,
	LINK_WORD,
	LINK_UP
};

/* A NIC of the guest, from boot to boot. */
struct vm_nic {
	struct port *port;	   /* borrowed; NULL: no cable is in it */
	struct wire_socket socket; /* our end while there is none */
	uint8_t mac[MAC_LEN];	   /* while QEMU runs */
	struct qmp_call set_link;  /* in flight where it has a command */
};

/* A disk of the guest, from boot to boot; see vm_disk.c. */
struct vm_disk {
	const struct disk_spec *spec; /* of the copy */
	bool is_ready;		      /* the rest holds */
	uint64_t size;		      /* bytes */
	struct disk_image image;      /* spec->path */
	json_t *image_id;	      /* of one that must not change, or NULL */
	int layers[DISK_LAYERS_MAX];  /* frozen, bottom first */
	char hashes[DISK_LAYERS_MAX][FILEHASH_TEXT_MAX];
	size_t n_layers;
	unsigned generation; /* of the file that is written */
	int base_fd, top_fd; /* of one that is mediated, as is the rest */
	struct cow *cow;
	struct nbd_export export;
	struct nbd *nbd;
	int frozen_fd; /* of that file, while it gets a layer; or -1 */
};

struct vm {
	struct loop *loop;
	struct vm_spec_copy copy;
	vm_dead_cb on_dead;
	vm_alarm_cb on_alarm;	   /* NULL: none */
	void (*on_end)(void *ctx); /* NULL: none */
	void *ctx;
	enum vm_state state;
	struct timer *step_timer;
	bool in_step;
	bool kicked; /* a step is due at once */
	bool is_freed;

	struct console *console;
	uint64_t news_from; /* offset in its log: see vm_news() */
	bool was_up;	    /* the guest, since its power-on or reset */
	struct stream_list streams;
	char *console_path;
	char *socket_path;     /* where the console is served; NULL: */
	struct err socket_err; /* why it is not */
	char *stem_path;       /* what its other files begin with */
	char *initrd_path;
	char *qmp_path;
	char *tty_path; /* of the console's chardev: see link_console() */

	/* One QEMU's life. */
	struct process *process;
	struct qmp *qmp;
	struct qmp_call greet; /* qmp_capabilities; started: greet.command */
	uint32_t cid;	       /* 0: none */
	bool is_greeted;       /* QMP's commands are open */
	bool has_exited;
	int exit_status;
	bool guest_off;	     /* the guest powered the machine off */
	char off_reason[32]; /* QMP's, of the last SHUTDOWN event */
	bool reset_seen;
	unsigned resets;
	unsigned restarts;	    /* the same, over all boots */
	bool port_opened;	    /* the agent's, since the last reset */
	struct qmp_call probe;	    /* the agent's port was closed: why? */
	unsigned resets_at_closing; /* of it */
	bool panic_lingers;
	int64_t linger_until_ns; /* at the latest */
	int64_t silent_at_ns;	 /* unless the console says more */
	uint64_t lingering_size; /* of its log, when that was set */

	/* The link to the agent. */
	enum vm_link link;
	struct dial dial;
	struct op hello;
	bool hello_lost; /* the connection under the hello broke */
	/* LINK_GONE: when the VM is given up; else CLOCK_NEVER. */
	int64_t gone_until_ns;
	int64_t paused_ns;   /* when it was paused last */
	struct err gone_err; /* LINK_GONE: the cause of death then */
	struct client *client;
	/* Clients of earlier links, failed for good: who holds a stream or a
	 * process of one may still ask it. Freed with the VM. */
	struct client **retired;
	size_t n_retired;

	struct vm_nic nics[VM_NICS_MAX];
	size_t n_nics;
	struct vm_disk disks[VM_DISKS_MAX];
	struct call *files_word; /* LINK_FILES: BOOT_FILES to the agent */
	struct exec *net_setup;	 /* LINK_NET: net_setup in the guest */
	struct err net_err;	 /* how it failed; code 0: it did not */

	/* What the VM is being asked for, a boot included; at most one. */
	struct op *op;
	enum vm_ask ask;
	struct qmp_call command; /* stop, cont, system_reset, ... */
	unsigned resets_before;	 /* when it was asked */
	unsigned cut_step;	 /* of ASK_CUT: in cut_commands[] */
	struct call *parting;	 /* SHUTDOWN or BUTTON_READY to the agent */
	bool is_shutting_down;
	int64_t kill_at_ns;

	struct vm_saving *saving;   /* a snapshot that is being taken */
	struct vm_revival *revival; /* a restore that goes on */
	/* Of a guest that was restored: what its RAM was mapped from, and its
	 * initrd; else -1. */
	int base_ram_fd, base_initrd_fd;
	uint64_t base_ram_bytes; /* that it takes on the disk */
	char base_ram_hash[FILEHASH_TEXT_MAX];

	struct err alarm;	/* one that was seen, and nobody told of */
	bool is_alarm_expected; /* it is a panic of a guest that may_panic */

	/* Its death, pending and done. */
	enum vm_doom doom;
	int64_t doom_at_ns;
	struct err doom_err;
	struct err death;
	struct err reason; /* the same without the console's end */
};

/* vm.c */
void vm_set_state(struct vm *vm, enum vm_state to);
/* Has vm_step() run in the loop's next turn. */
void vm_kick(struct vm *vm);
/* An op->on_done that does vm_kick(). */
void vm_on_op(struct op *op, void *ctx);
/* Finishes the op in flight, if there is one. Nothing may follow it. */
void vm_finish_op(struct vm *vm, int result, const struct err *err);

/* vm_boot.c */
void vm_step_link(struct vm *vm);
/* Appends whether the guest is still at work: "; its console printed 0.2 s
 * ago". */
void vm_add_activity(const struct vm *vm, struct err *err);
/* Takes down QEMU and all that hangs on it, but the client. */
void vm_stop_qemu(struct vm *vm);
/* Fails the client's calls with err; it is kept until the VM is freed. */
void vm_retire_client(struct vm *vm, const struct err *err);

/* Makes QEMU, as revival says; or where err says why not, ends the VM. Its
 * state and op are those of a boot. */
void vm_begin_boot(struct vm *vm, struct op *op, int64_t deadline_ns,
		   const struct err *err);
/* The initrd with the agent, at path. */
int vm_write_initrd(struct vm *vm, const char *path, struct err *err);

/* vm_qemu.c */
/* The sockets of one QEMU: our ends, and those it inherits. */
struct boot_fds {
	int console, console_theirs; /* what the guest prints */
	int typed, typed_theirs;     /* what it reads */
	int qmp, qmp_theirs;
	int agent, agent_theirs;
	int vhost;
	struct qemu_nic nics[VM_NICS_MAX];
	int disks[VM_DISKS_MAX]; /* of those that are mediated */
};

void vm_init_boot_fds(struct boot_fds *f);
void vm_close_boot_fds(struct boot_fds *f);
/* Removes the files that only QEMU's start needs. */
void vm_remove_boot_files(struct vm *vm);
int vm_open_boot_fds(struct vm *vm, struct boot_fds *f, struct err *err);
int vm_start_qemu(struct vm *vm, const struct boot_fds *f, struct err *err);
/* For process_new(). */
void vm_on_qemu_exit(void *ctx, int status);

/* vm_snapshot.c */
void vm_step_saving(struct vm *vm);
void vm_saving_free(struct vm *vm);
/* The machine goes on if the snapshot had stopped it; nobody waits for that. */
void vm_resume_quietly(struct vm *vm);
/* The command gpa2hva for the RAM, and what such a command answers. */
json_t *vm_ask_ram(const struct vm *vm);
int vm_parse_hva(const json_t *ret, uint64_t *ret_addr, struct err *err);

/* vm_restore.c */
void vm_step_revival(struct vm *vm);
void vm_revival_free(struct vm *vm);
/* The image of the RAM and the state, to be inherited; -1: it is a boot. */
int vm_revival_fds(const struct vm *vm, int *ret_state);
uint64_t vm_revival_handles(const struct vm *vm);
/* The agent has answered: tells it. */
void vm_revival_greeted(struct vm *vm);
/* That is over; *ret has a code where it failed. */
bool vm_revival_is_done(const struct vm *vm, struct err *ret);

/* vm_files.c */
/* Asks the agent whether the files of the boot options are in their places.
 * False where there are none. */
bool vm_files_start(struct vm *vm);
/* Whether that is over. *ret has a code where one is not. */
bool vm_files_are_known(struct vm *vm, struct err *ret);
void vm_files_stop(struct vm *vm);

/* vm_net.c */
/* Has QEMU set the link of every NIC as its cable is. */
void vm_tell_links(struct vm *vm);
/* Connects the NICs for a new QEMU: fills as many as there are of ret, whose
 * fds are the caller's, also on failure. */
int vm_plug_nics(struct vm *vm, struct qemu_nic ret[VM_NICS_MAX],
		 struct err *err);
void vm_unplug_nics(struct vm *vm);
/* Tells the bridges that the guest has restarted. */
void vm_net_restarted(struct vm *vm);
/* Tells a QEMU that has just started which NICs have no link. */
void vm_start_nics(struct vm *vm);
/* Has the guest configure its NICs. False where there is nothing to do. */
bool vm_net_start(struct vm *vm);
/* Whether that is over; then vm->net_err tells how. */
bool vm_net_is_done(struct vm *vm);
void vm_net_stop(struct vm *vm);

/* vm_disk.c */
void vm_init_disks(struct vm *vm);
/* Makes what the guest is to write, at its first boot; looks at the images. */
int vm_prepare_disks(struct vm *vm, struct err *err);
/* For a new QEMU: VM_DISKS_MAX of each, where the paths are the caller's. */
void vm_describe_disks(const struct vm *vm, const int *nbd_fds,
		       struct qemu_disk *ret, char **take_tops);
/* The guest writes into a file of the VM's own; its path, the caller's. */
bool vm_disk_has_top(const struct vm_disk *d);
char *vm_disk_top(const struct vm *vm, size_t i, unsigned generation);
/* An image that must not change has not. */
int vm_disk_check_image(const struct vm_disk *d, struct err *err);
void vm_free_disks(struct vm *vm);

/* vm_mediated.c */
int vm_mediated_prepare(struct vm *vm, size_t i, struct err *err);
void vm_mediated_free(struct vm_disk *d);
int vm_mediated_freeze(struct vm *vm, size_t i, struct err *err);
/* For a new QEMU: the ends that it inherits, the caller's, also on failure. */
int vm_connect_disks(struct vm *vm, int ret[VM_DISKS_MAX], struct err *err);
void vm_disconnect_disks(struct vm *vm);
void vm_set_disk_mode(struct vm *vm, enum nbd_mode mode);
/* They lose what was not flushed. False: there are none. */
bool vm_cut_disks(struct vm *vm);

/* vm_freeze.c */
/* Before the first boot, which is none: those of the snapshot, opened. */
int vm_revive_disks(struct vm *vm, const struct snapshot *s, struct err *err);
/* Of a machine that stands: makes new tops for what was written, and the
 * transaction that has QEMU use them (vm_ask_freeze()); when it has, what was
 * the tops are layers. */
int vm_begin_freeze(struct vm *vm, struct err *err);
json_t *vm_ask_freeze(const struct vm *vm);
void vm_end_freeze(struct vm *vm);
/* A node of QEMU's that is one of ours. */
bool vm_is_disk_node(const struct vm *vm, const char *name);
/* Hashes the layers that have no hash yet: 1: done, 0: call again. */
int vm_hash_layers(struct vm *vm, struct filehash **h, size_t max,
		   struct err *err);
/* Adds the disks to a snapshot. */
int vm_save_disks(const struct vm *vm, struct snapshot_draft *d,
		  struct err *err);

/* vm_power.c */
void vm_step_power(struct vm *vm);
/* The agent has answered what it was asked last: to shut down. */
bool vm_has_parted(const struct vm *vm);
/* Forgets what was asked for, but not its op. */
void vm_power_done(struct vm *vm);
/* One command of QMP; vm_step() follows its answer. */
void vm_start_command(struct vm *vm, const char *command,
		      json_t *take_arguments);
/* Has op be what the VM is asked for; false, and it is over, where it cannot.
 */
bool vm_ask(struct vm *vm, enum vm_ask ask, struct op *op, int64_t deadline_ns);
/* Starts and fails op unless the state is among the legal ones (bits) and no
 * other operation is going on. */
bool vm_refuse(struct vm *vm, struct op *op, const char *what, unsigned legal);

/* vm_alarm.c */
void vm_set_alarms(struct vm *vm);
bool vm_is_panic(const char *line);
/* The guest's kernel panicked, as err says: it dies, or is free to go on. */
void vm_panicked(struct vm *vm, const struct err *err);
/* May free the VM. */
void vm_step_alarm(struct vm *vm);

/* vm_death.c */
void vm_condemn(struct vm *vm, enum vm_doom doom, const struct err *err);
/* When the doom is to be acted on; CLOCK_NEVER where there is none. */
int64_t vm_doom_due(const struct vm *vm);
/* True when it acted, and the VM may be gone. */
bool vm_step_death(struct vm *vm);
void vm_die(struct vm *vm, const struct err *reason);
/* Appends "; the console ends:\n  | ..." to err. */
void vm_add_console(struct vm *vm, struct err *err);

extern const struct qmp_event vm_events[];

#endif
