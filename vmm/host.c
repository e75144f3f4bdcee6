/* SPDX-License-Identifier: MIT */
#include "vmm/host.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "agent-proto/mem.h"
#include "vmm/program.h"

#define VERSION_TIMEOUT_NS (10 * NS_PER_SEC)
#define CPUINFO_LINE_MAX   16384

#define QEMU_NAME	   "qemu-system-x86_64"
#define QEMU_ADVICE                                                            \
	"install qemu-system-x86 (sudo apt-get install "                       \
	"qemu-system-x86), or set PROVIUM_QEMU to its path"
#define VSOCK_ADVICE                                                           \
	"loading the module vhost_vsock (sudo modprobe "                       \
	"vhost_vsock)"

/* 0 where path opens read-write, else -errno. */
static int probe_open(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static bool has_word(const char *line, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = line; (p = strstr(p, word)); p += n)
		if (p > line && strchr(" \t", p[-1]) && strchr(" \t\n", p[n]))
			return true;
	return false;
}

/* "vmx" (Intel), "svm" (AMD), or NULL: what the first CPU's flags show. */
static const char *cpu_virt_flag(const char *cpuinfo)
{
	CLEANUP(file_closep) FILE *f = fopen(cpuinfo, "re");
	char line[CPUINFO_LINE_MAX];

	while (f && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5) != 0)
			continue;
		if (has_word(line, "vmx"))
			return "vmx";
		return has_word(line, "svm") ? "svm" : NULL;
	}
	return NULL;
}

static void say_kvm_faster(const struct host_probe *p, int open_error,
			   struct host_choice *ret)
{
	if (open_error == -EACCES || open_error == -EPERM)
		snprintf(
		    ret->faster, sizeof(ret->faster),
		    "KVM: give yourself the right to open %s (sudo adduser "
		    "$USER kvm, then log in again)",
		    p->kvm);
	else if (open_error < 0)
		snprintf(
		    ret->faster, sizeof(ret->faster),
		    "KVM: a machine with hardware virtualization enabled, and "
		    "the module kvm_intel or kvm_amd");
	else
		snprintf(
		    ret->faster, sizeof(ret->faster),
		    "KVM: hardware virtualization enabled in the firmware, or "
		    "nested virtualization where this is a VM");
}

static void accel_auto(const struct host_probe *p, struct host_choice *ret)
{
	const char *flag = cpu_virt_flag(p->cpuinfo);
	int r = probe_open(p->kvm);

	if (r == 0 && flag) {
		ret->value = ACCEL_KVM;
		snprintf(ret->why, sizeof(ret->why),
			 "%s opens and the CPU has %s", p->kvm, flag);
		return;
	}
	ret->value = ACCEL_TCG;
	say_kvm_faster(p, r, ret);
	if (r < 0)
		snprintf(ret->why, sizeof(ret->why), "%s does not open: %s",
			 p->kvm, strerror(-r));
	else
		snprintf(ret->why, sizeof(ret->why),
			 "%s opens, but the CPU shows neither vmx nor svm",
			 p->kvm);
}

int host_probe_accel(const struct host_probe *p, enum accel wish,
		     struct host_choice *ret, struct err *err)
{
	int r;

	*ret = (struct host_choice){.value = (int)wish};
	if (wish == ACCEL_AUTO) {
		accel_auto(p, ret);
		return 0;
	}
	snprintf(ret->why, sizeof(ret->why), "asked for");
	if (wish == ACCEL_TCG)
		return 0;
	r = probe_open(p->kvm);
	if (r < 0)
		return err_set(
		    err, r,
		    "accelerator kvm was asked for, but %s does not open: %s; "
		    "use auto or tcg, or get access to it",
		    p->kvm, strerror(-r));
	return 0;
}

int host_probe_transport(const struct host_probe *p, enum transport wish,
			 struct host_choice *ret, struct err *err)
{
	int r;

	*ret = (struct host_choice){.value = (int)wish};
	snprintf(ret->why, sizeof(ret->why), "asked for");
	if (wish == TRANSPORT_SERIAL)
		return 0;
	r = probe_open(p->vsock);
	if (r < 0 && wish == TRANSPORT_VSOCK)
		return err_set(
		    err, r,
		    "transport vsock was asked for, but %s does not open: %s; "
		    "it may need " VSOCK_ADVICE ", or use auto or serial",
		    p->vsock, strerror(-r));
	if (wish == TRANSPORT_VSOCK)
		return 0;
	ret->value = r == 0 ? TRANSPORT_VSOCK : TRANSPORT_SERIAL;
	if (r == 0) {
		snprintf(ret->why, sizeof(ret->why), "%s opens", p->vsock);
		return 0;
	}
	snprintf(ret->why, sizeof(ret->why), "%s does not open: %s", p->vsock,
		 strerror(-r));
	snprintf(ret->faster, sizeof(ret->faster),
		 r == -EACCES || r == -EPERM
		     ? "vsock: the right to open %s read-write (group kvm)"
		     : "vsock: " VSOCK_ADVICE " would make %s",
		 p->vsock);
	return 0;
}

static const struct host_probe real_host = {
    .kvm = "/dev/kvm",
    .vsock = "/dev/vhost-vsock",
    .cpuinfo = "/proc/cpuinfo",
};

int host_choose_accel(enum accel wish, struct host_choice *ret, struct err *err)
{
	return host_probe_accel(&real_host, wish, ret, err);
}

int host_choose_transport(enum transport wish, struct host_choice *ret,
			  struct err *err)
{
	return host_probe_transport(&real_host, wish, ret, err);
}

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
	       access(path, X_OK) == 0;
}

/* take_path: a list as PATH is. */
static char *find_in(char *take_path, const char *name)
{
	CLEANUP(free_ptr) char *path = take_path;

	for (char *save, *d = strtok_r(path, ":", &save); d;
	     d = strtok_r(NULL, ":", &save)) {
		CLEANUP(free_ptr) char *file = mem_printf("%s/%s", d, name);

		if (is_program(file))
			return TAKE(file);
	}
	return NULL;
}

static const char *host_env_path(void)
{
	const char *path = getenv("PATH");

	return path ? path : "/usr/local/bin:/usr/bin:/bin";
}

char *host_find_program(const char *name)
{
	return find_in(
	    mem_printf("%s:/usr/local/sbin:/usr/sbin:/sbin", host_env_path()),
	    name);
}

static char *find_wished_qemu(const char *wish, struct err *err)
{
	char *found = NULL;

	if (!strchr(wish, '/'))
		found = find_in(mem_strdup(host_env_path()), wish);
	else if (is_program(wish))
		found = mem_strdup(wish);
	if (!found)
		err_set(
		    err, -ENOENT,
		    "PROVIUM_QEMU is '%s', which is not a program that can be "
		    "run",
		    wish);
	return found;
}

char *host_find_qemu(struct err *err)
{
	const char *wish = getenv("PROVIUM_QEMU");
	char *found;

	if (wish && *wish)
		return find_wished_qemu(wish, err);
	found = find_in(mem_strdup(host_env_path()), QEMU_NAME);
	if (!found)
		err_set(err, -ENOENT,
			"cannot find " QEMU_NAME " in PATH; " QEMU_ADVICE);
	return found;
}

char *host_qemu_version(const char *qemu, struct err *err)
{
	const char *argv[] = {qemu, "--version", NULL};
	CLEANUP(buf_done) struct buf out = {0};
	int r = program_run(argv, NULL, clock_deadline_ns(VERSION_TIMEOUT_NS),
			    &out, err);
	size_t n = 0;

	if (r < 0)
		return NULL;
	while (n < out.len && buf_data(&out)[n] != '\n')
		n++;
	if (n)
		return mem_strndup((const char *)buf_data(&out), n);
	err_set(err, -EIO, "'%s --version' wrote nothing", qemu);
	return NULL;
}

int host_qemu_check_net(const char *qemu, struct err *err)
{
	const char *argv[] = {qemu, "-netdev", "help", NULL};
	CLEANUP(buf_done) struct buf out = {0};
	int r = program_run(argv, NULL, clock_deadline_ns(VERSION_TIMEOUT_NS),
			    &out, err);

	if (r < 0)
		return r;
	buf_append(&out, "", 1);
	if (strstr((const char *)buf_data(&out), "\nstream\n"))
		return 0;
	return err_set(err, -ENOTSUP,
		       "'%s' knows no `-netdev stream`: guests with a network "
		       "need QEMU 7.2 or later",
		       qemu);
}

static int host_find_name(const char *const *names, size_t n, const char *s)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(names[i], s))
			return (int)i;
	return -EINVAL;
}

static const char *const accel_names[] = {"auto", "kvm", "tcg"};
static const char *const transport_names[] = {"auto", "vsock", "serial"};
static const char *const network_names[] = {"user", "kernel"};
static_assert(ARRAY_LEN(accel_names) == ACCEL_TCG + 1, "a name each");
static_assert(ARRAY_LEN(transport_names) == TRANSPORT_SERIAL + 1, "as well");
static_assert(ARRAY_LEN(network_names) == NETWORK_KERNEL + 1, "here, too");

const char *accel_name(enum accel a)
{
	return accel_names[a];
}

const char *transport_name(enum transport t)
{
	return transport_names[t];
}

int accel_parse(const char *s, enum accel *ret)
{
	int i = host_find_name(accel_names, ARRAY_LEN(accel_names), s);

	if (i < 0)
		return i;
	*ret = (enum accel)i;
	return 0;
}

int transport_parse(const char *s, enum transport *ret)
{
	int i = host_find_name(transport_names, ARRAY_LEN(transport_names), s);

	if (i < 0)
		return i;
	*ret = (enum transport)i;
	return 0;
}

const char *network_name(enum network n)
{
	return network_names[n];
}

int network_parse(const char *s, enum network *ret)
{
	int i = host_find_name(network_names, ARRAY_LEN(network_names), s);

	if (i < 0)
		return i;
	*ret = (enum network)i;
	return 0;
}
