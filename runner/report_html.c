/* SPDX-License-Identifier: MIT */
/*
 * One page that needs nothing else: runner/html/report.html with the document
 * in it, as JSON in a script element that is data. No "<" and no line
 * separator is left in the JSON, so it cannot end the element; what the page
 * shows of it are text nodes.
 */
#include <string.h>

#include "agent-proto/cleanup.h"
#include "runner/json_text.h"
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

static void put_json(const char *text, FILE *out)
{
	for (const char *p = text; *p; p++) {
		if (*p == '<' || *p == '>' || *p == '&')
			fprintf(out, "\\u%04x", *p);
		else
			fputc(*p, out);
	}
}

void report_html_write(FILE *out, const json_t *tree)
{
	const char *page = page_text();
	const char *mark = strstr(page, MARK);
	CLEANUP(free_ptr)
	char *text = json_text(tree, JSON_COMPACT | JSON_ENSURE_ASCII);

	fwrite(page, 1, (size_t)(mark - page), out);
	if (text)
		put_json(text, out);
	fputs(mark + strlen(MARK), out);
}
