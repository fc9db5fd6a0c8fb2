"""Many visitors without browsers: websocket clients that speak Streamlit's own protocol and play the board at its pace.

    python -m tests.bench.load ADDRESS [CLIENTS] [SECONDS] [PAGE_AND_QUERY]

A visitor sends what Streamlit's page sends (BackMsg: rerun, with the board's ask as trigger value of its component) and
counts the frames in the board's answers (ForwardMsg: delta with the component's bytes). It asks for more when less than
half of its queue is left, one ask at a time, as the board's script does; so it receives what a visitor could see, not
what a server could send. Sources: streamlit/proto/*.proto and components/v2/bidi_component/main.py of Streamlit 1.67.
"""

import asyncio
import contextlib
import json
import statistics
import sys
import time
from dataclasses import dataclass, field

import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

FPS = 30  # what a visitor's board plays
BATCH = 30  # frames it asks for at once
TRIGGER = "$$STREAMLIT_INTERNAL_KEY_{}__events"


@dataclass
class Visitor:
    """One session. received holds (time.perf_counter(), frames) of each answer with frames while playing."""

    url: str
    query: str
    ready_after: float | None = None
    received: list[tuple[float, int]] = field(default_factory=list)
    widget: str = ""
    fragment: str = ""
    page: str = ""  # Streamlit's hash of the page: without it an ask counts as a change of page, and is dropped
    seq: int = 0
    tick: int = 0
    last: int = 0
    outstanding: bool = False

    async def play(self, seconds: float, start: asyncio.Barrier) -> None:
        """Open the page, wait until all visitors have their first picture, then play for `seconds`."""
        path, _, query = self.query.partition("?")
        address = self.url.replace("http", "ws", 1) + "/_stcore/stream"
        opened = time.perf_counter()
        async with websockets.connect(address, subprotocols=["streamlit"], max_size=None) as socket:
            await self._rerun(socket, query, path.strip("/"))
            while self.ready_after is None:
                header = await self._header(socket)
                self.outstanding = False
                self.tick = self.last = header["frames"][-1]["tick"] if header["frames"] else 0
                if header["state"] == "ready":
                    self.ready_after = time.perf_counter() - opened
                else:
                    await asyncio.sleep(0.25)
                    await self._ask(socket, query, "poll")
            await start.wait()
            await self._run(socket, query, seconds)

    async def _run(self, socket, query: str, seconds: float) -> None:
        """Play: take frames off the queue at FPS, ask for the next batch when less than half a batch is left."""
        queue: list[int] = []
        pace, batch = 1 / FPS, BATCH
        begin = painted = time.perf_counter()
        while (now := time.perf_counter()) < begin + seconds:
            while queue and now >= painted + pace:
                self.tick = queue.pop(0)
                painted += pace
            if not queue:
                painted = max(painted, now - pace)
            if not self.outstanding and len(queue) < batch / 2:
                await self._ask(socket, query, "run")
            with contextlib.suppress(TimeoutError):
                header = await asyncio.wait_for(self._header(socket), pace)
                if header["seq"] >= self.seq:
                    self.outstanding = False
                    pace = max(1 / FPS, header.get("pace", 0) / 1000)
                    batch = round(1 / pace)
                    ticks = [frame["tick"] for frame in header["frames"] if frame["tick"] > self.last]
                    if ticks:
                        queue += ticks
                        self.last = ticks[-1]
                        self.received.append((time.perf_counter() - begin, len(ticks)))

    async def _ask(self, socket, query: str, command: str) -> None:
        """Send one ask of the board's protocol as the component's trigger value."""
        self.seq += 1
        self.outstanding = True
        ask = {
            "seq": self.seq,
            "cmd": command,
            "tick": self.tick,
            "from": self.last,
            "n": 1,
            "board": None,
            "cell": None,
            "kind": None,
            "frames": BATCH,
            "per_frame": 1,
            "fps": FPS,
            "play": command == "run",
        }
        await self._rerun(socket, query, "", ask)

    async def _rerun(self, socket, query: str, page: str, ask: dict | None = None) -> None:
        """BackMsg.rerun_script: of the whole script, or of the board's fragment with an ask."""
        message = BackMsg()
        state = message.rerun_script
        state.query_string = query
        state.page_name = page
        state.page_script_hash = self.page
        if ask is not None:
            state.fragment_id = self.fragment
            widget = state.widget_states.widgets.add()
            widget.id = TRIGGER.format(self.widget)
            widget.json_trigger_value = json.dumps([{"event": "ask", "value": ask}])
        await socket.send(message.SerializeToString())

    async def _header(self, socket) -> dict:
        """The header of the board's next message. ConnectionClosed when the server goes, RuntimeError on its error."""
        while True:
            message = ForwardMsg.FromString(await socket.recv())
            if message.WhichOneof("type") == "navigation":
                self.page = message.navigation.page_script_hash
            element = message.delta.new_element
            if element.WhichOneof("type") == "exception":
                raise RuntimeError(f"the page shows an error: {element.exception.message}")
            if element.WhichOneof("type") == "bidi_component" and element.bidi_component.bytes:
                payload = element.bidi_component.bytes
                self.widget, self.fragment = element.bidi_component.id, message.delta.fragment_id
                return json.loads(payload[4 : 4 + int.from_bytes(payload[:4], "little")])


async def _all(url: str, clients: int, seconds: float, query: str) -> list[Visitor]:
    visitors = [Visitor(url, query) for _ in range(clients)]
    start = asyncio.Barrier(clients)
    await asyncio.gather(*(visitor.play(seconds, start) for visitor in visitors))
    return visitors


def load(url: str, clients: int = 30, seconds: float = 20, query: str = "/?scenario=blackboard") -> dict[str, float]:
    """Play with `clients` visitors: frames received per second, and `ready`, seconds until the last has its picture."""
    visitors = asyncio.run(_all(url, clients, seconds, query))
    rates = [sum(count for _, count in visitor.received) / seconds for visitor in visitors]
    return {
        "clients": clients,
        "least": min(rates),
        "median": statistics.median(rates),
        "total": sum(rates),
        "ready": max(visitor.ready_after for visitor in visitors),
    }


if __name__ == "__main__":
    address, *rest = sys.argv[1:] or sys.exit(__doc__)
    kinds = (int, float, str)
    for name, value in load(address, *(kind(text) for kind, text in zip(kinds, rest, strict=False))).items():
        print(f"{name:8} {value:8.1f}")
