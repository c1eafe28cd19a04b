"""The shared connection is the user's: TLS with its checks, under asyncio's loop and under uvloop."""

from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvloop
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import ConnectionError as RedisConnectionError

from aioredis_patterns import connect
from aioredis_patterns.client.attach import link_of
from aioredis_patterns.embedded import EmbeddedServer


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key in the same file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a test")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM) + private)
    return path


@asynccontextmanager
async def tls_in_front(server: EmbeddedServer, certificate: Path) -> AsyncIterator[str]:
    """Terminate TLS before a server that speaks none; gives the URL."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(server.host, server.port)
        await asyncio.gather(carry(reader, inner_writer), carry(inner_reader, writer))

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield f"rediss://127.0.0.1:{listener.sockets[0].getsockname()[1]}/0"
        await asyncio.sleep(0.05)  # let the carriers see the end of their connections


async def test_the_shared_connection_speaks_tls(server: EmbeddedServer, certificate: Path) -> None:
    """Thousands of commands and a value of many records pass through TLS whole."""
    async with (
        tls_in_front(server, certificate) as url,
        connect(url, ssl_ca_certs=str(certificate)) as redis,
    ):
        answers = await asyncio.gather(*(redis.echo(str(number)) for number in range(2000)))
        assert answers == [str(number).encode() for number in range(2000)]
        big = bytes(range(256)) * 8000
        assert await redis.echo(big) == big
        assert link_of(redis).lanes[0].statistics().connections == 1


async def test_a_certificate_nobody_vouches_for_is_refused(server: EmbeddedServer, certificate: Path) -> None:
    """Without its authority the connection is refused by the deadline, and nothing is sent."""
    async with tls_in_front(server, certificate) as url, connect(url, deadline=0.5) as redis:
        with pytest.raises(RedisConnectionError, match="certificate"):
            await redis.ping()


def test_uvloop_carries_commands_and_cancellations(url: str) -> None:
    """On uvloop replies go to their callers, and a cancelled one hurts nobody."""

    async def use() -> None:
        async with connect(url) as redis:
            calls = [asyncio.create_task(redis.echo(str(number))) for number in range(1000)]
            await asyncio.sleep(0)
            for call in calls[::3]:
                call.cancel()
            answers = await asyncio.gather(*calls, return_exceptions=True)
            for number, answer in enumerate(answers):
                if number % 3:
                    assert answer == str(number).encode()

    uvloop.run(use())
