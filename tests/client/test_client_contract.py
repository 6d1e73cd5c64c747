"""The client's models against those of the service: no field that the service does not send, and no event missing."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from preview.client import events, models
from preview.http.contracts import data, failures, generations, log_events, requests, shared, v1
from preview.http.contracts.settings import launch_settings

PAIRS: list[tuple[type[BaseModel], type[BaseModel]]] = [
    (models.Launched, v1.Launched), (models.PreviewStatus, v1.Status), (models.Instance, v1.Instance),
    (models.InstancePage, v1.InstancePage), (models.ProxiedAnswer, v1.Proxied), (models.NewToken, v1.PreviewToken),
    (models.Endpoint, v1.ListedEndpoint), (models.EndpointList, v1.Endpoints), (models.Step, shared.LaunchStepShape),
    (models.ReachedLimit, shared.ReachedLimit), (events.LogPage, shared.LogPage),
    (models.RecordedRequest, requests.RequestItem), (models.RequestPage, requests.RequestList),
    (models.Failure, failures.FailureShape), (models.Occurrence, failures.OccurrenceShape),
    (models.FailureList, failures.FailureList), (models.Frame, failures.FrameShape),
    (models.Generation, generations.GenerationShape), (models.FileList, generations.FileList),
    (models.StoredFile, generations.HashedFile), (models.FilesChanged, generations.FilesChanged),
    (models.Reload, generations.ReloadShape), (models.ReloadError, generations.ReloadError),
    (models.Snapshot, data.SnapshotShape), (models.SnapshotList, data.SnapshotList),
    (models.Restored, data.ReplacedShape), (models.Environment, launch_settings.EnvironmentShape),
    (models.Variable, launch_settings.EffectiveShape), (models.ImportedGeneration, generations.ImportedGeneration),
    (models.ImportedChange, generations.ImportedChange),
]  # fmt: skip
EVENTS: list[tuple[type[BaseModel], type[BaseModel]]] = [
    (events.Line, log_events.LineEvent), (events.Status, log_events.StatusEvent), (events.Gap, log_events.GapEvent),
    (events.Progress, log_events.ProgressEvent), (events.End, log_events.EndEvent),
    (events.Expired, log_events.ExpiredEvent),
]  # fmt: skip


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=lambda one: one.__name__)
def test_the_service_sends_each_field(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    sent = {field.alias or name for name, field in theirs.model_fields.items()}
    assert set(ours.model_fields) - sent == set()
    optional = {name for name, field in theirs.model_fields.items() if not field.is_required()}
    assert {name for name, field in ours.model_fields.items() if field.is_required()} & optional == set()


@pytest.mark.parametrize(("ours", "theirs"), EVENTS, ids=lambda one: one.__name__)
def test_an_event_has_the_same_fields_as_in_the_service(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    assert set(ours.model_fields) == set(theirs.model_fields)


def test_each_event_of_the_service_is_known() -> None:
    known = str(log_events.LogEvent.model_json_schema()["discriminator"]["mapping"])
    assert all(f"'{name}'" in known for name in events._KNOWN)
    assert len(log_events.LogEvent.model_json_schema()["discriminator"]["mapping"]) == len(events._KNOWN)
