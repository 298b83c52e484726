"""An in-process Kubernetes API on a loopback socket: the stand-in of the playground and of the tests.

It is as real as the sidecar, Metacontroller's stand-in and kubectl can tell; what it leaves out is in ADR 17.
"""

from playground.apiserver.server import FakeApiServer

__all__ = ["FakeApiServer"]
