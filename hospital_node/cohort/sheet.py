"""The contact sheet: quarantined images on one local page, for the person who decides.

* One self-contained HTML file without a script or an address of any other machine.
* It shows pixels, codes and keyed names; no attribute of a file is on it.
"""

import base64
from collections.abc import Sequence
from html import escape

from hospital_node.cohort.quarantine import Quarantined
from hospital_node.cohort.reasons import REASONS

__all__ = ["contact_sheet"]

_HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Images to review</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.4 sans-serif; margin: 2em; background: #181818; color: #eee; }
article { border-top: 1px solid #555; padding: 1em 0; }
img { max-width: 100%; max-height: 80vh; margin: 4px; vertical-align: top; }
code { user-select: all; background: #333; padding: 2px 4px; }
</style></head><body>
<h1>Images to review</h1>
<p>Is there a name, a date, a number or a face in the pixels? Then refuse the image; what is used goes
into training as it is. This page and the pictures stay on this machine.</p>
"""  # noqa: E501 - one attribute


def contact_sheet(shown: Sequence[tuple[Quarantined, Sequence[bytes]]], *, left: int) -> str:
    """Return the page for some files with their pictures (PNG); `left` more wait."""
    more = f"<p>{left} more wait; decide about these first.</p>" if left else ""
    return "".join((_HEAD, *(_article(*one) for one in shown), more, "</body></html>\n"))


def _article(record: Quarantined, pages: Sequence[bytes]) -> str:
    why = "; ".join(
        f"{escape(code)}: {escape(REASONS[code].found)}" if code in REASONS else escape(code)
        for code in record.codes
    )
    images = "".join(
        f'<img alt="frame {number}" src="data:image/png;base64,{base64.b64encode(one).decode()}">'
        for number, one in enumerate(pages, start=1)
    )
    return (
        f"<article><h2><code>{escape(record.file)}</code></h2><p>{why}. "
        f"{record.frames} frames.</p>{images}</article>"
    )
