/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Capabilities of the calling thread, in the host.
 */
#include "base/capabilities.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

int capabilities_drop(void)
{
	/* Only who has CAP_SETPCAP can bound what an exec may give back; for others no_new_privs does it. */
	for (unsigned long number = 0; prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0; number++)
		;
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{.effective = 0}};
	return syscall(SYS_capset, &header, none) < 0 ? -errno : 0;
}
