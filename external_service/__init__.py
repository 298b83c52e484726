"""The kind ExternalService: its models, the CRD made from them, the rules for publishing addresses.

Shared by the hook and the prober. No IO, no asyncio, no clock: only pydantic and the standard library.
"""
