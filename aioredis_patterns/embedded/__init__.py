"""STOPGAP until the real package lands."""
from __future__ import annotations
import asyncio, contextlib, os, signal, socket, subprocess, tempfile, shutil
from dataclasses import dataclass, field
__all__ = ("EmbeddedServer", "embedded_server")

class EmbeddedServer:
    def __init__(self, args=()):
        self.directory = tempfile.mkdtemp(); self.args = list(args); self.host = "127.0.0.1"
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0)); self.port = s.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
    async def start(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--save", "", "--dir", self.directory, *self.args], stdout=subprocess.DEVNULL)
        for _ in range(500):
            try:
                r, w = await asyncio.open_connection(self.host, self.port); w.write(b"PING\r\n"); await r.readline(); w.close(); await w.wait_closed(); return
            except OSError: await asyncio.sleep(0.01)
    @property
    def pid(self): return self.process.pid
    def pause(self): os.kill(self.pid, signal.SIGSTOP)
    def resume(self): os.kill(self.pid, signal.SIGCONT)
    async def kill(self): self.process.kill(); self.process.wait()
    async def restart(self): self.process.kill(); self.process.wait(); await self.start()

@contextlib.asynccontextmanager
async def embedded_server(*, args=(), **_):
    s = EmbeddedServer(args); await s.start()
    try: yield s
    finally: s.process.kill(); s.process.wait(); shutil.rmtree(s.directory)
