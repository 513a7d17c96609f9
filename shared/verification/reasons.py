"""Why a callback was refused: every word that verification can give, and the status that goes with it.

The words are for the log field and the counter; renaming one breaks somebody's dashboard.
"""

from __future__ import annotations

from enum import StrEnum

from shared.domain.errors import VerificationFailed


class Reason(StrEnum):
    # 1 body
    BODY_MISSING = "body_missing"
    BODY_TOO_LARGE = "body_too_large"
    # 2 headers
    HEADER_MISSING = "header_missing"
    HEADER_EMPTY = "header_empty"
    HEADER_REPEATED = "header_repeated"
    HEADER_TOO_LARGE = "header_too_large"
    # 3 timestamp
    TIMESTAMP_MALFORMED = "timestamp_malformed"
    TIMESTAMP_TOO_OLD = "timestamp_too_old"
    TIMESTAMP_IN_FUTURE = "timestamp_in_future"
    # 4 encodings
    SIGNATURE_MALFORMED = "signature_malformed"
    CONTAINER_MALFORMED = "container_malformed"
    CONTAINER_EMPTY = "container_empty"
    CONTAINER_TOO_MANY = "container_too_many"
    # 5 leaf
    LEAF_AMBIGUOUS = "leaf_ambiguous"
    # 6 key
    KEY_NOT_RSA = "key_not_rsa"
    KEY_TOO_SMALL = "key_too_small"
    # 7 domain
    DOMAIN_MISMATCH = "domain_mismatch"
    # 8 signature
    SIGNATURE_MISMATCH = "signature_mismatch"
    # 9 chain
    CHAIN_UNTRUSTED = "chain_untrusted"
    CHAIN_INVALID = "chain_invalid"
    CERTIFICATE_EXPIRED = "certificate_expired"
    CERTIFICATE_NOT_YET_VALID = "certificate_not_yet_valid"
    CERTIFICATE_PURPOSE = "certificate_purpose"
    # 10 revocation
    CERTIFICATE_REVOKED = "certificate_revoked"
    REVOCATION_UNKNOWN = "revocation_unknown"
    # 11 JSON
    JSON_MALFORMED = "json_malformed"
    JSON_NOT_OBJECT = "json_not_object"
    JSON_DUPLICATE_KEY = "json_duplicate_key"
    # 12 ids
    SIGNING_ID_MALFORMED = "signing_id_malformed"
    STATUS_MALFORMED = "status_malformed"
    FIELD_MALFORMED = "field_malformed"


_TOO_LARGE = {Reason.BODY_TOO_LARGE}
_MALFORMED = {
    Reason.BODY_MISSING,
    Reason.HEADER_MISSING,
    Reason.HEADER_EMPTY,
    Reason.HEADER_REPEATED,
    Reason.HEADER_TOO_LARGE,
    Reason.TIMESTAMP_MALFORMED,
    Reason.SIGNATURE_MALFORMED,
    Reason.CONTAINER_MALFORMED,
    Reason.CONTAINER_EMPTY,
    Reason.CONTAINER_TOO_MANY,
    Reason.JSON_MALFORMED,
    Reason.JSON_NOT_OBJECT,
    Reason.JSON_DUPLICATE_KEY,
    Reason.SIGNING_ID_MALFORMED,
    Reason.STATUS_MALFORMED,
    Reason.FIELD_MALFORMED,
}


def refusal(reason: Reason) -> VerificationFailed:
    """The error to raise: 413 too large, 400 malformed, 401 for everything else."""
    if reason in _TOO_LARGE:
        return VerificationFailed(reason.value, status=413)
    return VerificationFailed(reason.value, status=400 if reason in _MALFORMED else 401)
