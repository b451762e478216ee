/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The parser of policies: recursive descent, one token ahead. Functions return 0, or -errno with the error filled.
 */
#include "policy/policy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "policy/constants.h"
#include "policy/lexer.h"
#include "policy/syscalls.h"

/* What may begin or end a message: the end of a long file name, the beginning of a long word. */
#define SHOWN_NAME (POLICY_NAME_MAX - 1)
#define SHOWN_WORD 40

/* An errno that a filter can return, as the kernel has it (MAX_ERRNO). */
#define ERROR_MAX 4095

struct parser {
	struct policy *policy;
	struct plugvm_error *out_error;
	struct lexer lexer;
	struct token token; /* the next one */
	bool may_include;
	uint32_t file; /* that is being parsed */
	uint32_t file_count;
	const char *files[LIMIT_POLICY_FILES]; /* their names; all but the first are ours */
};

/* ---- Errors ---- */

/* Return the part of a file's name that is shown: its end. */
static const char *shown_name(const char *name)
{
	size_t size = strlen(name);
	return size > SHOWN_NAME ? name + size - SHOWN_NAME : name;
}

static int fail_at(struct parser *parser, const struct token *token, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int fail_at(struct parser *parser, const struct token *token, const char *format, ...)
{
	char text[sizeof(parser->out_error->text)];
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return error_set_plain(parser->out_error, PLUGVM_ERROR_CONFIG, EINVAL, "%s:%u:%u: %s",
	                       shown_name(parser->files[parser->file]), token->line, token->column, text);
}

/* What to print a token with: "%.*s". */
#define SHOWN(token) (int)((token)->size < SHOWN_WORD ? (token)->size : SHOWN_WORD), (token)->text

static int fail_expected(struct parser *parser, const char *what)
{
	const struct token *token = &parser->token;
	switch ((int)token->kind) {
	case TOKEN_BAD:
		return fail_at(parser, token, "%s", token->problem);
	case TOKEN_END:
	case TOKEN_NEWLINE:
		return fail_at(parser, token, "the rule ends where %s should be", what);
	default:
		return fail_at(parser, token, "'%.*s' where %s should be", SHOWN(token), what);
	}
}

/* ---- Tokens ---- */

static void advance(struct parser *parser)
{
	parser->token = lexer_next(&parser->lexer);
}

static bool accept(struct parser *parser, enum token_kind kind)
{
	if (parser->token.kind != kind)
		return false;
	advance(parser);
	return true;
}

static bool accept_word(struct parser *parser, const char *word)
{
	if (parser->token.kind != TOKEN_WORD || !token_is(&parser->token, word))
		return false;
	advance(parser);
	return true;
}

/* ---- Values ---- */

static int digit_of(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 16;
}

/* Cut "0x" and the like from the beginning of *text, and return the base of the number behind it. */
static unsigned int take_base(const char **text, const char *end)
{
	if (end - *text < 2 || **text != '0')
		return 10;
	char mark = (*text)[1];
	bool is_octal = mark == 'o' || mark == 'O';
	if (is_octal || mark == 'x' || mark == 'X') {
		*text += 2;
		return is_octal ? 8 : 16;
	}
	*text += 1;
	return 8;
}

static int parse_number(struct parser *parser, uint64_t *out_value)
{
	const struct token *token = &parser->token;
	const char *next = token->text, *end = token->text + token->size;
	bool is_negative = *next == '-';
	next += is_negative;
	unsigned int base = take_base(&next, end);
	if (next == end)
		return fail_at(parser, token, "'%.*s' is no number", SHOWN(token));
	uint64_t value = 0;
	for (; next < end; next++) {
		unsigned int digit = (unsigned int)digit_of(*next);
		if (digit >= base)
			return fail_at(parser, token, "'%.*s' is no number", SHOWN(token));
		if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value))
			return fail_at(parser, token, "'%.*s' does not fit 64 bits", SHOWN(token));
	}
	if (is_negative && value > (uint64_t)INT64_MAX + 1)
		return fail_at(parser, token, "'%.*s' does not fit 64 bits", SHOWN(token));
	*out_value = is_negative ? -value : value;
	advance(parser);
	return 0;
}

static int parse_constant(struct parser *parser, uint64_t *out_value)
{
	const struct token *token = &parser->token;
	if (!constants_find(token->text, token->size, out_value))
		return fail_at(parser, token, "there is no constant '%.*s'", SHOWN(token));
	advance(parser);
	return 0;
}

static int parse_value(struct parser *parser, unsigned int depth, uint64_t *out_value);

/* A number, a constant, or a value in parentheses, and any number of `~` before it. */
static int parse_single_value(struct parser *parser, unsigned int depth, uint64_t *out_value)
{
	bool is_inverted = false;
	while (accept(parser, TOKEN_TILDE))
		is_inverted = !is_inverted;
	struct token first = parser->token;
	int result;
	if (first.kind == TOKEN_NUMBER) {
		result = parse_number(parser, out_value);
	} else if (first.kind == TOKEN_WORD) {
		result = parse_constant(parser, out_value);
	} else if (accept(parser, TOKEN_OPEN)) {
		if (depth == LIMIT_POLICY_DEPTH)
			return fail_at(parser, &first, "more than %d parentheses within each other",
			               LIMIT_POLICY_DEPTH);
		result = parse_value(parser, depth + 1, out_value);
		if (result == 0 && !accept(parser, TOKEN_CLOSE))
			return fail_expected(parser, "')'");
	} else {
		return fail_expected(parser, "a value");
	}
	if (result == 0 && is_inverted)
		*out_value = ~*out_value;
	return result;
}

static int parse_value(struct parser *parser, unsigned int depth, uint64_t *out_value)
{
	*out_value = 0;
	do {
		uint64_t value = 0;
		int result = parse_single_value(parser, depth, &value);
		if (result < 0)
			return result;
		*out_value |= value;
	} while (accept(parser, TOKEN_PIPE));
	return 0;
}

/* ---- Expressions ---- */

static int parse_argument(struct parser *parser, const struct policy_rule *rule, struct policy_comparison *out)
{
	const struct token *token = &parser->token;
	if (token->kind != TOKEN_WORD)
		return fail_expected(parser, "an argument, arg0 to arg5,");
	if (token->size != 4 || memcmp(token->text, "arg", 3) != 0 || token->text[3] < '0' || token->text[3] > '5')
		return fail_at(parser, token, "'%.*s' is no argument; there are arg0 to arg5", SHOWN(token));
	out->argument = (uint8_t)(token->text[3] - '0');
	unsigned int bits = syscalls_argument_bits(rule->number, out->argument);
	int count = syscalls_argument_count(rule->number);
	if (count < 0)
		return fail_at(parser, token, "the arguments of system call %d are not known", rule->number);
	if (bits == 0)
		return fail_at(parser, token, "this system call has only %d argument%s", count,
		               count == 1 ? "" : "s");
	out->bits = (uint8_t)bits;
	advance(parser);
	return 0;
}

static int parse_operator(struct parser *parser, enum policy_operator *out_op)
{
	static const struct {
		enum token_kind token;
		enum policy_operator op;
	} operators[] = {
	    {TOKEN_EQUAL, POLICY_EQUAL},       {TOKEN_NOT_EQUAL, POLICY_NOT_EQUAL},
	    {TOKEN_LESS, POLICY_LESS},         {TOKEN_LESS_EQUAL, POLICY_LESS_EQUAL},
	    {TOKEN_GREATER, POLICY_GREATER},   {TOKEN_GREATER_EQUAL, POLICY_GREATER_EQUAL},
	    {TOKEN_AMPERSAND, POLICY_ANY_BIT},
	};
	if (accept_word(parser, "in")) {
		*out_op = POLICY_ONLY_BITS;
		return 0;
	}
	for (size_t i = 0; i < sizeof(operators) / sizeof(operators[0]); i++) {
		if (accept(parser, operators[i].token)) {
			*out_op = operators[i].op;
			return 0;
		}
	}
	return fail_expected(parser, "a comparison (== != < <= > >= & in)");
}

/* "always" or "never" if the comparison is true or false of every argument, else NULL. `top`: the highest value. */
static const char *foregone(const struct policy_comparison *comparison, uint64_t top)
{
	switch (comparison->op) {
	case POLICY_LESS:
	case POLICY_ANY_BIT:
		return comparison->value == 0 ? "never" : NULL;
	case POLICY_GREATER:
		return comparison->value == top ? "never" : NULL;
	case POLICY_GREATER_EQUAL:
		return comparison->value == 0 ? "always" : NULL;
	case POLICY_LESS_EQUAL:
	case POLICY_ONLY_BITS:
		return comparison->value == top ? "always" : NULL;
	case POLICY_EQUAL:
	case POLICY_NOT_EQUAL:
		break;
	}
	return NULL;
}

static int parse_comparison(struct parser *parser, const struct policy_rule *rule)
{
	struct policy *policy = parser->policy;
	struct token start = parser->token;
	if (policy->comparison_count == LIMIT_POLICY_COMPARISONS)
		return fail_at(parser, &start, "more than %d comparisons in a policy", LIMIT_POLICY_COMPARISONS);
	struct policy_comparison comparison = {.bits = 64};
	int result = parse_argument(parser, rule, &comparison);
	if (result == 0)
		result = parse_operator(parser, &comparison.op);
	struct token value = parser->token;
	if (result == 0)
		result = parse_value(parser, 0, &comparison.value);
	if (result < 0)
		return result;

	/* The kernel looks at the lower half of an int, so what is above may only be its sign, or the rest of a `~`. */
	uint64_t top = UINT64_MAX >> (64 - comparison.bits);
	uint64_t above = comparison.value & ~top;
	if (above != 0 && above != ~top)
		return fail_at(parser, &value, "0x%llx does not fit arg%d, which is %d bits wide",
		               (unsigned long long)comparison.value, comparison.argument, comparison.bits);
	comparison.value &= top;
	const char *always = foregone(&comparison, top);
	if (always)
		return fail_at(parser, &start, "this is %s true", always);
	policy->comparisons[policy->comparison_count++] = comparison;
	return 0;
}

static int parse_expression(struct parser *parser, struct policy_rule *rule)
{
	struct policy *policy = parser->policy;
	rule->kind = POLICY_WHEN;
	rule->first = policy->comparison_count;
	for (;;) {
		int result = parse_comparison(parser, rule);
		if (result < 0)
			return result;
		if (accept(parser, TOKEN_AND_AND))
			continue;
		policy->comparisons[policy->comparison_count - 1].ends_group = true;
		if (!accept(parser, TOKEN_OR_OR))
			break;
	}
	rule->count = policy->comparison_count - rule->first;
	return 0;
}

/* ---- Rules ---- */

/* What comes behind `return`. Names of errors are the constants that begin with E and have no underscore. */
static int parse_error(struct parser *parser, struct policy_rule *rule)
{
	struct token token = parser->token;
	uint64_t value = 0;
	int result;
	if (token.kind == TOKEN_WORD && (token.text[0] != 'E' || memchr(token.text, '_', token.size)))
		return fail_at(parser, &token, "'%.*s' is no errno", SHOWN(&token));
	if (token.kind == TOKEN_WORD)
		result = parse_constant(parser, &value);
	else if (token.kind == TOKEN_NUMBER)
		result = parse_number(parser, &value);
	else
		result = fail_expected(parser, "an errno");
	if (result < 0)
		return result;
	if (value == 0 || value > ERROR_MAX)
		return fail_at(parser, &token, "an errno is 1 to %d", ERROR_MAX);
	rule->error = (int)value;
	return 0;
}

/* `1`, or an expression, or `return`, or the latter two with a semicolon between them. */
static int parse_body(struct parser *parser, struct policy_rule *rule)
{
	struct token start = parser->token;
	int result = 0;
	if (accept_word(parser, "return")) {
		rule->kind = POLICY_NEVER;
		return parse_error(parser, rule);
	}
	if (syscalls_is_never(rule->number))
		return fail_at(parser, &start,
		               "no policy can allow this system call; 'return ERRNO' can refuse it");
	if (start.kind == TOKEN_NUMBER && token_is(&start, "1")) {
		rule->kind = POLICY_ALLOW;
		advance(parser);
	} else {
		result = parse_expression(parser, rule);
	}
	struct token semicolon = parser->token;
	if (result < 0 || !accept(parser, TOKEN_SEMICOLON))
		return result;
	if (rule->kind == POLICY_ALLOW)
		return fail_at(parser, &semicolon, "'1' allows every call, so nothing can follow it");
	if (!accept_word(parser, "return"))
		return fail_expected(parser, "'return'");
	return parse_error(parser, rule);
}

static int parse_call(struct parser *parser, struct policy_rule *rule)
{
	struct token token = parser->token;
	if (token.kind == TOKEN_NUMBER) {
		uint64_t number = 0;
		int result = parse_number(parser, &number);
		if (result < 0)
			return result;
		if (number >= SYSCALLS_NUMBER_END)
			return fail_at(parser, &token, "x86-64 has no system call %.*s", SHOWN(&token));
		rule->number = (int)number;
		return 0;
	}
	char name[SHOWN_WORD] = "";
	if (token.size < sizeof(name))
		memcpy(name, token.text, token.size);
	rule->number = syscalls_number(name);
	if (rule->number < 0 || rule->number >= SYSCALLS_NUMBER_END)
		return fail_at(parser, &token, "x86-64 has no system call '%.*s'", SHOWN(&token));
	advance(parser);
	return 0;
}

static int parse_rule(struct parser *parser)
{
	struct policy *policy = parser->policy;
	struct token start = parser->token;
	struct policy_rule rule = {.file = parser->file, .line = start.line};
	int result = parse_call(parser, &rule);
	if (result < 0)
		return result;
	const struct policy_rule *other = policy_find(policy, rule.number);
	if (other)
		return fail_at(parser, &start, "a second rule for '%.*s'; the first is in %s:%u", SHOWN(&start),
		               shown_name(parser->files[other->file]), other->line);
	if (policy->rule_count == LIMIT_POLICY_RULES)
		return fail_at(parser, &start, "more than %d rules", LIMIT_POLICY_RULES);
	if (!accept(parser, TOKEN_COLON))
		return fail_expected(parser, "':'");
	result = parse_body(parser, &rule);
	if (result < 0)
		return result;
	if (parser->token.kind != TOKEN_NEWLINE && parser->token.kind != TOKEN_END)
		return fail_expected(parser, "the end of the line");
	policy->rules[policy->rule_count++] = rule;
	return 0;
}

/* ---- Files ---- */

static int parse_text(struct parser *parser, const char *text, size_t size);

/* Read a whole file of at most LIMIT_POLICY_BYTES; free *out_text. Returns -errno: -EFBIG, -EINVAL for no file. */
static int read_file(const char *path, char **out_text, size_t *out_size)
{
	/* Not blocked by a fifo, and no device is touched. */
	FD_AUTO fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat stat;
	if (fd < 0 || fstat(fd, &stat) < 0)
		return -errno;
	if (!S_ISREG(stat.st_mode))
		return S_ISDIR(stat.st_mode) ? -EISDIR : -EINVAL;
	char *text = malloc(LIMIT_POLICY_BYTES + 1);
	if (!text)
		return -ENOMEM;
	size_t size = 0;
	ssize_t got = 1;
	while (size <= LIMIT_POLICY_BYTES && got > 0) {
		got = read(fd, text + size, LIMIT_POLICY_BYTES + 1 - size);
		size += got > 0 ? (size_t)got : 0;
	}
	int result = got < 0 ? -errno : size > LIMIT_POLICY_BYTES ? -EFBIG : 0;
	if (result < 0) {
		free(text);
		return result;
	}
	*out_text = text;
	*out_size = size;
	return 0;
}

/* Return the name of an included file, to be freed: absolute, or beside the file that includes it. */
static char *included_name(const char *includer, const struct token *path)
{
	const char *slash = path->text[0] == '.' ? strrchr(includer, '/') : NULL;
	size_t directory = slash ? (size_t)(slash + 1 - includer) : 0;
	char *name = NULL;
	if (asprintf(&name, "%.*s%.*s", (int)directory, includer, (int)path->size, path->text) < 0)
		return NULL;
	return name;
}

static int parse_directive(struct parser *parser)
{
	struct token directive = parser->token;
	if (!token_is(&directive, "@include"))
		return fail_at(parser, &directive, "there is no directive '%.*s'", SHOWN(&directive));
	struct token path = lexer_path(&parser->lexer);
	if (parser->file != 0)
		return fail_at(parser, &directive, "an included file cannot include another");
	if (!parser->may_include)
		return fail_at(parser, &directive, "this policy is no file, so it cannot include one");
	bool is_absolute = path.size > 1 && path.text[0] == '/';
	if ((!is_absolute && (path.size < 3 || memcmp(path.text, "./", 2) != 0)) ||
	    memchr(path.text, '\0', path.size))
		return fail_at(parser, &path, "@include takes a path that begins with / or ./");
	advance(parser);
	if (parser->token.kind != TOKEN_NEWLINE && parser->token.kind != TOKEN_END)
		return fail_expected(parser, "the end of the line");
	if (parser->file_count == LIMIT_POLICY_FILES)
		return fail_at(parser, &directive, "more than %d files in a policy", LIMIT_POLICY_FILES);

	char *name = included_name(parser->files[0], &path);
	char *text = NULL;
	size_t size = 0;
	int result = name ? read_file(name, &text, &size) : -ENOMEM;
	if (result < 0) {
		result = fail_at(parser, &path, "cannot read this: %s (%s)", strerrordesc_np(-result),
		                 error_name(-result));
		free(name);
		return result;
	}
	struct lexer includer = parser->lexer;
	struct token after = parser->token;
	parser->file = parser->file_count++;
	parser->files[parser->file] = name;
	result = parse_text(parser, text, size);
	free(text);
	parser->file = 0;
	parser->lexer = includer;
	parser->token = after;
	return result;
}

static int parse_text(struct parser *parser, const char *text, size_t size)
{
	lexer_init(&parser->lexer, text, size);
	advance(parser);
	int result = 0;
	char *name = parser->policy->files[parser->file];
	snprintf(name, POLICY_NAME_MAX, "%s", shown_name(parser->files[parser->file]));
	while (result == 0 && parser->token.kind != TOKEN_END) {
		if (parser->token.kind == TOKEN_DIRECTIVE)
			result = parse_directive(parser);
		else if (parser->token.kind == TOKEN_WORD || parser->token.kind == TOKEN_NUMBER)
			result = parse_rule(parser);
		else if (!accept(parser, TOKEN_NEWLINE))
			result = fail_expected(parser, "the name or number of a system call");
	}
	return result;
}

static int parse_all(struct parser *parser, const char *text, size_t size)
{
	parser->policy->rule_count = parser->policy->comparison_count = 0;
	parser->file_count = 1;
	int result = parse_text(parser, text, size);
	while (parser->file_count > 1)
		free((char *)parser->files[--parser->file_count]);
	return result;
}

int policy_parse(const char *name, const char *text, size_t size, struct policy *out_policy,
                 struct plugvm_error *out_error)
{
	struct parser parser = {.policy = out_policy, .out_error = out_error, .files = {name}};
	return parse_all(&parser, text, size);
}

int policy_load(const char *path, struct policy *out_policy, struct plugvm_error *out_error)
{
	char *text = NULL;
	size_t size = 0;
	int result = read_file(path, &text, &size);
	if (result < 0)
		return error_set(out_error, PLUGVM_ERROR_CONFIG, -result, "policy %s", shown_name(path));
	struct parser parser = {
	    .policy = out_policy, .out_error = out_error, .may_include = true, .files = {path}};
	result = parse_all(&parser, text, size);
	free(text);
	return result;
}

const struct policy_rule *policy_find(const struct policy *policy, int number)
{
	for (uint32_t i = 0; i < policy->rule_count; i++) {
		if (policy->rules[i].number == number)
			return &policy->rules[i];
	}
	return NULL;
}

bool policy_holds(const struct policy_comparison *comparison, uint64_t value)
{
	const uint64_t against = comparison->value;
	switch (comparison->op) {
	case POLICY_EQUAL:
		return value == against;
	case POLICY_NOT_EQUAL:
		return value != against;
	case POLICY_LESS:
		return value < against;
	case POLICY_LESS_EQUAL:
		return value <= against;
	case POLICY_GREATER:
		return value > against;
	case POLICY_GREATER_EQUAL:
		return value >= against;
	case POLICY_ANY_BIT:
		return (value & against) != 0;
	case POLICY_ONLY_BITS:
		return (value & ~against) == 0;
	}
	return false;
}
