/* SPDX-License-Identifier: MIT */
/* The agent program, linked in: provium is one file. See agent_blob.h. */
	.section .rodata
	.balign 16
	.global agent_blob
	.global agent_blob_end
agent_blob:
	.incbin AGENT_PATH
agent_blob_end:
	.section .note.GNU-stack,"",@progbits
