/* SPDX-License-Identifier: MIT */
/*
 * The job line. JSON strings are UTF-8 and paths need not be: a string that
 * is not travels as {"hex": "..."}.
 */
#include "runner/job.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "agent-proto/cleanup.h"
#include "runner/text.h"

#define JOB_LINE_MAX (16u << 20)

struct job_member {
	const char *key;
	size_t offset;
};

#define JOB_STRING(name)                                                       \
	{                                                                      \
#name, offsetof(struct job, name)                              \
	}
static const struct job_member job_strings[] = {
    JOB_STRING(file),
    JOB_STRING(display),
    JOB_STRING(config),
    JOB_STRING(run_dir),
};
#undef JOB_STRING

#define JOB_INTEGER(name)                                                      \
	{                                                                      \
#name, offsetof(struct job, name)                              \
	}
static const struct job_member job_integers[] = {
    JOB_INTEGER(timeout_ns),
    JOB_INTEGER(retries),
    JOB_INTEGER(shuffle),
    JOB_INTEGER(verbose),
};
#undef JOB_INTEGER

#define JOB_BOOLEAN(name)                                                      \
	{                                                                      \
#name, offsetof(struct job, name)                              \
	}
static const struct job_member job_booleans[] = {
    JOB_BOOLEAN(is_shared), JOB_BOOLEAN(list_only),    JOB_BOOLEAN(keeps_logs),
    JOB_BOOLEAN(is_debug),  JOB_BOOLEAN(is_fail_fast),
};
#undef JOB_BOOLEAN

static bool *job_boolean_at(struct job *j, const struct job_member *jb)
{
	return (bool *)(void *)((char *)j + jb->offset);
}

static int64_t *job_integer_at(struct job *j, const struct job_member *ji)
{
	return (int64_t *)(void *)((char *)j + ji->offset);
}

static char **job_string_at(struct job *j, const struct job_member *js)
{
	return (char **)(void *)((char *)j + js->offset);
}

void job_done(struct job *j)
{
	for (size_t i = 0; i < ARRAY_LEN(job_strings); i++)
		free(*job_string_at(j, &job_strings[i]));
	strvec_done(&j->select);
	strvec_done(&j->skip);
	*j = (struct job){0};
}

static bool is_utf8(const char *s)
{
	size_t n = strlen(s);

	for (size_t i = 0, len; i < n; i += len) {
		len = text_utf8(s + i, n - i, NULL);
		if (!len)
			return false;
	}
	return true;
}

static json_t *encode_string(const char *s)
{
	struct buf hex = {0};

	if (is_utf8(s))
		return json_string(s);
	for (; *s; s++)
		buf_printf(&hex, "%02x", (uint8_t)*s);
	json_t *v = json_pack("{s:s%}", "hex", (char *)buf_data(&hex), hex.len);
	buf_done(&hex);
	return v;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

/* Owned, or NULL for what encode_string() does not make. */
static char *decode_string(const json_t *v)
{
	const json_t *hex = json_object_get(v, "hex");
	const char *s = json_string_value(hex);
	size_t n = json_string_length(hex);

	if (json_is_string(v))
		return mem_strdup(json_string_value(v));
	if (!s || n % 2)
		return NULL;
	CLEANUP(free_ptr) char *out = mem_zalloc(n / 2 + 1);
	for (size_t i = 0; i < n; i += 2) {
		int high = hex_digit(s[i]);
		int low = hex_digit(s[i + 1]);
		if (high < 0 || low < 0 || (!high && !low))
			return NULL;
		out[i / 2] = (char)(high << 4 | low);
	}
	return TAKE(out);
}

static json_t *encode_list(const struct strvec *v)
{
	json_t *list = json_array();

	for (size_t i = 0; i < v->n; i++)
		json_array_append_new(list, encode_string(v->v[i]));
	return list;
}

void job_encode(const struct job *j, struct buf *out)
{
	struct job view = *j; /* job_string_at() serves the decoder too */
	json_t *o = json_object();

	for (size_t i = 0; i < ARRAY_LEN(job_strings); i++) {
		const char *s = *job_string_at(&view, &job_strings[i]);
		json_object_set_new(o, job_strings[i].key,
				    encode_string(s ? s : ""));
	}
	json_object_set_new(o, "select", encode_list(&j->select));
	json_object_set_new(o, "skip", encode_list(&j->skip));
	for (size_t i = 0; i < ARRAY_LEN(job_booleans); i++)
		json_object_set_new(
		    o, job_booleans[i].key,
		    json_boolean(*job_boolean_at(&view, &job_booleans[i])));
	for (size_t i = 0; i < ARRAY_LEN(job_integers); i++)
		json_object_set_new(
		    o, job_integers[i].key,
		    json_integer(*job_integer_at(&view, &job_integers[i])));
	char *line = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	buf_printf(out, "%s\n", line);
	free(line);
}

static int bad_job(struct err *err, const char *key)
{
	return err_set(err, -EBADMSG, "job: '%s' is missing or malformed", key);
}

static int decode_list(const json_t *o, const char *key, struct strvec *ret,
		       struct err *err)
{
	const json_t *list = json_object_get(o, key);

	if (!json_is_array(list))
		return bad_job(err, key);
	for (size_t i = 0; i < json_array_size(list); i++) {
		CLEANUP(free_ptr)
		char *s = decode_string(json_array_get(list, i));
		if (!s)
			return bad_job(err, key);
		strvec_add(ret, s);
	}
	return 0;
}

static int decode_object(struct job *j, const json_t *o, struct err *err)
{

	for (size_t i = 0; i < ARRAY_LEN(job_strings); i++) {
		const struct job_member *js = &job_strings[i];
		char *s = decode_string(json_object_get(o, js->key));
		if (!s)
			return bad_job(err, js->key);
		*job_string_at(j, js) = s;
	}
	for (size_t i = 0; i < ARRAY_LEN(job_booleans); i++) {
		const struct job_member *jb = &job_booleans[i];
		const json_t *v = json_object_get(o, jb->key);

		if (!json_is_boolean(v))
			return bad_job(err, jb->key);
		*job_boolean_at(j, jb) = json_is_true(v);
	}
	for (size_t i = 0; i < ARRAY_LEN(job_integers); i++) {
		const struct job_member *ji = &job_integers[i];
		const json_t *v = json_object_get(o, ji->key);

		if (!json_is_integer(v))
			return bad_job(err, ji->key);
		*job_integer_at(j, ji) = json_integer_value(v);
	}
	int r = decode_list(o, "select", &j->select, err);
	return r < 0 ? r : decode_list(o, "skip", &j->skip, err);
}

int job_decode(struct job *j, const char *line, size_t n, struct err *err)
{
	json_error_t je;
	json_t *o;
	int r;

	*j = (struct job){0};
	if (n > JOB_LINE_MAX)
		return err_set(err, -EMSGSIZE, "job: %zu bytes are too many",
			       n);
	o = json_loadb(line, n, JSON_REJECT_DUPLICATES, &je);
	if (!o)
		return err_set(err, -EBADMSG, "job: %s", je.text);
	r = decode_object(j, o, err);
	json_decref(o);
	if (r < 0)
		job_done(j);
	return r;
}
