/* SPDX-License-Identifier: MIT */
/* The help texts: what the tables say, and what a beginner needs. */
#include <string.h>

#include "agent-proto/cleanup.h"
#include "agent-proto/mem.h"
#include "cmd/provium/settings.h"
#include "runner/text.h"

#define OPTION_COLUMN 26
#define LINE_WIDTH    79

/* Words of s from column on, broken at LINE_WIDTH. */
static void put_wrapped(FILE *out, const char *s, size_t indent)
{
	size_t column = indent;

	while (*s) {
		size_t n = strcspn(s, " ");
		bool is_first = column == indent;
		if (!is_first && column + 1 + n > LINE_WIDTH) {
			fprintf(out, "\n%*s", (int)indent, "");
			column = indent;
		} else if (!is_first) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", (int)n, s);
		column += n;
		s += n + (s[n] == ' ');
	}
	fputc('\n', out);
}

static void put_options(FILE *out, const struct command *cmd)
{
	fputs("options:\n", out);
	for (const struct option_def *o = option_defs; o->name; o++) {
		if (!(o->commands & cmd->bit))
			continue;
		char letter[] = {'-', o->letter, ',', ' ', '\0'};
		int n =
		    fprintf(out, "  %s--%s%s%s", o->letter ? letter : "    ",
			    o->name, o->arg ? " " : "", o->arg ? o->arg : "");
		fprintf(out, "%*s", n < OPTION_COLUMN ? OPTION_COLUMN - n : 1,
			"");
		put_wrapped(out, o->doc, OPTION_COLUMN);
	}
}

void help_print_command(FILE *out, const struct command *cmd)
{
	bool is_run = cmd->bit == FOR_RUN;

	fprintf(out, "usage: provium %s%s%s %s\n\n", is_run ? "[" : "",
		cmd->name, is_run ? "]" : "", cmd->synopsis);
	fputs(cmd->text, out);
	fputc('\n', out);
	put_options(out, cmd);
}

void help_print(FILE *out)
{
	fputs("provium runs tests against real virtual machines.\n\n", out);
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "%s provium %s%s%s %s\n",
			c == commands ? "usage:" : "      ",
			c->bit == FOR_RUN ? "[" : "", c->name,
			c->bit == FOR_RUN ? "]" : "", c->synopsis);
	fputs("\ncommands:\n", out);
	for (const struct command *c = commands; c->name; c++)
		fprintf(out, "  %-8s %s\n", c->name, c->summary);
	fputs(
	    "\n"
	    "A test is Lua, in a file whose name ends in .test.lua:\n"
	    "\n"
	    "  -- tests/hello.test.lua\n"
	    "  test(\"the guest answers\", function(t)\n"
	    "    local vm = provium:vm(\"a\"):boot()\n"
	    "    t:assert_eq(vm:run(\"uname -s\").stdout, \"Linux\\n\")\n"
	    "  end)\n"
	    "\n"
	    "examples:\n"
	    "  provium tests/                     run every test below tests/\n"
	    "  provium tests/hello.test.lua       run one file\n"
	    "  provium run -f answers tests/      run what has \"answers\" in "
	    "its name\n"
	    "  provium run -t 5m -j 2 tests/      5 minutes a test, 2 files at "
	    "a time\n"
	    "  provium run --events out.json .    also write what happened as "
	    "JSON\n"
	    "  provium list tests/                name the tests, boot "
	    "nothing\n"
	    "  provium report --html p.html out.json   and a page of that\n"
	    "  provium explain out.json           all that is known of its "
	    "failure\n"
	    "  provium doctor                     what this machine can do\n"
	    "  provium help run                   the options of a command\n"
	    "\n"
	    "exit status: 0 all passed or skipped, 1 a test failed, 2 could "
	    "not run\n",
	    out);
}

const struct command *command_find(const char *name)
{
	for (const struct command *c = commands; c->name; c++) {
		if (!strcmp(c->name, name))
			return c;
	}
	return NULL;
}

const char *command_nearest(const char *name)
{
	const char *best;
	struct strvec names = {0};

	for (const struct command *c = commands; c->name; c++)
		strvec_add(&names, c->name);
	best = text_nearest(name, (const char *const *)names.v);
	best = best ? command_find(best)->name : NULL;
	strvec_done(&names);
	return best;
}

int cmd_help(const struct settings *s)
{
	if (!s->n_args) {
		help_print(stdout);
		return STATUS_OK;
	}
	const struct command *cmd = command_find(s->args[0]);
	if (cmd) {
		help_print_command(stdout, cmd);
		return STATUS_OK;
	}
	const char *near = command_nearest(s->args[0]);
	return complain("no command '%s'%s%s%s", s->args[0],
			near ? ", did you mean '" : "", near ? near : "",
			near ? "'?" : "; see provium --help");
}

const struct command commands[] = {
    {"run", FOR_RUN, "[option...] [path...]", "run tests",
     "Runs the test files that are given, and all *.test.lua below the\n"
     "directories that are given; without any, below the roots of the config\n"
     "(without a config: the current directory). Each file runs in a process\n"
     "of its own. The last line is \"N passed, N failed\".\n",
     cmd_run},
    {"list", FOR_LIST, "[option...] [path...]",
     "name the tests that run would run",
     "Names the tests, with their tags, without running any: files are\n"
     "loaded, nothing is booted.\n",
     cmd_list},
    {"report", FOR_REPORT, "[option...] file...",
     "make reports of runs that are over",
     "Reads what run --events wrote ('-': from standard input) and reports as\n"
     "run does; with --merge, several runs as one. Status as of that run.\n",
     cmd_report},
    {"explain", FOR_EXPLAIN, "[option...] file [number|text]",
     "tell all that is known of one failure of a run",
     "Reads what run --events wrote ('-': from standard input) and prints all\n"
     "that it holds of one failure: the message and the trace, each call with\n"
     "its time, the last packets of each bridge (if the run had --artifacts),\n"
     "each console since power-on, what the test printed, the files that were\n"
     "kept.\n"
     "\n"
     "If the run had several failures, name one by its number, or by a text\n"
     "that its file and name hold; without either, explain lists them.\n"
     "\n"
     "Status 0 if it explains one failure, 1 if the run has no such failure,\n"
     "2 if the file is no events file or several failures are meant.\n"
     "\n"
     "  provium run --events e.json --artifacts kept tests/\n"
     "  provium explain e.json              the only failure, or a list\n"
     "  provium explain e.json 2            the second one\n"
     "  provium explain e.json 'survives'   the one whose name holds this\n",
     cmd_explain},
    {"guest", FOR_GUEST, "[option...] build|list|path",
     "make or find guest images",
     "build makes the default guest from the packages of a kernel and\n"
     "busybox, unless the cache has it; run does that by itself when needed.\n"
     "list names the images in the cache, newest first.\n"
     "path prints the directory of the default guest, made if needed.\n",
     cmd_guest},
    {"fixture", FOR_FIXTURE,
     "[option...] list|build|rebuild|clean|stale [name...]",
     "make, find or remove fixtures",
     "A fixture is NAME.fixture.lua below a root: it sets machines up, and\n"
     "returns their snapshot, which tests begin with: "
     "provium.vm_fixture(NAME).\n"
     "run builds what the cache lacks; build does so before, rebuild in any\n"
     "case. list says what there is, stale what has to be built and why (then\n"
     "the status is 1), clean removes. Without a name, all below the roots.\n",
     cmd_fixture},
    {"doctor", FOR_DOCTOR, "[option...]",
     "say what this machine offers, and what would be faster",
     "Looks at everything a run needs: QEMU, the accelerator, the transport,\n"
     "the guest and its parts, memory, the config. Says what would be taken,\n"
     "why, and what would make it faster. Status 2 if tests cannot run here.\n",
     cmd_doctor},
    {"lsp-setup", FOR_LSP, "[directory]", "tell an editor what tests may call",
     "Writes .provium/provium.lua, the whole Lua surface with its types, and\n"
     ".luarc.json, which points lua-language-server to it, into the directory\n"
     "(the current one). A .luarc.json that is there is left as it is.\n",
     cmd_lsp},
    {"help", FOR_HELP, "[command]", "explain a command",
     "Without a command, explains provium.\n", cmd_help},
    {0},
};
