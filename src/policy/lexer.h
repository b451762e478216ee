/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Policy text cut into tokens, each with its line and column. Reads the caller's text, allocates nothing.
 */
#ifndef PLUGVM_POLICY_LEXER_H
#define PLUGVM_POLICY_LEXER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum token_kind {
	TOKEN_END,     /* of the text; stays */
	TOKEN_NEWLINE, /* one that no backslash continues */
	TOKEN_WORD,
	TOKEN_NUMBER, /* begins like one */
	TOKEN_DIRECTIVE,
	TOKEN_COLON,
	TOKEN_SEMICOLON,
	TOKEN_AND_AND,
	TOKEN_OR_OR,
	TOKEN_OPEN,
	TOKEN_CLOSE,
	TOKEN_PIPE,
	TOKEN_TILDE,
	TOKEN_AMPERSAND,
	TOKEN_EQUAL,
	TOKEN_NOT_EQUAL,
	TOKEN_LESS,
	TOKEN_LESS_EQUAL,
	TOKEN_GREATER,
	TOKEN_GREATER_EQUAL,
	TOKEN_BAD, /* `problem` says why */
};

struct token {
	enum token_kind kind;
	const char *text; /* of the source */
	size_t size;
	uint32_t line, column; /* from 1; a column is a byte */
	const char *problem;   /* a sentence, if bad */
};

struct lexer {
	const char *next, *end, *line_start;
	uint32_t line;
};

void lexer_init(struct lexer *, const char *text, size_t size);

/* Return the next token. */
struct token lexer_next(struct lexer *);

/* Return what follows up to the next blank as one TOKEN_WORD, which is empty at the end of the line. */
struct token lexer_path(struct lexer *);

/* Is the token just this text? */
bool token_is(const struct token *, const char *text);

#endif
