"""Promises that anyone can run: each takes a Cluster, so that the same code judges the playground and a real one."""
