"""A stand-in for Connective eSignatures: API v3 and one call of v3.1, callbacks, signatures, faults."""

from local.sandbox.connective.options import CallbackKnobs, Options
from local.sandbox.connective.sandbox import ConnectiveSandbox

__all__ = ["CallbackKnobs", "ConnectiveSandbox", "Options"]
