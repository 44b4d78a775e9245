"""Asks a FastAPI app with the old service's model what it answers to our requests, and prints the statuses.

    python3 -m venv venv && venv/bin/pip install fastapi==0.115.12 pydantic==2.11.4 httpx==0.27.2
    venv/bin/python old_service.py > old_service.json

The requests are those of `malformed.jsonl`, `accepted.jsonl` and `requests.jsonl`, beside this file. Like the
old service, the app writes an event as JSON and encodes the user's id before it answers 202; what it
answers when that fails is a status as well. Redirects are not followed.
"""

import json
import sys
from pathlib import Path
from uuid import UUID, uuid4

import fastapi
import pydantic
from fastapi import APIRouter, FastAPI, status
from fastapi.testclient import TestClient
from pydantic import BaseModel, Field, HttpUrl, IPvAnyAddress


class EventInfo(BaseModel):
    id: UUID = Field(default_factory=uuid4)
    type: str


class UserInfo(BaseModel):
    id: str


class DeviceInfo(BaseModel):
    user_agent: str
    screen_width: int
    screen_height: int


class ContextInfo(BaseModel):
    url: HttpUrl
    referrer: HttpUrl | None = None
    ip_address: IPvAnyAddress | None = None
    session_id: str


class Metrics(BaseModel):
    load_time: int | None = None
    interaction_time: int | None = None


class EventIn(BaseModel):
    event: EventInfo
    user: UserInfo
    device: DeviceInfo
    context: ContextInfo
    properties: dict[str, str | int | float] = Field(default_factory=dict)
    metrics: Metrics
    timestamp: int = Field(default_factory=lambda: 1700000000000)


app = FastAPI()
router = APIRouter(prefix="/v1")


@router.post("/analytics/track", status_code=status.HTTP_202_ACCEPTED)
async def take(event: EventIn):
    event.model_dump_json().encode()
    event.user.id.encode()
    return {"status": "accepted"}


@router.get("/healthz")
async def healthz():
    return {"status": "ok"}


app.include_router(router)

FOLDER = Path(__file__).parent
JSON = {"content-type": "application/json"}


def rows(name):
    return [json.loads(line) for line in (FOLDER / name).read_text(encoding="utf-8").splitlines()]


def body_of(row, valid):
    if "hex" in row:
        return bytes.fromhex(row["hex"])
    text = row.get("body", "")
    if text == "large":
        text = valid[:-1] + ',"extra":"' + "x" * 300_000 + '"}'
    return (valid if text == "valid" else text).encode()


def main():
    client = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
    malformed, accepted, requests = (rows(f"{name}.jsonl") for name in ("malformed", "accepted", "requests"))
    valid = next(row["body"] for row in accepted if row["name"] == "valid")
    out = []
    for row in malformed + accepted + requests:
        method, path = row.get("method", "POST"), row.get("path", "/v1/analytics/track")
        headers = row.get("headers", JSON)
        answer = client.request(method, path, headers=headers, content=body_of(row, valid))
        out.append({"name": row["name"], "status": answer.status_code})
    lines = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in out)
    versions = f'"fastapi": "{fastapi.__version__}", "pydantic": "{pydantic.VERSION}"'
    print(f'{{{versions}, "python": "{sys.version.split()[0]}", "answers": [\n  {lines}\n]}}')


main()
