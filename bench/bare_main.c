/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What `start/answered` is compared to: a program that makes the same VM and answers its exits itself. It writes one byte
 * when the guest has gone on after the first.
 */
#include <stdbool.h>
#include <unistd.h>

#include "cases.h"

int main(void)
{
	struct bare *bare = bare_new(false);
	bare_run(bare);
	bare_run(bare);
	bool is_told = write(STDOUT_FILENO, "", 1) == 1;
	bare_free(bare);
	return !is_told;
}
