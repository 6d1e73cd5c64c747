import { expect, test } from "vitest";

import type { SettingsLayer } from "../api/settings";
import { looksSecret } from "./names";
import { changeOf, fieldsOf, isSame } from "./start";

const LAYER: SettingsLayer = {
  variables: [],
  start: { command: ["python", "main.py"], health: "/up", network: "host" },
  memory_mb: 256,
};

test("a form that nobody changed saves what was stored", () => {
  const fields = fieldsOf(LAYER);
  expect(fields.command).toBe("python main.py");
  expect(changeOf(fields, LAYER)).toEqual({ start: LAYER.start, memory_mb: 256 });
});

test("an empty field removes its option, and options that the form does not have stay", () => {
  const fields = { ...fieldsOf(LAYER), command: " ", network: "", app: "main:app", memory: "" };
  expect(isSame(fields, fieldsOf(LAYER))).toBe(false);
  expect(changeOf(fields, LAYER)).toEqual({ start: { health: "/up", app: "main:app" }, memory_mb: 0 });
});

test.each([
  ["STRIPE_API_KEY", true],
  ["session_secret", true],
  ["DB_PASSWORD", true],
  ["LOG_LEVEL", false],
  ["KEYBOARD", false],
])("%s is proposed as a secret: %s", (name, expected) => {
  expect(looksSecret(name)).toBe(expected);
});

test("restarts after crashes are only written once somebody has chosen", () => {
  const layer = (start: SettingsLayer["start"]): SettingsLayer => ({ variables: [], start, memory_mb: null });
  const none = layer({ skip_steps: true });
  expect(changeOf(fieldsOf(none), none).start).toEqual({ skip_steps: true });
  expect(changeOf({ ...fieldsOf(none), restarts: true }, none).start).toEqual({
    skip_steps: true,
    on_crash: "restart",
  });
  const chosen = layer({ on_crash: "restart" });
  expect(fieldsOf(chosen).restarts).toBe(true);
  expect(isSame(fieldsOf(chosen), { ...fieldsOf(chosen), restarts: false })).toBe(false);
  expect(changeOf({ ...fieldsOf(chosen), restarts: false }, chosen).start).toEqual({ on_crash: "stay" });
});
