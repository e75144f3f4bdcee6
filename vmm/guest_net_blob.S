/* SPDX-License-Identifier: MIT */
/* What configures the NICs of the default guest. See guest_net_blob.h. */
	.section .rodata
	.global guest_net_blob
	.global guest_net_blob_end
guest_net_blob:
	.incbin "vmm/guest/provium-net.sh"
guest_net_blob_end:
	.section .note.GNU-stack,"",@progbits
