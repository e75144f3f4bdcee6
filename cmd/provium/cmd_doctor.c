/* SPDX-License-Identifier: MIT */
/*
 * provium doctor: each thing that a run needs is a check in the table at the
 * bottom. A check says one line, and if it can, what would be better.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium/settings.h"
#include "runner/config.h"
#include "runner/print.h"
#include "vmm/guest.h"
#include "vmm/guest_source.h"
#include "vmm/host.h"
#include "vmm/net/kernel_host.h"

struct doctor {
	struct printer p;
	const struct settings *s;
	struct config config;
	bool has_config; /* config is loaded */
	bool is_broken;	 /* tests cannot run */
};

struct check {
	const char *name;
	void (*run)(struct doctor *d, const char *name);
};

static void cmd_doctor_put(const struct doctor *d, enum print_style style,
			   const char *word, const char *name, const char *text)
{
	CLEANUP(free_ptr) char *head = mem_printf("  %-5s ", word);
	CLEANUP(free_ptr) char *label = mem_printf("%-17s ", name);

	print_text(&d->p, style, head);
	print_text(&d->p, PRINT_TITLE, label);
	print_text(&d->p, PRINT_PLAIN, text);
	fputc('\n', d->p.out);
}

static void good(const struct doctor *d, const char *name, const char *text)
{
	cmd_doctor_put(d, PRINT_GOOD, "ok", name, text);
}

static void cmd_doctor_bad(struct doctor *d, const char *name,
			   const struct err *err)
{
	cmd_doctor_put(d, PRINT_BAD, "FAIL", name, err->text);
	d->is_broken = true;
}

static void put_choice(const struct doctor *d, const char *name,
		       const char *taken, const struct host_choice *choice)
{
	CLEANUP(free_ptr) char *text = mem_printf("%s: %s", taken, choice->why);

	good(d, name, text);
	if (*choice->faster) {
		CLEANUP(free_ptr)
		char *tip = mem_printf("%26s", "faster with ");
		print_text(&d->p, PRINT_WARN, tip);
		print_text(&d->p, PRINT_PLAIN, choice->faster);
		fputc('\n', d->p.out);
	}
}

/* --- checks ---------------------------------------------------------------*/

static void check_config(struct doctor *d, const char *name)
{
	struct err err;

	if (config_load(&d->config, d->s->config, &err) < 0) {
		cmd_doctor_bad(d, name, &err);
		return;
	}
	d->has_config = true;
	good(d, name,
	     d->config.path ? d->config.path
			    : "none; the default guest, tests from here");
}

static void cmd_doctor_check_qemu(struct doctor *d, const char *name)
{
	struct err err;
	CLEANUP(free_ptr) char *qemu = host_find_qemu(&err);
	CLEANUP(free_ptr) char *version = NULL;

	if (qemu)
		version = host_qemu_version(qemu, &err);
	if (!version) {
		cmd_doctor_bad(d, name, &err);
		return;
	}
	CLEANUP(free_ptr) char *text = mem_printf("%s (%s)", qemu, version);
	good(d, name, text);
}

/* Tests run without it as long as they want no network. */
static void check_net(struct doctor *d, const char *name)
{
	struct err err;
	CLEANUP(free_ptr) char *qemu = host_find_qemu(&err);

	if (!qemu)
		return; /* said already */
	if (host_qemu_check_net(qemu, &err) < 0)
		cmd_doctor_put(d, PRINT_WARN, "-", name, err.text);
	else
		good(d, name, "QEMU has -netdev stream; no rights are needed");
}

static void put_hint(const struct doctor *d, const char *text)
{
	CLEANUP(free_ptr) char *tip = mem_printf("%26s", "note: ");

	print_text(&d->p, PRINT_WARN, tip);
	print_text(&d->p, PRINT_PLAIN, text);
	fputc('\n', d->p.out);
}

/* Only tests that ask for it need it; or all, where the config does. */
static void check_kernel_net(struct doctor *d, const char *name)
{
	CLEANUP(strvec_done) struct strvec hints = {0};
	struct err err;

	if (kernel_host_check(&err) < 0) {
		bool is_default =
		    d->has_config && d->config.network == NETWORK_KERNEL;
		CLEANUP(free_ptr)
		char *text = mem_printf("%s%s", err.text,
					is_default ? "" : "; not needed");

		cmd_doctor_put(d, is_default ? PRINT_WARN : PRINT_DIM, "-",
			       name, text);
		return;
	}
	good(d, name, "available, for bridges with network = \"kernel\"");
	kernel_host_hints(&hints);
	for (size_t i = 0; i < hints.n; i++)
		put_hint(d, hints.v[i]);
}

static const struct config_profile *profile(const struct doctor *d)
{
	struct err err;

	return d->has_config ? config_find_profile(&d->config, NULL, &err)
			     : NULL;
}

static void check_accel(struct doctor *d, const char *name)
{
	enum accel wish = profile(d) ? profile(d)->accel : ACCEL_AUTO;
	struct host_choice choice;
	struct err err;

	if (host_choose_accel(wish, &choice, &err) < 0)
		cmd_doctor_bad(d, name, &err);
	else
		put_choice(d, name, accel_name((enum accel)choice.value),
			   &choice);
}

static void check_transport(struct doctor *d, const char *name)
{
	enum transport wish =
	    profile(d) ? profile(d)->transport : TRANSPORT_AUTO;
	struct host_choice choice;
	struct err err;

	if (host_choose_transport(wish, &choice, &err) < 0)
		cmd_doctor_bad(d, name, &err);
	else
		put_choice(d, name,
			   transport_name((enum transport)choice.value),
			   &choice);
}

static void check_device(struct doctor *d, const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd >= 0) {
		good(d, path, "opens");
		close(fd);
		return;
	}
	CLEANUP(free_ptr)
	char *text =
	    mem_printf("does not open: %s; not needed", strerror(errno));
	cmd_doctor_put(d, PRINT_DIM, "-", path, text);
}

static void check_kernel_of(struct doctor *d, const char *name,
			    const struct config_profile *p)
{
	struct err err;

	if (p->build || !access(p->kernel, R_OK)) {
		good(d, name, p->kernel);
		return;
	}
	err_set(&err, -errno, "kernel '%s': %s", p->kernel, strerror(errno));
	cmd_doctor_bad(d, name, &err);
}

/* Whether an image was made before: then none is fetched. */
static bool has_image(const struct doctor *d)
{
	struct guest_image *images = NULL;
	size_t n = 0;
	struct err err;

	if (guest_list(d->config.cache_dir, &images, &n, &err) < 0)
		return false;
	for (size_t i = 0; i < n; i++)
		guest_image_done(&images[i]);
	free(images);
	return n > 0;
}

/* Makes the default guest if its parts are here; does not fetch them. */
static void check_default_guest(struct doctor *d, const char *name)
{
	struct guest_places places;
	struct guest_image g = {0};
	struct err err;

	guest_places_get(&places);
	if (guest_source_check(&places, &err) < 0) {
		cmd_doctor_bad(d, name, &err);
		return;
	}
	if (!guest_source_is_local(&places) && !has_image(d)) {
		cmd_doctor_put(
		    d, PRINT_WARN, "-", name,
		    "no kernel in /boot: the first run, or provium guest "
		    "build, fetches Debian's");
		return;
	}
	if (guest_default(d->config.cache_dir, NULL, NULL, &g, &err) < 0) {
		cmd_doctor_bad(d, name, &err);
		return;
	}
	CLEANUP(free_ptr)
	char *text =
	    mem_printf("the default one, Linux %s, %s", g.release, g.kernel);
	good(d, name, text);
	guest_image_done(&g);
}

static void check_guest(struct doctor *d, const char *name)
{
	const struct config_profile *p = profile(d);

	if (p && p->kernel)
		check_kernel_of(d, name, p);
	else if (p)
		check_default_guest(d, name);
}

static void check_busybox(struct doctor *d, const char *name)
{
	struct guest_places places;
	struct err err;

	guest_places_get(&places);
	CLEANUP(free_ptr)
	char *path = places.busybox ? mem_strdup(places.busybox)
				    : host_find_program("busybox");
	if (path && !access(path, X_OK)) {
		good(d, name, path);
		return;
	}
	if (profile(d) && profile(d)->kernel) {
		cmd_doctor_put(d, PRINT_DIM, "-", name, "none; not needed");
		return;
	}
	err_set(&err, -ENOENT,
		"none; the default guest needs it: install busybox-static");
	cmd_doctor_bad(d, name, &err);
}

/* MemAvailable of proc(5), in bytes; 0: unknown. */
static uint64_t available_memory(void)
{
	CLEANUP(file_closep) FILE *f = fopen("/proc/meminfo", "re");
	char line[256];
	unsigned long long kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			return (uint64_t)kib << 10;
	}
	return 0;
}

static void check_memory(struct doctor *d, const char *name)
{
	uint64_t have = available_memory();
	uint64_t want = profile(d) ? profile(d)->memory : 0;
	CLEANUP(free_ptr)
	char *text = mem_printf("%llu MiB available, %llu MiB a guest",
				(unsigned long long)(have >> 20),
				(unsigned long long)(want >> 20));

	if (have && have < want) {
		struct err err;
		err_set(&err, -ENOMEM, "%s", text);
		cmd_doctor_bad(d, name, &err);
	} else {
		good(d, name, text);
	}
}

static const struct check checks[] = {
    {"config", check_config},	  {"qemu", cmd_doctor_check_qemu},
    {"accelerator", check_accel}, {"transport", check_transport},
    {"/dev/kvm", check_device},	  {"/dev/vhost-vsock", check_device},
    {"busybox", check_busybox},	  {"guest", check_guest},
    {"network", check_net},	  {"kernel network", check_kernel_net},
    {"memory", check_memory},
};

int cmd_doctor(const struct settings *s)
{
	struct doctor d = {.s = s, .p = {.out = stdout}};

	if (s->n_args)
		return complain("doctor: takes no argument, got '%s'",
				s->args[0]);
	d.p.is_colored = isatty(1) && !getenv("NO_COLOR");
	printf("provium %s\n", PROVIUM_VERSION);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++)
		checks[i].run(&d, checks[i].name);
	if (d.has_config)
		config_done(&d.config);
	printf("\n%s\n", d.is_broken ? "tests cannot run here yet"
				     : "tests can run here");
	return d.is_broken ? STATUS_BROKEN : STATUS_OK;
}
