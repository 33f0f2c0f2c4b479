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
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Images to review</title>
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<style>
body { font: 15px/1.5 sans-serif; margin: 0 auto; max-width: 70em; padding: 1.5em; background: #181818; color: #eee; }
h1 { font-size: 1.4em; }
h2 { font-size: 1em; margin: 0; overflow-wrap: anywhere; }
article { border-top: 1px solid #555; padding: 1em 0; }
article p { margin: 0.5em 0; }
img { max-width: 100%; max-height: 80vh; min-width: min(100%, 16em); margin: 4px 4px 0 0; vertical-align: top; }
code { user-select: all; background: #333; padding: 2px 6px; border-radius: 3px; overflow-wrap: anywhere; }
</style></head><body><main>
<h1>Images to review</h1>
<p>Is there a name, a date, a number or a face in the pixels? Then refuse the image; what is used goes
into training as it is. This page and the pictures stay on this machine.</p>
<p>Write down each decision with the name above its picture (--decide use, or refuse; --file again for more):</p>
<p><code>hospital-node cohort review --home DIR --decide refuse --file NAME --approver "YOUR NAME, ROLE"</code></p>
"""  # noqa: E501 - attributes, and a command to copy


def contact_sheet(shown: Sequence[tuple[Quarantined, Sequence[bytes]]], *, left: int) -> str:
    """Return the page for some files with their pictures (PNG); `left` more wait."""
    more = f"<p>{left} more wait; decide about these first.</p>" if left else ""
    return "".join((_HEAD, *(_article(*one) for one in shown), more, "</main></body></html>\n"))


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
        f"{record.frames} frame{'s' * (record.frames > 1)}.</p>{images}</article>\n"
    )
