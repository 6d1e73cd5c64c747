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
