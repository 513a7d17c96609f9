"""Small archives as a provider would send them."""

from __future__ import annotations

import io
import zipfile

SIGNED_PDF = b"%PDF-1.7\n<< /Type /Sig /ByteRange [0 1 2 3] >>\n%%EOF\n"
UNSIGNED_PDF = b"%PDF-1.7\nnothing signed here\n%%EOF\n"


def zipped(**files: bytes) -> bytes:
    """`lease_pdf=...` becomes `lease.pdf`."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name.replace("_", "."), content)
    return out.getvalue()


GOOD = zipped(lease_pdf=SIGNED_PDF, audittrail_pdf=UNSIGNED_PDF)
UNSIGNED = zipped(lease_pdf=UNSIGNED_PDF)
EMPTY = zipped(readme_txt=b"soon")
TRUNCATED = GOOD[: len(GOOD) // 2]
