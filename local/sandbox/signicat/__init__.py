"""A stand-in for Signicat's Sign API v1: tokens, uploads, orders, packaging, notifications, real signatures, faults."""

from local.sandbox.signicat.options import CallbackKnobs, Options
from local.sandbox.signicat.sandbox import SignicatSandbox

__all__ = ["CallbackKnobs", "Options", "SignicatSandbox"]
