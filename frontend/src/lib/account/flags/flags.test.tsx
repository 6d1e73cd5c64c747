import { cleanup, fireEvent, render, screen, waitFor, within } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import type { Flag, FlagContent, FlagRule } from "../../api/flags";
import { clientOf, json } from "../../testing";
import { FlagsView } from "./FlagsView";
import { canaryOf, finished, flagWords, idsOf, ruleWords, whyNot, withShare } from "./rules";

afterEach(cleanup);

const rule = (more: Partial<FlagRule>): FlagRule => ({
  value: "container",
  users: [],
  tiers: [],
  projects: [],
  percent: null,
  by: "user",
  ...more,
});
const flag = (name: string, more: Partial<Flag> = {}): Flag => ({
  name,
  values: ["sandbox", "container"],
  not_offered: {},
  default: "sandbox",
  value: null,
  rules: [],
  reason: "",
  version: 0,
  updated_at: null,
  updated_by: "",
  problem: null,
  ...more,
});
const LAUNCHES = flag("launches", { values: ["on", "off"], default: "on" });
const arm = (value: string, launches: number, failed: number) => ({
  value,
  launches,
  failed,
  failure_rate: failed / launches,
  median_ms: 198,
  p95_ms: 288,
});

interface Sent {
  method: string;
  path: string;
  body: unknown;
}

/** A service with these flags; a change of the first one is kept. */
function serviceOf(flags: Flag[], more: (path: string) => Response | undefined = () => undefined) {
  const sent: Sent[] = [];
  const client = clientOf(({ path, method, body }) => {
    const given: unknown = body ? JSON.parse(body) : null;
    sent.push({ method, path, body: given });
    const own = more(path);
    if (own) return own;
    if (path.includes("/audit")) return json({ items: [], next: null });
    if (path.endsWith("/dry-run")) {
      const isOff = (given as { value: string | null }).value === "off";
      return json({ users: 240, by_value: isOff ? { on: 0, off: 240 } : { on: 240, off: 0 }, is_whole: true });
    }
    if (path.includes("/arms")) return json({ items: [], sentences: [], hours: 24 });
    if (method !== "PUT") return json({ items: flags });
    const { value, reason, rules } = given as FlagContent;
    const whole = rules.map((one) => rule(one));
    flags[0] = { ...(flags[0] ?? LAUNCHES), value, reason, rules: whole, version: 9 };
    return json(flags[0]);
  });
  return { client, sent };
}

test("a rule in words names whom it concerns, and hides nothing that could act unseen", () => {
  expect(ruleWords(rule({}))).toBe("container for everyone");
  expect(ruleWords(rule({ percent: 5 }))).toBe("container for 5 % of users");
  expect(ruleWords(rule({ percent: 5, by: "project", tiers: ["pro"] }))).toBe(
    "container for 5 % of projects, only tier pro",
  );
  expect(ruleWords(rule({ users: ["a", "b", "c", "d\u202e"], projects: ["gen_1"] }))).toBe(
    "container for users a, b, c and 1 more and project gen_1",
  );
  expect(ruleWords(rule({ users: ["\u202eann"] }))).toBe("container for user \\u202eann");
  const set = flag("isolation", { rules: [rule({ percent: 5 })] });
  expect(flagWords(set, set)).toEqual(["container for 5 % of users", "sandbox for everyone else (default)"]);
  expect(idsOf(" ann, bob\nann;")).toEqual(["ann", "bob"]);
});

test("a canary grows in its place, is refused by its failures, and ends as the value of everyone", () => {
  const tiers = rule({ tiers: ["free"] });
  const first = withShare(flag("isolation", { rules: [tiers] }), "container", 5);
  expect(first.rules).toEqual([tiers, rule({ percent: 5 })]);
  const begun = flag("isolation", first);
  const canary = canaryOf(begun);
  expect(canary).toEqual({ value: "container", percent: 5, place: 1 });
  expect(withShare(begun, "container", 25).rules).toEqual([tiers, rule({ percent: 25 })]);
  if (!canary) throw new Error("no canary");
  expect(finished(begun, canary)).toEqual({ value: "container", rules: [tiers], reason: "" });
  expect(whyNot(null, [])).toBeNull();
  expect(whyNot(canary, [arm("sandbox", 20, 0)])).toBe("No launch with container has a result yet.");
  expect(whyNot(canary, [arm("sandbox", 200, 2), arm("container", 100, 1)])).toBeNull();
  expect(whyNot(canary, [arm("sandbox", 200, 2), arm("container", 100, 15)])).toBe(
    "container fails more often: 15 of 100 launches, against 2 of 200 without it.",
  );
});

test("the kill switch asks, shows before and after with the users concerned, and sends the reason", async () => {
  const { client, sent } = serviceOf([LAUNCHES]);
  render(<FlagsView client={client} />);
  fireEvent.click(await screen.findByRole("button", { name: "Stop launches" }));
  const question = screen.getByRole("alertdialog", { name: "Stop all new launches?" });
  const after = within(question).getByRole("region", { name: "After" });
  expect(after.querySelector('[data-own="+"]')?.textContent).toBe("off for everyone");
  await within(question).findByText(/off: 0 → 240 of 240 users|0 → 240 of/);
  expect(sent.some((one) => one.method === "PUT")).toBe(false);
  fireEvent.change(within(question).getByLabelText(/^Reason/), { target: { value: " We change a disk. " } });
  fireEvent.click(within(question).getByRole("button", { name: "Stop launches" }));
  await screen.findByText("Launches are stopped.");
  expect(sent.find((one) => one.method === "PUT")?.body).toEqual({
    value: "off",
    rules: [],
    reason: "We change a disk.",
    version: 0,
  });
});

test("a new rule goes before the others, without empty conditions, and only after a yes", async () => {
  const set = flag("isolation", { rules: [rule({ percent: 5 })], version: 3 });
  const { client, sent } = serviceOf([set]);
  render(<FlagsView client={client} />);
  fireEvent.click(await screen.findByRole("button", { name: "Add a rule" }));
  const form = screen.getByRole("dialog", { name: "Add a rule" });
  within(form).getByText("Without a condition, the rule applies to everyone.");
  fireEvent.change(within(form).getByLabelText("Users"), { target: { value: "ann, bob" } });
  fireEvent.click(within(form).getByRole("button", { name: "Review the change" }));
  fireEvent.click(within(screen.getByRole("dialog", { name: "Add this rule?" })).getByRole("button", { name: "Add" }));
  await screen.findByText(/“Isolation” is changed/);
  expect(sent.find((one) => one.method === "PUT")?.body).toEqual({
    value: null,
    rules: [
      { value: "container", users: ["ann", "bob"] },
      { value: "container", percent: 5, by: "user" },
    ],
    reason: "",
    version: 3,
  });
});

test("a canary shows both arms side by side, and warns before a step if the new value fails more often", async () => {
  const set = flag("isolation", { rules: [rule({ percent: 5 })], version: 1 });
  const sentence = "Launches with container fail more often: 2 of 200 …";
  const { client } = serviceOf([set], (path) =>
    path.includes("/arms")
      ? json({ items: [arm("sandbox", 200, 2), arm("container", 100, 15)], sentences: [sentence], hours: 24 })
      : undefined,
  );
  render(<FlagsView client={client} />);
  const table = await screen.findByRole("region", { name: "Launches by isolation" });
  expect(within(table).getByText("container").closest("tr")?.textContent).toContain("15.0 %");
  screen.getByText(sentence);
  const steps = screen.getByRole("group", { name: "Share of users with container" });
  expect(within(steps).getByRole("button", { name: "5 %" }).getAttribute("aria-pressed")).toBe("true");
  fireEvent.click(within(steps).getByRole("button", { name: "25 %" }));
  const question = screen.getByRole("dialog", { name: "Roll out container to 25 % of users?" });
  within(question).getByText(/container fails more often: 15 of 100/);
});

test("another operator's change is reported, and the flags are read again", async () => {
  let puts = 0;
  const { client, sent } = serviceOf([LAUNCHES], (path) => {
    if (!path.endsWith("/flags/launches")) return undefined;
    puts += 1;
    return json(
      { title: "Conflict", status: 409, detail: "It was changed meanwhile by bob.", code: "flag_changed" },
      409,
    );
  });
  render(<FlagsView client={client} />);
  fireEvent.click(await screen.findByRole("button", { name: "Stop launches" }));
  const question = screen.getByRole("alertdialog", { name: "Stop all new launches?" });
  fireEvent.click(within(question).getByRole("button", { name: "Stop launches" }));
  await screen.findByText(/changed meanwhile by bob/);
  expect(puts).toBe(1);
  await waitFor(() => expect(sent.filter((one) => one.path === "/api/v1/operator/flags").length).toBe(2));
});

test("the history has each change before and after", async () => {
  const entry = {
    id: "audit_1", seq: 1, at: "2026-11-20T12:00:00Z", user_id: "root", action: "operator: flag changed",
    subject: "launches", preview_id: "", detail: "PUT /api/v1/operator/flags/launches: default to off", outcome: "ok", via: "bearer", address: "",
  }; // prettier-ignore
  const { client, sent } = serviceOf([LAUNCHES], (path) =>
    path.includes("/audit") ? json({ items: [entry], next: null }) : undefined,
  );
  render(<FlagsView client={client} />);
  const history = await screen.findByRole("region", { name: "Flag changes" });
  const row = (await within(history).findByText("root")).closest("tr");
  expect(row?.textContent).toContain("default → off");
  expect(sent.some((one) => one.path.includes("action=operator%3A%20flag%20changed"))).toBe(true);
});
