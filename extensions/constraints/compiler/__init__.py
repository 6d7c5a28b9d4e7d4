"""The compiler of rules: patterns, JSON Schemas and grammars into automata over bytes.

It runs as a process of its own (`process.main`): a library that is busy with a hostile expression cannot be
stopped from within, and it may take all memory; a process can be killed. Imports nothing of the program.
"""
