/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * net - a network card, and a guest that answers `ping`.
 *
 *     plugvm run --stdout inherit --net host-ip=10.77.0.1,netmask=255.255.255.0,mac=02:00:00:00:00:01 -- net 3
 *
 * The guest has the address after the host's, and ends after as many pings as the argument says (1). The card is the
 * smallest there can be: one frame of memory that guest and plugin share, a port whose read waits for a frame and
 * tells its length, and a port whose write sends the frame. A card for real use would have rings of frames, ioevents
 * for doorbells and an interrupt, as the examples ioevent and irq show.
 */
#include <arpa/inet.h>
#include <crosvm.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "example.h"

#define LOAD_ADDRESS  0x1000
#define FRAME_ADDRESS 0x10000
#define MEMORY_SIZE   0x10000
#define FRAME_SIZE    0x1000 /* a page, behind the memory; frames of Ethernet have at most 1514 bytes */
#define RECEIVE_PORT  0x500
#define SEND_PORT     0x504
#define DONE_PORT     0x604

struct card {
	struct crosvm_net_config config;
	int shutdown_fd;
	uint8_t *frame;
};

extern const uint8_t guest_start[], guest_end[];

static uint8_t *map_guest(struct crosvm *vm)
{
	int fd;
	size_t size = MEMORY_SIZE + FRAME_SIZE;
	uint8_t *memory = guest_memory_new(size, &fd);
	memcpy(memory, guest_start, (size_t)(guest_end - guest_start));

	struct crosvm_memory *ram;
	check(crosvm_create_memory(vm, fd, 0, size, LOAD_ADDRESS, false, false, &ram),
	      "give the guest its memory");
	return memory + (FRAME_ADDRESS - LOAD_ADDRESS);
}

static void describe(const struct crosvm_net_config *config, uint32_t guest_ip)
{
	char host[INET_ADDRSTRLEN], netmask[INET_ADDRSTRLEN], guest[INET_ADDRSTRLEN];
	const uint8_t *mac = config->host_mac_address;
	inet_ntop(AF_INET, &config->host_ip, host, sizeof(host));
	inet_ntop(AF_INET, &config->netmask, netmask, sizeof(netmask));
	inet_ntop(AF_INET, &guest_ip, guest, sizeof(guest));
	printf("host %s, netmask %s, mac %02x:%02x:%02x:%02x:%02x:%02x; guest %s\n", host, netmask, mac[0], mac[1],
	       mac[2], mac[3], mac[4], mac[5], guest);
	fflush(stdout);
}

/* Flat 32-bit segments, as in the example adder, and what the guest wants to know. */
static void set_entry(struct crosvm_vcpu *vcpu, uint32_t guest_ip, uint32_t pings)
{
	struct kvm_segment code = {
	    .limit = 0xffffffff, .selector = 0x08, .type = 0xb, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_segment data = code;
	data.selector = 0x10;
	data.type = 0x3;

	struct kvm_sregs sregs;
	check(crosvm_vcpu_get_sregs(vcpu, &sregs), "get the segment registers");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 |= 0x1;
	check(crosvm_vcpu_set_sregs(vcpu, &sregs), "set the segment registers");

	struct kvm_regs regs = {
	    .rip = LOAD_ADDRESS, .rflags = 0x2, .rsp = FRAME_ADDRESS, .rbx = guest_ip, .rcx = pings};
	check(crosvm_vcpu_set_regs(vcpu, &regs), "set the registers");
}

/* Wait for a frame and return its length. This thread has nothing else to do but to end when the host says so. */
static uint32_t receive(const struct card *card)
{
	struct pollfd fds[] = {{.fd = card->config.tap_fd, .events = POLLIN},
	                       {.fd = card->shutdown_fd, .events = POLLIN}};
	for (;;) {
		check(poll(fds, 2, -1) < 0 ? -errno : 0, "wait for a frame");
		if (fds[1].revents)
			exit(0);
		/* One read is one frame. The fd does not block. */
		ssize_t length = read(card->config.tap_fd, card->frame, FRAME_SIZE);
		if (length > 0)
			return (uint32_t)length;
		if (length < 0 && errno != EAGAIN)
			check(-errno, "receive a frame");
	}
}

/* The length is the guest's word. A frame that the tap does not take is lost, as on any network. */
static void send_frame(const struct card *card, uint32_t length)
{
	if (length <= FRAME_SIZE && write(card->config.tap_fd, card->frame, length) < 0)
		fprintf(stderr, "a frame was lost: %s\n", strerror(errno));
}

int main(int argc, char **argv)
{
	uint32_t pings = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
	struct crosvm *vm;
	struct card card;
	check(crosvm_connect(&vm), "connect to the host");
	check(crosvm_net_get_config(vm, &card.config), "get the network (plugvm run --net)");
	uint32_t guest_ip = htonl(ntohl(card.config.host_ip) + 1);
	describe(&card.config, guest_ip);
	card.shutdown_fd = check(crosvm_get_shutdown_eventfd(vm), "get the shutdown eventfd");
	card.frame = map_guest(vm);
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, RECEIVE_PORT, 8), "reserve the card's ports");
	check(crosvm_reserve_range(vm, CROSVM_ADDRESS_SPACE_IOPORT, DONE_PORT, 1), "reserve the done port");
	check(crosvm_start(vm), "start the machine");

	struct crosvm_vcpu *vcpu;
	check(crosvm_get_vcpu(vm, 0, &vcpu), "find the vCPU");
	for (;;) {
		struct crosvm_vcpu_event event;
		check(crosvm_vcpu_wait(vcpu, &event), "wait for the vCPU");
		if (event.kind == CROSVM_VCPU_EVENT_KIND_INIT) {
			set_entry(vcpu, guest_ip, pings);
		} else if (event.kind == CROSVM_VCPU_EVENT_KIND_IO_ACCESS) {
			uint32_t length = 0;
			if (event.io_access.address == DONE_PORT)
				break;
			if (event.io_access.length == sizeof(length)) {
				memcpy(&length, event.io_access.data, sizeof(length));
				if (event.io_access.address == SEND_PORT && event.io_access.is_write)
					send_frame(&card, length);
				else if (event.io_access.address == RECEIVE_PORT && !event.io_access.is_write)
					length = receive(&card);
				memcpy(event.io_access.data, &length, sizeof(length));
			}
		}
		check(crosvm_vcpu_resume(vcpu), "resume the vCPU");
	}
	printf("the guest answered %u ping%s\n", pings, pings == 1 ? "" : "s");
	return 0;
}
