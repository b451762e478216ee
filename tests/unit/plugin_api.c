/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Checks the library's face: that header, version script and this table name the same functions, and that no NULL
 * argument does harm.
 *
 * PLUGVM_SOURCE_ROOT is the root of the source tree.
 */
#include "plugin_fake_host.c"

/* Every function, with no argument that would let it do anything. */
#define FUNCTIONS(X)                                                  \
	X(crosvm_connect, NULL)                                       \
	X(crosvm_new_connection, NULL, NULL)                          \
	X(crosvm_destroy_connection, NULL)                            \
	X(crosvm_get_shutdown_eventfd, NULL)                          \
	X(crosvm_check_extension, NULL, 0, NULL)                      \
	X(crosvm_enable_capability, NULL, 0, 0, NULL)                 \
	X(crosvm_start, NULL)                                         \
	X(crosvm_reserve_range, NULL, 0, 0, 0)                        \
	X(crosvm_create_memory, NULL, 0, 0, 0, 0, false, false, NULL) \
	X(crosvm_destroy_memory, NULL, NULL)                          \
	X(crosvm_get_vcpu, NULL, 0, NULL)                             \
	X(crosvm_vcpu_wait, NULL, NULL)                               \
	X(crosvm_vcpu_resume, NULL)                                   \
	X(crosvm_vcpu_get_regs, NULL, NULL)                           \
	X(crosvm_vcpu_set_regs, NULL, NULL)                           \
	X(crosvm_vcpu_get_sregs, NULL, NULL)                          \
	X(crosvm_vcpu_set_sregs, NULL, NULL)                          \
	X(crosvm_vcpu_get_fpu, NULL, NULL)                            \
	X(crosvm_vcpu_set_fpu, NULL, NULL)                            \
	X(crosvm_vcpu_get_debugregs, NULL, NULL)                      \
	X(crosvm_vcpu_set_debugregs, NULL, NULL)                      \
	X(crosvm_vcpu_get_xcrs, NULL, NULL)                           \
	X(crosvm_vcpu_set_xcrs, NULL, NULL)                           \
	X(crosvm_vcpu_get_lapic_state, NULL, NULL)                    \
	X(crosvm_vcpu_set_lapic_state, NULL, NULL)                    \
	X(crosvm_vcpu_get_mp_state, NULL, NULL)                       \
	X(crosvm_vcpu_set_mp_state, NULL, NULL)                       \
	X(crosvm_vcpu_get_vcpu_events, NULL, NULL)                    \
	X(crosvm_vcpu_set_vcpu_events, NULL, NULL)                    \
	X(crosvm_get_supported_cpuid, NULL, 0, NULL, NULL)            \
	X(crosvm_get_emulated_cpuid, NULL, 0, NULL, NULL)             \
	X(crosvm_get_msr_index_list, NULL, 0, NULL, NULL)             \
	X(crosvm_net_get_config, NULL, NULL)                          \
	X(crosvm_reserve_async_write_range, NULL, 0, 0, 0)            \
	X(crosvm_set_hypercall_hint, NULL, 0, NULL)                   \
	X(crosvm_set_irq, NULL, 0, false)                             \
	X(crosvm_set_irq_routing, NULL, 0, NULL)                      \
	X(crosvm_get_pic_state, NULL, false, NULL)                    \
	X(crosvm_set_pic_state, NULL, false, NULL)                    \
	X(crosvm_get_ioapic_state, NULL, NULL)                        \
	X(crosvm_set_ioapic_state, NULL, NULL)                        \
	X(crosvm_get_pit_state, NULL, NULL)                           \
	X(crosvm_set_pit_state, NULL, NULL)                           \
	X(crosvm_get_clock, NULL, NULL)                               \
	X(crosvm_set_clock, NULL, NULL)                               \
	X(crosvm_set_identity_map_addr, NULL, 0)                      \
	X(crosvm_pause_vcpus, NULL, 0, NULL)                          \
	X(crosvm_create_io_event, NULL, 0, 0, 0, NULL, NULL)          \
	X(crosvm_destroy_io_event, NULL, NULL)                        \
	X(crosvm_io_event_fd, NULL)                                   \
	X(crosvm_memory_get_dirty_log, NULL, NULL, NULL)              \
	X(crosvm_create_irq_event, NULL, 0, NULL)                     \
	X(crosvm_destroy_irq_event, NULL, NULL)                       \
	X(crosvm_irq_event_get_fd, NULL)                              \
	X(crosvm_irq_event_get_resample_fd, NULL)                     \
	X(crosvm_vcpu_get_msrs, NULL, 0, NULL, NULL)                  \
	X(crosvm_vcpu_set_msrs, NULL, 0, NULL)                        \
	X(crosvm_vcpu_set_cpuid, NULL, 0, NULL)                       \
	X(crosvm_get_hyperv_cpuid, NULL, 0, NULL, NULL)               \
	X(crosvm_vcpu_enable_capability, NULL, 0, 0, NULL)            \
	X(crosvm_get_info, NULL, NULL)                                \
	X(crosvm_get_end, NULL, NULL)                                 \
	X(crosvm_create_edge_irq_event, NULL, 0, NULL)                \
	X(crosvm_signal_msi, NULL, 0, 0)                              \
	X(crosvm_pause_vcpu_set, NULL, 0, NULL, NULL)                 \
	X(crosvm_memory_get_dirty_log_to, NULL, NULL, -1, 0)          \
	X(crosvm_subscribe_exits, NULL, 0)                            \
	X(crosvm_set_msr_filter, NULL, 0, NULL, false)                \
	X(crosvm_vcpu_wait_timeout, NULL, NULL, 0)                    \
	X(crosvm_vcpu_get_poll_fd, NULL)                              \
	X(crosvm_vcpu_set_spin, NULL, 0)                              \
	X(crosvm_vcpu_set_msrs_counted, NULL, 0, NULL, NULL)          \
	X(crosvm_vcpu_get_xsave, NULL, 0, NULL, NULL)                 \
	X(crosvm_vcpu_set_xsave, NULL, 0, NULL)                       \
	X(crosvm_vcpu_get_tsc_khz, NULL, NULL)                        \
	X(crosvm_vcpu_set_tsc_khz, NULL, 0)                           \
	X(crosvm_vcpu_get_nested_state, NULL, 0, NULL, NULL)          \
	X(crosvm_vcpu_set_nested_state, NULL, 0, NULL)                \
	X(crosvm_vcpu_interrupt, NULL, 0)                             \
	X(crosvm_vcpu_request_irq_window, NULL, false)                \
	X(crosvm_vcpu_nmi, NULL)                                      \
	X(crosvm_vcpu_set_guest_debug, NULL, NULL)                    \
	X(crosvm_vcpu_translate, NULL, NULL)                          \
	X(crosvm_vcpu_get_all, NULL, 0, NULL, NULL)                   \
	X(crosvm_vcpu_set_all, NULL, 0, NULL)

/* The only one that cannot fail. */
static int version(void)
{
	crosvm_version(NULL, NULL, NULL);
	return -EINVAL;
}

#define DEFINE_CALL(name, ...)            \
	static int call_##name(void)      \
	{                                 \
		return name(__VA_ARGS__); \
	}
FUNCTIONS(DEFINE_CALL)

#define ENTRY(name, ...) {#name, call_##name},

static const struct {
	const char *name;
	int (*call)(void);
} functions[] = {FUNCTIONS(ENTRY){"crosvm_version", version}};

#define FUNCTION_COUNT (sizeof(functions) / sizeof(functions[0]))

static void test_no_arguments(void **state)
{
	(void)state;
	for (size_t i = 0; i < FUNCTION_COUNT; i++) {
		int result = functions[i].call();
		if (result != -EINVAL)
			print_message("# %s: %d\n", functions[i].name, result);
		assert_int_equal(result, -EINVAL);
	}
}

/* ---- The source ---- */

static char *read_source(const char *path)
{
	char full[4096];
	snprintf(full, sizeof(full), "%s/%s", PLUGVM_SOURCE_ROOT, path);
	FILE *file = fopen(full, "re");
	assert_non_null(file);
	char *text = calloc(1, 1 << 20);
	assert_non_null(text);
	assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
	fclose(file);
	return text;
}

/* Where the name begins that follows one of the prefixes; NULL: the line names none. */
static const char *find_name(const char *line, const char *const prefixes[2])
{
	for (size_t i = 0; i < 2; i++)
		if (strncmp(line, prefixes[i], strlen(prefixes[i])) == 0 &&
		    strncmp(line + strlen(prefixes[i]), "crosvm_", 7) == 0)
			return line + strlen(prefixes[i]);
	return NULL;
}

/* Every line that begins with a prefix and goes on with the name of a function must name one of the table, and each once. */
static void check_names(const char *path, const char *const prefixes[2])
{
	char *text = read_source(path);
	size_t named[FUNCTION_COUNT] = {0};
	for (char *rest = text, *line; (line = strsep(&rest, "\n"));) {
		const char *name = find_name(line, prefixes);
		if (!name)
			continue;
		size_t length = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");
		size_t i = 0;
		while (i < FUNCTION_COUNT &&
		       (strlen(functions[i].name) != length || memcmp(functions[i].name, name, length) != 0))
			i++;
		if (i == FUNCTION_COUNT)
			print_message("# %s: %s\n", path, name);
		assert_true(i < FUNCTION_COUNT);
		named[i]++;
	}
	for (size_t i = 0; i < FUNCTION_COUNT; i++) {
		if (named[i] != 1)
			print_message("# %s: %s is named %zu times\n", path, functions[i].name, named[i]);
		assert_int_equal(named[i], 1);
	}
	free(text);
}

static void test_header(void **state)
{
	(void)state;
	check_names("include/crosvm.h", (const char *const[]){"int ", "void "});
}

static void test_version_script(void **state)
{
	(void)state;
	check_names("src/plugin/libcrosvm_plugin.map", (const char *const[]){"\t", "\t"});
}

/* ---- NULL ---- */

static void test_null_connection(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm *vm = fake->plugin, *none = NULL, *out = NULL;
	uint64_t args[4] = {0};
	bool has;
	struct crosvm_vcpu *vcpu;
	assert_int_equal(crosvm_connect(NULL), -EINVAL);
	assert_int_equal(crosvm_new_connection(NULL, &out), -EINVAL);
	assert_int_equal(crosvm_new_connection(vm, NULL), -EINVAL);
	assert_int_equal(crosvm_destroy_connection(NULL), -EINVAL);
	assert_int_equal(crosvm_destroy_connection(&none), -EINVAL);
	assert_int_equal(crosvm_get_shutdown_eventfd(NULL), -EINVAL);
	assert_int_equal(crosvm_check_extension(NULL, 0, &has), -EINVAL);
	assert_int_equal(crosvm_check_extension(vm, 0, NULL), -EINVAL);
	assert_int_equal(crosvm_enable_capability(NULL, 0, 0, args), -EINVAL);
	assert_int_equal(crosvm_enable_capability(vm, 0, 0, NULL), -EINVAL);
	assert_int_equal(crosvm_start(NULL), -EINVAL);
	assert_int_equal(crosvm_reserve_range(NULL, 0, 0, 1), -EINVAL);
	assert_int_equal(crosvm_get_vcpu(NULL, 0, &vcpu), -EINVAL);
	assert_int_equal(crosvm_get_vcpu(vm, 0, NULL), -EINVAL);
	assert_null(out);
	fake_expect_nothing(fake->socket);
}

static void test_null_memory(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm *vm = fake->plugin;
	struct crosvm_memory *memory = NULL, *none = NULL;
	assert_int_equal(crosvm_create_memory(NULL, 0, 0, 0, 0, false, false, &memory), -EINVAL);
	assert_int_equal(crosvm_create_memory(vm, 0, 0, 0, 0, false, false, NULL), -EINVAL);
	fake_expect_nothing(fake->socket);

	fake_reply(fake->socket, BYTES(0x12, 0));
	assert_int_equal(crosvm_create_memory(vm, STDERR_FILENO, 0, 0, 0, false, false, &memory), 0);
	/* The one that is refused for its arguments takes no id. */
	int sent = fake_expect_with_fd(fake->socket, BYTES(0x0a, 2, 0x1a, 0));
	fd_close(&sent);
	assert_int_equal(crosvm_destroy_memory(NULL, &memory), -EINVAL);
	assert_int_equal(crosvm_destroy_memory(vm, NULL), -EINVAL);
	assert_int_equal(crosvm_destroy_memory(vm, &none), -EINVAL);
	assert_non_null(memory);
	fake_expect_nothing(fake->socket);
	fake_reply(fake->socket, BYTES(0x1a, 0));
	assert_int_equal(crosvm_destroy_memory(vm, &memory), 0);
}

#define NULL_STATE(name, type)                                                   \
	do {                                                                     \
		type value;                                                      \
		memset(&value, 0, sizeof(value));                                \
		assert_int_equal(crosvm_vcpu_get_##name(NULL, &value), -EINVAL); \
		assert_int_equal(crosvm_vcpu_get_##name(vcpu, NULL), -EINVAL);   \
		assert_int_equal(crosvm_vcpu_set_##name(NULL, &value), -EINVAL); \
		assert_int_equal(crosvm_vcpu_set_##name(vcpu, NULL), -EINVAL);   \
	} while (0)

static void test_null_vcpu(void **state)
{
	struct fake *fake = *state;
	fake_connect(fake, FAKE_SOCKETS, 1);
	struct crosvm_vcpu *vcpu = fake_vcpu(fake, 0);
	struct crosvm_vcpu_event event;
	assert_int_equal(crosvm_vcpu_wait(NULL, &event), -EINVAL);
	assert_int_equal(crosvm_vcpu_wait(vcpu, NULL), -EINVAL);
	assert_int_equal(crosvm_vcpu_resume(NULL), -EINVAL);
	fake_expect_nothing(fake->requests[0]);
	fake_init(fake, 0);
	NULL_STATE(regs, struct kvm_regs);
	NULL_STATE(sregs, struct kvm_sregs);
	NULL_STATE(fpu, struct kvm_fpu);
	NULL_STATE(debugregs, struct kvm_debugregs);
	NULL_STATE(xcrs, struct kvm_xcrs);
	NULL_STATE(lapic_state, struct kvm_lapic_state);
	NULL_STATE(mp_state, struct kvm_mp_state);
	NULL_STATE(vcpu_events, struct kvm_vcpu_events);
	fake_expect_nothing(fake->requests[0]);
	fake_resume(fake, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_no_arguments), TEST(test_header),      TEST(test_version_script),
	    TEST(test_null_connection),          TEST(test_null_memory), TEST(test_null_vcpu),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
