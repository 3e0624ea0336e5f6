"""Domo itself, as far as the page describes it: workflows are started,
instances exist and are cancelled, permissions are stored.

Each operation returns the Reply that Domo would give. Whether an operation
is carried out at all, and whether its reply arrives, is the scenarios' affair.
"""

import datetime
import json
import uuid

from http_server import REASONS, Reply

USER = "8811501"


def iso_now():
    now = datetime.datetime.now(datetime.timezone.utc)
    return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def new_toe():
    """The id that Domo's support asks for."""
    return uuid.uuid4().hex[:16].upper()


def dumps(value):
    return json.dumps(value, ensure_ascii=False).encode(
        "utf-8", "surrogatepass"
    )


def error_reply(status, message, path=None, /, **fields):
    """Domo's general error body; fields override."""
    body = {
        "status": status,
        "statusReason": REASONS.get(status, "Odd"),
        "message": message,
        "path": path,
        "toe": new_toe(),
    }
    return Reply(status, dumps(body | fields))


class Model:
    def __init__(self):
        self.instances = {}  # id → instance object, in the full form
        self.permissions = {}  # model id → array as last sent
        self.courses = {}  # id → what reads of the instance still tell
        self.course = []  # of new instances

    def perform(self, entry):
        """Does what a recorded request asks for. Returns the reply, and
        writes the id of the instance concerned into the entry."""
        return getattr(self, "_" + entry["operation"])(entry)

    def exists(self, operation, id):
        """Whether the request concerns something there is. A model always
        is; an instance that names a scenario too."""
        return (
            operation not in ("cancel", "read")
            or id in self.instances
            or id.startswith("scenario:")
        )

    def blank(self, entry):
        """The instance that an entry would make, without making it."""
        return self._new(str(uuid.uuid4()), entry)

    def set_status(self, id, status):
        """Returns the instance, or None."""
        instance = self.instances.get(id)
        if instance:
            instance["status"] = status
            instance["updatedOn"] = iso_now()
        return instance

    def set_course(self, id, states):
        """`states`: [status, reads] each; the last one stays. An instance's,
        or with None as the id that of all that will be started."""
        course = [[status, int(reads)] for status, reads in states]
        if id is None:
            self.course = course
        else:
            self.courses[id] = course

    def forget(self, id):
        """From now on it is not there: 404."""
        self.courses.pop(id, None)
        return self.instances.pop(id)

    def _advance(self, id):
        """What the next read tells."""
        course = self.courses.get(id)
        if not course:
            return
        while len(course) > 1 and course[0][1] <= 0:
            course.pop(0)
        course[0][1] -= 1
        if self.instances[id]["status"] != course[0][0]:
            self.set_status(id, course[0][0])

    def _start(self, entry):
        instance = self.blank(entry)
        self.instances[instance["id"]] = instance
        if self.course:
            self.set_course(instance["id"], self.course)
        entry["instance"] = instance["id"]
        reply = short_form(instance) | {"status": "null"}
        return Reply(200, dumps(reply))

    def _cancel(self, entry):
        """Asynchronous: the reply has the status from before."""
        instance = self._find(entry)
        reply = Reply(200, dumps(instance))
        if instance["status"] in (None, "null", "IN_PROGRESS"):
            self.set_status(entry["id"], "CANCELED")
        return reply

    def _set_permissions(self, entry):
        self.permissions[entry["id"]] = entry["data"]
        return Reply(200)

    def _read(self, entry):
        if entry["id"] in self.instances:
            self._advance(entry["id"])
        return Reply(200, dumps(self._find(entry)))

    def _find(self, entry):
        id = entry["id"]
        entry["instance"] = id
        return self.instances.get(id) or self._new(id, entry)

    @staticmethod
    def _new(id, entry):
        name = (entry.get("message_name") or "Start AddTwoNumbers")
        now = iso_now()
        return {
            "id": id,
            "modelId": entry.get("model_id") or str(uuid.UUID(int=1)),
            "deploymentId": str(uuid.UUID(int=2)),
            "modelName": name.removeprefix("Start "),
            "modelVersion": entry.get("version") or "1.1.0",
            "bpmnProcessId": "Process_1",
            "bpmnProcessName": name.removeprefix("Start "),
            "createdBy": USER,
            "createdOn": now,
            "updatedBy": USER,
            "updatedOn": now,
            "status": "IN_PROGRESS",
            "isTestRun": False,
        }


_START_FIELDS = (
    "id", "modelId", "modelName", "modelVersion", "createdBy", "createdOn",
    "updatedBy", "updatedOn", "status",
)


def short_form(instance):
    """The fields that the page prints for a start."""
    return {key: instance[key] for key in _START_FIELDS}
