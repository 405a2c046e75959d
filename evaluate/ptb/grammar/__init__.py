"""Compiles the tokenizer's grammar into the lexer's table; run only when a rule changes."""
