"""Does a certificate speak for a domain? Labels are compared, never text that merely ends alike."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.x509.oid import NameOID

# Plain ASCII letters, digits and hyphens: embedded NULs, spaces, wildcards inside a name, and every look-alike letter
# from another script stop here, before lower-casing could fold one of them into the real name.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOSTNAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
_LONGEST_NAME = 253


def is_usable_suffix(suffix: str) -> bool:
    return suffix == suffix.lower() and _HOSTNAME.fullmatch(suffix) is not None


def certificate_names(certificate: x509.Certificate) -> tuple[str, ...]:
    """The DNS names of the SAN; the subject's common names only when there is no SAN at all (spec pkisigning 3.3).

    Raises ValueError when the certificate's extensions cannot be read.
    """
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        return tuple(name.value for name in names if isinstance(name.value, str))
    return tuple(san.get_values_for_type(x509.DNSName))


def matching_suffix(names: Iterable[str], suffixes: Sequence[str]) -> str | None:
    """The first suffix that one of `names` equals or lies below, on a label boundary."""
    for name in names:
        hostname = _hostname(name)
        for suffix in suffixes:
            if hostname is not None and (hostname == suffix or hostname.endswith("." + suffix)):
                return suffix
    return None


def _hostname(name: str) -> str | None:
    bare = name.removesuffix(".").removeprefix("*.")
    if len(bare) > _LONGEST_NAME or _HOSTNAME.fullmatch(bare) is None:
        return None
    return bare.lower()
