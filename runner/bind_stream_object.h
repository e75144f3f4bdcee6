/* SPDX-License-Identifier: MIT */
/*
 * What the files of the stream class share: bind_stream.c has the object and
 * the calls that read, bind_stream_file.c write_to.
 */
#ifndef RUNNER_BIND_STREAM_OBJECT_H
#define RUNNER_BIND_STREAM_OBJECT_H

#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

#include "runner/bind.h"
#include "streams/spool_file.h"
#include "streams/stream.h"

#define STREAM_DETAIL_MAX 256
#define STREAM_KIND_MAX	  32

struct suite;

struct stream_object {
	struct object obj;
	struct suite *suite;   /* borrowed */
	struct stream *stream; /* owned; NULL: closed */
	uint64_t bytes;	       /* delivered, once closed */
	enum stream_type type;
	char kind[STREAM_KIND_MAX];
	char detail[STREAM_DETAIL_MAX];
	struct site test_site; /* file "" where no test frame opened it */
	/* write_to */
	struct spool_file *spool; /* owned; NULL: none, or closed */
	uint64_t written;	  /* once closed */
	bool is_written;	  /* write_to was called */
	bool is_told;		  /* the author knows of the file's error */
	struct site write_site;
};

/* The object at 1. Raises the error of a file that it is written to. */
struct stream_object *stream_check(lua_State *L, const char *method);
/* The same for a call that takes bytes: raises while it is being written to a
 * file. */
struct stream_object *stream_check_reader(lua_State *L, const char *method);
/* "stream closed" and its like. */
const char *stream_closed_text(enum stream_type type);

/* Raises what stands against a call: see the two checks. */
void stream_file_check_error(lua_State *L, const char *method,
			     struct stream_object *so);
void stream_file_check_reader(lua_State *L, const char *method,
			      const struct stream_object *so);
/* Before the stream is closed: the file is complete, and its error, if nobody
 * was told, the test's failure. */
void stream_file_close(struct stream_object *so);
/* The class's test_end. */
void stream_file_test_end(void *object, bool is_last);

int stream_l_write_to(lua_State *L);

#endif
