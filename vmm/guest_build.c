/* SPDX-License-Identifier: MIT */
/*
 * Theory of operation
 *
 * The initrd is one uncompressed newc archive of 2.9 MB. Measured under TCG
 * (QEMU 7.2, Debian's 6.1 cloud kernel, the vmlinux through PVH, an init that
 * powers off; least of 6, seconds): uncompressed 1.98, zstd 2.11, lz4 2.15,
 * gzip 2.20, and 1.99 without any of it. That is little above the noise of the
 * measurement, so the simplest wins: nothing to unpack for the guest, and
 * appending the overlay to it costs the host 2 ms.
 *
 * It has no /init: the agent, which comes in the overlay, stays PID 1. Only
 * the modules of the transport in use are loaded at boot, by the agent, from
 * modules.list; modprobe finds the others in a modules.dep and modules.alias
 * that name nothing else. Modules are stored uncompressed, and with their
 * signatures, which the kernel would miss with a taint.
 *
 * NICs are configured by guest/provium-net.sh, which is in the archive and is
 * run by provium, once, when the agent has answered.
 */
#include "vmm/guest_build.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/clock.h"
#include "streams/disk_err.h"
#include "vmm/cpio.h"
#include "vmm/guest_net_blob.h"
#include "vmm/kmod.h"
#include "vmm/program.h"
#include "vmm/store.h"
#include "vmm/vmlinux.h"

#define BUSYBOX_MAX ((size_t)64 << 20)
#define BUSYBOX_IN  "/bin/busybox"
#define LIST_NS	    (30 * NS_PER_SEC)
#define BUSYBOX_ADVICE                                                         \
	"install busybox-static (sudo apt-get install "                        \
	"busybox-static)"

/* A set of transports, as bits. */
#define FOR_VSOCK  (1u << TRANSPORT_VSOCK)
#define FOR_SERIAL (1u << TRANSPORT_SERIAL)

struct wanted {
	const char *name;
	unsigned boot; /* transports with which it is loaded at boot */
	bool may_lack; /* else no guest starts without one that is for boot */
	bool net;      /* NICs cannot be used without it */
	bool disk;     /* nor disks */
};

static const struct wanted wanted[] = {
    {.name = "virtio_pci", .boot = FOR_VSOCK | FOR_SERIAL},
    {.name = "virtio_console", .boot = FOR_SERIAL},
    {.name = "vsock", .boot = FOR_VSOCK},
    {.name = "vmw_vsock_virtio_transport", .boot = FOR_VSOCK},
    {.name = "virtio_mmio"},
    {.name = "virtio_net", .net = true},
    {.name = "virtio_blk", .disk = true},
    {.name = "virtio_rng"},
    {.name = "af_packet", .net = true},
    {.name = "button"},
    /* They tell QEMU of a panic that the console does not show. The second is
     * what the first needs, or the whole driver (Linux before 5.13). */
    {.name = "pvpanic_mmio", .boot = FOR_VSOCK | FOR_SERIAL, .may_lack = true},
    {.name = "pvpanic", .boot = FOR_VSOCK | FOR_SERIAL, .may_lack = true},
};

void guest_parts_done(struct guest_parts *p)
{
	for (size_t i = 0; i < p->n_modules; i++) {
		free(p->modules[i].path);
		free(p->modules[i].deps);
		buf_done(&p->modules[i].bytes);
	}
	free(p->modules);
	free(p->release);
	buf_done(&p->kernel);
	buf_done(&p->busybox);
	strvec_done(&p->applets);
	for (size_t i = 0; i < ARRAY_LEN(p->load); i++)
		strvec_done(&p->load[i]);
	strvec_done(&p->load_net);
	strvec_done(&p->load_disk);
	*p = (struct guest_parts){0};
}

/* --- modules --------------------------------------------------------------*/

/* Relative path without a compression suffix. */
static char *plain_path(const char *path)
{
	const char *base = strrchr(path, '/');
	const char *ko = strstr(base ? base : path, ".ko");

	return mem_strndup(path, ko ? (size_t)(ko - path) + 3 : strlen(path));
}

static char *guest_build_guest_path(const char *release, const char *path)
{
	CLEANUP(free_ptr) char *plain = plain_path(path);

	return mem_printf("/lib/modules/%s/%s", release, plain);
}

/* What path needs, as modules.dep has it: what to load first comes last. */
static int describe_deps(struct kmod_index *x, const char *path, char **ret,
			 struct err *err)
{
	CLEANUP(strvec_done) struct strvec order = {0};
	CLEANUP(free_ptr) char *name = kmod_name(path);
	CLEANUP(buf_done) struct buf text = {0};
	int r = kmod_closure(x, name, &order, err);

	if (r < 0)
		return r;
	for (size_t i = order.n; i-- > 0;) {
		CLEANUP(free_ptr) char *plain = plain_path(order.v[i]);

		if (strcmp(order.v[i], path) != 0)
			buf_printf(&text, " %s", plain);
	}
	buf_append(&text, "", 1);
	*ret = mem_strdup((const char *)buf_data(&text));
	return 0;
}

static int load_module(struct guest_parts *p, struct kmod_index *x,
		       const char *dir, const char *path, struct stamp *stamp,
		       struct err *err)
{
	CLEANUP(free_ptr) char *file = mem_printf("%s/%s", dir, path);
	struct guest_module *m = &p->modules[p->n_modules];
	int r;

	*m = (struct guest_module){
	    .path = guest_build_guest_path(p->release, path)};
	p->n_modules++;
	stamp_add(stamp, file);
	r = describe_deps(x, path, &m->deps, err);
	return r < 0 ? r : kmod_read(file, &m->bytes, err);
}

/* Adds the paths of a wanted module. */
static int guest_build_choose(struct kmod_index *x, const struct wanted *w,
			      struct strvec *ret, struct err *err)
{
	struct err why = {0};
	int r = kmod_closure(x, w->name, ret, &why);

	if (r == 0 || (r == -ENOENT && (!w->boot || w->may_lack)))
		return 0;
	return err_set(err, r, "the kernel is of no use as a guest: %s",
		       why.text);
}

static void add_guest_paths(const struct guest_parts *p,
			    const struct strvec *paths, size_t from,
			    struct strvec *ret)
{
	for (size_t i = from; i < paths->n; i++) {
		CLEANUP(free_ptr) char *path = NULL;

		path = guest_build_guest_path(p->release, paths->v[i]);
		strvec_add(ret, path);
	}
}

static int list_transport(struct guest_parts *p, struct kmod_index *x,
			  unsigned t, struct err *err)
{
	CLEANUP(strvec_done) struct strvec paths = {0};
	int r = 0;

	for (size_t i = 0; i < ARRAY_LEN(wanted) && r == 0; i++)
		if (wanted[i].boot & 1u << t)
			r = guest_build_choose(x, &wanted[i], &paths, err);
	add_guest_paths(p, &paths, 0, &p->load[t]);
	return r;
}

/* What is wanted for one purpose, without what every transport has loaded by
 * then. */
static int list_purpose(struct guest_parts *p, struct kmod_index *x,
			bool for_disks, struct strvec *ret, struct err *err)
{
	CLEANUP(strvec_done) struct strvec paths = {0};
	int r = guest_build_choose(x, &wanted[0], &paths, err);
	size_t n_loaded = paths.n;

	for (size_t i = 0; i < ARRAY_LEN(wanted) && r == 0; i++)
		if (for_disks ? wanted[i].disk : wanted[i].net)
			r = guest_build_choose(x, &wanted[i], &paths, err);
	add_guest_paths(p, &paths, n_loaded, ret);
	return r;
}

static int guest_build_load_modules(struct guest_parts *p, const char *dir,
				    struct stamp *stamp, struct err *err)
{
	CLEANUP(strvec_done) struct strvec all = {0};
	CLEANUP(free_ptr) char *dep = mem_printf("%s/modules.dep", dir);
	struct kmod_index *x;
	int r = 0;

	stamp_add(stamp, dep);
	x = kmod_index_open(dir, err);
	if (!x)
		return err ? err->code : -EBADMSG;
	for (size_t i = 0; i < ARRAY_LEN(wanted) && r == 0; i++)
		r = guest_build_choose(x, &wanted[i], &all, err);
	p->modules = mem_zalloc((all.n + 1) * sizeof(*p->modules));
	for (size_t i = 0; i < all.n && r == 0; i++)
		r = load_module(p, x, dir, all.v[i], stamp, err);
	for (unsigned t = 0; t < ARRAY_LEN(p->load) && r == 0; t++)
		r = list_transport(p, x, t, err);
	if (r == 0)
		r = list_purpose(p, x, false, &p->load_net, err);
	if (r == 0)
		r = list_purpose(p, x, true, &p->load_disk, err);
	kmod_index_free(x);
	return r;
}

/* --- busybox --------------------------------------------------------------*/

/* An ELF program that asks for no interpreter. */
static bool is_static(const uint8_t *elf, size_t n)
{
	Elf64_Ehdr eh;

	if (n < sizeof(eh) || memcmp(elf, ELFMAG, SELFMAG) != 0 ||
	    elf[EI_CLASS] != ELFCLASS64)
		return false;
	memcpy(&eh, elf, sizeof(eh));
	if (eh.e_phentsize != sizeof(Elf64_Phdr) || eh.e_phoff > n ||
	    eh.e_phnum > (n - eh.e_phoff) / sizeof(Elf64_Phdr))
		return false;
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, elf + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		if (ph.p_type == PT_INTERP)
			return false;
	}
	return true;
}

static void take_applets(struct buf *text, struct strvec *ret)
{
	char *save, *line;

	buf_append(text, "", 1);
	for (line = strtok_r((char *)buf_data(text), "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		CLEANUP(free_ptr) char *path = mem_printf("/%s", line);

		if (strchr(line, '/') && strcmp(path, BUSYBOX_IN) != 0 &&
		    cpio_check_path(path) == 0)
			strvec_add(ret, line);
	}
}

static int load_busybox(struct guest_parts *p, const char *path,
			struct stamp *stamp, struct err *err)
{
	const char *argv[] = {path, "--list-full", NULL};
	CLEANUP(buf_done) struct buf text = {0};
	int r;

	stamp_add(stamp, path);
	r = store_read(path, BUSYBOX_MAX, &p->busybox, err);
	if (r < 0)
		return r;
	if (!is_static(buf_data(&p->busybox), p->busybox.len))
		return err_set(err, -ENOEXEC,
			       "'%s' is not a static program, which the guest "
			       "needs: " BUSYBOX_ADVICE
			       " or set PROVIUM_BUSYBOX",
			       path);
	r = program_run(argv, NULL, clock_deadline_ns(LIST_NS), &text, err);
	if (r < 0)
		return err_wrap(err, "listing the applets of busybox");
	take_applets(&text, &p->applets);
	for (size_t i = 0; i < p->applets.n; i++)
		if (!strcmp(p->applets.v[i], "bin/sh"))
			return 0;
	return err_set(err, -ENOEXEC, "'%s' has no shell: " BUSYBOX_ADVICE,
		       path);
}

/* --- reading, the key -----------------------------------------------------*/

int guest_parts_load(const struct guest_source *source, struct stamp *stamp,
		     struct guest_parts *ret, struct err *err)
{
	int r;

	*ret = (struct guest_parts){0};
	ret->release = mem_strdup(source->release);
	stamp_add(stamp, source->kernel);
	r = store_read(source->kernel, VMLINUX_IMAGE_MAX, &ret->kernel, err);
	if (r == 0)
		r = load_busybox(ret, source->busybox, stamp, err);
	if (r == 0 && source->modules)
		r = guest_build_load_modules(ret, source->modules, stamp, err);
	return r;
}

/* Length first, so that no two sequences of parts hash alike. */
static void hash(XXH3_state_t *h, const void *p, size_t n)
{
	uint64_t len = n;

	XXH3_128bits_update(h, &len, sizeof(len));
	XXH3_128bits_update(h, p, n);
}

static void hash_str(XXH3_state_t *h, const char *s)
{
	hash(h, s, strlen(s));
}

void guest_parts_key(const struct guest_parts *p,
		     char ret_key[GUEST_KEY_LEN + 1])
{
	XXH3_state_t *h = XXH3_createState();
	uint32_t format = GUEST_FORMAT;
	XXH128_hash_t sum;

	XXH3_128bits_reset(h);
	hash(h, &format, sizeof(format));
	hash_str(h, p->release);
	hash(h, buf_data(&p->kernel), p->kernel.len);
	for (size_t i = 0; i < p->n_modules; i++) {
		const struct guest_module *m = &p->modules[i];

		hash_str(h, m->path);
		hash_str(h, m->deps);
		hash(h, buf_data(&m->bytes), m->bytes.len);
	}
	hash(h, buf_data(&p->busybox), p->busybox.len);
	for (size_t i = 0; i < p->applets.n; i++)
		hash_str(h, p->applets.v[i]);
	hash(h, guest_net_blob, guest_net_blob_len());
	sum = XXH3_128bits_digest(h);
	XXH3_freeState(h);
	snprintf(ret_key, GUEST_KEY_LEN + 1, "%016llx%016llx",
		 (unsigned long long)sum.high64, (unsigned long long)sum.low64);
}

/* --- writing --------------------------------------------------------------*/

static const struct {
	const char *path;
	uint32_t perm;
} dirs[] = {
    {"/dev", 0755},  {"/etc", 0755},	  {"/mnt", 0755}, {"/proc", 0755},
    {"/root", 0700}, {"/run", 0755},	  {"/sys", 0755}, {"/tmp", 01777},
    {"/var", 0755},  {"/var/tmp", 01777},
};

static const struct {
	const char *path;
	const char *text;
} texts[] = {
    {"/etc/passwd", "root::0:0:root:/root:/bin/sh\n"
		    "nobody:*:65534:65534:nobody:/:/bin/false\n"},
    {"/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n"},
    {"/etc/hostname", "provium\n"},
    {"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n"},
};

static void put_base(struct cpio *c, const struct guest_parts *p)
{
	for (size_t i = 0; i < ARRAY_LEN(dirs); i++)
		cpio_add_dir(c, dirs[i].path, dirs[i].perm);
	/* Console before devtmpfs is mounted, for kernels that bring none. */
	cpio_add_chardev(c, "/dev/console", 0600, 5, 1);
	cpio_add_chardev(c, "/dev/null", 0666, 1, 3);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		cpio_add_file(c, texts[i].path, 0644, texts[i].text,
			      strlen(texts[i].text));
	cpio_add_file(c, GUEST_NET_SETUP, 0755, guest_net_blob,
		      guest_net_blob_len());
	cpio_add_file(c, BUSYBOX_IN, 0755, buf_data(&p->busybox),
		      p->busybox.len);
	for (size_t i = 0; i < p->applets.n; i++) {
		CLEANUP(free_ptr)
		char *path = mem_printf("/%s", p->applets.v[i]);

		cpio_add_symlink(c, path, BUSYBOX_IN);
	}
}

static void guest_build_put_text(struct cpio *c, const char *release,
				 const char *name, const struct buf *text)
{
	CLEANUP(free_ptr)
	char *path = mem_printf("/lib/modules/%s/%s", release, name);

	cpio_add_file(c, path, 0644, text->len ? buf_data(text) : NULL,
		      text->len);
}

static void describe_module(const struct guest_module *m, const char *release,
			    struct buf *dep, struct buf *alias)
{
	CLEANUP(strvec_done) struct strvec names = {0};
	CLEANUP(free_ptr) char *name = kmod_name(m->path);
	size_t base = strlen("/lib/modules/") + strlen(release) + 1;

	buf_printf(dep, "%s:%s\n", m->path + base, m->deps);
	kmod_modinfo(buf_data(&m->bytes), m->bytes.len, "alias", &names);
	for (size_t i = 0; i < names.n; i++)
		buf_printf(alias, "alias %s %s\n", names.v[i], name);
}

static void put_modules(struct cpio *c, const struct guest_parts *p)
{
	CLEANUP(buf_done) struct buf dep = {0};
	CLEANUP(buf_done) struct buf alias = {0};

	for (size_t i = 0; i < p->n_modules; i++) {
		const struct guest_module *m = &p->modules[i];

		cpio_add_file(c, m->path, 0644, buf_data(&m->bytes),
			      m->bytes.len);
		describe_module(m, p->release, &dep, &alias);
	}
	guest_build_put_text(c, p->release, "modules.dep", &dep);
	guest_build_put_text(c, p->release, "modules.alias", &alias);
}

static int guest_build_write_initrd(const struct guest_parts *p,
				    const char *dir, struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/" GUEST_INITRD, dir);
	CLEANUP(fd_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	struct cpio c;
	int r;

	if (fd < 0)
		return disk_err(err, -errno, path, "cannot create '%s'", path);
	cpio_init(&c, fd);
	put_base(&c, p);
	put_modules(&c, p);
	r = cpio_finish(&c);
	cpio_done(&c);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	if (r < 0)
		return disk_err(err, r, path, "cannot write '%s'", path);
	return 0;
}

static int write_modules(const struct guest_parts *p, const char *dir,
			 struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/" GUEST_MODULES, dir);
	CLEANUP(buf_done) struct buf b = {0};

	for (size_t t = 0; t < ARRAY_LEN(p->load); t++)
		for (size_t i = 0; i < p->load[t].n; i++)
			buf_printf(&b, "%s %s\n",
				   transport_name((enum transport)t),
				   p->load[t].v[i]);
	for (size_t i = 0; i < p->load_net.n; i++)
		buf_printf(&b, GUEST_NET " %s\n", p->load_net.v[i]);
	for (size_t i = 0; i < p->load_disk.n; i++)
		buf_printf(&b, GUEST_DISK " %s\n", p->load_disk.v[i]);
	return store_write(path, b.len ? buf_data(&b) : NULL, b.len, err);
}

static int write_bytes(const struct buf *b, const char *dir, const char *name,
		       struct err *err)
{
	CLEANUP(free_ptr) char *path = mem_printf("%s/%s", dir, name);

	return store_write(path, buf_data(b), b->len, err);
}

/* The vmlinux where QEMU can start it, and the bzImage that it was in; else
 * the file as it is. */
static int write_kernel(const struct guest_parts *p, const char *dir,
			struct err *err)
{
	CLEANUP(buf_done) struct buf elf = {0};
	const struct buf *b = &p->kernel;
	bool is_packed = vmlinux_is_bzimage(buf_data(b), b->len) &&
			 vmlinux_extract(buf_data(b), b->len, &elf, NULL) == 0;
	int r = 0;

	if (is_packed)
		b = &elf;
	bool has_pvh = vmlinux_has_pvh(buf_data(b), b->len);
	if (has_pvh)
		r = write_bytes(b, dir, GUEST_VMLINUX, err);
	if (r == 0 && (is_packed || !has_pvh))
		r = write_bytes(&p->kernel, dir, GUEST_BZIMAGE, err);
	return r;
}

int guest_parts_write(const struct guest_parts *p, const char *dir,
		      struct err *err)
{
	int r = write_kernel(p, dir, err);

	if (r == 0)
		r = guest_build_write_initrd(p, dir, err);
	return r < 0 ? r : write_modules(p, dir, err);
}
