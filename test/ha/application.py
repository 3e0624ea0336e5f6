"""An application: asks for starts, and tries again what failed.

It knows what every application knows: what has been committed, as far as it
was told. What it was not told it asks for again, by the same key.
"""

import threading
import time

import psycopg2

PAUSE = 0.02


class Application(threading.Thread):
    def __init__(self, name, ports):
        super().__init__(daemon=True)
        self.prefix = name
        self.dsn = (
            "host=%s port=%s user=postgres dbname=postgres connect_timeout=3 "
            "target_session_attrs=read-write tcp_user_timeout=5000 "
            "keepalives_idle=2 keepalives_interval=1 keepalives_count=3"
            % (",".join(["127.0.0.1"] * len(ports)),
               ",".join(map(str, ports))))
        self.committed = []
        self.retries = 0
        self.ends = threading.Event()

    def run(self):
        connection = None
        number = 0
        while not self.ends.is_set():
            n = f"{self.prefix}{number}"
            try:
                if connection is None:
                    connection = psycopg2.connect(self.dsn)
                self.ask(connection, n)
            except psycopg2.Error:
                self.retries += 1
                connection = self.close(connection)
                time.sleep(0.2)
                continue
            self.committed.append(n)
            number += 1
            time.sleep(PAUSE)
        self.close(connection)

    @staticmethod
    def ask(connection, n):
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = '10s'")
            cursor.execute("INSERT INTO orders VALUES (%s) "
                           "ON CONFLICT DO NOTHING", (n,))
            cursor.execute("SELECT domowf_enqueue('hold', "
                           "jsonb_build_object('n', %s), key => %s)", (n, n))
        connection.commit()

    @staticmethod
    def close(connection):
        if connection is not None:
            try:
                connection.close()
            except psycopg2.Error:
                pass
