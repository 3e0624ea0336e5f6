#!/usr/bin/env python3
"""A stand-in for Domo's Workflows API, for domowf's tests and benches.

Listens on loopback, prints one line of JSON that says where, and runs until
SIGTERM or until its standard input ends, so that it never outlives the test
that started it. README.md describes scenarios and the control port.
"""

import argparse
import asyncio
import functools
import json
import os
import resource
import signal
import sys
import tempfile
import threading

# The tree that the tests run from stays as it is.
sys.dont_write_bytecode = True

from control import Control
from http_server import Connection
from ports import HOST, Certificates, Listener, Silent, blackhole, refused
from proxy import Proxy
from record import Record
from service import Service

DEFAULT_TOKEN = "stand-in-developer-token"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--tls", action="store_true", help="also offer TLS")
    parser.add_argument(
        "--dir", metavar="DIR", help="record.jsonl and certificates go here"
    )
    parser.add_argument(
        "--token", action="append", metavar="TOKEN", help="accept this token"
    )
    return parser.parse_args()


def make_listeners(service, certificates):
    """The ports at which requests arrive, by kind."""

    def factory(kind):
        return functools.partial(Connection, service, kind)

    listeners = {kind: Listener(factory(kind)) for kind in ("plain", "other")}
    if certificates:
        for kind, context in {
            "tls": certificates.good,
            "other_tls": certificates.good,
            "wrong_name": certificates.wrong_name,
            "unknown_ca": certificates.unknown_ca,
        }.items():
            listeners[kind] = Listener(factory(kind), context)
    return listeners


def make_silent(record):
    open = set()
    record.gauges["silent"] = lambda: len(open)
    return Listener(lambda: Silent(open, record.changed))


def describe(service, listeners, extra, certificates, tokens):
    """The line that tells whoever started us where everything is."""
    ports = {kind: listener.port for kind, listener in listeners.items()}
    service.ports.update(ports)
    return {
        "port": ports["plain"],
        "tls_port": ports.get("tls"),
        "wrong_name_port": ports.get("wrong_name"),
        "unknown_ca_port": ports.get("unknown_ca"),
        "other_port": ports["other"],
        "other_tls_port": ports.get("other_tls"),
        **extra,
        "ca_file": certificates.ca_file if certificates else None,
        "token": tokens[0],
        "pid": os.getpid(),
    }


def end_with_stdin(loop, stop):
    """A thread, because a poll cannot watch every kind of file."""

    def watch():
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)

    threading.Thread(target=watch, daemon=True).start()


def quiet_broken_connections(loop, context):
    """Clients that break off, in a TLS handshake too, are what we are for."""
    if not isinstance(context.get("exception"), OSError):
        loop.default_exception_handler(context)


async def run(arguments, directory):
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(quiet_broken_connections)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    tokens = arguments.token or [DEFAULT_TOKEN]
    path = arguments.dir and os.path.join(arguments.dir, "record.jsonl")
    record = Record(path)
    service = Service(record, tokens, {})
    certificates = Certificates(directory) if arguments.tls else None
    listeners = make_listeners(service, certificates)
    silent = make_silent(record)
    hole = blackhole()
    closed = refused()
    for listener in (*listeners.values(), silent):
        await listener.open()
    control = Control(service, list(listeners.values()))
    control_server = await asyncio.start_server(
        control.serve, HOST, 0, limit=1024 * 1024
    )
    proxy_server = await asyncio.start_server(Proxy(record).serve, HOST, 0)
    extra = {
        "silent_tls_port": silent.port,
        "blackhole_port": hole[0].getsockname()[1],
        "refused_port": closed.getsockname()[1],
        "proxy_port": proxy_server.sockets[0].getsockname()[1],
        "control_port": control_server.sockets[0].getsockname()[1],
    }
    line = describe(service, listeners, extra, certificates, tokens)
    print(json.dumps(line), flush=True)
    end_with_stdin(loop, stop)
    await stop.wait()


def main():
    arguments = parse_arguments()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if arguments.dir:
        os.makedirs(arguments.dir, exist_ok=True)
        asyncio.run(run(arguments, arguments.dir))
    else:
        with tempfile.TemporaryDirectory(prefix="domo-") as directory:
            asyncio.run(run(arguments, directory))


if __name__ == "__main__":
    main()
