"""The parts of the stand-in for Metacontroller: configuration, caches, queue, hook call, apply and events."""
