/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policy text cut into tokens.
 */
#include "policy/lexer.h"

#include <string.h>

static const struct {
	char text[3];
	enum token_kind kind;
} symbols[] = {
    /* those of two characters first, so that they win */
    {"&&", TOKEN_AND_AND},    {"||", TOKEN_OR_OR},         {"==", TOKEN_EQUAL},    {"!=", TOKEN_NOT_EQUAL},
    {"<=", TOKEN_LESS_EQUAL}, {">=", TOKEN_GREATER_EQUAL}, {"<", TOKEN_LESS},      {">", TOKEN_GREATER},
    {"&", TOKEN_AMPERSAND},   {"|", TOKEN_PIPE},           {"~", TOKEN_TILDE},     {"(", TOKEN_OPEN},
    {")", TOKEN_CLOSE},       {":", TOKEN_COLON},          {";", TOKEN_SEMICOLON},
};

void lexer_init(struct lexer *lexer, const char *text, size_t size)
{
	*lexer = (struct lexer){.next = text, .end = text + size, .line_start = text, .line = 1};
}

bool token_is(const struct token *token, const char *text)
{
	return token->size == strlen(text) && memcmp(token->text, text, token->size) == 0;
}

/* No <ctype.h>: what a policy means does not depend on the locale. */
static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c);
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* Return the length of a newline that begins at `text`, as here or with a carriage return; 0 if there is none. */
static size_t newline_size(const char *text, const char *end)
{
	if (text < end && *text == '\n')
		return 1;
	return end - text >= 2 && text[0] == '\r' && text[1] == '\n' ? 2 : 0;
}

static void begin_line(struct lexer *lexer, size_t newline)
{
	lexer->next += newline;
	lexer->line_start = lexer->next;
	lexer->line++;
}

/* Make a token of what begins at lexer->next, and go behind it. */
static struct token take(struct lexer *lexer, enum token_kind kind, size_t size)
{
	struct token token = {
	    .kind = kind,
	    .text = lexer->next,
	    .size = size,
	    .line = lexer->line,
	    .column = (uint32_t)(lexer->next - lexer->line_start) + 1,
	};
	lexer->next += size;
	return token;
}

static struct token take_bad(struct lexer *lexer, const char *problem)
{
	struct token token = take(lexer, TOKEN_BAD, 1);
	token.problem = problem;
	return token;
}

/* Skip blanks and continued line ends. */
static void skip_blanks(struct lexer *lexer)
{
	for (;;) {
		while (lexer->next < lexer->end && is_blank(*lexer->next))
			lexer->next++;
		if (lexer->next == lexer->end || *lexer->next != '\\')
			return;
		size_t newline = newline_size(lexer->next + 1, lexer->end);
		if (newline == 0)
			return;
		begin_line(lexer, 1 + newline);
	}
}

/*
 * Skip a comment. False if its line ends in a backslash, with lexer->next there: some would take the next line for a
 * part of the comment and others not, so this is not left to chance.
 */
static bool skip_comment(struct lexer *lexer)
{
	while (lexer->next < lexer->end && *lexer->next != '\n') {
		if (*lexer->next == '\\' && newline_size(lexer->next + 1, lexer->end) > 0)
			return false;
		lexer->next++;
	}
	return true;
}

static size_t word_size(const struct lexer *lexer, size_t from)
{
	size_t left = (size_t)(lexer->end - lexer->next);
	while (from < left && is_word(lexer->next[from]))
		from++;
	return from;
}

struct token lexer_next(struct lexer *lexer)
{
	skip_blanks(lexer);
	if (lexer->next < lexer->end && *lexer->next == '#' && !skip_comment(lexer))
		return take_bad(lexer, "a comment ends with its line and cannot be continued");
	if (lexer->next == lexer->end)
		return take(lexer, TOKEN_END, 0);

	size_t left = (size_t)(lexer->end - lexer->next);
	char first = *lexer->next;
	if (first == '\n') {
		struct token token = take(lexer, TOKEN_NEWLINE, 0);
		begin_line(lexer, 1);
		return token;
	}
	if (is_digit(first) || (first == '-' && left > 1 && is_digit(lexer->next[1])))
		return take(lexer, TOKEN_NUMBER, word_size(lexer, 1));
	if (is_word(first))
		return take(lexer, TOKEN_WORD, word_size(lexer, 1));
	if (first == '@')
		return take(lexer, TOKEN_DIRECTIVE, word_size(lexer, 1));
	for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
		size_t size = strlen(symbols[i].text);
		if (size <= left && memcmp(lexer->next, symbols[i].text, size) == 0)
			return take(lexer, symbols[i].kind, size);
	}
	if (first == '\\')
		return take_bad(lexer, "a backslash must be the last character of its line");
	return take_bad(lexer, "this character has no meaning in a policy");
}

struct token lexer_path(struct lexer *lexer)
{
	skip_blanks(lexer);
	size_t size = 0;
	while (lexer->next + size < lexer->end && !is_blank(lexer->next[size]) && lexer->next[size] != '\n')
		size++;
	return take(lexer, TOKEN_WORD, size);
}
