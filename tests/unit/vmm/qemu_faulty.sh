#!/bin/sh
# Becomes the QEMU that PROVIUM_TEST_QEMU names, with the library that
# PROVIUM_TEST_FAULTS names inside: see qmp_faults.c.
LD_PRELOAD="$PROVIUM_TEST_FAULTS" exec "$PROVIUM_TEST_QEMU" "$@"
