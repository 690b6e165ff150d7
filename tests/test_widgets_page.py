"""A view on a page without a kernel: what Python writes is what the script reads."""

from __future__ import annotations

import base64
import json
import re
import zlib

from tracekit import story

from vswaplab.widgets import Stepper
from vswaplab.widgets.page import page_head, view_html


def test_a_view_is_written_whole_and_can_be_read_back() -> None:
    stepper = Stepper(story(4), step=3)
    found = re.fullmatch(r'<script type="application/vswaplab\+json">(.*)</script>', view_html(stepper), re.DOTALL)
    assert found is not None
    traits = json.loads(found[1])
    assert (traits["view"], traits["step"]) == ("stepper", 3)
    assert traits["header"] == json.loads(json.dumps(stepper.header))
    assert zlib.decompress(base64.b64decode(traits["packed"]["data"])) == stepper.data


def test_nothing_in_a_view_can_end_its_script_element() -> None:
    stepper = Stepper(story(1))
    stepper.code = "</script><b>"
    assert view_html(stepper).count("</script") == 1


def test_the_head_is_complete_and_names_no_address_outside() -> None:
    head = page_head()
    assert head.count("</script>") == head.count("</style>") == 1
    assert not re.search(r"https?://", head.replace('xmlns="http://www.w3.org/2000/svg"', ""))  # a name, not an address
