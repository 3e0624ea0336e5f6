"""A local nginx that answers like Domo, as fast as anything can."""

import os
import shutil
import socket
import subprocess
import time
import urllib.request

START = "/api/workflow/v1/instances/message"

# The reply of Domo's own page, made valid JSON.
INSTANCE = """{
    "id": "2052e10a-d142-4391-a731-2be1ab1c0188",
    "modelId": "a8afdc89-9491-4ee4-b7c3-b9e9b86c0138",
    "modelName": "AddTwoNumbers",
    "modelVersion": "1.1.0",
    "createdBy": "8811501",
    "createdOn": "2023-11-15T15:28:57.479Z",
    "updatedBy": "8811501",
    "updatedOn": "2023-11-15T15:28:57.479Z",
    "status": "null"
}"""

NOT_FOUND = (
    '{"status":404,"statusReason":"Not Found","path":"/","toe":"BENCH-1"}'
)

THROTTLED = (
    '{"status":429,"statusReason":"Too Many Requests","path":"/",'
    '"toe":"BENCH-2"}'
)

SERVER = """
    server {{
        listen 127.0.0.1:{port}{tls};
        keepalive_timeout {keep};
        location = {start} {{ return {answer}; }}
        location = /count {{ stub_status; }}
        location / {{ return 404 '{not_found}'; }}
    }}
"""

CONFIG = """
daemon off;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type 'application/json;charset=UTF-8';
    keepalive_requests 1000000000;
    client_body_temp_path {dir}/body;
    proxy_temp_path {dir}/proxy;
    fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi;
    scgi_temp_path {dir}/scgi;
    ssl_certificate {dir}/server.pem;
    ssl_certificate_key {dir}/server.key;
    ssl_protocols TLSv1.2 TLSv1.3;
{servers}
}}
"""

# Where Debian and Red Hat keep the CAs that everybody trusts.
BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
)


def free_ports(count):
    """Ports that nobody listens on just now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def openssl(*arguments, **options):
    subprocess.run(
        ["openssl", *arguments], check=True, capture_output=True, **options
    )


def make_certificates(directory):
    """A CA and a server's certificate; the CA joins the system's bundle,
    because parsing that is what a connection costs that is not cached."""

    def path(name):
        return os.path.join(directory, name)

    key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    openssl(
        *("req", "-x509", *key, "-subj", "/CN=domowf bench CA"),
        *("-keyout", path("ca.key"), "-out", path("ca.pem")),
    )
    openssl(
        *("req", *key[:3], "-subj", "/CN=localhost"),
        *("-keyout", path("server.key"), "-out", path("server.csr")),
    )
    with open(path("san"), "w") as out:
        out.write("subjectAltName=IP:127.0.0.1\n")
    openssl(
        *("x509", "-req", "-in", path("server.csr"), "-days", "2"),
        *("-CA", path("ca.pem"), "-CAkey", path("ca.key"), "-CAcreateserial"),
        *("-extfile", path("san"), "-out", path("server.pem")),
    )
    with open(path("bundle.pem"), "w") as out:
        for name in (*BUNDLES, path("ca.pem")):
            if os.path.exists(name):
                with open(name) as file:
                    out.write(file.read())
    return path("bundle.pem")


class Nginx:
    """Kept connections over HTTP and TLS, a TLS port that keeps none, and one
    that answers 429."""

    BINARY = shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin")

    def __init__(self, directory):
        self.directory = directory
        self.asked = 0
        self.bundle = make_certificates(directory)
        self.ports = free_ports(5)
        self.http = "http://127.0.0.1:%d" % self.ports[0]
        self.tls = "https://127.0.0.1:%d" % self.ports[1]
        self.fresh = "https://127.0.0.1:%d" % self.ports[2]
        self.throttled = "http://127.0.0.1:%d" % self.ports[3]
        # nobody listens there
        self.refused = "http://127.0.0.1:%d" % self.ports[4]
        self.write_config()
        self.start()

    def path(self, name):
        return os.path.join(self.directory, name)

    def write_config(self):
        common = {"start": START, "not_found": NOT_FOUND}
        done = "200 '%s'" % INSTANCE
        kinds = (
            *(("", "1h", done), (" ssl", "1h", done), (" ssl", "0", done)),
            ("", "1h", "429 '%s'" % THROTTLED),
        )
        servers = "".join(
            SERVER.format(
                port=port, tls=tls, keep=keep, answer=answer, **common
            )
            for port, (tls, keep, answer) in zip(self.ports, kinds)
        )
        with open(self.path("nginx.conf"), "w") as out:
            out.write(CONFIG.format(dir=self.directory, servers=servers))

    def start(self):
        with open(self.path("nginx.log"), "w") as log:
            self.process = subprocess.Popen(
                [self.BINARY, "-c", self.path("nginx.conf")], stderr=log
            )
        for _ in range(100):
            try:
                for port in self.ports[:4]:
                    socket.create_connection(("127.0.0.1", port)).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        with open(self.path("nginx.log")) as log:
            raise SystemExit("nginx did not start:\n" + log.read())

    def requests(self):
        """How many it has had, but for those by which this was asked."""
        with urllib.request.urlopen(self.http + "/count") as answer:
            count = int(answer.read().split(b"requests")[1].split()[2])
        self.asked += 1
        return count - self.asked

    def stop(self):
        self.process.terminate()
        self.process.wait()
