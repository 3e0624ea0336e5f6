#!/usr/bin/env python3
"""A server on the loopback interface that notes when requests arrive.

peer.py REPLY [PORT]: answers every request with that JSON, in which the last
digits of the first id are another number for each. Prints its port. Then each
line on standard input is answered with the arrivals since the last one,
"N SECONDS" for each request that has "n": N in its body, and an empty line; so
is the end of the input, by which it ends.
The time is the one at which the request was complete. Made to be in nobody's
way: one process, no thread, no more than is needed of HTTP.
"""

import re
import selectors
import socket
import sys
import time

LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
ID = re.compile(rb'"id": *"[^"]*')
DIGITS = 12
NUMBER = re.compile(rb'"n": *(\d+)')


class Peer:
    def __init__(self, reply, port=0):
        body = reply.encode()
        text = (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
        )
        at = ID.search(text).end() - DIGITS
        self.reply = text[:at], text[at + DIGITS :]
        # nothing of an earlier one on the same port is given again
        self.next_id = time.time_ns() // 1000000 % 10**DIGITS
        self.arrivals = []
        self.selector = selectors.DefaultSelector()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.watch(self.listener, self.accept)
        self.watch(sys.stdin, self.report)

    def watch(self, file, action):
        self.selector.register(file, selectors.EVENT_READ, action)

    def accept(self, listener):
        connection, _ = listener.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        waiting = bytearray()
        self.watch(connection, lambda file: self.take(file, waiting))

    def take(self, connection, waiting):
        data = connection.recv(65536)
        now = time.time()
        if not data:
            self.selector.unregister(connection)
            connection.close()
            return
        waiting += data
        header, blank, body = bytes(waiting).partition(b"\r\n\r\n")
        length = LENGTH.search(header)
        if blank and len(body) >= (int(length.group(1)) if length else 0):
            connection.send((b"%0*d" % (DIGITS, self.next_id)).join(self.reply))
            self.next_id += 1
            waiting.clear()
            number = NUMBER.search(body)
            if number:
                self.arrivals.append((int(number.group(1)), now))

    def report(self, stdin):
        line = stdin.readline()
        for arrival in self.arrivals:
            print("%d %.6f" % arrival)
        self.arrivals.clear()
        print(flush=True)
        if line == "":
            sys.exit()

    def run(self):
        print(self.listener.getsockname()[1], flush=True)
        while True:
            for key, _ in self.selector.select():
                key.data(key.fileobj)


if __name__ == "__main__":
    Peer(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0).run()
