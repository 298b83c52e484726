"""The ExternalService API, shared by the hook and the sidecar.

Imports pydantic, msgspec and the standard library only: no FastAPI, no httpx, no asyncio, no clock.
"""
