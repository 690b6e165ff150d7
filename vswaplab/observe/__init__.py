"""Observe: tracepoints, states, snapshots, and text in the kernel's own formats."""
