"""Addresses of the names in spec.hostnames: looked up as often as their TTL allows, kept if a lookup fails."""
