"""The answers of the two documents: exact keys, and of each value its type, its form or the value itself.

A tuple is a choice; a list of one shape is a list of any such things, at least one.
"""

from __future__ import annotations

import re
from typing import Any

# RFC 3339, UTC, milliseconds.
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
PREVIEW = re.compile(r"preview_\w+")
GENERATION = re.compile(r"gen_\w+")
URL = re.compile(r"http://localhost:\d+")
NUMBER = (int, float)
TEXTS = (str, [str])
HEALTH = ("unknown", "healthy", "unhealthy")

_PLAN_STATUS = {
    "previewInstanceId": PREVIEW,
    "status": ("launching", "running"),
    "baseUrl": URL,
    "uptime": int,
    "lastHealthCheck": (None, TIME),
    "healthStatus": HEALTH,
    "createdAt": TIME,
    "expiresAt": TIME,
    "generatedEndpoints": [{"method": str, "path": str, "description": str}],
}
_V1_STATUS = {
    "id": PREVIEW,
    "status": ("starting", "running"),
    "port": int,
    "base_url": URL,
    "uptime_seconds": int,
    "memory_usage_mb": (None, *NUMBER),
    "cpu_usage_percent": (None, *NUMBER),
    "health": HEALTH,
    "started_at": TIME,
}
_V1_PREVIEW = {
    "id": PREVIEW,
    "generation_id": GENERATION,
    "user_id": str,
    "project_id": str,
    "status": str,
    "port": (None, int),
    "base_url": (None, URL),
    "created_at": TIME,
    "started_at": (None, TIME),
    "stopped_at": (None, TIME),
    "expires_at": TIME,
}

SHAPES: dict[str, Any] = {
    "plan launch": {
        "status": "launched",
        "previewInstanceId": PREVIEW,
        "generationId": GENERATION,
        "baseUrl": URL,
        "previewToken": str,
        "expiresAt": TIME,
        "healthCheckUrl": re.compile(r"http://localhost:\d+/health"),
    },
    "v1 launch": {
        "id": PREVIEW,
        "generation_id": GENERATION,
        "user_id": str,
        "project_id": str,
        "status": "starting",
        "port": int,
        "base_url": URL,
        "session_token": str,
        "created_at": TIME,
    },
    "plan status": _PLAN_STATUS,
    "v1 status": _V1_STATUS,
    "plan failed status": _PLAN_STATUS
    | {"status": "failed", "reason": str, "exitCode": 3, "exitSignal": None, "generatedEndpoints": Any},
    "v1 failed status": _V1_STATUS
    | {"status": "failed", "reason": str, "exit_code": 3, "exit_signal": None, "started_at": (None, TIME)},
    "plan stop": {"status": "stopped", "message": "Preview instance stopped successfully", "stoppedAt": TIME},
    "plan endpoints": {
        "endpoints": [
            (
                {"method": "GET", "path": str, "description": str, "source": str},
                {
                    "method": "GET",
                    "path": "/books",
                    "description": "List all books.",
                    "source": str,
                    "requestSchema": {"query": {"page": "integer"}},
                },
                {
                    "method": "GET",
                    "path": "/api/users",
                    "description": str,
                    "source": str,
                    "requestSchema": {"query": {"limit": "integer"}},
                },
                {
                    "method": "POST",
                    "path": "/books",
                    "description": str,
                    "source": str,
                    "requestBody": {"name": "string"},
                    "responseSchema": {"name": "string"},
                },
            )
        ],
        "complete": bool,
        "unread": list,
    },
    "v1 endpoints": {
        "endpoints": list,
        "count": int,
        "complete": bool,
        "unread": list,
        "sockets": list,
    },
    "v1 endpoint": {"path": str, "method": str, "summary": str, "description": str, "tags": list, "source": str},
    "plan request": {"statusCode": 200, "data": {"page": 2}, "headers": dict},
    "v1 request": {"status_code": 200, "headers": dict, "body": '{"page":2}', "elapsed_ms": float},
    "plan config": {
        "previewTimeout": 3600,
        "maxInstances": 1,
        "sessionExpiry": 1800,
        "autoStopInactiveAfter": 1800,
        "environment": {"NODE_ENV": "development", "LOG_LEVEL": "ERROR"},
        "limitations": {
            "tier": "free",
            "maxConcurrentPreviews": 1,
            "maxSessionDuration": 3600,
            "features": {"websocketLogs": bool, "advancedMetrics": bool},
        },
    },
    "v1 config": {
        "port": int,
        "base_url": URL,
        "session_timeout": 1800,
        "max_uptime": 3600,
        "memory_limit_mb": 1024,
        "timeout_seconds": 30,
    },
    "ticket": {"ticket": str, "expires_in": int},
    "plan line": {
        "timestamp": TIME,
        "level": ("DEBUG", "INFO", "WARN", "ERROR"),
        "message": str,
        "source": ("startup", "request", "preview"),
    },
    "v1 line": {
        "timestamp": TIME,
        "level": ("DEBUG", "INFO", "WARNING", "ERROR"),
        "message": str,
        "source": ("subprocess", "system"),
    },
    "plan error": {"status": ("failed", "error", "not_found"), "error": str, "message": str},
    "plan launch error": {
        "status": "failed",
        "error": "launch_failed",
        "message": re.compile(r"Cannot launch: .+", re.DOTALL),
        "details": dict,
    },
    "plan request error": {"statusCode": int, "error": str, "message": str},
    "v1 error": {
        "type": re.compile(r"urn:preview:problem:\w+"),
        "title": str,
        "status": int,
        "detail": str,
        "instance": str,
        "code": str,
    },
    "v1 preview": _V1_PREVIEW,
}
