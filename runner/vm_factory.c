/* SPDX-License-Identifier: MIT */
/*
 * Owns the choices that are made once in a worker (QEMU, accelerator,
 * transport, guest image) and the merging of a request with its profile. Owns
 * no VM.
 */
#include "runner/vm_factory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "streams/disk_err.h"
#include "vmm/agent_blob.h"
#include "vmm/guest.h"
#include "vmm/snapshot.h"
#include "vmm/store.h"

#define CMDLINE_MAX 2048 /* COMMAND_LINE_SIZE of x86 */
#define AGENT_MAX   (64u << 20)

struct vm_factory {
	struct loop *loop;
	const struct config *config;
	const char *run_dir;
	struct alarm_rules alarms;
	char *qemu;		  /* NULL until found */
	struct guest_image guest; /* key NULL until there */
	struct buf agent;	  /* $PROVIUM_AGENT's bytes, or empty */
	bool has_agent;		  /* it was looked for */
	unsigned made;		  /* numbers the VMs' folders */
};

struct vm_factory *vm_factory_new(struct loop *l, const struct config *c,
				  const char *run_dir)
{
	struct vm_factory *f = mem_zalloc(sizeof(*f));

	f->loop = l;
	f->config = c;
	f->run_dir = run_dir;
	return f;
}

struct vm_factory *vm_factory_free(struct vm_factory *f)
{
	if (!f)
		return NULL;
	alarm_rules_done(&f->alarms);
	free(f->qemu);
	guest_image_done(&f->guest);
	buf_done(&f->agent);
	free(f);
	return NULL;
}

struct alarm_rules *vm_factory_alarms(struct vm_factory *f)
{
	return &f->alarms;
}

int vm_factory_check_profile(struct vm_factory *f, const char *name,
			     struct err *err)
{
	return config_find_profile(f->config, name, err) ? 0 : -ENOENT;
}

/* PROVIUM_AGENT names an agent program in place of the one linked in: for
 * developing the agent. */
static int find_agent(struct vm_factory *f, struct vm_spec *spec,
		      struct err *err)
{
	const char *path = getenv("PROVIUM_AGENT");

	if (path && *path && !f->has_agent) {
		int rc = store_read(path, AGENT_MAX, &f->agent, err);

		if (rc) {
			buf_reset(&f->agent);
			return err_wrap(err, "PROVIUM_AGENT");
		}
	}
	f->has_agent = true;
	spec->agent = agent_blob;
	spec->agent_n = (uintptr_t)agent_blob_end - (uintptr_t)agent_blob;
	if (f->agent.len) {
		spec->agent = buf_data(&f->agent);
		spec->agent_n = f->agent.len;
	}
	return 0;
}

static int vm_factory_find_host(struct vm_factory *f,
				const struct config_profile *p, bool suspend,
				struct vm_spec *spec, struct err *err)
{
	struct host_choice choice;
	int rc;

	if (!f->qemu)
		f->qemu = host_find_qemu(err);
	if (!f->qemu)
		return err->code;
	spec->qemu = f->qemu;
	rc = host_choose_accel(p->accel, &choice, err);
	if (rc < 0)
		return rc;
	spec->accel = (enum accel)choice.value;
	if (suspend && p->transport == TRANSPORT_VSOCK)
		return err_set(err, -EINVAL,
			       "profile '%s' has transport = 'vsock', over "
			       "which no guest can suspend: use 'serial'",
			       p->name);
	rc = host_choose_transport(suspend ? TRANSPORT_SERIAL : p->transport,
				   &choice, err);
	if (rc < 0)
		return rc;
	spec->transport = (enum transport)choice.value;
	return 0;
}

/* What is put together for one vm_new(). */
struct draft {
	char *kernel;
	char *dir;
	struct buf cmdline;
	struct strvec modules;
	struct strvec net_modules;
	struct strvec disk_modules;
	struct strvec disk_ids;
	struct disk_spec disks[VM_DISKS_MAX];
	struct strvec qemu_args;
	struct overlay_file *files;
};

static void draft_done(struct draft *d)
{
	free(d->kernel);
	free(d->dir);
	buf_done(&d->cmdline);
	strvec_done(&d->modules);
	strvec_done(&d->net_modules);
	strvec_done(&d->disk_modules);
	strvec_done(&d->disk_ids);
	strvec_done(&d->qemu_args);
	free(d->files);
}

static int find_default_guest(struct vm_factory *f, struct err *err)
{
	if (f->guest.key)
		return 0;
	int rc =
	    guest_default(f->config->cache_dir, NULL, NULL, &f->guest, err);
	return rc < 0 ? err_wrap(err, "the default guest") : 0;
}

/* The uncompressed kernels are ELF files; a bzImage is not. */
static bool is_elf(const char *path)
{
	CLEANUP(fd_closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	char magic[4];

	return fd >= 0 && read(fd, magic, sizeof(magic)) == sizeof(magic) &&
	       !memcmp(magic, "\177ELF", sizeof(magic));
}

/* For vm_spec.may_suspend. */
static int take_bzimage(const char *path, struct draft *d, struct err *err)
{
	if (is_elf(path))
		return err_set(err, -EINVAL,
			       "kernel '%s' is a vmlinux, which does not "
			       "survive a suspend: give its bzImage",
			       path);
	d->kernel = mem_strdup(path);
	return 0;
}

static int vm_factory_find_kernel(struct vm_factory *f,
				  const struct config_profile *p, bool suspend,
				  struct draft *d, struct vm_spec *spec,
				  struct err *err)
{
	int rc;

	for (size_t i = 0; i < p->modules.n; i++)
		strvec_add(&d->modules, p->modules.v[i]);
	spec->initrd = p->initrd;
	if (p->kernel && suspend)
		return take_bzimage(p->kernel, d, err);
	if (p->kernel)
		return guest_kernel_for_boot(f->config->cache_dir, p->kernel,
					     &d->kernel, err);
	rc = find_default_guest(f, err);
	if (rc < 0)
		return rc;
	if (suspend)
		rc = take_bzimage(f->guest.bzimage ? f->guest.bzimage
						   : f->guest.kernel,
				  d, err);
	else
		d->kernel = mem_strdup(f->guest.kernel);
	if (rc < 0)
		return rc;
	if (!spec->initrd) {
		spec->initrd = f->guest.initrd;
		spec->net_setup = GUEST_NET_SETUP;
		rc = guest_image_net_modules(&f->guest, &d->net_modules, err);
		if (rc == 0)
			rc = guest_image_disk_modules(&f->guest,
						      &d->disk_modules, err);
		if (rc < 0)
			return rc;
	}
	return guest_image_modules(&f->guest, spec->transport, &d->modules,
				   err);
}

static void vm_factory_add_words(struct buf *b, const char *words)
{
	if (!words || !*words)
		return;
	if (b->len)
		buf_append(b, " ", 1);
	buf_append(b, words, strlen(words));
}

static int build_cmdline(const struct config_profile *p,
			 const struct vm_request *r, struct buf *out,
			 struct err *err)
{
	struct buf file = {0};
	int rc = 0;

	if (r->kernel_cmdline) {
		vm_factory_add_words(out, r->kernel_cmdline);
	} else {
		vm_factory_add_words(out, p->cmdline);
		if (p->cmdline_file)
			rc = store_read(p->cmdline_file, CMDLINE_MAX, &file,
					err);
		if (file.len) {
			buf_append(&file, "", 1);
			char *s = (char *)buf_data(&file);
			s[strcspn(s, "\r\n")] = '\0';
			vm_factory_add_words(out, s);
		}
		buf_done(&file);
	}
	vm_factory_add_words(out, r->kernel_cmdline_append);
	buf_append(out, "", 1);
	if (!rc && out->len > CMDLINE_MAX)
		rc = err_set(err, -E2BIG,
			     "the kernel command line has %zu bytes, the "
			     "kernel takes %d",
			     out->len - 1, CMDLINE_MAX - 1);
	return rc;
}

static void merge_lists(const struct config_profile *p,
			const struct vm_request *r, struct draft *d,
			struct vm_spec *spec)
{
	size_t n = 0;

	d->files =
	    mem_zalloc((p->n_files + r->n_files) * sizeof(*d->files) + 1);
	for (size_t i = 0; i < p->n_files; i++, n++)
		d->files[n] = (struct overlay_file){
		    .path = p->files[i].path,
		    .content = p->files[i].content,
		    .n = p->files[i].n,
		    .mode = p->files[i].mode,
		};
	for (size_t i = 0; i < r->n_files; i++)
		d->files[n++] = r->files[i];
	spec->files = d->files;
	spec->n_files = n;
	/* A guest with an init of its own does everything itself. */
	for (size_t i = 0; i < n; i++)
		if (!strcmp(d->files[i].path, "/init"))
			spec->net_setup = NULL;
	for (size_t i = 0; i < p->qemu_args.n; i++)
		strvec_add(&d->qemu_args, p->qemu_args.v[i]);
	for (size_t i = 0; i < r->qemu_args.n; i++)
		strvec_add(&d->qemu_args, r->qemu_args.v[i]);
	spec->qemu_args = (const char *const *)d->qemu_args.v;
	spec->n_qemu_args = d->qemu_args.n;
}

/* The one of that id among the first n, other than the i-th. */
static bool is_twice(const struct disk_spec *disks, size_t n, size_t i)
{
	for (size_t k = 0; k < n; k++)
		if (k != i && !strcmp(disks[k].id, disks[i].id))
			return true;
	return false;
}

/* The images of a profile are for many: none is written. */
static int merge_disks(const struct config_profile *p,
		       const struct vm_request *r, struct draft *d,
		       struct vm_spec *spec, struct err *err)
{
	size_t n = p->disks.n + r->n_disks;

	if (n > VM_DISKS_MAX)
		return err_set(err, -E2BIG,
			       "it has %zu disks, of its profile and its "
			       "options; %d at the most",
			       n, VM_DISKS_MAX);
	for (size_t i = 0; i < n; i++) {
		if (i < p->disks.n)
			d->disks[i] = (struct disk_spec){
			    .source = DISK_TEMPLATE,
			    .path = p->disks.v[i],
			};
		else
			d->disks[i] = r->disks[i - p->disks.n];
		strvec_addf(&d->disk_ids, "disk%zu", i);
		if (!d->disks[i].id)
			d->disks[i].id = d->disk_ids.v[i];
	}
	for (size_t i = 0; i < n; i++)
		if (is_twice(d->disks, n, i))
			return err_set(err, -EEXIST,
				       "two of its disks have the id '%s'",
				       d->disks[i].id);
	spec->disks = d->disks;
	spec->n_disks = n;
	return 0;
}

/* Each VM has a folder: names repeat over the tests of a file, and socket
 * paths must stay short. */
static int vm_factory_make_dir(struct vm_factory *f, struct draft *d,
			       struct err *err)
{
	d->dir = mem_printf("%s/vm%u", f->run_dir, ++f->made);
	if (mkdir(d->dir, 0700) && errno != EEXIST)
		return disk_err(err, -errno, d->dir, "cannot make '%s'",
				d->dir);
	return 0;
}

/* All but the folder. */
static int fill_machine(struct vm_factory *f, const struct vm_request *r,
			struct draft *d, struct vm_spec *spec, struct err *err)
{
	const struct config_profile *p =
	    config_find_profile(f->config, r->profile, err);
	int rc;

	if (!p)
		return -ENOENT;
	if ((rc = vm_factory_find_host(f, p, r->suspend, spec, err)) < 0 ||
	    (rc = vm_factory_find_kernel(f, p, r->suspend, d, spec, err)) < 0 ||
	    (rc = build_cmdline(p, r, &d->cmdline, err)) < 0 ||
	    (rc = merge_disks(p, r, d, spec, err)) < 0)
		return rc;
	if (p->inject_agent && (rc = find_agent(f, spec, err)) < 0)
		return rc;
	merge_lists(p, r, d, spec);
	spec->name = r->name;
	spec->kernel = d->kernel;
	spec->is_linux_pvh = is_elf(d->kernel);
	spec->cmdline = (const char *)buf_data(&d->cmdline);
	spec->memory = r->memory ? r->memory : p->memory;
	spec->initial_time = r->initial_time;
	spec->has_rng_seed = r->has_rng_seed;
	spec->rng_seed = r->rng_seed;
	spec->may_suspend = r->suspend;
	spec->may_panic = r->panic;
	spec->spare_nics = (unsigned)r->spare_nics;
	spec->cpus = r->cpus ? (unsigned)r->cpus : p->cpus;
	spec->modules = (const char *const *)d->modules.v;
	spec->n_modules = d->modules.n;
	spec->net_modules = (const char *const *)d->net_modules.v;
	spec->n_net_modules = d->net_modules.n;
	spec->disk_modules = (const char *const *)d->disk_modules.v;
	spec->n_disk_modules = d->disk_modules.n;
	spec->alarms = &f->alarms;
	return 0;
}

static int vm_factory_fill_spec(struct vm_factory *f,
				const struct vm_request *r, struct draft *d,
				struct vm_spec *spec, struct err *err)
{
	int rc = fill_machine(f, r, d, spec, err);

	if (rc == 0)
		rc = vm_factory_make_dir(f, d, err);
	spec->run_dir = d->dir;
	return rc;
}

struct vm *vm_factory_make(struct vm_factory *f, const struct vm_request *r,
			   vm_dead_cb on_dead, void *ctx, struct err *err)
{
	struct draft d = {0};
	struct vm_spec spec = {0};
	struct vm *vm = NULL;

	if (!vm_factory_fill_spec(f, r, &d, &spec, err))
		vm = vm_new(f->loop, &spec, on_dead, ctx, err);
	draft_done(&d);
	return vm;
}

struct vm *vm_factory_restore(struct vm_factory *f, const char *name,
			      const struct snapshot *s, void *ctx,
			      struct err *err)
{
	struct vm_spec spec = {.name = name};
	struct host_choice choice;
	struct draft d = {0};
	struct vm *vm = NULL;
	int rc = 0;

	snapshot_spec(s, &spec);
	spec.alarms = &f->alarms;
	if (!f->qemu)
		f->qemu = host_find_qemu(err);
	spec.qemu = f->qemu;
	rc = f->qemu ? host_choose_accel(spec.accel, &choice, err) : err->code;
	if (rc >= 0)
		rc = host_choose_transport(spec.transport, &choice, err);
	if (rc >= 0)
		rc = vm_factory_make_dir(f, &d, err);
	spec.run_dir = d.dir;
	if (rc >= 0)
		vm = vm_new(f->loop, &spec, NULL, ctx, err);
	draft_done(&d);
	return vm;
}

/* --- what a profile is
 * -------------------------------------------------------- */

static json_t *list_of(const char *const *v, size_t n)
{
	json_t *list = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(list, json_string(v[i]));
	return list;
}

/* A number for what is put into the guest: the profile's files, the agent. */
static json_int_t hash_contents(const struct vm_spec *spec)
{
	uint64_t h = XXH3_64bits(spec->agent, spec->agent_n);

	for (size_t i = 0; i < spec->n_files; i++) {
		const struct overlay_file *file = &spec->files[i];

		h = XXH3_64bits_withSeed(file->path, strlen(file->path), h);
		h = XXH3_64bits_withSeed(file->content, file->n,
					 h + file->mode);
	}
	return (json_int_t)h;
}

json_t *vm_factory_identify(struct vm_factory *f, const char *profile,
			    struct err *err)
{
	struct vm_request r = {.name = "", .profile = profile};
	struct vm_spec spec = {0};
	struct draft d = {0};
	json_t *o = NULL;

	if (fill_machine(f, &r, &d, &spec, err) == 0)
		o = json_pack(
		    "{s:s, s:I, s:s, s:I, s:I, s:s, s:s, s:o, s:o, s:o, "
		    "s:[s,s,s?]}",
		    "provium", PROVIUM_VERSION, "contents",
		    hash_contents(&spec), "cmdline", spec.cmdline, "memory",
		    (json_int_t)spec.memory, "cpus", (json_int_t)spec.cpus,
		    "accel", accel_name(spec.accel), "transport",
		    transport_name(spec.transport), "modules",
		    list_of(spec.modules, spec.n_modules), "net_modules",
		    list_of(spec.net_modules, spec.n_net_modules), "qemu_args",
		    list_of(spec.qemu_args, spec.n_qemu_args), "files",
		    spec.qemu, spec.kernel, spec.initrd);
	if (!o && !err->code)
		err_set(err, -EINVAL,
			"profile '%s' has a path that is no UTF-8",
			profile ? profile : f->config->default_profile);
	for (size_t i = 0; o && i < spec.n_disks; i++)
		json_array_append_new(json_object_get(o, "files"),
				      json_string(spec.disks[i].path));
	draft_done(&d);
	return o;
}
