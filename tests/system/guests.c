/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks what a plugin sees of a guest and what the guest sees of it, and every errno and limit that a plugin can
 * reach. Each test is an act of the actor, which checks from the inside and exits with 0 if all is well.
 */
#include "harness.h"
#include "play.h"

/* One test for each act, under its name. */
#define ACT(name)                                           \
	{                                                   \
		name, play_test, NULL, NULL, &(struct play) \
		{                                           \
			.act = name                         \
		}                                           \
	}

/* The same, on a VM of two vCPUs. */
#define ACT_OF_TWO(name)                                    \
	{                                                   \
		name, play_test, NULL, NULL, &(struct play) \
		{                                           \
			.act = name, .cpus = "2"            \
		}                                           \
	}

/* The same, without a jail: the act counts the host's fds, stops the host, or makes a file larger than a jail allows. */
#define ACT_UNJAILED(name)                                  \
	{                                                   \
		name, play_test, NULL, NULL, &(struct play) \
		{                                           \
			.act = name, .unjailed = true       \
		}                                           \
	}

int main(void)
{
	struct CMUnitTest tests[] = {
	    ACT("port-widths"),
	    ACT("mmio-widths"),
	    ACT("unclaimed"),
	    ACT("reserve-while-running"),
	    ACT("edges"),
	    ACT("far-edges"),
	    ACT("memory-while-running"),
	    ACT("read-only-memory"),
	    ACT("strings"),
	    ACT("registers"),
	    ACT("bad-sregs"),
	    ACT("extensions"),
	    ACT("errno-connect"),
	    ACT_UNJAILED("errno-memory"),
	    ACT("errno-ranges"),
	    ACT_UNJAILED("errno-start"),
	    ACT("limit-ranges"),
	    ACT_UNJAILED("limit-connections"),
	    ACT_UNJAILED("limit-slots"),
	    ACT_UNJAILED("limit-memory"),
	    ACT_UNJAILED("limit-events"),
	    ACT("io-event-ports"),
	    ACT("io-event-memory"),
	    ACT("io-event-life"),
	    ACT("io-event-errno"),
	    ACT("irq-line"),
	    ACT("irq-edge"),
	    ACT("irq-level"),
	    ACT("irq-event-pic"),
	    ACT("irq-event-ioapic"),
	    ACT("irq-routes"),
	    ACT("nmi"),
	    ACT("irq-errno"),
	    ACT("dirty-log"),
	    ACT("dirty-log-errno"),
	    ACT("memory-offset"),
	    ACT("cpuid-tables"),
	    ACT("msr-list"),
	    ACT("chips"),
	    ACT("identity-map"),
	    ACT("vm-capability"),
	    ACT("state-sets"),
	    ACT("state-null"),
	    ACT("state-refused"),
	    ACT("state-refused-early"),
	    ACT("state-order"),
	    ACT("msrs"),
	    ACT("cpuid"),
	    ACT("cpuid-count"),
	    ACT("state-busy"),
	    ACT("vcpu-capability"),
	    ACT("async-writes"),
	    ACT("async-change"),
	    ACT("async-full"),
	    ACT_UNJAILED("hint-details"),
	    ACT_UNJAILED("hint-access"),
	    ACT_UNJAILED("hint-alone"),
	    ACT_UNJAILED("hint-get-after-set"),
	    ACT_UNJAILED("hint-get-after-lapic"),
	    ACT_UNJAILED("hint-refused"),
	    ACT("hint-errno"),
	    ACT("pause-running"),
	    ACT("pause-halted"),
	    ACT("pause-waiting"),
	    ACT("pause-in-access"),
	    ACT("pause-paused"),
	    ACT("pause-early"),
	    ACT("pause-at-init"),
	    ACT_OF_TWO("pause-two"),
	    ACT_OF_TWO("start-waiting"),
	    ACT_OF_TWO("start-waiting-asked"),
	    ACT_OF_TWO("start-paused"),
	    ACT_OF_TWO("start-paused-read"),
	    ACT_OF_TWO("start-paused-asked"),
	    ACT_OF_TWO("start-asked-late"),
	    ACT("hyperv-cpuid"),
	    ACT("hyperv-synic"),
	    ACT("hyperv-call"),
	};
	return SYSTEM_MAIN("guests", tests);
}
