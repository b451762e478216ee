/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_objects - guest memory, events and dirty logs by the ids of a plugin: a sequence of requests on the host's objects
 * over a fake KVM, and on a plain list that says what each must return.
 *
 * Input: one byte of flags (FLAG_...), then operations: a byte (OPERATION_..., FAIL_...), an id, and what it needs. The
 * system calls end in this file, and each of them can fail.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/sys.h"
#include "fuzz.h"
#include "host/objects.h"
#include "kvm/kvm.h"
#include "wire/limits.h"

#define FLAG_NEARLY_FULL 0x01 /* room for three events, two slots and 2 GiB */

#define OPERATION           0x07
#define OPERATION_MEMORY    0
#define OPERATION_IO_EVENT  1
#define OPERATION_IRQ_EVENT 2
#define OPERATION_DESTROY   3
#define OPERATION_GET_LOG   4
#define OPERATION_WRITE_LOG 5

/* Which system call fails in this operation. */
#define FAIL(operation) ((operation) >> 5)
enum fail { FAIL_NOTHING, FAIL_EVENTFD, FAIL_DUP, FAIL_MMAP, FAIL_RESERVE, FAIL_POPULATE, FAIL_WRITE };

#define PAGE       UINT64_C(4096)
#define GIB        (UINT64_C(1) << 30)
#define HUGE_PAGE  (UINT64_C(2) << 20)
#define ADDRESSES  (UINT64_C(1) << 46)
#define OBJECTS    (2 * IDS)
#define IDS        16
#define FIRST_FILE 1000
#define FIRST_FD   2000
#define FDS_MAX    512
#define FAKE_MAP   ((void *)(UINT64_C(1) << 44))

/* The files that a plugin sends. */
static const struct file {
	int seals; /* -1: not a memfd */
	int access;
	uint64_t size;
	bool is_huge;
} file_kinds[8] = {
    {F_SEAL_SHRINK, O_RDWR, 64 * PAGE, false},
    {F_SEAL_GROW, O_RDWR, 64 * PAGE, false},
    {F_SEAL_SHRINK | F_SEAL_WRITE, O_RDWR, 64 * PAGE, false},
    {-1, O_RDWR, 64 * PAGE, false},
    {F_SEAL_SHRINK, O_RDWR, 1024 * GIB, true},
    {F_SEAL_SHRINK | F_SEAL_GROW, O_RDWR, 1024 * GIB, false},
    {F_SEAL_SHRINK, O_RDWR, PAGE + 1, false},
    {F_SEAL_SHRINK | F_SEAL_FUTURE_WRITE, O_RDONLY, 64 * PAGE, false},
};

/* What the model has: one for each object. */
struct model_object {
	uint32_t id;
	enum object_kind kind;
	uint64_t start, length; /* of memory */
	uint32_t slot;
	bool has_log;
	struct io_event io;
};

static struct objects objects;
static struct plugvm_vm vm = {.kvm = &fake_kvm, .fd = -1, .address_bits = 46};
static struct model_object model[OBJECTS];
static size_t model_count;
static struct {
	size_t events;
	uint64_t bytes;
	uint64_t slots[(LIMIT_MEMORY_SLOTS + 63) / 64];
} full;

static enum fail fail;
static bool is_open[FDS_MAX];
static size_t open_count;
static size_t map_count;

/* ---- The system ---- */

static int new_fd(void)
{
	int fd = 0;
	while (is_open[fd])
		fd++;
	REQUIRE(fd + 1 < FDS_MAX);
	is_open[fd] = true;
	open_count++;
	return FIRST_FD + fd;
}

static int fake_eventfd(unsigned int value, int flags)
{
	REQUIRE(value == 0 && flags & O_CLOEXEC);
	errno = EMFILE;
	return fail == FAIL_EVENTFD ? -1 : new_fd();
}

static int fake_dup(int fd)
{
	REQUIRE(fd >= FIRST_FD && is_open[fd - FIRST_FD]);
	errno = EMFILE;
	return fail == FAIL_DUP ? -1 : new_fd();
}

int __real_close(int fd);
int __wrap_close(int fd);
int __wrap_close(int fd)
{
	if (fd < FIRST_FD)
		return __real_close(fd);
	REQUIRE(fd < FIRST_FD + FDS_MAX && is_open[fd - FIRST_FD]);
	is_open[fd - FIRST_FD] = false;
	open_count--;
	return 0;
}

int __wrap_getrlimit64(int resource, struct rlimit *out_limit);
int __wrap_getrlimit64(int resource, struct rlimit *out_limit)
{
	REQUIRE(resource == RLIMIT_NOFILE);
	out_limit->rlim_cur = out_limit->rlim_max = fail == FAIL_RESERVE ? FIRST_FD : FIRST_FD + FDS_MAX + 100;
	return 0;
}

static const struct file *file_of(int fd)
{
	REQUIRE(fd >= FIRST_FILE && fd < FIRST_FILE + 8);
	return &file_kinds[fd - FIRST_FILE];
}

int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...)
{
	const struct file *file = file_of(fd);
	if (command == F_GETFL)
		return file->access | O_LARGEFILE;
	REQUIRE(command == F_GET_SEALS);
	errno = EINVAL;
	return file->seals;
}

int __wrap_fstatfs64(int fd, struct statfs *out_system);
int __wrap_fstatfs64(int fd, struct statfs *out_system)
{
	const struct file *file = file_of(fd);
	memset(out_system, 0, sizeof(*out_system));
	out_system->f_type = file->is_huge ? HUGETLBFS_MAGIC : TMPFS_MAGIC;
	out_system->f_bsize = (long)(file->is_huge ? HUGE_PAGE : PAGE);
	return 0;
}

static int fake_fstat(int fd, struct stat *out_status)
{
	memset(out_status, 0, sizeof(*out_status));
	out_status->st_size = (off_t)file_of(fd)->size;
	return 0;
}

static void *fake_mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset)
{
	const struct file *file = file_of(fd);
	REQUIRE(!address && length > 0 && flags & MAP_SHARED && !(flags & MAP_FIXED) && offset % (off_t)PAGE == 0);
	REQUIRE(file->seals & F_SEAL_SHRINK && (uint64_t)offset + length <= file->size);
	REQUIRE(!(protection & PROT_EXEC));
	REQUIRE(!(protection & PROT_WRITE) || !(file->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)));
	errno = ENOMEM;
	if (fail == FAIL_MMAP)
		return MAP_FAILED;
	map_count++;
	return FAKE_MAP;
}

int __real_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length);
int __wrap_munmap(void *address, size_t length)
{
	if (address != FAKE_MAP)
		return __real_munmap(address, length);
	REQUIRE(map_count > 0 && length > 0);
	map_count--;
	return 0;
}

int __real_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice);
int __wrap_madvise(void *address, size_t length, int advice)
{
	if (address != FAKE_MAP)
		return __real_madvise(address, length, advice);
	if (advice != MADV_POPULATE_WRITE || fail != FAIL_POPULATE)
		return 0;
	errno = ENOMEM;
	return -1;
}

ssize_t __wrap_process_vm_writev(pid_t pid, const struct iovec *from, unsigned long from_count,
                                 const struct iovec *to, unsigned long to_count, unsigned long flags);
ssize_t __wrap_process_vm_writev(pid_t pid, const struct iovec *from, unsigned long from_count,
                                 const struct iovec *to, unsigned long to_count, unsigned long flags)
{
	REQUIRE(pid == getpid() && from_count == 1 && to_count == 1 && flags == 0);
	REQUIRE(to->iov_len == from->iov_len && (uint8_t *)to->iov_base < (uint8_t *)FAKE_MAP + PAGE);
	uint8_t sum = 0;
	for (size_t i = 0; i < from->iov_len; i++)
		sum |= ((const uint8_t *)from->iov_base)[i];
	REQUIRE(sum == 0x5a);
	return (ssize_t)(fail == FAIL_WRITE ? from->iov_len - 1 : from->iov_len);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fake_kvm_install();
	REQUIRE(objects_init(&objects, FAKE_FIRST_SLOT) == 0);
	sys.eventfd = fake_eventfd;
	sys.dup_cloexec = fake_dup;
	sys.mmap = fake_mmap;
	sys.fstat = fake_fstat;
	return 0;
}

MODEL_BEGIN

/* ---- The model ---- */

static struct model_object *find(uint32_t id)
{
	for (size_t i = 0; i < model_count; i++) {
		if (model[i].id == id)
			return &model[i];
	}
	return NULL;
}

static size_t count_kind(bool is_memory)
{
	size_t count = 0;
	for (size_t i = 0; i < model_count; i++)
		count += (model[i].kind == OBJECT_MEMORY) == is_memory;
	return count;
}

static uint64_t count_bytes(void)
{
	uint64_t bytes = 0;
	for (size_t i = 0; i < model_count; i++)
		bytes += model[i].kind == OBJECT_MEMORY ? model[i].length : 0;
	return bytes;
}

static bool slot_is_free(uint32_t slot)
{
	if (full.slots[slot / 64] >> (slot % 64) & 1)
		return false;
	for (size_t i = 0; i < model_count; i++) {
		if (model[i].kind == OBJECT_MEMORY && model[i].slot == slot + FAKE_FIRST_SLOT)
			return false;
	}
	return true;
}

static uint32_t lowest_slot(void)
{
	uint32_t slot = 0;
	while (slot < LIMIT_MEMORY_SLOTS && !slot_is_free(slot))
		slot++;
	return slot;
}

/* Is it more than 64 bits can say? */
static bool overflows(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b;
}

static int expect_file(const struct file *file, const struct memory_request *r)
{
	if (file->seals < 0)
		return -EINVAL;
	if (!(file->seals & F_SEAL_SHRINK))
		return -EPERM;
	if (!r->read_only && file->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (overflows(r->peer_offset, r->peer_length))
		return -EOVERFLOW;
	if (file->is_huge && (r->peer_offset % HUGE_PAGE || r->peer_length % HUGE_PAGE))
		return -EINVAL;
	return r->peer_offset + r->peer_length <= file->size ? 0 : -EINVAL;
}

static int expect_memory(uint32_t id, const struct file *file, const struct memory_request *r)
{
	if (find(id))
		return -EEXIST;
	if (r->peer_length == 0 || r->peer_length % PAGE || r->peer_offset % PAGE || r->peer_start % PAGE)
		return -EINVAL;
	int result = expect_file(file, r);
	if (result < 0)
		return result;
	if (overflows(r->peer_start, r->peer_length))
		return -EOVERFLOW;
	if (r->peer_start + r->peer_length > ADDRESSES)
		return -EINVAL;
	if (lowest_slot() == LIMIT_MEMORY_SLOTS ||
	    count_bytes() + full.bytes + r->peer_length > LIMIT_MEMORY_GIB * GIB)
		return -ENOSPC;
	if (fail == FAIL_MMAP)
		return -ENOMEM;
	for (size_t i = 0; i < model_count; i++) {
		if (model[i].kind == OBJECT_MEMORY && r->peer_start < model[i].start + model[i].length &&
		    model[i].start < r->peer_start + r->peer_length)
			return -EEXIST;
	}
	return 0;
}

/* What holds for a new event of either kind before and after its numbers are looked at. */
static int expect_event(uint32_t id)
{
	if (find(id))
		return -EEXIST;
	return count_kind(false) + full.events < LIMIT_EVENTS ? 0 : -ENOSPC;
}

static int expect_fds(void)
{
	return fail == FAIL_EVENTFD || fail == FAIL_DUP || fail == FAIL_RESERVE ? -EMFILE : 0;
}

static int expect_io_event(uint32_t id, const struct io_event *e)
{
	int result = expect_event(id);
	bool is_length = e->length <= 2 || e->length == 4 || e->length == 8;
	if (result == 0 && (!is_length || (e->space == ADDRESS_SPACE_PORT && e->address > 0xffff)))
		result = -EINVAL;
	if (result == 0)
		result = expect_fds();
	if (result == 0 && (overflows(e->address, e->length) || (e->length == 0 && e->has_datamatch)))
		result = -EINVAL; /* KVM's */
	for (size_t i = 0; i < model_count && result == 0; i++) {
		const struct io_event *other = &model[i].io;
		if (model[i].kind == OBJECT_IO_EVENT && other->space == e->space && other->address == e->address &&
		    other->length == e->length && other->datamatch == e->datamatch)
			result = -EEXIST;
	}
	return result;
}

static int expect_log(uint32_t id, struct model_object **out_memory)
{
	struct model_object *found = find(id);
	*out_memory = found;
	return found && found->kind == OBJECT_MEMORY ? 0 : -ENOENT;
}

static uint64_t log_bytes(const struct model_object *memory)
{
	return (memory->length / PAGE + 7) / 8;
}

static int expect_write_log(uint32_t id, const struct file *file, uint64_t offset,
                            struct model_object **out_memory)
{
	int result = expect_log(id, out_memory);
	if (result < 0)
		return result;
	if (file->seals < 0)
		return -EINVAL;
	if (!(file->seals & F_SEAL_SHRINK) || file->seals & (F_SEAL_WRITE | F_SEAL_FUTURE_WRITE))
		return -EPERM;
	if (file->access != O_RDWR)
		return -EBADF;
	if (file->is_huge || overflows(offset, log_bytes(*out_memory)) ||
	    offset + log_bytes(*out_memory) > file->size)
		return -EINVAL;
	if (fail == FAIL_MMAP || fail == FAIL_POPULATE)
		return -ENOMEM;
	if (!(*out_memory)->has_log)
		return -ENOENT;
	return fail == FAIL_WRITE ? -EIO : 0;
}

static void check_all(void)
{
	REQUIRE(objects.count == model_count);
	REQUIRE(objects.event_count == count_kind(false) + full.events);
	REQUIRE(objects.memory_bytes == count_bytes() + full.bytes);
	REQUIRE(open_count == count_kind(false) && map_count == count_kind(true));
	for (size_t i = 1; i < objects.count; i++)
		REQUIRE(objects.sorted[i - 1].id < objects.sorted[i].id);
}

MODEL_END

/* ---- The operations ---- */

/* A few pages, or a number near an end of something. */
static uint64_t take_number(struct input *input)
{
	static const uint64_t numbers[] = {
	    UINT64_MAX - 4095, UINT64_MAX, ADDRESSES,  ADDRESSES - PAGE, GIB,     63 * GIB, 64 * GIB, 4095,
	    HUGE_PAGE,         1,          UINT32_MAX, 0xffff,           0x10000, 8,        32 * GIB, 1024 * GIB};
	uint8_t byte = input_byte(input);
	return byte & 0x80 ? numbers[byte % 16] : byte * PAGE;
}

static void create_memory(uint32_t id, struct input *input)
{
	uint8_t kind = input_byte(input);
	struct memory_request request = {.read_only = kind & 0x10, .dirty_log = kind & 0x20};
	request.peer_offset = take_number(input);
	request.peer_start = take_number(input);
	request.peer_length = take_number(input);
	int wanted = expect_memory(id, &file_kinds[kind % 8], &request);
	uint32_t slot = lowest_slot() + FAKE_FIRST_SLOT;
	REQUIRE(objects_create_memory(&objects, &vm, id, FIRST_FILE + kind % 8, &request) == wanted);
	if (wanted == 0)
		model[model_count++] = (struct model_object){
		    .id = id,
		    .kind = OBJECT_MEMORY,
		    .start = request.peer_start,
		    .length = request.peer_length,
		    .slot = slot,
		    .has_log = request.dirty_log,
		};
}

static void create_io_event(uint32_t id, struct input *input)
{
	uint8_t byte = input_byte(input);
	struct io_event event = {
	    .space = byte & 0x10 ? ADDRESS_SPACE_MMIO : ADDRESS_SPACE_PORT,
	    .length = byte & 0xf,
	    .has_datamatch = byte & 0x20,
	    .datamatch = byte >> 6,
	    .fd = -1,
	};
	event.address = take_number(input);
	int fd = -1, wanted = expect_io_event(id, &event);
	REQUIRE(objects_create_io_event(&objects, &vm, id, &event, &fd) == wanted);
	REQUIRE((fd >= 0) == (wanted == 0));
	if (wanted == 0) {
		model[model_count++] = (struct model_object){.id = id, .kind = OBJECT_IO_EVENT, .io = event};
		__wrap_close(fd);
	}
}

static void create_irq_event(uint32_t id, struct input *input)
{
	uint8_t byte = input_byte(input);
	uint32_t gsi = byte & 0x40 ? LIMIT_GSI - 2 + (byte & 3) : byte & 0x3f;
	bool resample = byte & 0x80;
	int trigger = -1, resampler = -1, wanted = expect_event(id);
	if (wanted == 0)
		wanted = gsi > LIMIT_GSI ? -EINVAL : expect_fds();
	REQUIRE(objects_create_irq_event(&objects, &vm, id, gsi, resample, &trigger, &resampler) == wanted);
	REQUIRE((trigger >= 0) == (wanted == 0) && (resampler >= 0) == (wanted == 0 && resample));
	if (wanted < 0)
		return;
	model[model_count++] = (struct model_object){.id = id, .kind = OBJECT_IRQ_EVENT};
	__wrap_close(trigger);
	if (resample)
		__wrap_close(resampler);
}

static void destroy(uint32_t id)
{
	struct model_object *found = find(id);
	REQUIRE(objects_destroy(&objects, &vm, id) == (found ? 0 : -ENOENT));
	if (found)
		*found = model[--model_count];
}

static void get_log(uint32_t id, struct input *input)
{
	size_t limit = (size_t)input_byte(input) * 256, size = 0;
	struct model_object *memory;
	int wanted = expect_log(id, &memory);
	if (wanted == 0 && log_bytes(memory) > limit)
		wanted = -EMSGSIZE;
	if (wanted == 0 && !memory->has_log)
		wanted = -ENOENT;
	uint8_t *bitmap = NULL;
	REQUIRE(objects_get_dirty_log(&objects, &vm, id, limit, &bitmap, &size) == wanted);
	REQUIRE((bitmap != NULL) == (wanted == 0));
	if (bitmap)
		REQUIRE(size == log_bytes(memory) && bitmap[0] == 0x5a && bitmap[size - 1] == 0x5a);
	free(bitmap);
}

static void write_log(uint32_t id, struct input *input)
{
	uint8_t kind = input_byte(input) % 8;
	uint64_t offset = take_number(input), size = 0;
	struct model_object *memory;
	int wanted = expect_write_log(id, &file_kinds[kind], offset, &memory);
	/* The fake KVM would write it all. */
	if (memory && memory->kind == OBJECT_MEMORY && memory->length > GIB)
		return;
	REQUIRE(objects_write_dirty_log(&objects, &vm, id, FIRST_FILE + kind, offset, &size) == wanted);
	if (wanted == 0)
		REQUIRE(size == log_bytes(memory));
}

static void operate(struct input *input)
{
	uint8_t operation = input_byte(input);
	uint8_t byte = input_byte(input);
	/* Few ids, some of them far apart. */
	uint32_t id = byte & 0x80 ? UINT32_MAX - byte % IDS : byte % IDS;
	fail = FAIL(operation);
	switch (operation & OPERATION) {
	case OPERATION_MEMORY:
		create_memory(id, input);
		break;
	case OPERATION_IO_EVENT:
		create_io_event(id, input);
		break;
	case OPERATION_IRQ_EVENT:
		create_irq_event(id, input);
		break;
	case OPERATION_DESTROY:
		destroy(id);
		break;
	case OPERATION_GET_LOG:
		get_log(id, input);
		break;
	default:
		write_log(id, input);
	}
	check_all();
}

/* Make believe that others are there. */
static void fill(bool nearly_full)
{
	memset(&full, 0, sizeof(full));
	if (nearly_full) {
		full.events = LIMIT_EVENTS - 3;
		full.bytes = (LIMIT_MEMORY_GIB - 2) * GIB;
		memset(full.slots, 0xff, sizeof(full.slots));
		full.slots[0] &= ~UINT64_C(2);
		full.slots[(LIMIT_MEMORY_SLOTS - 1) / 64] &= ~(UINT64_C(1) << (LIMIT_MEMORY_SLOTS - 1) % 64);
	}
	objects.event_count = full.events;
	objects.memory_bytes = full.bytes;
	memcpy(objects.slots_used, full.slots, sizeof(full.slots));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	fill(input_byte(&input) & FLAG_NEARLY_FULL);
	while (input.size > 0 && model_count < 2 * IDS)
		operate(&input);
	fail = FAIL_NOTHING;
	while (model_count > 0)
		destroy(model[0].id);
	check_all();
	REQUIRE(fake_kvm_objects() == 0);
	REQUIRE(memcmp(objects.slots_used, full.slots, sizeof(full.slots)) == 0);
	return 0;
}
