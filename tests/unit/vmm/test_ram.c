/* SPDX-License-Identifier: MIT */
/* A forked child is the QEMU whose memory is looked at. */
#include "vmm/ram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "agent-proto/buf.h"
#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "tests/unit/skip.h"
#include "tests/unit/tmp.h"

#define PAGES 1024u
#define SIZE  ((size_t)PAGES * RAM_PAGE)

typedef void (*prepare_fn)(uint8_t *ram);

struct fixture {
	struct ram_map map;
	uint8_t *have; /* SIZE bytes: what look() saw */
	int fd;	       /* of the file that is written or read */
	int image;
	struct err err;
};

static int new_file(void)
{
	char path[TMP_PATH_MAX];
	int fd;

	tmp_template(path);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	unlink(path);
	return fd;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	f->have = malloc(SIZE);
	f->fd = new_file();
	f->image = -1;
	*state = f;
	return 0;
}

static void end_child(struct fixture *f)
{
	if (f->map.pid <= 0)
		return;
	kill(f->map.pid, SIGKILL);
	waitpid(f->map.pid, NULL, 0);
	f->map.pid = 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	end_child(f);
	close(f->fd);
	fd_closep(&f->image);
	free(f->have);
	free(f);
	return 0;
}

static void be_qemu(int image, prepare_fn prepare, int tell)
{
	int flags = image < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE;
	uint8_t *ram =
	    mmap(NULL, SIZE, PROT_READ | PROT_WRITE, flags, image, 0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (ram == MAP_FAILED)
		_exit(1);
	if (prepare)
		prepare(ram);
	if (write(tell, &ram, sizeof(ram)) != sizeof(ram))
		_exit(1);
	for (;;)
		pause();
}

/* Its RAM is anonymous, or a private mapping of f->image. */
static void start_child(struct fixture *f, prepare_fn prepare)
{
	int tell[2];
	uint8_t *ram;

	end_child(f);
	assert_int_equal(pipe2(tell, O_CLOEXEC), 0);
	f->map.pid = fork();
	if (!f->map.pid)
		be_qemu(f->image, prepare, tell[1]);
	close(tell[1]);
	assert_int_equal(read(tell[0], &ram, sizeof(ram)), sizeof(ram));
	close(tell[0]);
	f->map.addr = (uintptr_t)ram;
	f->map.size = SIZE;
}

static void look(struct fixture *f)
{
	assert_int_equal(ram_peek(&f->map, f->have, &f->err), 0);
}

/* To the end, in steps of max bytes; how many those were. */
static unsigned run(struct ram_copy *c, size_t max, struct err *err)
{
	unsigned steps = 0;
	int r = 0;

	if (!c)
		fail_msg("%s", err->text);
	while (!r) {
		r = ram_copy_step(c, max, err);
		steps++;
	}
	if (r < 0)
		fail_msg("%s", err->text);
	return steps;
}

/* Bytes of pages that were copied. */
static uint64_t save(struct fixture *f, enum ram_form form)
{
	struct ram_copy *c = ram_save_new(&f->map, form, f->fd, &f->err);
	uint64_t n;

	run(c, SIZE_MAX, &f->err);
	n = ram_copy_bytes(c);
	ram_copy_free(c);
	return n;
}

static void load(struct fixture *f)
{
	struct ram_copy *c;

	assert_int_equal(lseek(f->fd, 0, SEEK_SET), 0);
	c = ram_load_new(&f->map, f->fd, &f->err);
	run(c, SIZE_MAX, &f->err);
	ram_copy_free(c);
}

/* What f->fd holds as an image is what the child has. */
static void assert_image(struct fixture *f)
{
	CLEANUP(free_ptr) uint8_t *image = malloc(SIZE);

	look(f);
	assert_int_equal(pread(f->fd, image, SIZE, 0), SIZE);
	assert_memory_equal(image, f->have, SIZE);
}

static uint64_t blocks(int fd)
{
	struct stat st;

	assert_int_equal(fstat(fd, &st), 0);
	return (uint64_t)st.st_blocks * 512;
}

static void fill(uint8_t *ram, size_t page, size_t n, int c)
{
	memset(ram + page * RAM_PAGE, c, n * RAM_PAGE);
}

/* --- images ----------------------------------------------------------------
 */

static void touch_some(uint8_t *ram)
{
	fill(ram, 0, 1, 'a');
	fill(ram, 7, 300, 'b'); /* more than a record's worth */
	fill(ram, 400, 5, 0);	/* its own, and zero */
	ram[401 * RAM_PAGE + RAM_PAGE - 1] = 1;
	fill(ram, PAGES - 1, 1, 'z');
}

static void an_image_holds_all_of_anonymous_memory(void **state)
{
	struct fixture *f = *state;

	start_child(f, touch_some);
	save(f, RAM_IMAGE);
	assert_image(f);
}

static void zero_pages_of_an_image_are_holes(void **state)
{
	struct fixture *f = *state;
	uint64_t full = UINT64_C(303) * RAM_PAGE;

	start_child(f, touch_some);
	save(f, RAM_IMAGE);
	assert_int_equal(lseek(f->fd, 0, SEEK_END), SIZE);
	assert_in_range(blocks(f->fd), full, full + 64 * RAM_PAGE);
}

static void memory_that_nobody_touched_is_an_empty_image(void **state)
{
	struct fixture *f = *state;
	uint64_t own = 1;

	start_child(f, NULL);
	assert_int_equal(ram_own_bytes(&f->map, &own, &f->err), 0);
	assert_int_equal(own, 0);
	assert_int_equal(save(f, RAM_IMAGE), 0);
	assert_int_equal(blocks(f->fd), 0);
	assert_image(f);
}

static void steps_are_as_long_as_asked(void **state)
{
	struct fixture *f = *state;
	struct ram_copy *c;

	start_child(f, touch_some);
	c = ram_save_new(&f->map, RAM_IMAGE, f->fd, &f->err);
	assert_true(run(c, RAM_PAGE, &f->err) > 4);
	ram_copy_free(c);
	assert_image(f);
}

/* --- deltas ----------------------------------------------------------------
 */

static void fill_all(uint8_t *ram)
{
	for (size_t i = 0; i < PAGES; i++)
		fill(ram, i, 1, (int)('A' + i % 50));
}

/* f->image is a file with that in it; f->fd is empty. */
static void make_image(struct fixture *f)
{
	start_child(f, fill_all);
	save(f, RAM_IMAGE);
	f->image = f->fd;
	f->fd = new_file();
}

static void change_some(uint8_t *ram)
{
	volatile uint8_t sink = 0;

	for (size_t i = 0; i < PAGES; i++)
		sink ^= ram[i * RAM_PAGE]; /* reading is no change */
	fill(ram, 3, 1, 0);		   /* became zero: a change */
	fill(ram, 10, 300, 'x');
	ram[500 * RAM_PAGE + 17] = '!';
	fill(ram, PAGES - 1, 1, 'y');
}

static void a_delta_is_what_was_written_over_an_image(void **state)
{
	struct fixture *f = *state;
	uint64_t own, n;

	make_image(f);
	start_child(f, change_some);
	assert_int_equal(ram_own_bytes(&f->map, &own, &f->err), 0);
	assert_int_equal(own, 303 * RAM_PAGE);
	n = save(f, RAM_DELTA);
	assert_int_equal(n, own);
	assert_in_range(lseek(f->fd, 0, SEEK_END), own, own + 8 + 16 * 6);
}

static void a_delta_makes_the_same_memory_of_the_same_image(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *want = malloc(SIZE);

	make_image(f);
	start_child(f, change_some);
	save(f, RAM_DELTA);
	look(f);
	memcpy(want, f->have, SIZE);
	start_child(f, NULL);
	load(f);
	look(f);
	assert_memory_equal(f->have, want, SIZE);
	assert_int_equal(f->have[(size_t)3 * RAM_PAGE], 0);
}

static void what_was_loaded_is_in_the_next_delta(void **state)
{
	struct fixture *f = *state;
	uint64_t own;

	make_image(f);
	start_child(f, change_some);
	save(f, RAM_DELTA);
	start_child(f, NULL);
	load(f);
	assert_int_equal(ram_own_bytes(&f->map, &own, &f->err), 0);
	assert_int_equal(own, 303 * RAM_PAGE);
}

static void loading_leaves_the_image_as_it_was(void **state)
{
	struct fixture *f = *state;
	uint8_t byte;

	make_image(f);
	start_child(f, change_some);
	save(f, RAM_DELTA);
	start_child(f, NULL);
	load(f);
	assert_int_equal(pread(f->image, &byte, 1, 3 * RAM_PAGE), 1);
	assert_int_equal(byte, 'A' + 3);
}

static void a_patch_brings_an_image_up_to_date(void **state)
{
	struct fixture *f = *state;
	CLEANUP(free_ptr) uint8_t *bytes = malloc(SIZE);

	make_image(f);
	assert_int_equal(pread(f->image, bytes, SIZE, 0), SIZE);
	assert_int_equal(pwrite(f->fd, bytes, SIZE, 0), SIZE);
	start_child(f, change_some);
	assert_int_equal(save(f, RAM_PATCH), 303 * RAM_PAGE);
	assert_image(f);
}

/* --- hostile deltas --------------------------------------------------------
 */

static void add64(struct buf *b, uint64_t v)
{
	uint8_t bytes[8];

	for (int i = 0; i < 8; i++)
		bytes[i] = (uint8_t)(v >> (8 * i));
	buf_append(b, bytes, sizeof(bytes));
}

struct record {
	uint64_t at, n;
	size_t bytes; /* that follow */
};

static void write_records(struct fixture *f, const struct record *r, size_t n)
{
	static const uint8_t page[2 * RAM_PAGE];
	CLEANUP(buf_done) struct buf b = {0};

	buf_append(&b, "PVDELTA1", 8);
	for (size_t i = 0; i < n; i++) {
		add64(&b, r[i].at);
		add64(&b, r[i].n);
		buf_append(&b, page, r[i].bytes);
	}
	assert_int_equal(ftruncate(f->fd, 0), 0);
	assert_int_equal(pwrite(f->fd, buf_data(&b), b.len, 0), b.len);
	assert_int_equal(lseek(f->fd, 0, SEEK_SET), 0);
}

static void assert_bad(struct fixture *f, const char *why)
{
	struct ram_copy *c = ram_load_new(&f->map, f->fd, &f->err);
	int r = 0;

	while (c && !r)
		r = ram_copy_step(c, SIZE_MAX, &f->err);
	ram_copy_free(c);
	assert_int_equal(c ? r : f->err.code, -EBADMSG);
	assert_non_null(strstr(f->err.text, why));
}

static void a_record_for_other_memory_is_refused(void **state)
{
	static const struct record bad[] = {
	    {SIZE, RAM_PAGE, RAM_PAGE},
	    {SIZE - RAM_PAGE, 2 * RAM_PAGE, 2 * RAM_PAGE},
	    {UINT64_MAX - RAM_PAGE + 1, RAM_PAGE, RAM_PAGE},
	    {UINT64_MAX - RAM_PAGE + 1, 2 * RAM_PAGE, 2 * RAM_PAGE},
	    {1, RAM_PAGE, RAM_PAGE},
	    {0, RAM_PAGE + 1, RAM_PAGE + 1},
	    {0, 0, 0},
	    {0, RAM_RUN_MAX + RAM_PAGE, 2 * RAM_PAGE},
	    {0, UINT64_MAX - RAM_PAGE + 1, RAM_PAGE},
	};
	struct fixture *f = *state;

	start_child(f, fill_all);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		write_records(f, &bad[i], 1);
		assert_bad(f, "it is for other pages");
	}
	look(f);
	assert_int_equal(f->have[0], 'A');
}

static void records_out_of_order_are_refused(void **state)
{
	static const struct record twice[] = {{0, RAM_PAGE, RAM_PAGE},
					      {0, RAM_PAGE, RAM_PAGE}};
	struct fixture *f = *state;

	start_child(f, NULL);
	write_records(f, twice, 2);
	assert_bad(f, "it is for other pages");
}

static void a_delta_that_is_cut_anywhere_is_refused(void **state)
{
	static const struct record one = {0, RAM_PAGE, RAM_PAGE};
	static const off_t cuts[] = {9, 23, 24, 24 + RAM_PAGE - 1};
	struct fixture *f = *state;

	start_child(f, NULL);
	for (size_t i = 0; i < ARRAY_LEN(cuts); i++) {
		write_records(f, &one, 1);
		assert_int_equal(ftruncate(f->fd, cuts[i]), 0);
		assert_bad(f, "it is cut");
	}
	for (off_t cut = 0; cut < 8; cut++) {
		write_records(f, &one, 1);
		assert_int_equal(ftruncate(f->fd, cut), 0);
		assert_bad(f, "it does not begin as one");
	}
}

static void another_magic_is_refused(void **state)
{
	struct fixture *f = *state;

	start_child(f, NULL);
	assert_int_equal(pwrite(f->fd, "PVDELTA2", 8, 0), 8);
	assert_bad(f, "it does not begin as one");
}

/* --- errors ----------------------------------------------------------------
 */

static void a_process_that_is_gone_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct ram_copy *c;
	siginfo_t info;
	uint64_t own;

	start_child(f, fill_all);
	c = ram_save_new(&f->map, RAM_IMAGE, f->fd, &f->err);
	assert_non_null(c);
	kill(f->map.pid, SIGKILL);
	/* As long as nobody has waited for it, it is there, without memory. */
	waitid(P_PID, (id_t)f->map.pid, &info, WEXITED | WNOWAIT);
	assert_int_equal(ram_copy_step(c, SIZE_MAX, &f->err), -ESRCH);
	assert_non_null(strstr(f->err.text, "of QEMU"));
	ram_copy_free(c);
	assert_int_equal(ram_own_bytes(&f->map, &own, &f->err), -ESRCH);
	assert_int_equal(ram_peek(&f->map, f->have, &f->err), -ESRCH);
	assert_int_equal(ram_poke(&f->map, f->have, &f->err), -ESRCH);
	waitpid(f->map.pid, NULL, 0);
	assert_int_equal(ram_own_bytes(&f->map, &own, &f->err), -ESRCH);
	assert_null(ram_save_new(&f->map, RAM_DELTA, f->fd, &f->err));
	assert_int_equal(f->err.code, -ESRCH);
	assert_int_equal(ram_peek(&f->map, f->have, &f->err), -ESRCH);
	assert_int_equal(ram_poke(&f->map, f->have, &f->err), -ESRCH);
	assert_non_null(strstr(f->err.text, "of QEMU: it has ended"));
	f->map.pid = 0;
}

/* Exit status of a process that looks at the memory of its zombie. */
enum zombie_verdict {
	ZOMBIE_OK,
	ZOMBIE_NO_USER, /* it cannot become an ordinary user */
	ZOMBIE_PEEK,
	ZOMBIE_POKE,
	ZOMBIE_SAVE,
	ZOMBIE_LOAD,
	ZOMBIE_TEXT,
};

/* uid and gid of nobody. */
#define NOBODY 65534

static bool become_ordinary(void)
{
	return getuid() != 0 || (setgroups(0, NULL) == 0 &&
				 setresgid(NOBODY, NOBODY, NOBODY) == 0 &&
				 setresuid(NOBODY, NOBODY, NOBODY) == 0 &&
				 prctl(PR_SET_DUMPABLE, 1) == 0);
}

static enum zombie_verdict look_at_zombie(struct fixture *f)
{
	siginfo_t info;

	if (!become_ordinary())
		return ZOMBIE_NO_USER;
	start_child(f, fill_all);
	kill(f->map.pid, SIGKILL);
	waitid(P_PID, (id_t)f->map.pid, &info, WEXITED | WNOWAIT);
	if (ram_peek(&f->map, f->have, &f->err) != -ESRCH)
		return ZOMBIE_PEEK;
	if (ram_poke(&f->map, f->have, &f->err) != -ESRCH)
		return ZOMBIE_POKE;
	if (ram_save_new(&f->map, RAM_DELTA, f->fd, &f->err) ||
	    f->err.code != -ESRCH)
		return ZOMBIE_SAVE;
	if (ram_load_new(&f->map, f->fd, &f->err) || f->err.code != -ESRCH)
		return ZOMBIE_LOAD;
	return strstr(f->err.text, "it has ended") ? ZOMBIE_OK : ZOMBIE_TEXT;
}

/* The kernel refuses such a user the files of a zombie, but not root. */
static void an_ordinary_user_is_told_that_qemu_has_ended(void **state)
{
	int status;
	pid_t user = fork();

	assert_true(user >= 0);
	if (!user)
		_exit((int)look_at_zombie(*state));
	assert_int_equal(waitpid(user, &status, 0), user);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == ZOMBIE_NO_USER)
		skip_because("root cannot become an ordinary user");
	assert_int_equal(WEXITSTATUS(status), ZOMBIE_OK);
}

static void memory_that_is_not_mapped_is_an_error(void **state)
{
	struct fixture *f = *state;

	start_child(f, NULL);
	f->map.addr = RAM_PAGE;
	assert_int_equal(ram_peek(&f->map, f->have, &f->err), -EIO);
	assert_non_null(strstr(f->err.text, "cannot read the memory of QEMU"));
	assert_int_equal(ram_poke(&f->map, f->have, &f->err), -EIO);
}

static void a_file_that_cannot_be_written_is_an_error(void **state)
{
	struct fixture *f = *state;
	struct ram_copy *c;
	int full = open("/dev/full", O_WRONLY | O_CLOEXEC);

	start_child(f, fill_all);
	assert_null(ram_save_new(&f->map, RAM_DELTA, full, &f->err));
	assert_int_equal(f->err.code, -ENOSPC);
	c = ram_save_new(&f->map, RAM_PATCH, full, &f->err);
	assert_int_equal(ram_copy_step(c, SIZE_MAX, &f->err), -ENOSPC);
	assert_non_null(strstr(f->err.text, "No space left on device"));
	ram_copy_free(c);
	close(full);
}

static void what_was_poked_is_peeked(void **state)
{
	struct fixture *f = *state;

	start_child(f, NULL);
	memset(f->have, 'q', SIZE);
	assert_int_equal(ram_poke(&f->map, f->have, &f->err), 0);
	memset(f->have, 0, SIZE);
	look(f);
	for (size_t i = 0; i < SIZE; i++)
		assert_int_equal(f->have[i], 'q');
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
    T(an_image_holds_all_of_anonymous_memory),
    T(zero_pages_of_an_image_are_holes),
    T(memory_that_nobody_touched_is_an_empty_image),
    T(steps_are_as_long_as_asked),
    T(a_delta_is_what_was_written_over_an_image),
    T(a_delta_makes_the_same_memory_of_the_same_image),
    T(what_was_loaded_is_in_the_next_delta),
    T(loading_leaves_the_image_as_it_was),
    T(a_patch_brings_an_image_up_to_date),
    T(a_record_for_other_memory_is_refused),
    T(records_out_of_order_are_refused),
    T(a_delta_that_is_cut_anywhere_is_refused),
    T(another_magic_is_refused),
    T(a_process_that_is_gone_is_an_error),
    T(an_ordinary_user_is_told_that_qemu_has_ended),
    T(memory_that_is_not_mapped_is_an_error),
    T(a_file_that_cannot_be_written_is_an_error),
    T(what_was_poked_is_peeked),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
