"""A machine small enough to read: processes, page tables, folios, reclaim, memory cgroups, faults."""
