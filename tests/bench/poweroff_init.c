/* SPDX-License-Identifier: MIT */
/* The least an init can do: end the machine. The floor under every boot. */
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
	reboot(RB_POWER_OFF);
	/* Without ACPI a power-off is a halt: pull the reset line instead. */
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
