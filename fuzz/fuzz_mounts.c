/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fuzz_mounts - what the operator writes about mounts and gid maps, as options and as files, through the parser and
 * through a second one that was written from the manual page alone.
 *
 * Input: one byte of flags (FLAG_...), then lines: a file, or one option each. access(2) and fopen(3) end in this file, so
 * there is no system call.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "jail/jail.h"

#define FLAG_GID_MAP 0x01 /* else mounts */
#define FLAG_FILE    0x02 /* else options */

#define TEXT_MAX     4096
#define PATH_OF_FILE "/fuzz"
#define MOUNTS_MAX   256
#define FIELDS_MAX   3

static char text[TEXT_MAX + 1];
static size_t text_size;

/* What the model has taken. */
static struct {
	char target[TEXT_MAX + 1];
	char source[TEXT_MAX + 1];
	bool writable;
	size_t mount_count;
	struct plan_id_line gid_lines[JAIL_GID_LINES_MAX];
	size_t gid_line_count;
} model;

/* What does not exist has a '!' in its name. */
int __wrap_access(const char *path, int mode);
int __wrap_access(const char *path, int mode)
{
	REQUIRE(path[0] == '/' && mode == F_OK);
	if (!strchr(path, '!'))
		return 0;
	errno = ENOENT;
	return -1;
}

FILE *__real_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode);
FILE *__wrap_fopen64(const char *path, const char *mode)
{
	if (strcmp(path, PATH_OF_FILE) != 0)
		return __real_fopen64(path, mode);
	return fmemopen(text, text_size, "r");
}

MODEL_BEGIN

/* ---- The model: each says whether a text is right, and notes it ---- */

struct fields {
	const char *begin[FIELDS_MAX];
	size_t size[FIELDS_MAX];
	size_t count; /* one too many is FIELDS_MAX + 1 */
};

static struct fields split_fields(const char *line, size_t size)
{
	struct fields fields = {.count = 0};
	size_t begin = 0;
	for (size_t i = 0; i <= size && fields.count <= FIELDS_MAX; i++) {
		if (i < size && line[i] != ':')
			continue;
		if (fields.count < FIELDS_MAX) {
			fields.begin[fields.count] = line + begin;
			fields.size[fields.count] = i - begin;
		}
		fields.count++;
		begin = i + 1;
	}
	return fields;
}

static bool is_field(const struct fields *fields, size_t index, const char *word)
{
	return fields->count > index && fields->size[index] == strlen(word) &&
	       memcmp(fields->begin[index], word, strlen(word)) == 0;
}

/* Is it absolute, with at least one name, and no name that is "." or ".."? */
static bool is_target(const char *path, size_t size)
{
	if (size == 0 || path[0] != '/')
		return false;
	size_t names = 0, length = 0, dots = 0;
	for (size_t i = 1; i <= size; i++) {
		if (i < size && path[i] != '/') {
			dots += path[i] == '.';
			length++;
			continue;
		}
		if (length > 0 && length <= 2 && dots == length)
			return false;
		/* That is where the executable is. */
		if (names == 0 && length == strlen("plugin") && memcmp(path + i - length, "plugin", length) == 0)
			return false;
		names += length > 0;
		length = dots = 0;
	}
	return names > 0;
}

static bool model_mount(const char *line, size_t size)
{
	struct fields fields = split_fields(line, size);
	size_t from = fields.count > 1 && fields.size[1] > 0 ? 1 : 0;
	if (fields.count > FIELDS_MAX ||
	    (fields.count == 3 && !is_field(&fields, 2, "true") && !is_field(&fields, 2, "false")))
		return false;
	if (fields.size[0] == 0 || fields.begin[0][0] != '/' || memchr(fields.begin[0], '!', fields.size[0]) ||
	    !is_target(fields.begin[from], fields.size[from]) || model.mount_count == MOUNTS_MAX)
		return false;
	model.mount_count++;
	memcpy(model.source, fields.begin[0], fields.size[0]);
	model.source[fields.size[0]] = '\0';
	memcpy(model.target, fields.begin[from], fields.size[from]);
	model.target[fields.size[from]] = '\0';
	model.writable = is_field(&fields, 2, "true");
	return true;
}

static bool number_of(const struct fields *fields, size_t index, uint64_t *out_number)
{
	*out_number = 0;
	for (size_t i = 0; i < fields->size[index]; i++) {
		char c = fields->begin[index][i];
		if (c < '0' || c > '9' || *out_number > UINT32_MAX)
			return false;
		*out_number = *out_number * 10 + (uint64_t)(c - '0');
	}
	return fields->size[index] > 0 && *out_number <= UINT32_MAX;
}

/* Have two runs of numbers one in common? */
static bool meet(uint64_t a, uint64_t a_count, uint64_t b, uint64_t b_count)
{
	uint64_t first = a > b ? a : b;
	return first < a + a_count && first < b + b_count;
}

static size_t count_digits(uint64_t number)
{
	size_t digits = 1;
	for (; number >= 10; number /= 10)
		digits++;
	return digits;
}

/* What the kernel is told: the three numbers, with a blank or a newline behind each. */
static size_t count_bytes(struct plan_id_line line)
{
	return count_digits(line.inner) + count_digits(line.outer) + count_digits(line.count) + 3;
}

static bool model_gid_map(const char *line, size_t size)
{
	struct fields fields = split_fields(line, size);
	uint64_t inner, outer, count = 1;
	if (fields.count > FIELDS_MAX || !number_of(&fields, 0, &inner))
		return false;
	bool has_outer = fields.count > 1 && fields.size[1] > 0;
	if (!number_of(&fields, has_outer, &outer) || (fields.count == 3 && !number_of(&fields, 2, &count)))
		return false;
	if (count == 0 || inner + count > UINT32_MAX || outer + count > UINT32_MAX || meet(inner, count, 1000, 1))
		return false;
	struct plan_id_line added = {(uint32_t)inner, (uint32_t)outer, (uint32_t)count};
	size_t bytes = count_bytes(added);
	for (size_t i = 0; i < model.gid_line_count; i++) {
		const struct plan_id_line *other = &model.gid_lines[i];
		bytes += count_bytes(*other);
		if (meet(inner, count, other->inner, other->count) ||
		    meet(outer, count, other->outer, other->count))
			return false;
	}
	/* With a line of the plugin's own, less than a page. */
	if (model.gid_line_count == JAIL_GID_LINES_MAX || bytes + 18 >= 4096)
		return false;
	model.gid_lines[model.gid_line_count++] = added;
	return true;
}

static bool model_line(uint8_t flags, const char *line, size_t size)
{
	return flags & FLAG_GID_MAP ? model_gid_map(line, size) : model_mount(line, size);
}

/* A comment goes, and blanks around; an empty line is nothing. */
static bool model_file_line(uint8_t flags, const char *line, size_t size)
{
	if (memchr(line, '\0', size))
		return false;
	const char *comment = memchr(line, '#', size);
	if (comment)
		size = (size_t)(comment - line);
	while (size > 0 && (line[0] == ' ' || line[0] == '\t' || line[0] == '\r')) {
		line++;
		size--;
	}
	while (size > 0 && (line[size - 1] == ' ' || line[size - 1] == '\t' || line[size - 1] == '\r'))
		size--;
	return size == 0 || model_line(flags, line, size);
}

/* Returns the number of the first line that is wrong, 0 if all are right. */
static unsigned int model_file(uint8_t flags)
{
	unsigned int number = 1;
	for (const char *line = text; line < text + text_size; number++) {
		const char *end = memchr(line, '\n', (size_t)(text + text_size - line));
		if (!end)
			end = text + text_size;
		if (!model_file_line(flags, line, (size_t)(end - line)))
			return number;
		line = end + 1;
	}
	return 0;
}

static void check_jail(const struct plugvm_jail *jail)
{
	REQUIRE(jail->mount_count == model.mount_count && jail->gid_line_count == model.gid_line_count);
	if (jail->gid_line_count > 0)
		REQUIRE(memcmp(jail->gid_lines, model.gid_lines,
		               jail->gid_line_count * sizeof(model.gid_lines[0])) == 0);
	if (jail->mount_count == 0)
		return;
	const struct jail_mount *last = &jail->mounts[jail->mount_count - 1];
	REQUIRE(strcmp(last->source, model.source) == 0 && strcmp(last->target, model.target) == 0);
	REQUIRE(last->writable == model.writable);
}

static void check_error(const struct plugvm_error *error, int result)
{
	REQUIRE(result == -EINVAL && error->code == EINVAL && error->kind == PLUGVM_ERROR_CONFIG);
	for (const char *c = error->text; *c; c++)
		REQUIRE((unsigned char)*c >= ' ' && *c != 0x7f);
}

MODEL_END

static void parse_file(struct plugvm_jail *jail, uint8_t flags)
{
	struct plugvm_error error = {0};
	unsigned int wrong = model_file(flags);
	int result = flags & FLAG_GID_MAP ? plugvm_jail_read_gid_maps(jail, PATH_OF_FILE, &error)
	                                  : plugvm_jail_read_mounts(jail, PATH_OF_FILE, &error);
	REQUIRE((result < 0) == (wrong > 0));
	if (result == 0)
		return;
	check_error(&error, result);
	unsigned int line;
	REQUIRE(sscanf(error.text, PATH_OF_FILE ":%u: ", &line) == 1 && line == wrong);
}

static void parse_options(struct plugvm_jail *jail, uint8_t flags)
{
	for (char *line = text; line < text + text_size; line += strlen(line) + 1) {
		struct plugvm_error error = {0};
		char *end = strchr(line, '\n');
		if (end)
			*end = '\0';
		bool is_right = model_line(flags, line, strlen(line));
		int result = flags & FLAG_GID_MAP ? plugvm_jail_parse_gid_map(jail, line, &error)
		                                  : plugvm_jail_parse_mount(jail, line, &error);
		REQUIRE((result == 0) == is_right);
		if (result < 0)
			check_error(&error, result);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.data = data, .size = size};
	uint8_t flags = input_byte(&input);
	struct plugvm_jail *jail;
	/* fmemopen() takes no empty file. */
	if (input.size == 0 || input.size > TEXT_MAX)
		return 0;
	memcpy(text, input.data, input.size);
	text[input.size] = '\0';
	text_size = input.size;
	model.mount_count = 0;
	model.gid_line_count = 0;
	REQUIRE(plugvm_jail_new(PLUGVM_JAIL_DEFAULT, &jail, NULL) == 0);
	if (flags & FLAG_FILE)
		parse_file(jail, flags);
	else
		parse_options(jail, flags);
	check_jail(jail);
	plugvm_jail_free(&jail);
	return 0;
}
