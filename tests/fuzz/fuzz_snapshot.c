/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a snapshot's info.json, and as its delta over this process's own
 * memory: what opens describes a machine within its limits; what loads stays
 * within the region.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent-proto/err.h"
#include "vmm/ram.h"
#include "vmm/snapshot.h"

#define PAGES 8u
#define SIZE  (PAGES * RAM_PAGE)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void write_file(const char *dir, const char *name, const void *p,
		       size_t n)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "we");
	assert(f);
	assert(fwrite(p, 1, n, f) == n);
	fclose(f);
}

static void check_info(const uint8_t *p, size_t n)
{
	char dir[] = "/tmp/fuzz-snapshot-XXXXXX";
	struct snapshot s;
	struct err err;

	assert(mkdtemp(dir));
	write_file(dir, "info.json", p, n);
	if (snapshot_open(&s, dir, &err) == 0) {
		struct vm_spec spec = {0};

		snapshot_spec(&s, &spec);
		assert(spec.kernel && spec.cmdline && spec.cpus);
		assert(spec.memory && spec.memory % RAM_PAGE == 0);
		assert(s.n_nics <= VM_NICS_MAX);
		assert(s.bios_addr < SNAPSHOT_BIOS_END);
		snapshot_verify(&s, true, &err);
		snapshot_done(&s);
	} else {
		assert(err.code < 0 && err.text[0]);
	}
	assert(snapshot_remove(dir, &err) == 0);
}

/* A page before and one behind are guards. */
static void check_delta(const uint8_t *p, size_t n)
{
	uint8_t *ram = mmap(NULL, SIZE + 2 * RAM_PAGE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ram_map m = {
	    .pid = getpid(), .addr = (uintptr_t)ram + RAM_PAGE, .size = SIZE};
	int fd = memfd_create("delta", MFD_CLOEXEC);
	struct ram_copy *c;
	struct err err;
	int r = 0;

	assert(ram != MAP_FAILED && fd >= 0);
	assert(write(fd, p, n) == (ssize_t)n && lseek(fd, 0, SEEK_SET) == 0);
	c = ram_load_new(&m, fd, &err);
	while (c && !r)
		r = ram_copy_step(c, RAM_PAGE, &err);
	assert(!c || r == 1 || r == -EBADMSG);
	assert(!c || ram_copy_bytes(c) <= SIZE);
	for (size_t i = 0; i < RAM_PAGE; i++)
		assert(!ram[i] && !ram[SIZE + RAM_PAGE + i]);
	ram_copy_free(c);
	close(fd);
	munmap(ram, SIZE + 2 * RAM_PAGE);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	if (!n)
		return 0;
	if (p[0] & 1)
		check_delta(p + 1, n - 1);
	else
		check_info(p + 1, n - 1);
	return 0;
}
