/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioeventfds and irqfds: eventfds through which the guest and the plugin signal each other without the host. Main
 * thread. The plugin holds the same eventfds; the host neither reads nor writes them.
 */
#ifndef PLUGVM_HOST_EVENTS_H
#define PLUGVM_HOST_EVENTS_H

#include "host/address_space.h"
#include "plugvm.h"

struct io_event {
	enum address_space space;
	uint64_t address;
	uint32_t length;    /* 0: any */
	bool has_datamatch; /* only this data */
	uint64_t datamatch;
	int fd; /* owned, once registered */
};

struct irq_event {
	uint32_t gsi;
	int trigger; /* owned */
};

/*
 * Register `wanted` (whose fd is ignored). *out_fd is a duplicate for the plugin, the caller's to close.
 *   -EINVAL  the length is not 0, 1, 2, 4 or 8, or the address not a port; others: KVM's errno
 */
int io_event_init(struct io_event *event, struct plugvm_vm *vm, const struct io_event *wanted, int *out_fd);
/* Unregister and close; on failure nothing has changed. `vm` NULL: it is gone already. */
int io_event_fini(struct io_event *event, struct plugvm_vm *vm);

/*
 * Register an irqfd. With `resample` the line is a level one: it stays up until the guest's EOI, when
 * *out_resample fires; without it is an edge, and *out_resample is -1. -EINVAL  the GSI is beyond the routing
 * table; others: KVM's errno
 */
int irq_event_init(struct irq_event *event, struct plugvm_vm *vm, uint32_t peer_gsi, bool resample,
                   int *out_trigger, int *out_resample);
int irq_event_fini(struct irq_event *event, struct plugvm_vm *vm);

#endif
