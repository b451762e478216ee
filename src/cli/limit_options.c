/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The option --limit of `plugvm run`.
 */
#include "cli/limit_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

/* Parse digits that must be there. Returns what follows them, or NULL. */
static const char *parse_digits(const char *text, uint64_t *out_number)
{
	char *end;
	errno = 0;
	*out_number = strtoull(text, &end, 10);
	/* It takes signs and blanks too. */
	return text[0] >= '0' && text[0] <= '9' && errno == 0 ? end : NULL;
}

static bool parse_count(const char *text, uint64_t *out_count)
{
	const char *end = parse_digits(text, out_count);
	return end && !*end;
}

static bool parse_size(const char *text, uint64_t *out_bytes)
{
	static const char units[] = "KMGT";
	const char *end = parse_digits(text, out_bytes);
	if (!end)
		return false;
	if (!*end)
		return true;
	/* A small letter too. */
	const char *unit = *end >= 'A' ? strchr(units, *end & ~0x20) : NULL;
	unsigned shift = unit ? 10 * (unsigned)(unit - units + 1) : 0;
	if (!unit || end[1] || *out_bytes > UINT64_MAX >> shift)
		return false;
	*out_bytes <<= shift;
	return true;
}

/* "50%" and "0.5" are the same; two digits are all that the kernel takes. */
static bool parse_share(const char *text, uint64_t *out_percent)
{
	uint64_t fraction = 0;
	const char *end = parse_digits(text, out_percent);
	if (!end || *out_percent > UINT32_MAX)
		return false;
	if (strcmp(end, "%") == 0)
		return true;
	*out_percent *= 100;
	if (!*end)
		return true;
	const char *last = *end == '.' ? parse_digits(end + 1, &fraction) : NULL;
	if (!last || *last || last - end > 3)
		return false;
	*out_percent += last - end == 2 ? 10 * fraction : fraction;
	return true;
}

static const struct {
	const char *name;
	bool (*parse)(const char *text, uint64_t *out_value);
	const char *takes;
} kinds[PLUGVM_LIMIT_COUNT] = {
    [PLUGVM_LIMIT_MEMORY] = {"memory", parse_size, "a size, such as 512M (K, M, G and T are powers of 1024)"},
    [PLUGVM_LIMIT_PIDS] = {"pids", parse_count, "a number"},
    [PLUGVM_LIMIT_FDS] = {"fds", parse_count, "a number"},
    [PLUGVM_LIMIT_CPU] = {"cpu", parse_share,
                          "a share of a CPU, such as 0.5 or 50%, or of two, such as 2; whole percents"},
};

static int refuse(struct plugvm_error *out_error, const char *word, const char *why, const char *more)
{
	return error_set_plain(out_error, PLUGVM_ERROR_CONFIG, EINVAL, "--limit %s: %s%s", word, why, more);
}

static int add_word(struct limit_options *limits, const char *word, struct plugvm_error *out_error)
{
	size_t length = strcspn(word, "=");
	for (size_t i = 0; i < PLUGVM_LIMIT_COUNT && word[length]; i++) {
		if (strlen(kinds[i].name) != length || strncmp(word, kinds[i].name, length) != 0)
			continue;
		if (!kinds[i].parse(word + length + 1, &limits->values[i]))
			return refuse(out_error, word, "it takes ", kinds[i].takes);
		if (limits->values[i] == 0)
			return refuse(out_error, word, "it cannot be zero", "");
		return 0;
	}
	return refuse(out_error, word, "it takes memory=SIZE, pids=N, fds=N and cpu=SHARE", "");
}

int limit_options_add(struct limit_options *limits, const char *text, struct plugvm_error *out_error)
{
	char *copy = strdup(text);
	if (!copy)
		return error_set(out_error, PLUGVM_ERROR_ENVIRONMENT, ENOMEM, "--limit");
	int result = 0;
	char *rest = copy;
	do {
		result = add_word(limits, strsep(&rest, ","), out_error);
	} while (rest && result == 0);
	free(copy);
	return result;
}

int limit_options_apply(const struct limit_options *limits, struct plugvm_jail *jail,
                        struct plugvm_error *out_error)
{
	for (size_t i = 0; i < PLUGVM_LIMIT_COUNT; i++) {
		struct plugvm_error error;
		if (limits->values[i] == 0)
			continue;
		if (!jail)
			return refuse(out_error, kinds[i].name, "it limits a jailed plugin, and there is no jail",
			              "");
		int result = plugvm_jail_set_limit(jail, (enum plugvm_jail_limit)i, limits->values[i], &error);
		if (result < 0)
			return refuse(out_error, kinds[i].name, error.text, "");
	}
	/* This process has one VM, and guest memory is as much this process's as the plugin's. */
	if (limits->values[PLUGVM_LIMIT_MEMORY])
		plugvm_jail_limit_host(jail);
	return 0;
}
