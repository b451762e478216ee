/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioeventfds and irqfds.
 */
#include "host/events.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "kvm/kvm.h"
#include "wire/limits.h"

/* Make an eventfd for KVM, and a duplicate for the plugin. */
static int make_pair(int *out_ours, int *out_plugins)
{
	FD_AUTO ours = sys.eventfd(0, EFD_CLOEXEC);
	if (ours < 0)
		return -errno;
	FD_AUTO plugins = sys.dup_cloexec(ours);
	if (plugins < 0)
		return -errno;
	if (fd_eats_reserve(plugins, LIMIT_FD_RESERVE))
		return -EMFILE;
	*out_ours = fd_take(&ours);
	*out_plugins = fd_take(&plugins);
	return 0;
}

static bool is_access_length(uint32_t length)
{
	return length == 0 || length == 1 || length == 2 || length == 4 || length == 8;
}

static int register_io_event(const struct io_event *event, struct plugvm_vm *vm, uint32_t flags)
{
	struct kvm_ioeventfd registration = {
	    .addr = event->address,
	    .len = event->length,
	    .fd = event->fd,
	    .datamatch = event->datamatch,
	    .flags = flags | (event->space == ADDRESS_SPACE_PORT ? KVM_IOEVENTFD_FLAG_PIO : 0) |
	             (event->has_datamatch ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0),
	};
	return kvm_vm_ioeventfd(vm, &registration);
}

int io_event_init(struct io_event *event, struct plugvm_vm *vm, const struct io_event *wanted, int *out_fd)
{
	if (!is_access_length(wanted->length) ||
	    (wanted->space == ADDRESS_SPACE_PORT && wanted->address > PORT_LAST))
		return -EINVAL;
	FD_AUTO ours = -1;
	FD_AUTO plugins = -1;
	int result = make_pair(&ours, &plugins);
	if (result < 0)
		return result;
	*event = *wanted;
	event->fd = ours;
	result = register_io_event(event, vm, 0);
	if (result < 0)
		return result;
	event->fd = fd_take(&ours);
	*out_fd = fd_take(&plugins);
	return 0;
}

int io_event_fini(struct io_event *event, struct plugvm_vm *vm)
{
	int result = vm ? register_io_event(event, vm, KVM_IOEVENTFD_FLAG_DEASSIGN) : 0;
	if (result == 0)
		fd_close(&event->fd);
	return result;
}

int irq_event_init(struct irq_event *event, struct plugvm_vm *vm, uint32_t peer_gsi, bool resample,
                   int *out_trigger, int *out_resample)
{
	if (peer_gsi > LIMIT_GSI)
		return -EINVAL;
	FD_AUTO trigger = -1;
	FD_AUTO plugins = -1;
	FD_AUTO resampler = -1;
	int result = make_pair(&trigger, &plugins);
	if (result < 0)
		return result;
	struct kvm_irqfd registration = {.fd = (uint32_t)trigger, .gsi = peer_gsi};
	if (resample) {
		/* KVM holds it from now on; the host needs none. */
		resampler = sys.eventfd(0, EFD_CLOEXEC);
		if (resampler < 0)
			return -errno;
		registration.flags = KVM_IRQFD_FLAG_RESAMPLE;
		registration.resamplefd = (uint32_t)resampler;
	}
	result = kvm_vm_irqfd(vm, &registration);
	if (result < 0)
		return result;
	*event = (struct irq_event){.gsi = peer_gsi, .trigger = fd_take(&trigger)};
	*out_trigger = fd_take(&plugins);
	*out_resample = fd_take(&resampler);
	return 0;
}

int irq_event_fini(struct irq_event *event, struct plugvm_vm *vm)
{
	struct kvm_irqfd registration = {
	    .fd = (uint32_t)event->trigger, .gsi = event->gsi, .flags = KVM_IRQFD_FLAG_DEASSIGN};
	int result = vm ? kvm_vm_irqfd(vm, &registration) : 0;
	if (result == 0)
		fd_close(&event->trigger);
	return result;
}
