"""What a cache format does to K and V: each value quantised and read back, in NumPy, one file per family of formats.

A format is its source's own arithmetic, so that an engine without it can be assayed as if it had it
(docs/design/formats.md says what is exact).
"""
