"""Workloads: page contents, access traces, generators, replay and scenarios."""
