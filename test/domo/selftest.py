#!/usr/bin/env python3
"""Proves that the stand-in is as strict and as nasty as the tests of domowf
rely on: a stand-in that lets something pass would make them worthless.
"""

import contextlib
import json
import os
import socket
import ssl
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import echoes
from raw_client import (
    HERE, START, TOKEN, Client, Refused, StandIn, cancel, permissions,
    request, start, start_body,
)
from replies import REPLIES
from scenarios import SCENARIOS

# The record nests as deep as what was sent.
sys.setrecursionlimit(20000)


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.domo = DOMO

    def setUp(self):
        self.domo.control("POST", "reset")
        self.client = self.domo.connect()
        self.addCleanup(self.client.close)

    def last(self):
        return self.domo.record()[-1]

    def fresh(self, port="port"):
        client = self.domo.connect(port)
        self.addCleanup(client.close)
        return client

    def refused(self, data, needle, status=400):
        """The request is refused, and recorded as a violation."""
        got, _, body = self.fresh().ask(data)
        entry = self.last()
        self.assertEqual(got, status, body)
        self.assertIn(needle, "; ".join(entry["violations"]))
        self.assertFalse(entry["executed"])
        error = json.loads(body)
        self.assertEqual(error["status"], status)
        self.assertTrue(error["toe"])


class Contract(Case):
    """What the page allows, and that nothing else passes."""

    def test_start(self):
        data = '{"n": 12345678901234567890, "x": 1.10}'
        status, _, body = self.client.ask(start(data=data))
        instance, entry = json.loads(body), self.last()
        self.assertEqual(status, 200)
        self.assertEqual(instance["modelId"], "model-1")
        self.assertEqual(instance["status"], "null")
        self.assertRegex(instance["createdOn"], r"^\d{4}-.*\.\d{3}Z$")
        self.assertEqual(entry["data_text"], data)
        self.assertEqual(entry["instance"], instance["id"])
        self.assertTrue(entry["executed"])
        self.assertEqual(entry["violations"], [])
        self.assertEqual(entry["headers"]["x-domo-developer-token"], "ok")
        self.assertNotIn(TOKEN, json.dumps(entry))

    def test_cancel(self):
        instance = json.loads(self.client.ask(start())[2])["id"]
        status, _, body = self.client.ask(cancel(instance))
        self.assertEqual(status, 200)
        self.assertEqual(json.loads(body)["status"], "IN_PROGRESS")
        self.assertIn("bpmnProcessId", json.loads(body))
        status, _, body = self.client.ask(cancel("nobody-knows"))
        self.assertEqual(status, 404)
        self.assertFalse(self.last()["executed"])
        stored = self.domo.control("GET", f"instance/{instance}")
        self.assertEqual(stored["status"], "CANCELED")
        zero = cancel(instance, headers={"Content-Length": "0"})
        self.assertEqual(self.client.ask(zero)[0], 200)

    def test_permissions(self):
        status, _, body = self.client.ask(permissions("m%201"))
        self.assertEqual((status, body), (200, b""))
        self.assertEqual(self.last()["id"], "m 1")
        stored = self.domo.control("GET", "permissions/m%201")
        self.assertEqual(stored[0]["permissions"], ["READ"])

    def test_read(self):
        instance = json.loads(self.client.ask(start())[2])["id"]
        self.domo.control("POST", f"instance/{instance}",
                          {"status": "COMPLETED"})
        read = request("GET", f"/api/workflow/v1/instances/{instance}")
        body = json.loads(self.client.ask(read)[2])
        self.assertEqual(body["status"], "COMPLETED")

    def test_course(self):
        self.domo.control("POST", "course",
                          {"states": [[None, 1], ["IN_PROGRESS", 2],
                                      ["FAILED", 1]]})
        instance = json.loads(self.client.ask(start())[2])["id"]
        read = request("GET", f"/api/workflow/v1/instances/{instance}")
        told = [json.loads(self.client.ask(read)[2])["status"]
                for _ in range(5)]
        self.assertEqual(told, [None, "IN_PROGRESS", "IN_PROGRESS",
                                "FAILED", "FAILED"])
        self.domo.control("POST", f"instance/{instance}",
                          {"states": [["COMPLETED", 1]]})
        told = json.loads(self.client.ask(read)[2])["status"]
        self.assertEqual(told, "COMPLETED")
        self.domo.control("DELETE", f"instance/{instance}")
        self.assertEqual(self.client.ask(read)[0], 404)

    def test_token(self):
        bad = request(body=start_body(),
                      headers={"X-DOMO-Developer-Token": "nope"})
        self.assertEqual(self.client.ask(bad)[0], 401)
        self.assertEqual(self.last()["violations"], [])
        self.assertEqual(self.last()["headers"]["x-domo-developer-token"],
                         "bad")
        self.domo.control("POST", "token", {"accept": ["nope"]})
        self.assertEqual(self.client.ask(bad)[0], 200)
        self.refused(request(body=start_body(),
                             drop=["X-DOMO-Developer-Token"]),
                     "0 X-DOMO", 401)

    def test_token_elsewhere(self):
        self.refused(cancel(TOKEN), "token is in the URL")
        self.refused(request(body=start_body(), headers={"Referer": TOKEN}),
                     "token is in header referer")
        self.refused(start(data=f'{{"a":"{TOKEN}"}}'), "token is in the body")

    def test_methods_and_paths(self):
        prefix = "/api/workflow/v1/instances/"
        for path, needle in {
            "/": "no such path",
            "/api/workflow/v1/instances//cancel": "not normalised",
            f"{prefix}../cancel": "not normalised",
            f"{prefix}%2e%2E/cancel": "not normalised",
            f"{prefix}a%2Fb/cancel": "slash inside",
            f"{prefix}a%00b/cancel": "control character",
            f"{prefix}a%0d%0ab/cancel": "control character",
            f"{prefix}a%C3%28/cancel": "not UTF-8",
            f"{prefix}a%zz/cancel": "malformed percent",
            f"{prefix}a\"b/cancel": "needs percent-encoding",
            f"{prefix}a/cancel?x=1": "query string",
            f"{prefix}a/cancel/": "not normalised",
            f"http://localhost{prefix}a/cancel": "target is not a path",
        }.items():
            with self.subTest(path=path):
                self.refused(request(path=path), needle)
        self.refused(request("PUT", body=start_body()), "method PUT")
        self.assertEqual(
            self.client.ask(cancel("scenario%3Anormal"))[0], 200)
        self.client.ask(cancel("a%2541b"))
        self.assertEqual(self.last()["id"], "a%41b")

    def test_headers(self):
        body = start_body()
        for headers, needle in (
            ({"Content-Type": "text/plain"}, "Content-Type is not"),
            ({"Expect": "100-continue"}, "Expect"),
            ({"Proxy-Authorization": "Basic eDp5"}, "proxy-authorization"),
            ({"Content-Length": "1x"}, "malformed Content-Length"),
            ({"Content-Length": "5, 5"}, "malformed Content-Length"),
            ({"Transfer-Encoding": "chunked"}, "both Content-Length"),
            ({"X\x01": "a"}, "malformed header"),
            ({"X": "a\x01"}, "control character in header"),
            ({"X": "a\r\n folded"}, "folded"),
            ({"X": "a\nY: b"}, "bare line feed"),
            ({"X ": "a"}, "malformed header"),
        ):
            with self.subTest(headers=headers):
                self.refused(request(body=body, headers=headers), needle)
        self.refused(request(body=body, drop=["Host"]), "missing Host")
        self.refused(request(body=body, drop=["Content-Type"]),
                     "missing Content-Type")
        self.refused(request(drop=["Content-Length"]), "neither Content-Len")
        twice = request(body=body).replace(b"Host", b"Host: x\r\nHost")
        self.refused(twice, "more than one Host")
        self.refused(request(body=body).replace(b"HTTP/1.1", b"HTTP/1.0"),
                     "HTTP/1.0")
        self.refused(b"\x16\x03\x01\x02\x00", "not HTTP")
        gzip = request(headers={"Transfer-Encoding": "gzip, chunked"})
        self.refused(gzip, "unknown Transfer-Encoding")

    def test_start_bodies(self):
        for body, needle in (
            ("", "not JSON"),
            ("[]", "not JSON"),
            ("{}", "missing or unknown"),
            (start_body(extra="1"), "unknown: extra"),
            (start_body(version=""), "unknown: version"),
            (start_body(version="1"), "version is not a string"),
            (start_body(messageName='""'), "messageName is not a string"),
            (start_body(data="[]"), "data is not an object"),
            (start_body(data="null"), "data is not an object"),
            (start_body(data='{"a":1,"a":2}'), "duplicate key"),
            (start_body()[:-1] + ',"data":{}}', "duplicate key data"),
            (start_body() + "x", "not JSON"),
            (start_body(data='{"a":NaN}'), "not JSON"),
            (start_body(data='{"a":01}'), "not JSON"),
            (start_body(data='{"a":"\x01"}'), "not JSON"),
            ("\ufeff" + start_body(), "not JSON"),
            (start_body().encode() + b"\xff", "not UTF-8"),
            (start_body(data='{"a":"%s"}' % ("x" * 1048576)), "1 MB"),
        ):
            with self.subTest(body=body[:80]):
                self.refused(request(body=body), needle)

    def test_big_and_deep_data_is_taken(self):
        large = '{"a":"%s"}' % ("x" * (1048576 - 8))
        deep = '{"a":%s1%s}' % ("[" * 1000, "]" * 1000)
        long = '{"a":%s,"b":1e400}' % ("9" * 5000)
        for data in (large, deep, long):
            self.assertEqual(self.client.ask(start(data=data))[0], 200)
            self.assertEqual(self.last()["data_text"], data)

    def test_permission_bodies(self):
        good = '{"id":"1","type":"USER","permissions":["READ"]%s}'
        for body, needle in (
            ("{}", "not an array"),
            ("[1]", "not an object"),
            ("[%s]" % (good % ',"x":1'), "unknown: x"),
            ("[%s]" % (good % ',"name":1'), "name is not"),
            ('[{"id":1,"type":"USER","permissions":[]}]', "id is not"),
            ('[{"id":"1","type":"TEAM","permissions":[]}]', "neither USER"),
            ('[{"id":"1","type":"USER"}]', "permissions is not"),
            ('[{"id":"1","type":"USER","permissions":[1]}]', "not all str"),
        ):
            with self.subTest(body=body):
                self.refused(permissions("m", body), needle)

    def test_body_on_cancel(self):
        self.refused(cancel("scenario:normal", body="{}"), "a body where")
        chunked = {"Transfer-Encoding": "chunked"}
        empty = cancel("scenario:normal", headers=chunked) + b"0\r\n\r\n"
        self.refused(empty, "a body where")

    def test_chunked_request(self):
        head = request(headers={"Transfer-Encoding": "chunked"})
        body = start_body().encode()
        pieces = [body[i : i + 9] for i in range(0, len(body), 9)]
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces)
        status, _, _ = self.client.ask(head + chunks + b"0\r\n\r\n")
        self.assertEqual(status, 200)
        self.assertEqual(self.last()["body"], body.decode())
        self.refused(head + b"zz\r\n", "malformed chunk")
        self.refused(head + b"0\r\nTrailer: x\r\n\r\n", "trailer")

    def test_byte_by_byte_and_lost_requests(self):
        for byte in start():
            self.client.send(bytes((byte,)))
        self.assertEqual(self.client.reply()[0], 200)
        other = self.fresh()
        other.send(start()[:-5])
        other.close()
        self.domo.wait("requests=2")
        self.assertFalse(self.last()["complete"])
        self.assertFalse(self.last()["executed"])


class Control(Case):
    """Rules, gates, waiting, and the questions."""

    def test_rules(self):
        self.domo.script("status:503", count=2, operation="start")
        self.domo.script("status:500", contains="needle")
        self.domo.script("status:502", count=None)
        got = [self.client.ask(start(model=m))[0]
               for m in ("a", "b", "the needle", "c")]
        self.assertEqual(got, [503, 503, 500, 502])
        self.domo.control("DELETE", "script")
        self.assertEqual(self.client.ask(start())[0], 200)
        self.domo.control("POST", "script", {
            "scenarios": ["status:418", "normal", "status:419"]})
        got = [self.client.ask(start())[0] for _ in range(4)]
        self.assertEqual(got, [418, 200, 419, 200])

    def test_unknown_scenarios(self):
        with self.assertRaisesRegex(Refused, "unknown scenario"):
            self.domo.script("no-such-thing")
        for name in ("no-such-thing", "status", "status:abc", "hang:1",
                     "reply:none", "reset-before-executed"):
            with self.subTest(name=name):
                status, _, _ = self.client.ask(start(f"scenario:{name}"))
                self.assertEqual(status, 500)
                self.assertTrue(self.last()["violations"])

    def test_gate(self):
        clients = [self.fresh() for _ in range(3)]
        for client in clients:
            client.send(start("scenario:gate:g1"))
        self.domo.wait("held=3")
        self.assertEqual(self.domo.record("executed=1"), [])
        self.assertEqual([e["ended"] for e in self.domo.record()], [None] * 3)
        self.domo.control("POST", "release/g1?count=1")
        self.domo.wait("executed=1&held=%3D2")
        self.domo.control("POST", "release/g1")
        self.assertEqual([c.reply()[0] for c in clients], [200] * 3)
        self.client.ask(start("scenario:gate:g1"))
        refused = self.fresh()
        refused.send(start("scenario:gate-throttled:g3:7"))
        self.domo.wait("held=1")
        self.domo.control("POST", "release/g3")
        status, headers, _ = refused.reply()
        self.assertEqual([status, headers["retry-after"]], [429, "7"])
        refused.close()
        early = self.fresh()
        early.send(start("scenario:gate-executed:g2"))
        self.domo.wait("executed=5")
        early.close()
        self.domo.wait("open=4&held=%3D0")
        self.assertNotIn(None, [e["ended"] for e in self.domo.record()])

    def test_connections(self):
        self.client.ask(start())
        self.assertEqual(self.domo.wait("idle=1")["connections"], 1)
        self.assertEqual(self.domo.control("POST", "close-idle"),
                         {"closed": 1})
        self.assertEqual(self.client.rest(), b"")
        self.domo.wait("open=0")
        self.domo.control("POST", "stop-accepting")
        with self.assertRaises(ConnectionRefusedError):
            self.domo.connect()
        self.domo.control("POST", "resume-accepting")
        self.assertEqual(self.fresh().ask(start())[0], 200)

    def test_questions(self):
        for n in (1, 2, 2, 3):
            self.client.ask(start(data='{"n":%d}' % n))
        self.client.ask(cancel("x"))
        tally = self.domo.control("GET", "count?operation=start&by=data.n")
        self.assertEqual(tally, {"total": 4, "distinct": 3, "max": 2,
                                 "repeated": {"2": 2}})
        self.assertEqual(len(self.domo.record("operation=cancel")), 1)
        self.assertEqual(len(self.domo.record("contains=n%22:2")), 2)
        seq = self.last()["seq"]
        self.domo.control("DELETE", "record")
        self.client.ask(start())
        self.assertEqual([e["seq"] for e in self.domo.record()], [seq + 1])
        self.assertEqual(self.domo.control("GET", "stats")["requests"], 1)

    def test_wait_gives_up(self):
        answer = self.domo.control("GET", "wait?requests=1&timeout=0.01")
        self.assertFalse(answer["reached"])

    def test_record_file(self):
        self.client.ask(start())
        with open(os.path.join(DIRECTORY, "record.jsonl")) as lines:
            entry = json.loads(lines.readlines()[-1])
        last = self.last()
        self.assertGreaterEqual(last["ended"], last["time"])
        self.assertEqual(entry, last | {"ended": None})


class Scenarios(Case):
    """What happens on the wire."""

    def ask(self, name, maker=start):
        return self.fresh().ask(maker(f"scenario:{name}"))

    def ended(self, name, client=None):
        """The bytes of a connection that the stand-in ends."""
        client = client or self.fresh()
        client.send(start(f"scenario:{name}"))
        return client.rest()

    def test_statuses(self):
        for name, status, executed in (
            ("status:502", 502, False), ("status-executed:502", 502, True),
            ("text:403", 403, False), ("html:500", 500, False),
            ("empty:404", 404, False), ("blocked", 200, False),
            ("status-unexecuted:200", 200, False),
            ("early-reply:413", 413, False),
        ):
            with self.subTest(name=name):
                self.assertEqual(self.ask(name)[0], status)
                self.assertEqual(self.last()["executed"], executed)
                self.assertEqual(self.last()["status"], status)
                self.assertEqual(self.last()["scenario"], name)

    def test_by_message_and_by_path(self):
        data = start(messageName='"scenario:status:418"')
        self.assertEqual(self.client.ask(data)[0], 418)
        self.assertEqual(self.ask("status:418", cancel)[0], 418)
        self.assertEqual(self.ask("status:418", permissions)[0], 418)

    def test_retry_after(self):
        for value, pattern in (("7", "^7$"), ("soon", "^soon$"),
                               ("date+60", "GMT$"), ("a:b", "^a:b$")):
            _, headers, _ = self.ask(f"retry-after:429:{value}")
            self.assertRegex(headers["retry-after"], pattern)

    def test_redirects(self):
        status, headers, _ = self.ask("redirect")
        self.assertEqual(status, 303)
        self.assertIn("whitelist/blocked", headers["location"])
        self.refused(request("GET", "/auth/whitelist/blocked"),
                     "redirect was followed")
        status, headers, _ = self.ask("redirect-host:307")
        other = self.domo.where["other_port"]
        self.assertIn(f":{other}/api", headers["location"])
        self.fresh("other_port").ask(start())
        self.assertIn("redirect was followed", self.last()["violations"][0])

    def test_broken_connections(self):
        with self.assertRaises(ConnectionResetError):
            self.ended("reset-after")
        self.assertTrue(self.last()["executed"])
        with self.assertRaises(ConnectionResetError):
            self.ended("reset-before")
        self.assertFalse(self.last()["executed"])
        self.assertEqual(self.ended("close-after"), b"")
        self.assertTrue(self.last()["executed"])
        self.assertEqual(self.ended("close-after-unexecuted"), b"")
        self.assertFalse(self.last()["executed"])
        self.assertNotIn(b"\r\n\r\n", self.ended("half-headers"))
        for name in ("half-body", "half-chunk", "missing-last-chunk",
                     "bad-chunk", "until-close", "http10", "garbage"):
            with self.subTest(name=name):
                self.assertTrue(self.ended(name))
                self.assertTrue(self.last()["executed"])

    def test_reset_before_the_body(self):
        self.domo.script("reset-before")
        self.client.send(start()[:-5])
        with self.assertRaises(ConnectionResetError):
            self.client.rest()
        self.assertFalse(self.last()["complete"])

    def test_close_keepalive(self):
        self.assertEqual(
            self.client.ask(start("scenario:close-keepalive"))[0], 200)
        self.client.send(start("another"))
        self.assertEqual(self.client.rest(), b"")
        self.assertTrue(self.last()["executed"])
        self.assertEqual(self.last()["id"], "another")

    def test_framing(self):
        self.assertEqual(self.ask("trickle:0")[0], 200)
        self.assertEqual(self.ask("delay:1")[0], 200)
        self.assertIn(b"\r\n0\r\n\r\n", self.ask_chunked("chunked:5"))
        self.client.send(start("scenario:many-1xx:3"))
        replies = [self.client.reply()[0] for _ in range(7)]
        self.assertEqual(replies, [100, 103] * 3 + [200])
        _, _, body = self.ask("oversize:300000")
        self.assertEqual(len(body), 300000)
        self.assertIn("padding", json.loads(body))
        whole = self.ask_chunked("oversize-chunked:300000")
        self.assertGreater(len(whole), 300000)

    def ask_chunked(self, name):
        client = self.fresh()
        client.send(start(f"scenario:{name}"))
        while not client.pending.endswith(b"0\r\n\r\n"):
            client.more()
        return client.pending

    def test_hanging(self):
        for number, name in enumerate(
            ("hang", "hang-unexecuted", "hang-headers", "hang-body"), 1
        ):
            client = self.fresh()
            client.send(start(f"scenario:{name}"))
            self.domo.wait(f"held={number}")
            self.assertEqual(self.last()["executed"], "un" not in name)

    def test_without_end(self):
        for name in ("endless", "endless-headers", "endless-1xx"):
            client = self.fresh()
            client.send(start(f"scenario:{name}"))
            while len(client.pending) < 200000:
                self.assertTrue(client.more())
            client.close()
        self.domo.wait("open=1")

    def test_no_read(self):
        self.domo.script("no-read")
        client = self.fresh()
        client.sock.settimeout(0.2)
        body = start_body(data='{"a":"%s"}' % ("x" * 500000))
        with self.assertRaises(TimeoutError):
            client.send(request(body=body))
        self.domo.wait("held=1")
        self.assertFalse(self.last()["complete"])

    def test_slow_read(self):
        self.domo.script("slow-read:1")
        body = start_body(data='{"a":"%s"}' % ("x" * 100000))
        self.assertEqual(self.fresh().ask(request(body=body))[0], 200)
        self.assertEqual(self.last()["body"], body)
        self.assertEqual(self.ask("slow-read:1")[0], 500)

    def test_every_reply_body(self):
        for key in REPLIES:
            for maker in (start, cancel, permissions):
                with self.subTest(key=key, maker=maker.__name__):
                    data = maker(f"scenario:reply:{key}")
                    status, _, _ = self.client.ask(data)
                    self.assertEqual(status, REPLIES[key][0])
                    self.assertEqual(self.last()["violations"], [])

    def test_reply_bodies(self):
        def body(key):
            return self.client.ask(start(f"scenario:reply:{key}"))[2]

        self.assertIsNone(json.loads(body("status-json-null"))["status"])
        self.assertEqual(json.loads(body("epoch-ms"))["createdOn"],
                         1700062137479)
        self.assertNotIn("id", json.loads(body("no-id")))
        self.assertEqual(body("duplicate-id").count(b'"id"'), 2)
        self.assertIn(b"\x00", body("nul-byte"))
        self.assertIn(rb'{"id": "a\ud800b"', body("lone-surrogate-id"))
        self.assertIn(TOKEN.encode(), body("echo-token"))
        self.assertIn(b'"odd": 01}', body("number-01"))
        self.assertTrue(body("bom").startswith(b"\xef\xbb\xbf{"))

    def test_echoes(self):
        for place in echoes.PLACES:
            for form, write in echoes.FORMS.items():
                with self.subTest(place=place, form=form):
                    data = start(f"scenario:echo:{place}:{form}")
                    status, headers, body = self.client.ask(data)
                    self.assertEqual(status < 300, place in echoes.GOOD)
                    self.assertEqual(self.last()["executed"], status < 300)
                    whole = "\n".join([*headers.values(), body.decode()])
                    self.assertIn(write(TOKEN), whole)

    def test_readme_names_everything(self):
        with open(os.path.join(HERE, "README.md")) as readme:
            text = readme.read()
        for name in SCENARIOS:
            self.assertRegex(text, rf"`{name}[`:\[]")
        for key in REPLIES:
            self.assertIn(f"`{key}`", text)


class Ports(Case):
    """TLS, and the ports that are no service at all."""

    def tls(self, port, name="localhost"):
        context = ssl.create_default_context(cafile=self.domo.where["ca_file"])
        sock = self.fresh(port).sock
        client = Client(context.wrap_socket(sock, server_hostname=name))
        self.addCleanup(client.close)
        return client

    def test_tls(self):
        client = self.tls("tls_port")
        self.assertEqual(client.ask(start())[0], 200)
        self.assertEqual(self.last()["port"], "tls")
        by_address = self.tls("tls_port", "127.0.0.1")
        self.assertEqual(by_address.ask(start())[0], 200)
        client.send(start("scenario:close-after"))
        self.assertEqual(client.rest(), b"")
        client = self.tls("tls_port")
        client.send(start("scenario:reset-after"))
        with contextlib.suppress(ConnectionResetError):  # Python 3.13 raises
            client.rest()
        self.assertTrue(client.was_reset())

    def test_bad_certificates(self):
        for port, why in (("wrong_name_port", "mismatch"),
                          ("unknown_ca_port", "issuer|self.signed")):
            with self.assertRaisesRegex(ssl.SSLCertVerificationError, why):
                self.tls(port)

    def test_no_read_over_tls(self):
        self.domo.script("no-read")
        client = self.tls("tls_port")
        client.sock.settimeout(0.2)
        body = start_body(data='{"a":"%s"}' % ("x" * 500000))
        with self.assertRaises(TimeoutError):
            client.send(request(body=body))
        self.domo.wait("held=1")

    def test_silent(self):
        client = self.fresh("silent_tls_port")
        client.send(b"anything")
        self.domo.wait("silent=1")
        client.sock.settimeout(0.1)
        with self.assertRaises(TimeoutError):
            client.rest()

    def test_proxy(self):
        plain, tls = self.domo.where["port"], self.domo.where["tls_port"]
        client = self.fresh("proxy_port")
        status, _, _ = client.ask(request(
            path=f"http://127.0.0.1:{plain}{START}", body=start_body(),
            headers={"Proxy-Connection": "keep-alive"}))
        self.assertEqual(status, 200)
        client = self.fresh("proxy_port")
        client.send(b"CONNECT localhost:%d HTTP/1.1\r\n\r\n" % tls)
        self.assertEqual(client.reply()[0], 200)
        context = ssl.create_default_context(cafile=self.domo.where["ca_file"])
        client.sock = context.wrap_socket(
            client.sock, server_hostname="localhost")
        self.assertEqual(client.ask(start())[0], 200)
        self.assertEqual(self.domo.control("GET", "stats")["proxied"], 2)
        self.domo.control("DELETE", "record")
        client = self.fresh("proxy_port")
        client.send(b"CONNECT domo.example:443 HTTP/1.1\r\n\r\n")
        self.assertEqual(client.reply()[0], 403)
        self.domo.wait("proxied=%3D1")

    def test_refused(self):
        with self.assertRaises(ConnectionRefusedError):
            self.fresh("refused_port")

    def test_blackhole(self):
        address = ("127.0.0.1", self.domo.where["blackhole_port"])
        with self.assertRaises(TimeoutError):
            socket.create_connection(address, 0.3)

    def test_ends_with_stdin_and_by_signal(self):
        self.assertEqual(StandIn().stop(), 0)
        domo = StandIn()
        self.assertIsNone(domo.where["tls_port"])
        domo.process.terminate()
        self.assertEqual(domo.stop(), 0)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as DIRECTORY:
        DOMO = StandIn("--tls", "--dir", DIRECTORY, "--token", TOKEN)
        try:
            program = unittest.main(exit=False)
        finally:
            DOMO.stop()
    sys.exit(not program.result.wasSuccessful())
