"""Which core does what. Where client and server share one, what is measured is
work alone; on two, waking each other up is most of it, and scatters."""

import os

from processes import children

ALL = sorted(os.sched_getaffinity(0))


class Cores:
    """Places the backend and raw libcurl, and nginx's worker."""

    def __init__(self, nginx, raw, backend):
        self.clients = [raw.process.pid, backend.pid]
        self.servers = children(nginx.process.pid)

    def place(self, clients, servers):
        for pids, cores in ((self.clients, clients), (self.servers, servers)):
            for pid in pids:
                os.sched_setaffinity(pid, cores)

    def share_one(self):
        self.place(ALL[-1:], ALL[-1:])

    def have_one_each(self):
        self.place(ALL[-1:], ALL[:1])

    def free(self):
        self.place(ALL, ALL)
