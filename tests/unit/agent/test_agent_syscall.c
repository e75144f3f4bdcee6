/* SPDX-License-Identifier: MIT */
/* Raw system calls. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/unit/agent/lib_agent_peer.h"

/* A call being put together. */
struct raw {
	struct msg m;
	struct buf items;
	uint32_t count;
	uint8_t ptrs[MSG_SYSCALL_BUFS];
	uint8_t nested[64];
	uint32_t nested_n;
};

static void raw_buf(struct raw *c, const void *p, size_t n, uint8_t slot)
{
	c->ptrs[c->count] = slot;
	msg_list_add(&c->items, &c->count, p, n);
}

static void put_le(uint8_t *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void raw_nest(struct raw *c, uint32_t parent, uint32_t child,
		     uint64_t offset)
{
	uint8_t *at = c->nested + c->nested_n;

	put_le(at, parent, 4);
	put_le(at + 4, child, 4);
	put_le(at + 8, offset, 8);
	c->nested_n += MSG_NESTED_RECORD;
}

static struct exchange *raw_send(struct peer *p, struct raw *c, long nr)
{
	struct exchange *x;

	c->m.type = MSG_SYSCALL;
	c->m.syscall.nr = nr;
	c->m.syscall.bufs = msg_list_of(&c->items, c->count);
	c->m.syscall.ptrs = (struct msg_bytes){c->ptrs, c->count};
	c->m.syscall.nested = (struct msg_bytes){c->nested, c->nested_n};
	x = peer_send(p, &c->m, true);
	buf_done(&c->items);
	return x;
}

static struct exchange *raw_run(struct peer *p, struct raw *c, long nr)
{
	struct exchange *x = raw_send(p, c, nr);

	peer_wait_fin(x);
	return x;
}

static struct msg_bytes out_buf(const struct exchange *x, unsigned i)
{
	struct msg_list list = x->reply.syscall_done.bufs;
	struct msg_bytes item = {0};

	assert_true(i < list.count);
	for (unsigned k = 0; k <= i; k++)
		assert_true(msg_list_next(&list, &item));
	return item;
}

static void result_is_that_of_the_kernel(void **state)
{
	struct peer *p = *state;
	struct raw c = {0};
	const struct exchange *x = raw_run(p, &c, SYS_getpid);

	assert_int_equal(x->reply.type, MSG_SYSCALL_DONE);
	assert_int_equal(x->reply.syscall_done.ret, p->pid);
	assert_int_equal(x->reply.syscall_done.errnum, 0);
	assert_int_equal(x->reply.syscall_done.bufs.count, 0);
}

static void failure_is_minus_one_and_errno(void **state)
{
	struct raw c = {.m.syscall.a0 = UINT64_MAX};
	const struct exchange *x = raw_run(*state, &c, SYS_close);

	assert_int_equal(x->reply.syscall_done.ret, -1);
	assert_int_equal(x->reply.syscall_done.errnum, EBADF);
	c = (struct raw){0};
	x = raw_run(*state, &c, 100000);
	assert_int_equal(x->reply.syscall_done.errnum, ENOSYS);
}

static void arguments_and_results_are_64_bit(void **state)
{
	struct peer *p = *state;
	struct raw c = {0};
	uint64_t far = (UINT64_C(1) << 40) + 3;
	const struct exchange *x;
	int64_t fd;

	raw_buf(&c, "/tmp", 5, 1);
	c.m.syscall.a0 = (uint64_t)AT_FDCWD;
	c.m.syscall.a2 = O_TMPFILE | O_RDWR;
	c.m.syscall.a3 = 0600;
	fd = raw_run(p, &c, SYS_openat)->reply.syscall_done.ret;
	assert_true(fd >= 0);
	c = (struct raw){.m.syscall = {.a0 = (uint64_t)fd, .a1 = far}};
	x = raw_run(p, &c, SYS_lseek);
	assert_true((uint64_t)x->reply.syscall_done.ret == far);
	c = (struct raw){.m.syscall = {.a0 = (uint64_t)fd}};
	assert_int_equal(raw_run(p, &c, SYS_close)->reply.syscall_done.ret, 0);
}

static void descriptors_begin_at_three(void **state)
{
	struct raw c = {.m.syscall.a0 = 0};

	assert_int_equal(raw_run(*state, &c, SYS_dup)->reply.syscall_done.ret,
			 3);
}

static void kernel_writes_into_buffers(void **state)
{
	struct raw c = {0};
	const struct exchange *x;
	char cwd[PATH_MAX], empty[PATH_MAX] = "";

	assert_non_null(getcwd(cwd, sizeof(cwd)));
	raw_buf(&c, empty, sizeof(empty), 0);
	c.m.syscall.a1 = sizeof(empty);
	x = raw_run(*state, &c, SYS_getcwd);
	assert_int_equal(x->reply.syscall_done.ret, strlen(cwd) + 1);
	assert_int_equal(out_buf(x, 0).n, sizeof(empty));
	assert_string_equal((const char *)out_buf(x, 0).p, cwd);
}

static void nested_pointers_reach_other_buffers(void **state)
{
	struct peer *p = *state;
	struct iovec iov[2] = {{NULL, 3}, {NULL, 4}};
	int32_t fds[2] = {-1, -1};
	struct raw c = {0};
	const struct exchange *x;

	raw_buf(&c, fds, sizeof(fds), 0);
	x = raw_run(p, &c, SYS_pipe2);
	assert_int_equal(x->reply.syscall_done.ret, 0);
	memcpy(fds, out_buf(x, 0).p, sizeof(fds));

	c = (struct raw){.m.syscall = {.a0 = (uint64_t)fds[1], .a2 = 2}};
	raw_buf(&c, iov, sizeof(iov), 1);
	raw_buf(&c, "abc", 3, MSG_PTR_NONE);
	raw_buf(&c, "defg", 4, MSG_PTR_NONE);
	raw_nest(&c, 0, 1, offsetof(struct iovec, iov_base));
	raw_nest(&c, 0, 2,
		 sizeof(struct iovec) + offsetof(struct iovec, iov_base));
	x = raw_run(p, &c, SYS_writev);
	assert_int_equal(x->reply.syscall_done.ret, 7);

	c = (struct raw){.m.syscall = {.a0 = (uint64_t)fds[0], .a2 = 7}};
	raw_buf(&c, ".......", 7, 1);
	x = raw_run(p, &c, SYS_read);
	assert_memory_equal(out_buf(x, 0).p, "abcdefg", 7);
}

static void effects_last_from_call_to_call(void **state)
{
	struct peer *p = *state;
	struct raw c = {.m.syscall.a0 = 027};

	raw_run(p, &c, SYS_umask);
	c = (struct raw){.m.syscall.a0 = 022};
	assert_int_equal(raw_run(p, &c, SYS_umask)->reply.syscall_done.ret,
			 027);
}

static void bad_pointers_are_refused_before_the_call(void **state)
{
	struct peer *p = *state;
	struct raw c = {0};

	raw_buf(&c, "x", 1, 6); /* slots are 0 to 5 */
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);

	c = (struct raw){0};
	raw_buf(&c, "12345678", 8, MSG_PTR_NONE);
	raw_nest(&c, 0, 1, 0); /* no such child */
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);

	c = (struct raw){0};
	raw_buf(&c, "12345678", 8, MSG_PTR_NONE);
	raw_nest(&c, 1, 0, 0); /* no such parent */
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);

	c = (struct raw){0};
	raw_buf(&c, "12345678", 8, MSG_PTR_NONE);
	raw_nest(&c, 0, 0, 1); /* one byte over */
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);

	c = (struct raw){0};
	raw_buf(&c, "12345678", 8, MSG_PTR_NONE);
	raw_nest(&c, 0, 0, UINT64_MAX - 3); /* wraps */
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);

	c = (struct raw){0};
	raw_buf(&c, "1234567", 7, MSG_PTR_NONE);
	raw_nest(&c, 0, 0, 0); /* shorter than a pointer */
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);

	c = (struct raw){.nested_n = 15};
	assert_int_equal(raw_run(p, &c, SYS_getpid)->errnum, EINVAL);
}

static void too_many_buffers_are_refused(void **state)
{
	struct raw c = {0};

	for (int i = 0; i < MSG_SYSCALL_BUFS; i++)
		raw_buf(&c, "x", 1, MSG_PTR_NONE);
	assert_int_equal(raw_run(*state, &c, SYS_getpid)->errnum, 0);
	c = (struct raw){0};
	for (int i = 0; i < MSG_SYSCALL_BUFS; i++)
		raw_buf(&c, "x", 1, MSG_PTR_NONE);
	msg_list_add(&c.items, &c.count, "y", 1);
	c.m.syscall.bufs = msg_list_of(&c.items, c.count);
	c.count--; /* ptrs has no room for more */
	c.m.type = MSG_SYSCALL;
	c.m.syscall.nr = SYS_getpid;
	peer_fails(*state, &c.m, EINVAL, "more buffers");
	buf_done(&c.items);
}

/* A read of an eventfd that nothing was written to, on a thread. */
static struct exchange *blocked_read(struct peer *p, int64_t *ret_fd)
{
	struct raw make = {0}, c = {0};
	uint8_t room[8] = {0};

	*ret_fd = raw_run(p, &make, SYS_eventfd2)->reply.syscall_done.ret;
	c.m.syscall.flags = MSG_SYSCALL_THREAD;
	c.m.syscall.a0 = (uint64_t)*ret_fd;
	c.m.syscall.a2 = sizeof(room);
	raw_buf(&c, room, sizeof(room), 1);
	return raw_send(p, &c, SYS_read);
}

/* The states of all threads of a process: "S", "SS", "RS". */
static void thread_states(pid_t pid, char ret[8])
{
	char path[300];
	size_t n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d)) && n < 7;) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid,
			 e->d_name);
		FILE *f = fopen(path, "re");
		if (f && fscanf(f, "%*d (%*[^)]) %c", &ret[n]) == 1)
			n++;
		if (f)
			fclose(f);
	}
	ret[n] = '\0';
	closedir(d);
}

/* Serves p until its threads are in these states; the test hangs before it
 * fails for being slow. */
static void wait_states(struct peer *p, const char *want)
{
	char now[8];

	for (thread_states(p->pid, now); strcmp(now, want) != 0;
	     thread_states(p->pid, now))
		peer_settle(p, 5);
}

static void a_call_on_a_thread_blocks_nobody(void **state)
{
	struct peer *p = *state;
	struct raw other = {0}, post = {0};
	uint64_t one = 1;
	int64_t fd;
	struct exchange *x = blocked_read(p, &fd);

	assert_int_equal(raw_run(p, &other, SYS_getpid)->reply.syscall_done.ret,
			 p->pid);
	assert_int_equal(x->replies, 0);
	post.m.syscall.a0 = (uint64_t)fd;
	post.m.syscall.a2 = sizeof(one);
	raw_buf(&post, &one, sizeof(one), 1);
	raw_run(p, &post, SYS_write);
	peer_wait_fin(x);
	assert_int_equal(x->reply.syscall_done.ret, 8);
	assert_memory_equal(out_buf(x, 0).p, &one, sizeof(one));
}

static void a_call_given_up_is_interrupted(void **state)
{
	struct peer *p = *state;
	int64_t fd;
	struct exchange *x = blocked_read(p, &fd);

	wait_states(p, "SS"); /* the thread is in its call */
	chan_reset(x->chan);
	x->chan = NULL;
	wait_states(p, "S");
}

/* Both are there before the thread can have begun its call. */
static void a_call_given_up_at_once_leaves_no_thread(void **state)
{
	struct peer *p = *state;
	struct raw last = {0};

	kill(p->pid, SIGSTOP);
	for (int i = 0; i < 100; i++) {
		struct raw c = {.m.syscall.flags = MSG_SYSCALL_THREAD};
		struct exchange *x = raw_send(p, &c, SYS_pause);

		peer_settle(p, 0);
		chan_reset(x->chan);
		x->chan = NULL;
	}
	peer_settle(p, 0);
	kill(p->pid, SIGCONT);
	/* Behind all of them. */
	raw_run(p, &last, SYS_getpid);
	wait_states(p, "S");
}

static void memory_is_read(void **state)
{
	struct peer *p = *state;
	struct raw c = {0};
	struct msg m = {.type = MSG_READ_MEM};

	c.m.syscall.a1 = 4096;
	c.m.syscall.a2 = 3;    /* PROT_READ | PROT_WRITE */
	c.m.syscall.a3 = 0x22; /* MAP_PRIVATE | MAP_ANONYMOUS */
	c.m.syscall.a4 = (uint64_t)-1;
	int64_t at = raw_run(p, &c, SYS_mmap)->reply.syscall_done.ret;

	struct raw name = {0};
	name.m.syscall.a0 = (uint64_t)at; /* struct utsname */
	assert_int_equal(raw_run(p, &name, SYS_uname)->reply.syscall_done.ret,
			 0);
	m.read_mem.address = (uint64_t)at;
	m.read_mem.n = 6;
	struct exchange *x = peer_call(p, &m);
	assert_int_equal(x->reply.done.value, 6);
	assert_int_equal(x->data.len, 6);
	assert_memory_equal(buf_data(&x->data), "Linux", 6);
	m.read_mem.n = 4096;
	assert_int_equal(peer_call(p, &m)->data.len, 4096);

	struct raw gone = {0};
	gone.m.syscall.a0 = (uint64_t)at;
	gone.m.syscall.a1 = 4096;
	raw_run(p, &gone, SYS_munmap);
	peer_fails(p, &m, EFAULT, "bytes at 0x");
	m.read_mem.address = 0;
	peer_fails(p, &m, EFAULT, "read 4096 bytes at 0x0: Bad address");
	m.read_mem.n = MSG_READ_MEM_MAX + 1;
	peer_fails(p, &m, EFBIG, "File too large");
	m.read_mem.n = 0;
	assert_int_equal(peer_done(p, &m), 0);
}

#define PEER_TEST(f)                                                           \
	cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    PEER_TEST(result_is_that_of_the_kernel),
	    PEER_TEST(failure_is_minus_one_and_errno),
	    PEER_TEST(arguments_and_results_are_64_bit),
	    PEER_TEST(descriptors_begin_at_three),
	    PEER_TEST(kernel_writes_into_buffers),
	    PEER_TEST(nested_pointers_reach_other_buffers),
	    PEER_TEST(effects_last_from_call_to_call),
	    PEER_TEST(bad_pointers_are_refused_before_the_call),
	    PEER_TEST(too_many_buffers_are_refused),
	    PEER_TEST(a_call_on_a_thread_blocks_nobody),
	    PEER_TEST(a_call_given_up_is_interrupted),
	    PEER_TEST(a_call_given_up_at_once_leaves_no_thread),
	    PEER_TEST(memory_is_read),
	};

	return cmocka_run_group_tests_name("agent syscall", tests, NULL, NULL);
}
