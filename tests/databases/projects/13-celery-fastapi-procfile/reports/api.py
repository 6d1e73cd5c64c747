from uuid import uuid4

from celery.result import AsyncResult
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel

from . import store
from .tasks import render
from .worker import celery_app

app = FastAPI(title="Report service")


class ReportIn(BaseModel):
    title: str


@app.get("/health")
def health():
    with celery_app.connection_for_read() as connection:
        connection.ensure_connection(max_retries=1)
        return {"transport": connection.transport_cls, "redis": store.client.info("server")["redis_version"]}


@app.get("/reports")
def list_reports():
    return [store.load(one) for one in sorted(store.client.smembers("reports"))]


@app.post("/reports", status_code=202)
def create_report(report: ReportIn):
    report_id = uuid4().hex
    task = render.apply_async((report_id,), countdown=1)
    store.save(report_id, title=report.title, task=task.id)
    store.client.sadd("reports", report_id)
    return store.load(report_id)


@app.get("/reports/{report_id}")
def get_report(report_id: str):
    report = store.load(report_id)
    if report is None:
        raise HTTPException(404, "Report not found")
    return {**report, "state": AsyncResult(report["task"], app=celery_app).state}


@app.put("/reports/{report_id}")
def rename_report(report_id: str, data: ReportIn):
    if store.load(report_id) is None:
        raise HTTPException(404, "Report not found")
    store.save(report_id, title=data.title)
    return store.load(report_id)


@app.delete("/reports/{report_id}", status_code=204)
def delete_report(report_id: str):
    store.client.delete(f"report:{report_id}")
    store.client.srem("reports", report_id)
