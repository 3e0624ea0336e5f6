"""The ports of the stand-in: listeners, certificates, and the sockets that
refuse or hang. Everything is on 127.0.0.1, every number chosen by the kernel.
"""

import asyncio
import os
import socket
import ssl
import subprocess

HOST = "127.0.0.1"
NARROW_BUFFER = 2048
NARROW_SEGMENT = 536
WIDE_BUFFER = 256 * 1024


def _bound():
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, 0))
    return sock


class Listener:
    """A port that can stop listening and go on. A second socket, bound and
    never listening, keeps the number meanwhile: connecting is refused then."""

    def __init__(self, factory, context=None):
        self._factory = factory
        self._context = context
        self._reserve = _bound()
        self.port = self._reserve.getsockname()[1]
        self._server = None

    async def open(self):
        if self._server:
            return
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((HOST, self.port))
        timeouts = {}
        if self._context:
            timeouts = {"ssl_shutdown_timeout": 1}
        self._server = await asyncio.get_running_loop().create_server(
            self._factory, sock=sock, backlog=1024, ssl=self._context,
            **timeouts,
        )

    def shut(self):
        if self._server:
            self._server.close()
            self._server = None

    def narrow(self, on):
        """Connections accepted from now on take only some kB before their
        sender blocks. On loopback a small receive buffer is not enough: a
        sender's buffer is sized by the segments, which are 64 kB there."""
        if self._server:
            sock = self._server.sockets[0]
            sock.setsockopt(
                socket.SOL_SOCKET, socket.SO_RCVBUF,
                NARROW_BUFFER if on else WIDE_BUFFER,
            )
            sock.setsockopt(
                socket.IPPROTO_TCP, socket.TCP_MAXSEG,
                NARROW_SEGMENT if on else 0,
            )


class Silent(asyncio.Protocol):
    """Accepts and never says a word. `open` is the set of such connections,
    `changed` is called when it changes."""

    def __init__(self, open, changed):
        self._open = open
        self._changed = changed

    def connection_made(self, transport):
        self._open.add(self)
        self._changed()

    def connection_lost(self, exc):
        self._open.discard(self)
        self._changed()


def refused():
    """A bound socket that does not listen."""
    return _bound()


def blackhole():
    """Sockets whose first listens with its queue full: the kernel drops the
    next client's SYN. The others fill the queue and have to be kept."""
    hole = socket.socket()
    hole.bind((HOST, 0))
    hole.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(hole.getsockname())
        fillers.append(filler)
    return [hole, *fillers]


# ---- certificates

_CONFIG = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = unused\n"
_CA_EXTENSIONS = (
    "basicConstraints=critical,CA:TRUE",
    "keyUsage=critical,keyCertSign,cRLSign",
    "subjectKeyIdentifier=hash",
)


class Certificates:
    """Throw-away certificates in a directory, made by the openssl command.
    `ca_file` signs `good` and `wrong_name`; nobody knows who signed
    `unknown_ca`."""

    def __init__(self, directory):
        self._dir = directory
        self.ca_file = self._path("ca.pem")
        with open(self._path("openssl.cnf"), "w") as config:
            config.write(_CONFIG)
        self._authority("ca", "Stand-in CA")
        self._authority("other-ca", "Unknown CA")
        local = "DNS:localhost,IP:127.0.0.1"
        self.good = self._leaf("good", "ca", local)
        self.wrong_name = self._leaf("wrong", "ca", "DNS:other.example")
        self.unknown_ca = self._leaf("unknown", "other-ca", local)

    def _path(self, name):
        return os.path.join(self._dir, name)

    def _request(self, name, subject, *more, extensions):
        command = [
            "openssl", "req", "-x509", "-config", self._path("openssl.cnf"),
            "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
            "-nodes", "-days", "2", "-subj", f"/CN={subject}",
            "-keyout", self._path(name + ".key"),
            "-out", self._path(name + ".pem"), *more,
        ]
        for extension in extensions:
            command += ["-addext", extension]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"openssl failed: {done.stderr}")

    def _authority(self, name, subject):
        self._request(name, subject, extensions=_CA_EXTENSIONS)

    def _leaf(self, name, ca, names):
        self._request(
            name, name,
            "-CA", self._path(ca + ".pem"), "-CAkey", self._path(ca + ".key"),
            extensions=(
                f"subjectAltName={names}",
                "basicConstraints=critical,CA:FALSE",
                "extendedKeyUsage=serverAuth",
                "authorityKeyIdentifier=keyid",
            ),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["http/1.1"])
        context.load_cert_chain(
            self._path(name + ".pem"), self._path(name + ".key")
        )
        return context
