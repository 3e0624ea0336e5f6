"""What the kernel knows of a process: CPU, memory, wake-ups, descriptors."""

import os


def fields_of_stat(pid):
    """Those after the program's name."""
    with open("/proc/%d/stat" % pid) as stat:
        return stat.read().rsplit(") ", 1)[1].split()


def children(pid):
    """Processes that one has started."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(fields_of_stat(int(name))[1]) == pid:
                found.append(int(name))
        except OSError:
            # it has ended
            continue
    return found


def cpu_seconds(pid):
    """What a process has used so far, in user and system mode together."""
    fields = fields_of_stat(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_seconds_exactly(pid):
    """The same by the scheduler's account, where the kernel keeps one; the
    other is in steps of a clock tick, 10 ms."""
    try:
        with open("/proc/%d/schedstat" % pid) as stat:
            return int(stat.read().split()[0]) / 1e9
    except OSError:
        return cpu_seconds(pid)


def kilobytes(pid, file, names):
    """The sum of these lines."""
    with open("/proc/%d/%s" % (pid, file)) as lines:
        return sum(
            int(line.split()[1])
            for line in lines
            if line.split(":")[0] in names
        )


def private_kb(pid):
    """Memory that no other process shares."""
    return kilobytes(pid, "smaps_rollup", ("Private_Clean", "Private_Dirty"))


def wake_ups(pid):
    """How often it has waited so far, and so was woken."""
    with open("/proc/%d/status" % pid) as status:
        for line in status:
            if line.startswith("voluntary_ctxt_switches:"):
                return int(line.split()[1])
    return 0
