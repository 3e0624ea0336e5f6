"""A client without manners, for selftest.py: raw bytes over raw sockets, so
that requests can be sent which no library would let out.
"""

import http.client
import json
import os
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOKEN = "selftest-token-0123456789"
START = "/api/workflow/v1/instances/message"
TIMEOUT = 10


class Refused(Exception):
    """What the control port says to what it does not understand."""


class StandIn:
    """The program under test, started once for all tests."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "domo.py"), *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        self.where = json.loads(self.process.stdout.readline())

    def control(self, method, path, body=None):
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.where["control_port"], timeout=TIMEOUT
        )
        given = None if body is None else json.dumps(body)
        connection.request(method, f"/{path}", given)
        reply = connection.getresponse()
        answer = json.load(reply)
        connection.close()
        if reply.status != 200:
            raise Refused(answer["error"])
        return answer

    def record(self, query=""):
        return self.control("GET", f"record?{query}")

    def script(self, scenario, **rule):
        return self.control("POST", "script", {"scenario": scenario, **rule})

    def wait(self, query):
        answer = self.control("GET", f"wait?{query}&timeout={TIMEOUT}")
        assert answer["reached"], answer
        return answer["stats"]

    def connect(self, port="port"):
        address = ("127.0.0.1", self.where[port])
        return Client(socket.create_connection(address, TIMEOUT))

    def stop(self):
        self.process.stdin.close()
        self.process.stdout.close()
        return self.process.wait(TIMEOUT)


class Client:
    """One connection, and the bytes that came over it."""

    def __init__(self, sock):
        self.sock = sock
        self.pending = b""

    def send(self, data):
        self.sock.sendall(data)

    def more(self):
        data = self.sock.recv(65536)
        self.pending += data
        return data

    def rest(self):
        """Everything until the connection ends."""
        while self.more():
            pass
        return self.pending

    def reply(self):
        """(status, headers, body) of a reply with a Content-Length."""
        while b"\r\n\r\n" not in self.pending:
            if not self.more():
                raise EOFError(self.pending)
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in
                   (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        while len(self.pending) < length:
            if not self.more():
                raise EOFError(self.pending)
        body, self.pending = self.pending[:length], self.pending[length:]
        return int(lines[0].split(" ")[1]), headers, body

    def ask(self, data):
        self.send(data)
        return self.reply()

    def was_reset(self):
        """Whether a RST ended it; a FIN leaves another state."""
        info = self.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
        return info[0] == 7  # TCP_CLOSE

    def close(self):
        self.sock.close()


def request(method="POST", path=START, body=None, headers=None, drop=()):
    """A request as careful clients send it; `headers` are added or replace,
    `drop` takes away."""
    fields = {
        "Host": "localhost",
        "X-DOMO-Developer-Token": TOKEN,
        "Content-Type": "application/json",
    }
    if body is not None:
        body = body.encode() if isinstance(body, str) else body
        fields["Content-Length"] = str(len(body))
    fields |= headers or {}
    lines = [f"{method} {path} HTTP/1.1"]
    lines += [f"{k}: {v}" for k, v in fields.items() if k not in drop]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


def start_body(model="model-1", data='{"n":1}', **fields):
    members = {
        "messageName": '"Start it"', "version": '"1.0.0"',
        "modelId": json.dumps(model), "data": data, **fields,
    }
    return "{%s}" % ",".join(f'"{k}":{v}' for k, v in members.items() if v)


def start(*arguments, **fields):
    return request(body=start_body(*arguments, **fields))


def cancel(id, **options):
    return request(path=f"/api/workflow/v1/instances/{id}/cancel", **options)


def permissions(id, body='[{"id":"1","type":"USER","permissions":["READ"]}]'):
    return request(path=f"/api/workflow/v1/models/{id}/permissions", body=body)
