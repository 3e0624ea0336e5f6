"""Three servers that Patroni manages, and the etcd by which it does."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request

import psycopg2

RUN = os.environ["RUN"]
BINDIR = os.environ["BINDIR"]
NAMES = ("a", "b", "c")
TTL = 20


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_until(what, is_so, seconds=180):
    """Whether it came to be so in time; a fault of the test if not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_so():
            return
        time.sleep(0.2)
    raise TimeoutError("it takes too long until " + what)


def processes_in(directory):
    """Those that have this directory, or one in it, as their own."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            continue
        if cwd == directory or cwd.startswith(directory + "/"):
            found.append(int(pid))
    return found


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Etcd:
    """Its v2 API: Patroni 3.0 overwrites a leader key after a freeze by v3."""

    def __init__(self):
        self.port, self.peer = free_port(), free_port()
        self.directory = f"{RUN}/etcd"
        os.mkdir(self.directory)
        self.process = None

    def start(self):
        client = f"http://127.0.0.1:{self.port}"
        peer = f"http://127.0.0.1:{self.peer}"
        self.process = subprocess.Popen(
            ["etcd", "--name", "one", "--data-dir", self.directory + "/data",
             "--enable-v2=true", "--listen-client-urls", client,
             "--advertise-client-urls", client, "--listen-peer-urls", peer,
             "--initial-advertise-peer-urls", peer,
             "--initial-cluster", f"one={peer}"],
            cwd=self.directory, stdin=subprocess.DEVNULL,
            stdout=open(f"{RUN}/etcd.log", "a"), stderr=subprocess.STDOUT)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Node:
    """One server, and the Patroni beside it."""

    def __init__(self, name, etcd, parameters, dcs):
        self.name = name
        self.directory = f"{RUN}/node_{name}"
        self.data = f"{self.directory}/data"
        self.port, self.rest = free_port(), free_port()
        self.process = None
        os.makedirs(f"{self.directory}/patroni")
        own = f"127.0.0.1:{self.port}"
        self.config = f"{self.directory}/patroni.json"
        with open(self.config, "w") as file:
            json.dump({
                "scope": "ha", "name": name,
                "restapi": {"listen": f"127.0.0.1:{self.rest}",
                            "connect_address": f"127.0.0.1:{self.rest}"},
                "etcd": {"host": f"127.0.0.1:{etcd.port}"},
                "bootstrap": {
                    "dcs": dcs,
                    "initdb": [{"encoding": "UTF8"}, {"locale": "C"},
                               {"auth": "trust"}]},
                "postgresql": {
                    "listen": own, "connect_address": own,
                    "data_dir": self.data, "bin_dir": BINDIR,
                    "pgpass": f"{self.directory}/pgpass",
                    "pg_hba": ["local all all trust",
                               "host all all 127.0.0.1/32 trust",
                               "host replication all 127.0.0.1/32 trust"],
                    "authentication": {
                        "superuser": {"username": "postgres"},
                        "replication": {"username": "replicator"},
                        "rewind": {"username": "postgres"}},
                    "parameters": parameters},
            }, file)

    def start(self):
        self.process = subprocess.Popen(
            ["patroni", self.config], cwd=f"{self.directory}/patroni",
            stdin=subprocess.DEVNULL,
            stdout=open(f"{RUN}/node_{self.name}.log", "a"),
            stderr=subprocess.STDOUT)

    def die(self):
        """As a machine whose power fails."""
        signal_all(processes_in(self.directory), signal.SIGKILL)
        self.process.wait()

    def freeze(self, stop):
        signal_all(processes_in(self.directory),
                   signal.SIGSTOP if stop else signal.SIGCONT)

    def crash(self):
        """PostgreSQL's postmaster alone."""
        try:
            with open(f"{self.data}/postmaster.pid") as file:
                signal_all([int(file.readline())], signal.SIGKILL)
        except (OSError, ValueError):
            pass

    def status(self):
        """What Patroni says of it, {} where it does not answer."""
        try:
            with urllib.request.urlopen(
                    f"http://127.0.0.1:{self.rest}/patroni", timeout=2) as reply:
                return json.load(reply)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except (OSError, ValueError):
            return {}

    def is_leader(self):
        status = self.status()
        return (status.get("role") in ("master", "primary")
                and status.get("state") == "running")


class Cluster:
    def __init__(self, is_sync, settings):
        self.etcd = Etcd()
        self.is_sync = is_sync
        dcs = {
            "ttl": TTL, "loop_wait": 1, "retry_timeout": 3,
            "maximum_lag_on_failover": 1 << 30,
            "synchronous_mode": is_sync, "synchronous_mode_strict": is_sync,
            "postgresql": {"use_pg_rewind": True, "use_slots": True,
                           "parameters": {"wal_log_hints": "on",
                                          "max_connections": 40}}}
        parameters = {"unix_socket_directories": RUN, **settings}
        self.nodes = [Node(name, self.etcd, parameters, dcs) for name in NAMES]

    def start(self):
        self.etcd.start()
        for node in self.nodes:
            node.start()
        self.wait_healthy(300)

    def leader(self):
        return next((node for node in self.nodes if node.is_leader()), None)

    def is_healthy(self):
        """One leader, two that follow it, one of them in step if need be."""
        leader = self.leader()
        if leader is None:
            return False
        try:
            count, in_step = self.run(leader, """SELECT count(*),
                count(*) FILTER (WHERE sync_state IN ('sync', 'quorum'))
                FROM pg_stat_replication WHERE state = 'streaming'""")[0]
        except psycopg2.Error:
            return False
        return count == len(self.nodes) - 1 and (in_step > 0) == self.is_sync

    def wait_healthy(self, seconds=240):
        wait_until("the cluster is whole", self.is_healthy, seconds)

    def run(self, node, statement):
        """In a session of its own; its rows."""
        connection = psycopg2.connect(
            host="127.0.0.1", port=node.port, user="postgres",
            dbname="postgres", connect_timeout=3)
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SET statement_timeout = '60s'")
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def switch_over(self):
        leader = self.leader()
        if leader is None:
            return
        others = [node.name for node in self.nodes if node is not leader]
        body = {"leader": leader.name}
        if not self.is_sync:
            body["candidate"] = random.choice(others)
        request = urllib.request.Request(
            f"http://127.0.0.1:{leader.rest}/switchover",
            json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            urllib.request.urlopen(request, timeout=60).close()
        except OSError:
            pass


def read_settings():
    """Of temp.conf, by which a server finds this build."""
    settings = {}
    with open(f"{RUN}/temp.conf") as file:
        for line in file:
            name, _, value = line.partition(" = ")
            settings[name] = value.strip().strip("'")
    return settings
