/* SPDX-License-Identifier: MIT */
#include "runner/select.h"

#include <errno.h>
#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct rule {
	const struct kind *kind;
	char *key;   /* K of K=V, else NULL */
	char *value; /* owned */
	regex_t regex;
	bool is_regex;
};

struct selection {
	struct rule *rules; /* owned array */
	size_t n;
};

/* How the rules of one kind go together. */
enum together {
	ONE_HOLDS,
	ALL_HOLD,
};

struct kind {
	const char *name;
	enum together together;
	bool is_negated;
	/* Parses value; NULL: any text is fine. */
	int (*read)(struct rule *r, const char *value, struct err *err);
	bool (*holds)(const struct rule *r, const struct select_test *t);
};

/* --- filter=TEXT, filter=/REGEX/ ------------------------------------------*/

static int read_filter(struct rule *r, const char *value, struct err *err)
{
	size_t n = strlen(value);
	char why[128];
	int rc;

	if (n < 2 || value[0] != '/' || value[n - 1] != '/')
		return 0;
	char *pattern = mem_strndup(value + 1, n - 2);
	rc = regcomp(&r->regex, pattern, REG_EXTENDED | REG_NOSUB);
	free(pattern);
	if (!rc) {
		r->is_regex = true;
		return 0;
	}
	regerror(rc, &r->regex, why, sizeof(why));
	return err_set(err, -EINVAL, "'%s' is no regular expression: %s", value,
		       why);
}

static bool text_matches(const struct rule *r, const char *text)
{
	return r->is_regex ? !regexec(&r->regex, text, 0, NULL, 0)
			   : strstr(text, r->value) != NULL;
}

static bool filter_holds(const struct rule *r, const struct select_test *t)
{
	return text_matches(r, t->path) || text_matches(r, t->name);
}

/* --- tag=T ----------------------------------------------------------------*/

static bool tag_holds(const struct rule *r, const struct select_test *t)
{
	for (size_t i = 0; i < t->tags->n; i++)
		if (!strcmp(t->tags->v[i], r->value))
			return true;
	return false;
}

/* --- tag-meta=K=V ---------------------------------------------------------*/

static int select_read_meta(struct rule *r, const char *value, struct err *err)
{
	const char *eq = strchr(value, '=');

	if (!eq || eq == value)
		return err_set(err, -EINVAL,
			       "'%s' must be KEY=VALUE, of a key of meta",
			       value);
	r->key = mem_strndup(value, (size_t)(eq - value));
	free(r->value);
	r->value = mem_strdup(eq + 1);
	return 0;
}

/* A scalar as a test would write it. */
static bool is_value(const json_t *v, const char *text)
{
	char number[40], *end;

	if (json_is_string(v))
		return !strcmp(json_string_value(v), text);
	if (json_is_boolean(v))
		return !strcmp(json_is_true(v) ? "true" : "false", text);
	if (json_is_integer(v))
		snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
			 json_integer_value(v));
	else if (json_is_real(v))
		return *text && strtod(text, &end) == json_real_value(v) &&
		       !*end;
	else
		return false;
	return !strcmp(number, text);
}

static bool meta_holds(const struct rule *r, const struct select_test *t)
{
	const json_t *v = json_object_get(t->meta, r->key);

	for (size_t i = 0; i < json_array_size(v); i++)
		if (is_value(json_array_get(v, i), r->value))
			return true;
	return is_value(v, r->value);
}

/* --- slow=include, slow=only ----------------------------------------------*/

static int read_slow(struct rule *r, const char *value, struct err *err)
{
	(void)r;
	if (!strcmp(value, "include") || !strcmp(value, "only"))
		return 0;
	return err_set(err, -EINVAL, "'%s' must be include or only", value);
}

static bool slow_holds(const struct rule *r, const struct select_test *t)
{
	return t->is_slow || !strcmp(r->value, "include");
}

/* --- rerun=FILE\nNAME -----------------------------------------------------*/

static int read_rerun(struct rule *r, const char *value, struct err *err)
{
	const char *nl = strchr(value, '\n');

	if (!nl)
		return err_set(err, -EINVAL,
			       "'%s' must be a path, a newline "
			       "and a name",
			       value);
	r->key = mem_strndup(value, (size_t)(nl - value));
	free(r->value);
	r->value = mem_strdup(nl + 1);
	return 0;
}

static bool rerun_holds(const struct rule *r, const struct select_test *t)
{
	return !strcmp(r->key, t->file) &&
	       (!*r->value || !strcmp(r->value, t->name));
}

/* --- all of them ----------------------------------------------------------*/

#define SLOW "slow"

static const struct kind kinds[] = {
    {"filter", ONE_HOLDS, false, read_filter, filter_holds},
    {"tag", ONE_HOLDS, false, NULL, tag_holds},
    {"no-tag", ALL_HOLD, true, NULL, tag_holds},
    {"tag-meta", ALL_HOLD, false, select_read_meta, meta_holds},
    {"no-tag-meta", ALL_HOLD, true, select_read_meta, meta_holds},
    {"rerun", ONE_HOLDS, false, read_rerun, rerun_holds},
    {SLOW, ALL_HOLD, false, read_slow, slow_holds},
};

static const struct kind *find_kind(const char *rule, const char **ret_value)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		size_t n = strlen(kinds[i].name);

		if (strncmp(rule, kinds[i].name, n) != 0 || rule[n] != '=')
			continue;
		*ret_value = rule + n + 1;
		return &kinds[i];
	}
	return NULL;
}

static int read_rule(struct rule *r, const char *rule, struct err *err)
{
	const char *value;

	r->kind = find_kind(rule, &value);
	if (!r->kind)
		return err_set(err, -EINVAL, "'%s' is no rule of a selection",
			       rule);
	r->value = mem_strdup(value);
	return r->kind->read ? r->kind->read(r, value, err) : 0;
}

struct selection *selection_new(const struct strvec *rules, struct err *err)
{
	struct selection *s = mem_zalloc(sizeof(*s));

	s->rules = mem_zalloc((rules->n + 1) * sizeof(*s->rules));
	for (size_t i = 0; i < rules->n; i++)
		if (read_rule(&s->rules[s->n++], rules->v[i], err) < 0)
			return selection_free(s);
	return s;
}

struct selection *selection_free(struct selection *s)
{
	for (size_t i = 0; s && i < s->n; i++) {
		if (s->rules[i].is_regex)
			regfree(&s->rules[i].regex);
		free(s->rules[i].key);
		free(s->rules[i].value);
	}
	if (s)
		free(s->rules);
	free(s);
	return NULL;
}

static bool kind_takes(const struct selection *s, const struct kind *k,
		       const struct select_test *t)
{
	bool is_there = false;

	for (size_t i = 0; i < s->n; i++) {
		const struct rule *r = &s->rules[i];

		if (r->kind != k)
			continue;
		bool holds = k->holds(r, t) != k->is_negated;
		if (holds != (k->together == ALL_HOLD))
			return holds;
		is_there = true;
	}
	return !is_there || k->together == ALL_HOLD;
}

static bool has_rule(const struct selection *s, const char *kind)
{
	for (size_t i = 0; i < s->n; i++)
		if (!strcmp(s->rules[i].kind->name, kind))
			return true;
	return false;
}

enum verdict selection_judge(const struct selection *s,
			     const struct select_test *t)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (!kind_takes(s, &kinds[i], t))
			return VERDICT_NO;
	return t->is_slow && !has_rule(s, SLOW) ? VERDICT_LEFT_OUT
						: VERDICT_YES;
}
