/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The machine is `q35`, entered through PVH with an uncompressed vmlinux.
 * Measured against it: `pc` is as fast to the first process, but then each
 * PCI device that a driver takes costs 0.1 s under TCG, for its _PRT is a loop
 * in AML that is run for every device; q35's is a table. microvm would be a
 * little faster, but now and then hangs, and has no ACPI to power off with.
 * Devices that no test wants (SATA, USB, VMware port, SMBus) are left
 * out, as are PCIe ports to plug things into: each costs the guest some 25 ms.
 *
 * A guest that may suspend to RAM is a `pc` all the same. At the wake-up
 * SeaBIOS 1.16 sets up the power management registers of `pc` again, and not
 * those of `q35`: it resumes, but can then neither suspend nor power off.
 *
 * RAM is private to the process: a snapshot takes it from there (ram.h), and a
 * guest that is restored has a private mapping of the file that holds it.
 *
 * QMP and the agent's port are socketpairs, and the console is two pipes, whose
 * ends QEMU inherits: there is no socket file, no moment at which a byte can be
 * lost, and nothing to wait for before they can be used. The console's are not
 * sockets because those take few bytes of a UART (transport.h). One that takes
 * no more bytes stops a guest's kernel for 10 ms a byte, which is then lost
 * (Linux, drivers/tty/serial/8250/8250_port.c, wait_for_lsr()).
 *
 * QEMU runs in its own seccomp sandbox with every part of it denied.
 */
#include "vmm/qemu_argv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "vmm/cmdline.h"
#include "vmm/net/bridge.h"
#include "vmm/overlay.h"

static const char sandbox[] = "on,obsolete=deny,elevateprivileges=deny,"
			      "spawn=deny,resourcecontrol=deny";

static const char machine[] = "memory-backend=ram,sata=off,usb=off,"
			      "vmport=off,smbus=off";

static const char *const fixed_args[] = {
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    "-msg",
    "timestamp=off",
    /* A panic is reported (GUEST_PANICKED), then left to us: QEMU would
     * otherwise end before the rest of the trace is out. */
    "-action",
    "panic=none",
    NULL,
};

/*
 * Under TCG `max` has every feature that QEMU emulates, so that no user space
 * is too new for it. Three features are turned off:
 * - la57: a fifth level of page tables only costs time.
 * - erms: the kernel would clear and copy with `rep stosb`, which QEMU emulates
 *   byte by byte; `rep stosq` takes an eighth of that (5 % of a boot).
 * - fsrm: Linux 6.1 takes ERMS for granted where it sees FSRM. Its memmove()
 *   then never returns for short copies, and the boot stands still. QEMU
 *   emulates FSRM from 8.0 on; older versions know the name.
 */
static const char *const accel_args[][5] = {
    [ACCEL_KVM] = {"-accel", "kvm", "-cpu", "host", NULL},
    [ACCEL_TCG] = {"-accel", "tcg", "-cpu", "max,la57=off,erms=off,fsrm=off",
		   NULL},
};

/*
 * cryptomgr.notests: no self-test of ciphers, a quarter second under TCG.
 * i8042.*: do not probe for a keyboard controller. nr_uarts: nor for UARTs.
 */
static const char common_cmdline[] = "console=ttyS0 cryptomgr.notests "
				     "i8042.noaux i8042.nokbd "
				     "8250.nr_uarts=1";

/*
 * Under TCG time is spent where code is patched or relocated and where clocks
 * are calibrated: noreplace-smp alone saves 0.12 s, for without it a kernel
 * with one CPU patches every lock prefix away. no_timer_check: the kernel
 * counts ticks over a moment of the TSC's time and panics where QEMU was not
 * scheduled to give them ("IO-APIC + timer doesn't work"); under KVM it skips
 * that itself.
 */
static const char tcg_cmdline[] = " nokaslr noreplace-smp tsc=reliable "
				  "no_timer_check "
				  "lpj=4000000 audit=0 apparmor=0 "
				  "init_on_alloc=0";

static const char *const accel_cmdline[] = {
    [ACCEL_AUTO] = "",
    [ACCEL_KVM] = "",
    [ACCEL_TCG] = tcg_cmdline,
};

static void qemu_argv_add(struct strvec *argv, const char *option,
			  const char *value)
{
	strvec_add(argv, option);
	strvec_add(argv, value);
}

char *qemu_escape(const char *s)
{
	struct buf out = {0};

	for (; *s; s++)
		buf_append(&out, *s == ',' ? ",," : s, *s == ',' ? 2 : 1);
	buf_append(&out, "", 1);
	return (char *)out.mem;
}

static void qemu_argv_add_socket(struct strvec *argv, const char *id, int fd)
{
	strvec_add(argv, "-chardev");
	strvec_addf(argv, "socket,id=%s,fd=%d", id, fd);
}

/*
 * Calibrating the local APIC's timer takes a kernel 0.1 s of busy waiting. A
 * guest with one CPU can do without it, given another timer that can be set
 * far ahead: the HPET. KVM tells its guests the frequency.
 */
static bool has_hpet_only(enum accel accel, unsigned cpus)
{
	return accel == ACCEL_TCG && cpus == 1;
}

/* What the guest's real-time clock starts with (QEMU: -rtc base=). */
static void add_clock(struct strvec *argv, int64_t initial_time)
{
	time_t t = (time_t)initial_time;
	struct tm tm;
	char text[32];

	if (!initial_time || !gmtime_r(&t, &tm) ||
	    !strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm))
		return;
	strvec_add(argv, "-rtc");
	strvec_addf(argv, "base=%s", text);
}

static void add_machine(struct strvec *argv, const struct qemu_spec *s)
{
	for (const char *const *a = fixed_args; *a; a++)
		strvec_add(argv, *a);
	qemu_argv_add(argv, "-sandbox", sandbox);
	strvec_add(argv, "-machine");
	strvec_addf(argv, "%s,%s,hpet=%s%s", s->may_suspend ? "pc" : "q35",
		    machine, has_hpet_only(s->accel, s->cpus) ? "on" : "off",
		    s->ram_fd < 0 ? "" : ",suppress-vmdesc=on");
	for (const char *const *a = accel_args[s->accel]; *a; a++)
		strvec_add(argv, *a);
	strvec_add(argv, "-smp");
	strvec_addf(argv, "%u", s->cpus);
	/* -m takes bytes only with a suffix. */
	strvec_add(argv, "-m");
	strvec_addf(argv, "%" PRIu64 "B", s->memory);
	add_clock(argv, s->initial_time);
	if (s->has_rng_seed) {
		strvec_add(argv, "-seed");
		strvec_addf(argv, "%" PRIu64, s->rng_seed);
	}
	strvec_add(argv, "-object");
	if (s->ram_fd >= 0)
		strvec_addf(argv,
			    "memory-backend-file,id=ram,size=%" PRIu64
			    "B,share=off,mem-path=/proc/self/fd/%d",
			    s->memory, s->ram_fd);
	else
		strvec_addf(argv, "memory-backend-ram,id=ram,size=%" PRIu64 "B",
			    s->memory);
}

static void add_transport(struct strvec *argv, const struct qemu_spec *s)
{
	if (s->transport == TRANSPORT_VSOCK) {
		strvec_add(argv, "-device");
		strvec_addf(argv, "vhost-vsock-pci,guest-cid=%u,vhostfd=%d",
			    s->guest_cid, s->vhost_fd);
		return;
	}
	qemu_argv_add_socket(argv, "agent", s->agent_fd);
	qemu_argv_add(argv, "-device",
		      "virtio-serial-pci,id=serial0,max_ports=2");
	qemu_argv_add(argv, "-device",
		      "virtserialport,bus=serial0.0,chardev=agent,"
		      "name=" QEMU_AGENT_PORT ",id=" QEMU_AGENT_ID);
}

/*
 * No boot ROM (romfile=): nobody boots from the network. The link's state
 * stays visible (status=on is the default): it can be changed later.
 */
static void qemu_argv_add_nics(struct strvec *argv, const struct qemu_spec *s)
{
	char mac[MAC_TEXT_MAX];

	for (size_t i = 0; i < s->n_nics; i++) {
		mac_format(s->nics[i].mac, mac);
		strvec_add(argv, "-netdev");
		strvec_addf(argv,
			    s->nics[i].is_tap
				? "tap,id=net%zu,fd=%d"
				: "stream,id=net%zu,addr.type=fd,addr.str=%d",
			    i, s->nics[i].fd);
		strvec_add(argv, "-device");
		strvec_addf(argv,
			    "virtio-net-pci,netdev=net%zu,mac=%s,id=nic%zu,"
			    "romfile=",
			    i, mac, i);
	}
}

/*
 * The state is that of `xen-save-devices-state`, a migration stream that has
 * neither configuration, description nor RAM in it (QEMU, migration/savevm.c,
 * qemu_save_device_state()).
 */
static void add_incoming(struct strvec *argv, const struct qemu_spec *s)
{
	if (s->ram_fd < 0)
		return;
	qemu_argv_add(argv, "-incoming", "defer");
	qemu_argv_add(argv, "-global", "migration.send-configuration=off");
}

void qemu_argv(struct strvec *argv, const struct qemu_spec *s)
{
	CLEANUP(free_ptr) char *name = qemu_escape(s->name);
	CLEANUP(free_ptr) char *tty = qemu_escape(s->console_path);

	strvec_add(argv, s->qemu);
	strvec_add(argv, "-name");
	strvec_addf(argv, "provium-%s", name);
	add_machine(argv, s);
	strvec_add(argv, "-chardev");
	strvec_addf(argv, "pipe,id=console,path=%s", tty);
	qemu_argv_add(argv, "-serial", "chardev:console");
	qemu_argv_add_socket(argv, "qmp", s->qmp_fd);
	qemu_argv_add(argv, "-mon", "chardev=qmp,mode=control");
	qemu_argv_add(argv, "-device", "virtio-rng-pci");
	qemu_argv_add(argv, "-device", "pvpanic");
	add_transport(argv, s);
	qemu_argv_add_nics(argv, s);
	for (size_t i = 0; i < s->n_disks; i++)
		qemu_disk_argv(argv, &s->disks[i], i);
	qemu_argv_add(argv, "-kernel", s->kernel);
	qemu_argv_add(argv, "-initrd", s->initrd);
	qemu_argv_add(argv, "-append", s->cmdline);
	add_incoming(argv, s);
	for (size_t i = 0; i < s->n_extra; i++)
		strvec_add(argv, s->extra[i]);
}

/* Refuses an rdinit= that is not ours. */
static int refuse_rdinit(const char *user, struct err *err)
{
	static const char ours[] = OVERLAY_AGENT_PATH;
	struct cmdline_word w;

	while (cmdline_next(&user, &w)) {
		if (!cmdline_is(&w, "rdinit") || !w.value.p ||
		    (w.value.n == strlen(ours) &&
		     memcmp(w.value.p, ours, w.value.n) == 0))
			continue;
		return err_set(
		    err, -EINVAL,
		    "the kernel command line says '%.*s': provium needs rdinit "
		    "for its agent, which then starts the image's own /init; "
		    "remove it",
		    (int)(w.text.n < 128 ? w.text.n : 128), w.text.p);
	}
	return 0;
}

char *kernel_cmdline(const char *user, enum accel accel, unsigned cpus,
		     struct err *err)
{
	CLEANUP(free_ptr) char *line = NULL;

	if (refuse_rdinit(user, err) < 0)
		return NULL;
	line = mem_printf("%s%s%s rdinit=%s%s%s", common_cmdline,
			  accel_cmdline[accel],
			  has_hpet_only(accel, cpus) ? " nolapic_timer" : "",
			  OVERLAY_AGENT_PATH, *user ? " " : "", user);
	if (strlen(line) >= KERNEL_CMDLINE_MAX) {
		err_set(
		    err, -E2BIG,
		    "the kernel command line has %zu bytes with provium's own "
		    "%zu; the kernel takes %d",
		    strlen(line), strlen(line) - strlen(user),
		    KERNEL_CMDLINE_MAX - 1);
		return NULL;
	}
	return TAKE(line);
}
