/* SPDX-License-Identifier: MIT */
/*
 * One page that needs nothing else: runner/html/report.html with the document
 * in it, as JSON in a script element that is data. No "<" and no line
 * separator is left in the JSON, so it cannot end the element; what the page
 * shows of it are text nodes.
 */
#include <string.h>

#include "runner/lua_blob.h"
#include "runner/report_tree.h"

#define PAGE "runner/html/report.html"
#define MARK "@DATA@"

static const char *page_text(void)
{
	for (const struct lua_blob *b = lua_blobs; b->name; b++)
		if (!strcmp(b->name, PAGE))
			return b->text;
	return MARK;
}

static int put_json(const char *p, size_t n, void *ctx)
{
	FILE *out = ctx;

	for (size_t i = 0; i < n; i++) {
		if (p[i] == '<' || p[i] == '>' || p[i] == '&')
			fprintf(out, "\\u%04x", p[i]);
		else
			fputc(p[i], out);
	}
	return 0;
}

void report_html_write(FILE *out, const json_t *tree)
{
	const char *page = page_text();
	const char *mark = strstr(page, MARK);

	fwrite(page, 1, (size_t)(mark - page), out);
	json_dump_callback(tree, put_json, out,
			   JSON_COMPACT | JSON_ENSURE_ASCII |
			       JSON_REAL_PRECISION(15));
	fputs(mark + strlen(MARK), out);
}
