/* SPDX-License-Identifier: MIT */
#include "runner/lineup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "agent-proto/clock.h"
#include "runner/order.h"
#include "runner/shuffle.h"

/* What a file counts for that no time is known of, where others are. */
#define UNKNOWN_NS NS_PER_SEC

/* --- leaving out ----------------------------------------------------------*/

static bool is_after(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec
				      : a->tv_nsec > b->tv_nsec;
}

static int keep_since(struct test_files *files, const char *ref, bool *keep,
		      struct err *err)
{
	struct stat then, now;

	if (stat(ref, &then) < 0)
		return err_set(err, -errno, "--since: '%s': %s", ref,
			       strerror(errno));
	/* One that is gone now is the run's to tell. */
	for (size_t i = 0; i < files->n; i++)
		keep[i] = stat(files->v[i].path, &now) < 0 ||
			  is_after(&now.st_mtim, &then.st_mtim);
	return 0;
}

/* --- shards ---------------------------------------------------------------*/

struct weighed {
	size_t at; /* in the files */
	int64_t ns;
};

static int compare_weighed(const void *a, const void *b)
{
	const struct weighed *x = a;
	const struct weighed *y = b;

	if (x->ns != y->ns)
		return x->ns > y->ns ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* The longest first, each to the shard that has the least to do by then: at
 * most a third over the best there is (Graham, LPT). It depends on nothing but
 * the files and the times, so that all shards see the same. */
static void keep_shard(const struct test_files *files,
		       const struct lineup_options *o, const struct history *h,
		       bool *keep)
{
	struct weighed *all = mem_zalloc((files->n + 1) * sizeof(*all));
	int64_t *load = mem_zalloc(o->n_shards * sizeof(*load));

	for (size_t i = 0; i < files->n; i++) {
		int64_t ns = o->shards_by_time
				 ? history_hint(h, &files->v[i]).duration_ns
				 : 0;

		all[i] = (struct weighed){i, ns ? ns : UNKNOWN_NS};
	}
	qsort(all, files->n, sizeof(*all), compare_weighed);
	for (size_t i = 0; i < files->n; i++) {
		unsigned least = 0;

		for (unsigned k = 1; k < o->n_shards; k++)
			if (load[k] < load[least])
				least = k;
		load[least] += all[i].ns;
		keep[all[i].at] = least == o->shard - 1;
	}
	free(load);
	free(all);
}

/* --- the order ------------------------------------------------------------*/

static int lineup_compare_shuffled(const void *a, const void *b, void *seed)
{
	const struct test_file *x = a;
	const struct test_file *y = b;
	uint64_t m = shuffle_key(*(int64_t *)seed, x->display);
	uint64_t n = shuffle_key(*(int64_t *)seed, y->display);

	return m < n ? -1 : m > n;
}

struct hints {
	const struct history *h;
	bool is_one_by_one;
};

static struct order_hint hint_of(void *ctx, const struct test_file *file)
{
	const struct hints *hints = ctx;
	struct order_hint hint = history_hint(hints->h, file);

	/* What takes long is of no interest where nothing waits for it. */
	if (hints->is_one_by_one)
		hint.duration_ns = 0;
	return hint;
}

static void repeat(struct test_files *files, unsigned times)
{
	size_t n = files->n;
	struct test_file *v = mem_zalloc(n * times * sizeof(*v) + 1);

	for (unsigned k = 0; k < times; k++) {
		for (size_t i = 0; i < n; i++) {
			const struct test_file *f = &files->v[i];

			v[k * n + i] = (struct test_file){
			    .path = mem_strdup(f->path),
			    .display = mem_printf("%s#%u", f->display, k + 1),
			    .is_serial = f->is_serial,
			};
		}
	}
	test_files_done(files);
	*files = (struct test_files){v, n * times};
}

size_t lineup_name_len(const char *display)
{
	size_t n = strlen(display);
	const char *mark = strrchr(display, '#');

	if (!mark || !mark[1] || mark[1 + strspn(mark + 1, "0123456789")])
		return n;
	return (size_t)(mark - display);
}

int lineup(struct test_files *files, const struct lineup_options *o,
	   const struct history *h, struct strvec *rules, const char **ret_why,
	   struct err *err)
{
	struct hints hints = {h, o->is_one_by_one};
	bool *keep = mem_zalloc(files->n + 1);
	int64_t seed = o->shuffle;
	int r = 0;

	*ret_why = NULL;
	if (o->since) {
		r = keep_since(files, o->since, keep, err);
		if (r == 0)
			test_files_keep(files, keep);
		if (!files->n)
			*ret_why = "no file is newer than that of --since";
	}
	if (r == 0 && files->n && o->is_rerun) {
		for (size_t i = 0; i < files->n; i++)
			keep[i] = history_add_reruns(h, &files->v[i], rules);
		test_files_keep(files, keep);
		if (!files->n)
			*ret_why = "nothing in these files failed the last "
				   "time: --rerun-failed";
	}
	if (r == 0 && files->n && o->shard) {
		keep_shard(files, o, h, keep);
		test_files_keep(files, keep);
	}
	free(keep);
	if (r < 0)
		return r;
	if (!o->keeps_order)
		order_files(files, hint_of, &hints);
	if (seed && files->n)
		qsort_r(files->v, files->n, sizeof(*files->v),
			lineup_compare_shuffled, &seed);
	if (o->repeat > 1)
		repeat(files, o->repeat);
	return 0;
}
