"""Backends: what holds a page that is out.

Floor 1 of the house. `device` says where bytes live (file or memory), `swapfile` keeps the physical slots on it,
`compressors`, `zsmalloc` and `zswap` keep pages compressed in memory.
"""
