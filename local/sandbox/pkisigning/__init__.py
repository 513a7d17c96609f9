"""A stand-in for the PKIsigning platform: V2, V1, identity server, callbacks, real signatures, fault switches."""

from local.sandbox.pkisigning.options import CallbackKnobs, Options
from local.sandbox.pkisigning.sandbox import PkisigningSandbox

__all__ = ["CallbackKnobs", "Options", "PkisigningSandbox"]
