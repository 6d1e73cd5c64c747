"""The real jobs, but that the one which unpacks archives says what the archive's text tells it to say."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from preview.worker import jobs
from preview.worker.child import Job, JobContext


def _forge(context: JobContext, _arguments: Mapping[str, Any]) -> object:
    archive, contents, _ = context.files
    said = json.loads(os.pread(archive, 1 << 20, 0))
    os.write(contents, said["contents"].encode())
    return said["answer"]


JOBS = {**jobs.JOBS, "unpack": Job(_forge, writes=True)}
