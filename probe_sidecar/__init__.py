"""The prober: watches ExternalServices, probes their addresses, writes the results into `.status`."""
