/* SPDX-License-Identifier: MIT */
#include "vmm/vm_spec.h"

#include <stdlib.h>

static const char *vm_spec_keep(struct vm_spec_copy *c, const char *s)
{
	if (!s)
		return NULL;
	strvec_add(&c->strings, s);
	return c->strings.v[c->strings.n - 1];
}

static const char *const *keep_list(struct strvec *to, const char *const *list,
				    size_t n)
{
	for (size_t i = 0; i < n; i++)
		strvec_add(to, list[i]);
	return (const char *const *)to->v;
}

static void keep_files(struct vm_spec_copy *c, const struct vm_spec *from)
{
	c->files = mem_realloc_array(NULL, from->n_files, sizeof(*c->files));
	c->contents = mem_realloc_array(NULL, from->n_files, sizeof(char *));
	for (size_t i = 0; i < from->n_files; i++) {
		c->files[i] = from->files[i];
		c->files[i].path = vm_spec_keep(c, from->files[i].path);
		c->contents[i] =
		    mem_dup(from->files[i].content, from->files[i].n);
		c->files[i].content = c->contents[i];
	}
	c->spec.files = c->files;
}

static void keep_disks(struct vm_spec_copy *c, const struct vm_spec *from)
{
	c->disks = mem_realloc_array(NULL, from->n_disks, sizeof(*c->disks));
	for (size_t i = 0; i < from->n_disks; i++) {
		c->disks[i] = from->disks[i];
		c->disks[i].id = vm_spec_keep(c, from->disks[i].id);
		c->disks[i].path = vm_spec_keep(c, from->disks[i].path);
	}
	c->spec.disks = c->disks;
}

void vm_spec_copy_init(struct vm_spec_copy *c, const struct vm_spec *spec)
{
	*c = (struct vm_spec_copy){.spec = *spec};
	c->spec.name = vm_spec_keep(c, spec->name);
	c->spec.run_dir = vm_spec_keep(c, spec->run_dir);
	c->spec.qemu = vm_spec_keep(c, spec->qemu);
	c->spec.kernel = vm_spec_keep(c, spec->kernel);
	c->spec.initrd = vm_spec_keep(c, spec->initrd);
	c->spec.cmdline = vm_spec_keep(c, spec->cmdline ? spec->cmdline : "");
	c->spec.modules =
	    keep_list(&c->modules, spec->modules, spec->n_modules);
	c->spec.net_modules =
	    keep_list(&c->net_modules, spec->net_modules, spec->n_net_modules);
	c->spec.disk_modules = keep_list(&c->disk_modules, spec->disk_modules,
					 spec->n_disk_modules);
	c->spec.net_setup = vm_spec_keep(c, spec->net_setup);
	c->spec.qemu_args =
	    keep_list(&c->qemu_args, spec->qemu_args, spec->n_qemu_args);
	if (spec->alarms)
		alarm_rules_copy(&c->alarms, spec->alarms);
	c->spec.alarms = &c->alarms;
	keep_files(c, spec);
	keep_disks(c, spec);
}

void vm_spec_copy_done(struct vm_spec_copy *c)
{
	strvec_done(&c->strings);
	strvec_done(&c->modules);
	strvec_done(&c->net_modules);
	strvec_done(&c->disk_modules);
	strvec_done(&c->qemu_args);
	alarm_rules_done(&c->alarms);
	for (size_t i = 0; i < c->spec.n_files; i++)
		free(c->contents[i]);
	free(c->contents);
	free(c->files);
	free(c->disks);
	*c = (struct vm_spec_copy){0};
}
