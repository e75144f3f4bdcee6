/* SPDX-License-Identifier: MIT */
/*
 * How C becomes Lua: classes of objects, arguments, options, errors.
 *
 * A Lua type is one file, bind_<type>.c: static functions, one for a method,
 * and at the bottom its methods, its class and one registrar, which is listed
 * in bind.c. An object is a userdata whose C struct begins with struct object:
 *
 *	struct file_object {
 *		struct object obj;
 *		uint64_t handle;
 *	};
 *
 *	static void file_close(void *p);   // called once; then obj is closed
 *
 *	static const struct bind_method file_methods[] = {
 *		{ "read", file_read, 1 },
 *		{ NULL, NULL, 0 },
 *	};
 *	const struct object_class file_class = {
 *		.name = "file",
 *		.rank = RANK_FILE,
 *		.size = sizeof(struct file_object),
 *		.close = file_close,
 *		.methods = file_methods,
 *	};
 *	void bind_file_register(lua_State *L)
 *	{
 *		bind_class(L, &file_class);
 *	}
 *
 * :close(), __gc, and fields that a test adds to the object are provided.
 * Made with object_new(), it belongs to the current scope; give the VM as its
 * owner, and it is closed before the VM is.
 *
 * Messages: every argument error begins with the method as an author writes
 * it, "vm:run", and every raised error with the author's file:line.
 *
 * bind_vm.c (boot) and bind_run.c (run) are examples to follow; await.h says
 * how to wait.
 */
#ifndef RUNNER_BIND_H
#define RUNNER_BIND_H

#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"
#include "agent-proto/mem.h"
#include "runner/scope.h"

/* --- classes and objects ---------------------------------------------------
 */

/* A function that a test may call. It refuses more arguments than it takes; a
 * nil at the end is no argument. */
struct bind_method {
	const char *name; /* NULL ends the list */
	lua_CFunction fn;
	int max_args; /* without the object; BIND_ANY: any number */
};

#define BIND_ANY (-1)

/* A function that only provium's own Lua, or Lua itself, calls. */
struct bind_function {
	const char *name; /* NULL ends the list */
	lua_CFunction fn;
};

struct guest_ops;

struct object_class {
	const char *name; /* as error messages say it: "vm" */
	enum rank rank;
	size_t size;		     /* of the struct that begins with object */
	void (*close)(void *object); /* may be NULL; must not raise */
	const struct bind_method *methods;
	/* Metamethods besides __gc, __index, __newindex; may be NULL. */
	const struct bind_function *meta;
	/* Of a class whose objects are guests (bind_guest.h); or NULL. */
	const struct guest_ops *guest;
	/* A test begins, and may use the object; or NULL. */
	void (*test_begin)(void *object);
	/* The object has more to report in a moment; or NULL. */
	bool (*is_busy)(const void *object);
	/* Appends a console, as in events, when a test failed; or NULL. */
	void (*report)(void *object, void *json_array);
	/* Appends the paths of the logs that it writes; or NULL. */
	void (*logs)(const void *object, struct strvec *paths);
	/* Sets members of a failure_packets event: the last packets since
	 * since_ns (CLOCK_REALTIME). False: there are none. May be NULL. */
	bool (*packets)(const void *object, int64_t since_ns, json_t *ev);
	/* Sets members of a failure_console event: its whole console, up to max
	 * bytes of its end. False: it holds nothing. May be NULL. */
	bool (*transcript)(const void *object, size_t max, json_t *ev);
	/* Appends to a JSON array what it does to others, a string, when a test
	 * failed; or NULL. */
	void (*in_force)(const void *object, void *json_array);
	/* A test has run. is_last: no later one will use the object. What went
	 * wrong with it unseen is marked (suite_mark_at()). May be NULL. */
	void (*test_end)(void *object, bool is_last);
};

/* Makes the metatable. Every method is wrapped so that it may await(). */
void bind_class(lua_State *L, const struct object_class *class);
/* More methods for a class whose type is spread over several files. */
void bind_class_extend(lua_State *L, const struct object_class *class,
		       const struct bind_method *methods);
/* Pushes the table of a registered class's methods. */
void bind_push_methods(lua_State *L, const struct object_class *class);
/* The same in Lua: runs "runner/lua/x.lua" with the table of methods, one of
 * the functions core, and what bind_push_limits() pushes. */
void bind_class_extend_lua(lua_State *L, const struct object_class *class,
			   const struct bind_function *core, const char *blob);
/* Has the class's methods that are written in Lua refuse surplus arguments, as
 * those of C do; bind_class_extend_lua() calls it. */
void bind_class_limit(lua_State *L, const struct object_class *class);
/* Pushes the functions of runner/lua/limits.lua, for other tables of methods
 * that are written in Lua. */
void bind_push_limits(lua_State *L);
/* Wraps the functions and sets them in the table on top. */
void bind_functions(lua_State *L, const struct bind_function *fns);
/* The same for what a test may call; prefix: what precedes the name in
 * messages, "json." or "vm:". With a colon, the object is the first argument.
 */
void bind_methods(lua_State *L, const struct bind_method *fns,
		  const char *prefix);
/* Pushes one function, wrapped. */
void bind_push_function(lua_State *L, lua_CFunction fn);

/* Pushes a new, zeroed object; owner_idx: the object it hangs on, or 0. */
void *object_new(lua_State *L, const struct object_class *class, int owner_idx);
/* The object at idx, or raises: "file:read: call it as file:read(...)" */
void *object_check(lua_State *L, int idx, const struct object_class *class,
		   const char *method);
/* The object at idx, or NULL when it is something else. */
void *object_test(lua_State *L, int idx, const struct object_class *class);
/* Pushes the object's own table of fields (its environment). */
void object_push_fields(lua_State *L, int idx);

/* --- errors ----------------------------------------------------------------
 */

/* Raises "file:line: text" at the author's frame. */
_Noreturn void bind_fail(lua_State *L, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The same, for arguments: "file:line: method: text". */
_Noreturn void bind_fail_arg(lua_State *L, const char *method, const char *fmt,
			     ...) __attribute__((format(printf, 3, 4)));
/* The same for an object that is closed: what names it in the text. */
_Noreturn void bind_fail_closed(lua_State *L, const char *method,
				const struct object *o, const char *what);
/* The same with any bytes as text: "file:line: method: text", where a method
 * that is NULL is left out. */
_Noreturn void bind_fail_bytes(lua_State *L, const char *method,
			       const char *text, size_t n);
/* The same with the string at idx. */
_Noreturn void bind_fail_text(lua_State *L, const char *method, int idx);
/* For Lua, (method, text): bind_fail_text(). */
int bind_l_fail(lua_State *L);
/* Raises an error value of the lower layers: "file:line: method: text". */
_Noreturn void bind_fail_err(lua_State *L, const char *method,
			     const struct err *err);

/* --- arguments: each raises, naming method and argument ---------------------
 */

/* Borrowed; may hold any bytes. */
const char *arg_bytes(lua_State *L, const char *method, int idx,
		      const char *name, size_t *ret_n);
/* Without a NUL byte. */
const char *arg_string(lua_State *L, const char *method, int idx,
		       const char *name);
/* The same, and not empty. */
const char *arg_path(lua_State *L, const char *method, int idx,
		     const char *name);
bool arg_bool(lua_State *L, const char *method, int idx, const char *name,
	      bool otherwise);
/* An integer in range; from a number, or int64_t / uint64_t cdata. */
int64_t arg_int(lua_State *L, const char *method, int idx, const char *name,
		int64_t min, int64_t max);
/* 64 bits, two's complement: -1 .. 2^64-1. */
uint64_t arg_u64(lua_State *L, const char *method, int idx, const char *name);
/* Seconds, or "500ms"; nil or none: otherwise_ns. */
int64_t arg_duration(lua_State *L, const char *method, int idx,
		     const char *name, int64_t otherwise_ns);
/* Bytes, or "4K". */
uint64_t arg_size(lua_State *L, const char *method, int idx, const char *name);
/* A table; nil or none: 0. Else idx. */
int arg_opt_table(lua_State *L, const char *method, int idx, const char *name);
/* An index into names (NULL-terminated). */
int arg_enum(lua_State *L, const char *method, int idx, const char *name,
	     const char *const *names);
/* Pushes the string or number at idx as messages show it, with \x00 for a NUL
 * byte, and returns that. */
const char *arg_shown(lua_State *L, int idx);
/* Whether the value at idx is that string, to its last byte. */
bool arg_is_key(lua_State *L, int idx, const char *key);
/* "got a number", "got nothing": for own messages. */
const char *arg_type_name(lua_State *L, int idx);

/* Returns the length of the list at idx, a table without holes and without
 * other keys. what: as the message says it, "a list of strings". Lists of
 * authors are measured by this and the next function alone: lua_objlen() of a
 * table with holes is any of several numbers. */
size_t arg_list(lua_State *L, const char *method, int idx, const char *name,
		const char *what);
/* The same of a table that may have names as keys too. */
size_t arg_list_part(lua_State *L, const char *method, int idx,
		     const char *name);
/* Appends the strings of the list at idx, which must be dense, to sv. Raises:
 * so sv belongs to something that Lua releases. */
void arg_strings(lua_State *L, const char *method, int idx, const char *name,
		 struct strvec *sv);
/* The same of a table that may have other keys too. */
void arg_strings_part(lua_State *L, const char *method, int idx,
		      const char *name, struct strvec *sv);

/* A host path as the author means it: relative to the calling file. Owned. */
char *bind_host_path(lua_State *L, const char *path);

/* Pushes an empty vector that Lua releases. */
struct strvec *bind_push_strvec(lua_State *L);
/* The same for bytes. */
struct buf *bind_push_buf(lua_State *L);
/* Pushes a list of the vector's strings. May raise: the vector is Lua's. */
void bind_push_strings(lua_State *L, const struct strvec *sv);

/* --- option tables ----------------------------------------------------------
 */

enum opt_type {
	OPT_BOOL,     /* bool */
	OPT_INT,      /* int64_t */
	OPT_STRING,   /* const char *, borrowed from the table */
	OPT_BYTES,    /* struct opt_bytes, borrowed from the table */
	OPT_DURATION, /* int64_t ns */
	OPT_SIZE,     /* uint64_t */
	OPT_TABLE,    /* int: the value's stack index, pushed; 0: absent */
	OPT_VALUE,    /* the same, of any type */
};

struct opt_bytes {
	const char *p; /* NULL: absent */
	size_t n;
};

struct opt {
	const char *key; /* NULL ends the list */
	enum opt_type type;
	size_t offset; /* in the struct that is filled */
};

/*
 * Reads the table at idx (0: there is none) into out; absent keys leave their
 * member as it was. Raises on an unknown key (listing the valid ones) and on a
 * wrong type. Borrowed strings live as long as the table is unchanged: keep
 * what an operation goes on using.
 */
void bind_options(lua_State *L, const char *method, int idx,
		  const struct opt *opts, void *out);

/* --- integers of 64 bits
 * ------------------------------------------------------ */

/* A number where that is exact, else int64_t or uint64_t cdata. */
void bind_push_i64(lua_State *L, int64_t n);
void bind_push_u64(lua_State *L, uint64_t n);
/* Whether the value is such a cdata; then *ret_n, and whether it is signed. */
bool bind_is_int64(lua_State *L, int idx, uint64_t *ret_n, bool *ret_is_signed);

/* --- everything
 * --------------------------------------------------------------- */

/* Registers all types and globals in the state. */
void bind_register_all(lua_State *L);

#endif
