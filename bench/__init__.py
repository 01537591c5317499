"""Benchmarks: every figure of docs/benchmarks.md is written by a command in here."""
