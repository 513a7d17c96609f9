"""A stand-in for Dokobit's Universal API: both surfaces, postbacks, real signatures and containers, fault switches."""

from local.sandbox.dokobit.options import CallbackKnobs, Options
from local.sandbox.dokobit.sandbox import DokobitSandbox

__all__ = ["CallbackKnobs", "DokobitSandbox", "Options"]
