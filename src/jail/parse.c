/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the operator writes about mounts and gid maps, in options and in files. Everything is checked before anything is
 * started.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "jail/jail.h"

#define FIELDS_MAX 3

typedef int parse_fn(struct plugvm_jail *, const char *where, const char *text, struct plugvm_error *out_error);

static int refuse(struct plugvm_error *out_error, const char *where, const char *text, const char *why)
{
	return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "%s: '%s': %s", where, text, why);
}

/* Split a copy of the text at its colons, in place; returns how many fields there are, or 0 if too many. */
static size_t split(char *copy, const char *out_fields[FIELDS_MAX])
{
	size_t count = 0;
	for (char *rest = copy; rest;) {
		if (count == FIELDS_MAX)
			return 0;
		out_fields[count++] = strsep(&rest, ":");
	}
	return count;
}

/* ---- Mounts: SOURCE[:[TARGET][:true|false]] ---- */

/* Add it, and say in a refusal where it was written. */
static int add_mount(struct plugvm_jail *jail, const char *where, const char *text, const char *source,
                     const char *target, bool writable, struct plugvm_error *out_error)
{
	struct plugvm_error error;
	int result = plugvm_jail_mount(jail, source, target, writable, &error);
	return result < 0 ? error_set_plain(out_error, error.kind, error.code, "%s: '%.100s': %.100s", where, text,
	                                    error.text)
	                  : 0;
}

int parse_mount(struct plugvm_jail *jail, const char *where, const char *text, struct plugvm_error *out_error)
{
	const char *fields[FIELDS_MAX];
	char *copy = strdup(text);
	if (!copy)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "%s", where);
	size_t count = split(copy, fields);
	const char *source = fields[0];
	const char *target = count > 1 && fields[1][0] ? fields[1] : source;
	int result;
	if (count == 0)
		result = refuse(out_error, where, text, "at most SOURCE:TARGET:WRITABLE");
	else if (count == 3 && strcmp(fields[2], "true") != 0 && strcmp(fields[2], "false") != 0)
		result = refuse(out_error, where, text, "what says whether it is writable is true or false");
	else
		result = add_mount(jail, where, text, source, target, count == 3 && strcmp(fields[2], "true") == 0,
		                   out_error);
	free(copy);
	return result;
}

/* ---- Gid maps: INNER[:[OUTER][:COUNT]] ---- */

static bool parse_u32(const char *text, uint32_t *out_number)
{
	uint64_t number = 0;
	for (const char *c = text; *c; c++) {
		if (*c < '0' || *c > '9')
			return false;
		number = number * 10 + (uint64_t)(*c - '0');
		if (number > UINT32_MAX)
			return false;
	}
	*out_number = (uint32_t)number;
	return text[0] != '\0';
}

static bool overlaps(uint32_t first, uint32_t count, uint32_t other, uint32_t other_count)
{
	return first < (uint64_t)other + other_count && other < (uint64_t)first + count;
}

static size_t gid_line_bytes(const struct plan_id_line *line)
{
	return (size_t)snprintf(NULL, 0, "%u %u %u\n", line->inner, line->outer, line->count);
}

static const char *add_gid_line(struct plugvm_jail *jail, struct plan_id_line line)
{
	/* The last number means "none" to the kernel. */
	if (line.count == 0 || (uint64_t)line.inner + line.count > UINT32_MAX ||
	    (uint64_t)line.outer + line.count > UINT32_MAX)
		return "there are not that many gids";
	if (overlaps(line.inner, line.count, JAIL_GID, 1))
		return "inside, gid 1000 is the plugin's own";
	size_t bytes = gid_line_bytes(&line);
	for (size_t i = 0; i < jail->gid_line_count; i++) {
		const struct plan_id_line *other = &jail->gid_lines[i];
		bytes += gid_line_bytes(other);
		if (overlaps(line.inner, line.count, other->inner, other->count) ||
		    overlaps(line.outer, line.count, other->outer, other->count))
			return "it overlaps another one";
	}
	if (jail->gid_line_count == JAIL_GID_LINES_MAX || bytes > JAIL_GID_BYTES_MAX)
		return "too many gid maps";
	struct plan_id_line *grown = realloc(jail->gid_lines,
	                                     (jail->gid_line_count + 1) * sizeof(jail->gid_lines[0]));
	if (!grown)
		return "out of memory";
	jail->gid_lines = grown;
	jail->gid_lines[jail->gid_line_count++] = line;
	return NULL;
}

int parse_gid_map(struct plugvm_jail *jail, const char *where, const char *text, struct plugvm_error *out_error)
{
	const char *fields[FIELDS_MAX];
	char *copy = strdup(text);
	if (!copy)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "%s", where);
	size_t count = split(copy, fields);
	struct plan_id_line line = {.count = 1};
	const char *wrong = NULL;
	if (count == 0)
		wrong = "at most INNER:OUTER:COUNT";
	else if (!parse_u32(fields[0], &line.inner) ||
	         !parse_u32(count > 1 && fields[1][0] ? fields[1] : fields[0], &line.outer) ||
	         (count == 3 && !parse_u32(fields[2], &line.count)))
		wrong = "gids and counts are decimal numbers below 4294967296";
	else
		wrong = add_gid_line(jail, line);
	free(copy);
	return wrong ? refuse(out_error, where, text, wrong) : 0;
}

/* ---- Files of either: one per line, '#' begins a comment ---- */

static char *trim(char *line)
{
	line[strcspn(line, "#\n")] = '\0';
	line += strspn(line, " \t\r");
	size_t length = strlen(line);
	while (length > 0 && strchr(" \t\r", line[length - 1]))
		line[--length] = '\0';
	return line;
}

static int read_lines(struct plugvm_jail *jail, const char *path, parse_fn *parse, struct plugvm_error *out_error)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, errno, "%s", path);
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	int result = 0;
	for (unsigned number = 1; result == 0 && (length = getline(&line, &capacity, file)) >= 0; number++) {
		char where[128];
		snprintf(where, sizeof(where), "%.100s:%u", path, number);
		if (strlen(line) != (size_t)length) {
			result = error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "%s: a zero byte", where);
			break;
		}
		const char *text = trim(line);
		if (text[0])
			result = parse(jail, where, text, out_error);
	}
	if (result == 0 && ferror(file))
		result = error_set(out_error, PLUGVM_ERROR_CONFIG, errno ? errno : EIO, "%s", path);
	free(line);
	fclose(file);
	return result;
}

/* ---- The public functions ---- */

int plugvm_jail_parse_mount(struct plugvm_jail *jail, const char *text, struct plugvm_error *out_error)
{
	return parse_mount(jail, "--plugin-mount", text, out_error);
}

int plugvm_jail_read_mounts(struct plugvm_jail *jail, const char *path, struct plugvm_error *out_error)
{
	return read_lines(jail, path, parse_mount, out_error);
}

int plugvm_jail_parse_gid_map(struct plugvm_jail *jail, const char *text, struct plugvm_error *out_error)
{
	return parse_gid_map(jail, "--plugin-gid-map", text, out_error);
}

int plugvm_jail_read_gid_maps(struct plugvm_jail *jail, const char *path, struct plugvm_error *out_error)
{
	return read_lines(jail, path, parse_gid_map, out_error);
}
