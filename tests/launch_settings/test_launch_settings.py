from __future__ import annotations

import json
import time
from contextlib import suppress

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select, update

from preview.core.isolation import Network
from preview.detection import Origin, Overrides, merge, overrides_of
from preview.errors import (
    InvalidRequest,
    PreconditionFailed,
    PresetNotFound,
    PreviewError,
    ProjectNotFound,
    SealedTextUnreadable,
    SecretNotFound,
    SettingsLimitReached,
)
from preview.launch_settings import (
    MOST_PRESETS,
    MOST_VALUE_BYTES,
    MOST_VARIABLES,
    LaunchSettings,
    Layer,
    LayerChange,
    SecretValue,
    StoredSettings,
    flag_state,
    parse_env,
    toggled,
)
from preview.launch_settings.resolve import resolve
from preview.storage import Database, Sealer
from preview.storage.tables import launch_settings

KEY = "k" * 32
VALUE = "sesame-open-0123456789"


def store(database: Database, *keys: str, has_projects: bool = False) -> LaunchSettings:
    return LaunchSettings(database, Sealer(keys or (KEY,), "PREVIEW_SEALING_KEYS"), has_projects=has_projects)


def secrets(**values: str) -> LayerChange:
    return LayerChange(set_secrets={name: SecretValue(value) for name, value in values.items()})


async def raw(database: Database) -> str:
    return str(await database.read(lambda connection: connection.execute(select(launch_settings)).all()))


# An attacker


async def test_a_secret_is_nowhere_in_clear_but_in_a_launch(database: Database) -> None:
    settings = store(database)
    stored = await settings.change("ann", "shop", None, secrets(API_KEY=VALUE))
    assert VALUE not in await raw(database)
    assert VALUE not in repr(stored)
    resolved = await settings.resolve("ann", "shop")
    assert VALUE not in repr(resolved)
    assert resolved.overrides.variables["API_KEY"].value == VALUE
    assert resolved.overrides.variables["API_KEY"].secret


async def test_another_user_with_a_project_of_the_same_id_sees_nothing_of_it(database: Database) -> None:
    settings = store(database)
    await settings.change("ann", "shop", None, secrets(API_KEY=VALUE))
    assert (await settings.read("bob", "shop")) == StoredSettings("bob", "shop")
    assert (await settings.resolve("bob", "shop")).overrides.is_empty
    await settings.change("bob", "shop", None, LayerChange({"A": "1"}))
    assert set((await settings.read("ann", "shop")).base.secrets) == {"API_KEY"}


async def test_a_secret_that_was_moved_in_the_database_is_refused(database: Database) -> None:
    settings = store(database)
    await settings.change("ann", "shop", None, secrets(API_KEY=VALUE))
    statement = update(launch_settings).values(user_id="bob")
    await database.write(lambda connection: connection.execute(statement))
    with pytest.raises(SealedTextUnreadable, match="changed outside"):
        await settings.resolve("bob", "shop")


@pytest.mark.parametrize("name", ["", "A B", "A=B", "1A", "A\n", "Ä", "A" * 129, "LD PRELOAD", "$A"])
async def test_a_name_that_is_no_variable_is_refused(database: Database, name: str) -> None:
    for change in (LayerChange({name: "x"}), secrets(**{name: "x"})):
        with pytest.raises(InvalidRequest):
            await store(database).change("ann", "shop", None, change)


@pytest.mark.parametrize("value", ["\0" + VALUE, VALUE + "\ud800", VALUE * (MOST_VALUE_BYTES // 20)])
async def test_a_wrong_value_is_refused_and_not_shown(database: Database, value: str) -> None:
    for change in (LayerChange({"A": value}), secrets(A=value)):
        with pytest.raises(InvalidRequest) as caught:
            await store(database).change("ann", "shop", None, change)
        assert VALUE not in str(caught.value) + str(caught.value.details)


@pytest.mark.parametrize(
    "change",
    [
        LayerChange({f"A{number}": "" for number in range(MOST_VARIABLES + 1)}),
        LayerChange({f"A{number}": "x" * 30_000 for number in range(3)}),
        secrets(**{f"A{number}": "x" * 30_000 for number in range(3)}),
    ],
    ids=["many", "large", "secret"],
)
async def test_a_layer_has_a_bound(database: Database, change: LayerChange) -> None:
    with pytest.raises(SettingsLimitReached):
        await store(database).change("ann", "shop", None, change)
    assert (await store(database).read("ann", "shop")).revision == 0


async def test_presets_have_a_bound(database: Database) -> None:
    settings = store(database)
    for number in range(MOST_PRESETS):
        await settings.add_preset("ann", "shop", f"p{number}", None)
    with pytest.raises(SettingsLimitReached):
        await settings.add_preset("ann", "shop", "more", None)


HOSTILE = ['A="' * 80_000, "A='\\'" * 50_000, "\n" * 250_000, "A=${A}" * 40_000, "export " * 35_000, "=" * 250_000]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_env_text_takes_a_moment(text: str) -> None:
    started = time.process_time()
    with suppress(InvalidRequest):
        parse_env(text, None)
    assert time.process_time() - started < 2.0


def test_an_env_text_with_a_mistake_is_refused_without_its_values() -> None:
    with pytest.raises(InvalidRequest, match="line 2 is not NAME=VALUE") as caught:
        parse_env(f"A=1\n{VALUE} is my key\n", None)
    assert VALUE not in str(caught.value)


async def test_the_service_of_a_host_bounds_the_projects_of_a_user(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.launch_settings.settings._MOST_PROJECTS", 1)
    await store(database).change("ann", "shop", None, LayerChange({"A": "1"}))
    with pytest.raises(SettingsLimitReached):
        await store(database).change("ann", "shop2", None, LayerChange({"A": "1"}))


async def test_a_project_that_the_user_does_not_have_is_not_found(database: Database) -> None:
    with pytest.raises(ProjectNotFound):
        await store(database, has_projects=True).read("ann", "shop")
    with pytest.raises(ProjectNotFound):
        await store(database, has_projects=True).change("ann", "shop", None, LayerChange({"A": "1"}))
    with pytest.raises(ProjectNotFound):
        await store(database).read("ann", "../x")
    assert (await store(database).read("ann", "of-a-host")).revision == 0


# Changes


async def test_a_change_that_builds_on_an_old_revision_is_refused(database: Database) -> None:
    settings = store(database)
    first = await settings.change("ann", "shop", None, LayerChange({"A": "1"}))
    await settings.change("ann", "shop", None, LayerChange({"B": "2"}), lambda revision: revision == first.revision)
    with pytest.raises(PreconditionFailed):
        await settings.change("ann", "shop", None, LayerChange({"A": "3"}), lambda revision: revision == first.revision)
    assert (await settings.read("ann", "shop")).base.variables == {"A": "1", "B": "2"}


async def test_changes_at_the_same_time_are_all_kept(database: Database) -> None:
    settings = store(database)
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(settings.change, "ann", "shop", None, LayerChange({f"A{number}": "1"}))
    found = await settings.read("ann", "shop")
    assert (len(found.base.variables), found.revision) == (10, 10)


async def test_whole_settings_replace_variables_and_leave_secrets(database: Database) -> None:
    settings = store(database)
    await settings.change("ann", "shop", None, LayerChange({"A": "1", "B": "2"}, start={"app": "main:app"}))
    await settings.change("ann", "shop", None, secrets(KEY=VALUE))
    changed = await settings.change("ann", "shop", None, LayerChange({"C": "3"}, is_whole=True, start={}))
    assert (dict(changed.base.variables), set(changed.base.secrets), changed.base.start) == ({"C": "3"}, {"KEY"}, {})


async def test_a_variable_becomes_a_secret_and_not_back_by_accident(database: Database) -> None:
    settings = store(database)
    await settings.change("ann", "shop", None, LayerChange({"KEY": "1"}))
    changed = await settings.change("ann", "shop", None, secrets(KEY=VALUE))
    assert (dict(changed.base.variables), set(changed.base.secrets)) == ({}, {"KEY"})
    with pytest.raises(InvalidRequest, match="is a secret"):
        await settings.change("ann", "shop", None, LayerChange({"KEY": "2"}))
    with pytest.raises(SecretNotFound):
        await settings.remove_secret("ann", "shop", None, "OTHER")
    assert not (await settings.remove_secret("ann", "shop", None, "KEY")).base.secrets


async def test_presets_are_copied_switched_compared_and_removed(database: Database) -> None:
    settings = store(database)
    await settings.add_preset("ann", "shop", "staging", None)
    await settings.change("ann", "shop", "staging", LayerChange({"URL": "a", "X": "1"}))
    await settings.change("ann", "shop", "staging", secrets(KEY=VALUE, OTHER=VALUE))
    await settings.add_preset("ann", "shop", "live", "staging")
    await settings.change("ann", "shop", "live", LayerChange({"URL": "b"}, unset=("X",)))
    await settings.change("ann", "shop", "live", secrets(OTHER="another"))
    found = {one.name: one for one in await settings.compare("ann", "shop", "staging", "live")}
    assert {name: one.state for name, one in found.items()} == {
        "KEY": "same", "OTHER": "differs", "URL": "differs", "X": "only_a"
    }  # fmt: skip
    assert VALUE not in repr(found)
    assert (found["URL"].a, found["URL"].b, found["KEY"].a) == ("a", "b", None)
    await settings.change("ann", "shop", None, LayerChange(), switch_to="live")
    resolved = await settings.resolve("ann", "shop")
    assert (resolved.preset, resolved.overrides.variables["KEY"].value) == ("live", VALUE)
    with pytest.raises(PresetNotFound):
        await settings.change("ann", "shop", None, LayerChange(), switch_to="prod")
    removed = await settings.remove_preset("ann", "shop", "live")
    assert (removed.active, list(removed.presets)) == (None, ["staging"])
    assert (await settings.resolve("ann", "shop")).overrides.is_empty


async def test_a_lost_key_is_named_and_the_secret_can_be_set_again(database: Database) -> None:
    await store(database).change("ann", "shop", None, secrets(KEY=VALUE))
    lost = store(database, "other" * 10)
    with pytest.raises(
        SealedTextUnreadable, match=r"\(launch setting KEY\).* PREVIEW_SEALING_KEYS, or set the secret again"
    ):
        await lost.resolve("ann", "shop")
    await lost.change("ann", "shop", None, secrets(KEY="new"))
    assert (await lost.resolve("ann", "shop")).overrides.variables["KEY"].value == "new"


async def test_any_change_seals_all_secrets_with_the_newest_key(database: Database) -> None:
    await store(database).change("ann", "shop", None, secrets(KEY=VALUE))
    await store(database, "new" * 20, KEY).change("ann", "shop", None, LayerChange({"A": "1"}))
    assert (await store(database, "new" * 20).resolve("ann", "shop")).overrides.variables["KEY"].value == VALUE


async def test_settings_end_with_their_project(database: Database) -> None:
    settings = store(database)
    await settings.change("ann", "shop", None, secrets(KEY=VALUE))
    await settings.forget("ann", "shop")
    assert (await settings.read("ann", "shop")).revision == 0
    assert await raw(database) == "[]"


# Values

NAMES = st.sampled_from(["A", "B", "C"])
LAYERS = st.dictionaries(NAMES, st.sampled_from(["0", "1", "2"]))
STARTS = st.fixed_dictionaries(
    {},
    optional={
        "app": st.sampled_from(["main:app", "b:app"]),
        "command": st.just(["python", "x.py"]),
        "network": st.sampled_from(["none", "host"]),
        "framework": st.sampled_from(["fastapi", "flask"]),
    },
)


@given(
    files=LAYERS, base=LAYERS, preset=LAYERS, request_=LAYERS,
    starts=st.tuples(STARTS, STARTS, STARTS, STARTS), hidden=st.booleans(),
)  # fmt: skip
def test_the_later_source_wins_in_any_combination(
    files: dict[str, str],
    base: dict[str, str],
    preset: dict[str, str],
    request_: dict[str, str],
    starts: tuple[dict[str, object], ...],
    hidden: bool,
) -> None:
    sealer = Sealer((KEY,), "x")
    stored = StoredSettings("ann", "shop", 1, Layer(base, {}, starts[1]), {"p": Layer(preset, {}, starts[2])}, "p")
    if hidden:
        place = "launch setting {}:" + json.dumps(["ann", "shop", None, "{}"])
        sealed = {name: sealer.seal(value, place.replace("{}", name)) for name, value in base.items()}
        stored = StoredSettings("ann", "shop", 1, Layer({}, sealed, starts[1]), stored.presets, "p")
    file = overrides_of({"env": files, "start": starts[0]}, Origin.PROJECT, "x")
    request = overrides_of({"env": request_, "start": starts[3]}, Origin.REQUEST, "x")
    # As ``detect`` does with the file and the given overrides.
    found = merge(file, resolve(stored, sealer).under(request) or Overrides())
    assert {name: one.value for name, one in found.variables.items()} == {**files, **base, **preset, **request_}
    for key in ("network", "framework"):
        given_ = [one[key] for one in starts if key in one]
        assert getattr(found, key) == (given_[-1] if given_ else None)
    last = next((one for one in reversed(starts) if "app" in one or "command" in one), {})
    assert (found.app is None) == ("app" not in last)


def test_an_option_of_a_preset_has_its_type() -> None:
    stored = StoredSettings(
        "ann", "shop", 1, Layer(start={"network": "host"}, memory_mb=100), {"p": Layer(memory_mb=50)}
    )
    resolved = resolve(stored, Sealer((KEY,), "x"), "p")
    assert (resolved.overrides.network, resolved.memory_mb) == (Network.HOST, 50)


@pytest.mark.parametrize(
    ("value", "state", "other"),
    [
        ("true", True, "false"), ("False", False, "True"), ("1", True, "0"), ("OFF", False, "ON"),
        (" yes ", True, "no"),
        ("2", None, None), ("", None, None), ("truely", None, None),
    ],
)  # fmt: skip
def test_feature_flags_are_recognised_and_turned(value: str, state: bool | None, other: str | None) -> None:
    assert (flag_state(value), toggled(value)) == (state, other)


def test_an_env_text_is_read_and_names_that_look_like_secrets_become_some() -> None:
    read = parse_env("# a comment\nexport A='x y'\nSTRIPE_API_KEY=\"sk\\n1\"\nEMPTY_TOKEN=\nLOG=$A\n", None)
    assert read.variables == {"A": "x y", "EMPTY_TOKEN": "", "LOG": "$A"}
    assert {name: one.value for name, one in read.secrets.items()} == {"STRIPE_API_KEY": "sk\n1"}
    assert set(parse_env("A=1\nB_KEY=2\n", ["A"]).secrets) == {"A"}


@pytest.mark.parametrize(
    "change",
    [
        LayerChange(start={"app": "a b"}), LayerChange(start={"nope": 1}), LayerChange(memory_mb=1),
        LayerChange(memory_mb=10**9), LayerChange(start={"network": "internet"}),
    ],
)  # fmt: skip
async def test_a_wrong_option_is_refused(database: Database, change: LayerChange) -> None:
    with pytest.raises(PreviewError):
        await store(database).change("ann", "shop", None, change)
