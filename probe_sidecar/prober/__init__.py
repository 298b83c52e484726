"""When probes are made and what their results add up to. Knows no socket and no API server."""
