"""A proxy that delays every request to an HTTP server, as a distant store does.

python -m stores.proxy PORT TARGET_PORT MILLISECONDS
"""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import suppress

_BLOCK = 2**18


async def serve(port: int, target: int, delay: float) -> None:
    """Passes connections on to a port of this machine.

    Args:
        port: Port of the proxy.
        target: Port of the server.
        delay: Time between a request and its arrival, seconds.
    """

    async def connected(reader: StreamReader, writer: StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", target, limit=_BLOCK)
        answered = asyncio.Event()  # the next bytes of the client begin a request
        answered.set()

        async def requests() -> None:
            while data := await reader.read(_BLOCK):
                if answered.is_set():
                    await asyncio.sleep(delay)
                    answered.clear()
                back.write(data)
                await back.drain()

        async def answers() -> None:
            while data := await there.read(_BLOCK):
                answered.set()
                writer.write(data)
                await writer.drain()

        tasks = [asyncio.create_task(requests()), asyncio.create_task(answers())]
        with suppress(OSError):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        back.close()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", port, limit=_BLOCK, backlog=256)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]) / 1000))
