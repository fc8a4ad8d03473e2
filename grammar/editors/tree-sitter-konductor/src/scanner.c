// Strings and blocks. It imitates `string`, `block` and `hole` of konductor.pest: whether `"""` begins a block, and
// whether `${` begins an interpolation, depends on what comes later. It keeps no state.

#include "tree_sitter/parser.h"

enum Token {
  STRING_START,
  STRING_END,
  STRING_TEXT,
  BLOCK_START,
  BLOCK_END,
  BLOCK_TEXT,
  ESCAPE_SEQUENCE,
  INTERPOLATION_START,
  INNER_NAME,
  // Valid only while the parser recovers from an error, when all others are too.
  ERROR,
};

static void advance(TSLexer *lexer) { lexer->advance(lexer, false); }

static bool found(TSLexer *lexer, enum Token token) {
  lexer->result_symbol = token;
  return true;
}

// Whether `"""` is still to come.
static bool block_is_closed(TSLexer *lexer) {
  unsigned quotes = 0;
  while (!lexer->eof(lexer)) {
    quotes = lexer->lookahead == '"' ? quotes + 1 : 0;
    if (quotes == 3) return true;
    advance(lexer);
  }
  return false;
}

static bool scan_start(TSLexer *lexer) {
  while (lexer->lookahead == ' ' || lexer->lookahead == '\t' || lexer->lookahead == '\n' || lexer->lookahead == '\r' ||
         lexer->lookahead == 0xFEFF) {
    lexer->advance(lexer, true);
  }
  if (lexer->lookahead != '"') return false;
  advance(lexer);
  lexer->mark_end(lexer);
  if (lexer->lookahead != '"') return found(lexer, STRING_START);
  advance(lexer);
  if (lexer->lookahead != '"') return found(lexer, STRING_START);
  advance(lexer);
  return found(lexer, block_is_closed(lexer) ? BLOCK_START : STRING_START);
}

// What follows `${`, up to its `}` on the same line. A block ends before three quotes, wherever they are.
static bool interpolation_is_closed(TSLexer *lexer, bool is_block) {
  if (lexer->lookahead < 'a' || lexer->lookahead > 'z') return false;
  unsigned quotes = 0;
  bool is_quoted = false;
  while (!lexer->eof(lexer) && lexer->lookahead != '\n') {
    int32_t c = lexer->lookahead;
    if (c == '"') {
      is_quoted = !is_quoted;
      quotes++;
      if (is_block && quotes == 3) return false;
    } else {
      quotes = 0;
      if (!is_quoted && c == '}') return true;
      if (!is_quoted && (c == '$' || c == '{')) return false;
    }
    advance(lexer);
  }
  return false;
}

// From a `$` on: `$${`, an interpolation, or text.
static bool scan_dollar(TSLexer *lexer, bool is_block) {
  enum Token text = is_block ? BLOCK_TEXT : STRING_TEXT;
  advance(lexer);
  lexer->mark_end(lexer);
  if (lexer->lookahead == '$') {
    advance(lexer);
    if (lexer->lookahead != '{') return found(lexer, text);
    advance(lexer);
    lexer->mark_end(lexer);
    return found(lexer, ESCAPE_SEQUENCE);
  }
  if (lexer->lookahead != '{') return found(lexer, text);
  advance(lexer);
  lexer->mark_end(lexer);
  return found(lexer, interpolation_is_closed(lexer, is_block) ? INTERPOLATION_START : text);
}

static bool scan_escape(TSLexer *lexer) {
  advance(lexer);
  if (lexer->eof(lexer) || lexer->lookahead == '\n') return false;
  advance(lexer);
  lexer->mark_end(lexer);
  return found(lexer, ESCAPE_SEQUENCE);
}

static bool scan_line(TSLexer *lexer) {
  bool has_text = false;
  for (;;) {
    lexer->mark_end(lexer);
    if (has_text && (lexer->eof(lexer) || lexer->lookahead == '"' || lexer->lookahead == '\\' ||
                     lexer->lookahead == '\n' || lexer->lookahead == '$')) {
      return found(lexer, STRING_TEXT);
    }
    if (lexer->eof(lexer) || lexer->lookahead == '\n') return false;
    if (lexer->lookahead == '$') return scan_dollar(lexer, false);
    if (lexer->lookahead == '\\') return scan_escape(lexer);
    if (lexer->lookahead == '"') {
      advance(lexer);
      lexer->mark_end(lexer);
      return found(lexer, STRING_END);
    }
    advance(lexer);
    has_text = true;
  }
}

static bool scan_block(TSLexer *lexer) {
  bool has_text = false;
  for (;;) {
    lexer->mark_end(lexer);
    if (lexer->eof(lexer)) return has_text && found(lexer, BLOCK_TEXT);
    if (lexer->lookahead == '$') {
      return has_text ? found(lexer, BLOCK_TEXT) : scan_dollar(lexer, true);
    }
    if (lexer->lookahead == '"') {
      unsigned quotes = 0;
      while (quotes < 3 && lexer->lookahead == '"') {
        advance(lexer);
        quotes++;
      }
      if (quotes == 3) {
        if (has_text) return found(lexer, BLOCK_TEXT);
        lexer->mark_end(lexer);
        return found(lexer, BLOCK_END);
      }
      has_text = true;
      continue;
    }
    advance(lexer);
    has_text = true;
  }
}

static bool is_letter(int32_t c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

static bool scan_inner_name(TSLexer *lexer) {
  if (!is_letter(lexer->lookahead)) return false;
  while (is_letter(lexer->lookahead) || (lexer->lookahead >= '0' && lexer->lookahead <= '9') || lexer->lookahead == '-') {
    advance(lexer);
  }
  lexer->mark_end(lexer);
  return found(lexer, INNER_NAME);
}

void *tree_sitter_konductor_external_scanner_create(void) { return NULL; }

void tree_sitter_konductor_external_scanner_destroy(void *payload) { (void)payload; }

unsigned tree_sitter_konductor_external_scanner_serialize(void *payload, char *buffer) {
  (void)payload;
  (void)buffer;
  return 0;
}

void tree_sitter_konductor_external_scanner_deserialize(void *payload, const char *buffer, unsigned length) {
  (void)payload;
  (void)buffer;
  (void)length;
}

bool tree_sitter_konductor_external_scanner_scan(void *payload, TSLexer *lexer, const bool *valid_symbols) {
  (void)payload;
  if (!valid_symbols[ERROR]) {
    if (valid_symbols[BLOCK_TEXT]) return scan_block(lexer);
    if (valid_symbols[STRING_TEXT]) return scan_line(lexer);
    if (valid_symbols[INNER_NAME]) return scan_inner_name(lexer);
  }
  return valid_symbols[STRING_START] && scan_start(lexer);
}
