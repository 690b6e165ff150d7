"""Questions of each kind, and answers of all sorts to them: what the tests of the lab share."""

from __future__ import annotations

import random
from itertools import permutations
from typing import Any

from vswaplab.lab.questions import Choose, Explain, Number, Order, Predict, Question

HINTS = ["Look at the entry.", "Think of the list.", "Write down who maps what."]
ITEMS = ("reclaim picks the folio", "an entry is allocated", "zswap stores the page", "the frame is freed")

CHOOSE = Choose(
    id="05/walk",
    prompt="How many PTEs does `swapoff` visit?",
    options={
        "as many as are swapped": "Only if it knew where they are.",
        "as many as are mapped": "",
        "none": "Virtual.",
    },
    right="as many as are mapped",
    hints=HINTS,
    solution="All of them.",
)
NUMBER = Number(id="06/slot", prompt="How large?", answer=24, unit="bytes", near={8: "That is the swap table."})
SIZE = Number(id="06/array", prompt="How large?", answer=32, unit="MiB", tolerance="5%", right="One byte a slot.")
SHARE = Number(id="06/share", prompt="Which share?", answer=39.7, unit="%", tolerance=0.5, near={50: "Half?"})
COUNT = Number(id="05/visits", prompt="How many?", answer=17_000, unit="PTEs", near={256: "Only those?"})
BARE = Number(id="05/bare", prompt="Which number?", answer=-3)
ORDER = Order(
    id="03/order",
    prompt="Put in order.",
    items=ITEMS,
    because={(ITEMS[0], ITEMS[1]): "Who asks for an entry?", (ITEMS[1], ITEMS[3]): "The PTE needs the entry."},
)
PLAIN_ORDER = Order(id="03/plain", prompt="Put in order.", items=ITEMS, right="So it goes.")
EXPLAIN = Explain(
    id="06/why",
    prompt="Why?",
    rubric={"slots": "Name what grows.", "ratio": "Say what stays.", "so": "Conclude."},
    words=3,
)
PREDICTION = Choose(id="01/where", prompt="Where?", options={"zswap": "It comes first.", "disk": "It comes last."})
PREDICT = Predict(id="01/where", prompt="Where?", asked=PREDICTION)
PREDICT_NUMBER = Predict(
    id="01/used",
    prompt="How much?",
    asked=Number(id="01/used", prompt="How much?", answer=None, unit="KiB", tolerance="1%", near={512: "And zeros?"}),
)
QUESTIONS: list[Question] = [CHOOSE, NUMBER, SIZE, SHARE, COUNT, BARE, ORDER, PLAIN_ORDER, EXPLAIN, PREDICT]
QUESTIONS += [PREDICT.answered("zswap"), PREDICT_NUMBER, PREDICT_NUMBER.answered(768)]

TEXTS = """24|24 B|24 bytes|24bytes|24 Bytes|0.0234375 KiB|24.0|2.4e1|+24| 24 |8|8 B|192|24 bits|24 ms|23|26|-24|−24|
32|32M|32 MiB|33554432 B|33,554,432 bytes|32 768 KiB|8192 pages|33|30|1|32 GiB|39.7|39.7 %|40|50%|0.4|.397|39,7|
17000|17,000|17_000|17000 PTEs|17,000 pte|17000 pages|256|16999|1,7000|1,700,0|-3|-3 x|3|−3|−3.|.|-|e|1e|1e5|1e99|
1e999|5e-5|0|00024|٢٤|2４|24\u00a0bytes|24\u202fB|µs|1 µs|5 μs|%|5 %%|NaN|inf|0x18|24;|<b>24</b>|twenty-four|
zswap|disk|768|768 KiB|786432|512|512K|0.75M|770|5 bytes bytes|24 bytes and more words than fit|24 kb|24 İ|24 K|
1 234 567|1,234 567|1  234|{answer}|{truth}""".replace("\n", "").split("|")


def answers(seed: int = 1, nr: int = 400) -> list[Any]:
    """Return answers as JSON has them, right, nearly right and absurd."""
    found: list[Any] = [None, True, 0, 24, 24.5, [], {}, "", " ", "x" * 81, "9" * 80, *TEXTS]
    found += list(CHOOSE.options)
    found += [list(each) for each in permutations(ITEMS)] + [list(ITEMS[:3]), [*ITEMS[:3], ITEMS[0]], [*ITEMS[:3], "x"]]
    found += [[1, 2, 3, 4], [None] * 4, [[]] * 4]
    for met in ([], ["slots"], ["slots", "ratio"], ["slots", "ratio", "so"], ["other"], [[1]], "slots", None):
        found += [{"text": text, "met": met} for text in ("", "two words", "these are\u00a0three\nwords", 7, None)]
    generator = random.Random(seed)
    letters = "0123456789.,_ -+−eE%BKkMiGTbytespagPTEsmsµ\u00a0\t"
    found += ["".join(generator.choices(letters, k=generator.randrange(1, 9))) for _ in range(nr)]
    return found
