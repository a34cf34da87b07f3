"""Messages that are sent to an echo, of every size and kind, and expected back as they were."""

import json
import random

from peers import expect

MIB = 1 << 20


def messages():
    chance = random.Random(7)
    records = [{"id": number, "name": f"Grüße {number} 你好 🙂", "price": chance.random()} for number in range(45_000)]
    text = json.dumps(records, ensure_ascii=False)
    # What follows an incompressible message refers back to none, or over it.
    for size in [0, 1, 255, 2_000, 300, 70_000, 2_000, 4 * MIB]:
        yield text.encode()[:size].decode(errors="ignore")
        yield chance.randbytes(size)
        yield text.encode()[:size]


def cut(message):
    """A message in fragments: some short, one empty."""
    if len(message) < 10:
        return [message]
    return [message[:1], message[1:7], message[:0], message[7:]]


async def exchange(send, receive, where, cuts=True):
    """Sends each message whole, and in fragments, and expects it back."""
    for message in messages():
        ways = [message, cut(message)] if cuts and len(message) < MIB else [message]
        for way in ways:
            await send(way)
            came = await receive()
            expect(came == message, f"{where}: {len(message)} of {type(message).__name__} came back as {came[:50]!r}")
