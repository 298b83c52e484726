"""The parts of the composite controller's stand-in: its configuration, caches, queue, hook call, apply and events."""
