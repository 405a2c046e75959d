"""Heads that answer or caption from stored image features; torch is all they need."""
