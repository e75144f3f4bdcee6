/* SPDX-License-Identifier: MIT */
#include "vmm/net/kernel_name.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "agent-proto/cleanup.h"

#define PREFIX "pv"
/* Tags tried; each is free but for one chance in millions. */
#define TRIES	   8
#define DIGITS_MAX 5u

static const char hex[] = "0123456789abcdef";

static_assert(sizeof(PREFIX) + KERNEL_TAG_LEN + 1 + DIGITS_MAX <= IF_NAMESIZE,
	      "a name fits");

int kernel_tag_take_text(struct kernel_tag *ret, const char *text)
{
	struct sockaddr_un sun = {.sun_family = AF_UNIX};
	CLEANUP(fd_closep)
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	/* Behind the NUL that makes it abstract. */
	int n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1,
			 "provium-net-%s", text);

	ret->fd = -1;
	if (fd < 0 || bind(fd, (struct sockaddr *)&sun,
			   (socklen_t)(offsetof(struct sockaddr_un, sun_path) +
				       1 + (size_t)n)) < 0)
		return -errno;
	memmove(ret->text, text, KERNEL_TAG_LEN);
	ret->text[KERNEL_TAG_LEN] = '\0';
	ret->fd = TAKE_FD(fd);
	return 0;
}

static void make_tag(char ret[KERNEL_TAG_LEN + 1])
{
	uint8_t random[KERNEL_TAG_LEN] = {0};

	(void)!getrandom(random, sizeof(random), 0);
	for (size_t i = 0; i < KERNEL_TAG_LEN; i++)
		ret[i] = hex[random[i] % 16];
	ret[KERNEL_TAG_LEN] = '\0';
}

int kernel_tag_take(struct kernel_tag *ret, struct err *err)
{
	int r = -EADDRINUSE;

	for (int i = 0; i < TRIES && r == -EADDRINUSE; i++) {
		char text[KERNEL_TAG_LEN + 1];

		make_tag(text);
		r = kernel_tag_take_text(ret, text);
	}
	if (r < 0)
		return err_set(err, r, "cannot take a name for interfaces: %s",
			       strerror(-r));
	return 0;
}

void kernel_tag_done(struct kernel_tag *t)
{
	fd_closep(&t->fd);
}

void kernel_name(const struct kernel_tag *t, enum kernel_kind kind,
		 unsigned number, char ret[IF_NAMESIZE])
{
	assert(number <= KERNEL_NUMBER_MAX);
	snprintf(ret, IF_NAMESIZE, PREFIX "%.6s%c%u", t->text, (char)kind,
		 number % (KERNEL_NUMBER_MAX + 1));
}

bool kernel_name_parse(const char *name, char ret_tag[KERNEL_TAG_LEN + 1],
		       enum kernel_kind *ret_kind)
{
	static const char kinds[] = {KERNEL_BRIDGE, KERNEL_IFB, KERNEL_TAP};
	const char *tag = name + strlen(PREFIX);
	const char *kind = tag + KERNEL_TAG_LEN;
	size_t digits;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0 ||
	    strspn(tag, hex) < KERNEL_TAG_LEN || !*kind ||
	    !memchr(kinds, *kind, sizeof(kinds)))
		return false;
	digits = strspn(kind + 1, "0123456789");
	if (!digits || digits > DIGITS_MAX || kind[1 + digits])
		return false;
	memcpy(ret_tag, tag, KERNEL_TAG_LEN);
	ret_tag[KERNEL_TAG_LEN] = '\0';
	*ret_kind = (enum kernel_kind) * kind;
	return true;
}
