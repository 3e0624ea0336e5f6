"""A server of its own for what takes other settings than the one that is
measured, in the benchmark's directory, with the installation that run made."""

import os
import subprocess

# Of the directory that the benchmark is started in.
INSTALLATION = "temp.conf"


class Server:
    """Runs from its making to stop(). Shares the directory of sockets."""

    def __init__(self, directory, name, port, settings):
        self.port = port
        self.data = os.path.join(directory, name)
        self.log = self.data + ".log"
        self.call(
            *("initdb", "-D", self.data, "-U", "postgres", "-A", "trust"),
            *("-E", "UTF8", "--no-sync", "--no-instructions"),
        )
        with open(os.path.join(self.data, "postgresql.conf"), "a") as out:
            for line in (
                "port = %d" % port,
                "listen_addresses = ''",
                "unix_socket_directories = '%s'" % os.environ["PGHOST"],
                "include '%s'" % os.path.abspath(INSTALLATION),
                *settings,
            ):
                out.write(line + "\n")
        self.control("-w", "-l", self.log, "start")

    def control(self, *arguments):
        self.call("pg_ctl", "-D", self.data, "-s", *arguments)

    def call(self, *command):
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def stop(self):
        self.control("-m", "fast", "-w", "stop")
