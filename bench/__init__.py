"""Benchmarks: ``python -m bench [SUITE]`` prints a table and writes ``bench/out/SUITE.jsonl``."""
