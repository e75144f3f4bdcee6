/* SPDX-License-Identifier: MIT */
/*
 * The agent overlay: a small newc cpio that is appended to the user's initrd,
 * which is never rewritten. The kernel unpacks concatenated archives one
 * after the other (Documentation/driver-api/early-userspace/buffer-format).
 *
 * It holds /.provium/agent (the program), /.provium/config (what it shall do)
 * and, below /.provium/files, the files of the boot options, which the agent
 * moves into their places (cmd/provium-agent/init/files.h).
 */
#ifndef VMM_OVERLAY_H
#define VMM_OVERLAY_H

#include <stddef.h>
#include <stdint.h>

#include "agent-proto/buf.h"
#include "agent-proto/err.h"

#define OVERLAY_AGENT_PATH  "/.provium/agent"
#define OVERLAY_CONFIG_PATH "/.provium/config"
#define OVERLAY_CONFIG_MAX  65536 /* bytes of its text */

struct overlay_file {
	const char *path; /* absolute, in the guest; parents are created */
	const void *content;
	size_t n;
	uint32_t mode; /* permission bits */
};

/*
 * Writes <out_path> = initrd_path (may be NULL), padded, then the overlay.
 * initrd bytes are copied with copy_file_range or sendfile. On an error there
 * is no out_path. Directories that the initrd has keep what they are, symlinks
 * included; the others are made with 0755 (and /tmp with 01777 etc.). Files
 * below /lib/firmware and /usr/lib/firmware are unpacked there by the kernel,
 * which gives the directories above them to root with 0755.
 *
 * Paths are absolute, without "." and ".."; none may lie beneath /.provium or
 * be another's directory (-EINVAL, -ENOTDIR, -ENAMETOOLONG). A path that the
 * initrd holds too is overridden, of two equal ones the last counts. config is
 * the text of OVERLAY_CONFIG_PATH, lines "key value":
 *	transport serial|vsock
 *	port N			(vsock)
 *	module NAME		(in the order to load, each optional)
 *	files N			(n_files; none: 0)
 */
int overlay_write(const char *out_path, const char *initrd_path,
		  const void *agent, size_t agent_n, const char *config,
		  const struct overlay_file *files, size_t n_files,
		  struct err *err);

#endif
