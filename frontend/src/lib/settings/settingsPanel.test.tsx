import { act, cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { clientOf, json } from "../testing";
import { SettingsPanel } from "./SettingsPanel";

afterEach(cleanup);

test("what is typed stays when the preview changes, when a variable is saved, and when one is refused", async () => {
  let status = "starting";
  let revision = 1;
  let reads = 0;
  const client = clientOf(({ method, path, body }) => {
    const instance = { id: "p1", generation_id: "g1", status };
    if (path.includes("/previews?")) return json({ previews: [instance] });
    if (path.endsWith("/previews/p1") || path.endsWith("/preview/status")) return json(instance);
    if (path.endsWith("/generations/g1")) return json({ id: "g1", project_id: "shop" });
    if (method === "PATCH" && body.includes("REFUSED")) return json({ detail: "It is a secret." }, 400);
    if (method === "PATCH") revision += 1;
    reads += method === "GET" ? 1 : 0;
    const settings = { variables: [], start: {}, memory_mb: null };
    return json({ project_id: "shop", revision, active_preset: null, settings, presets: [], effective: [], problem: null, running: [], detected: null }); // prettier-ignore
  });
  render(<SettingsPanel generationId="g1" client={client} />);
  const application = (): HTMLInputElement => screen.getByRole("textbox", { name: "Application" });
  await waitFor(application);
  fireEvent.change(application(), { target: { value: "shop.main:app" } });

  const before = reads;
  status = "running";
  act(() => client.noteChange("g1"));
  await waitFor(() => expect(reads).toBeGreaterThan(before));
  expect(application().value).toBe("shop.main:app");

  const save = async (name: string): Promise<void> => {
    fireEvent.click(screen.getByRole("button", { name: "Add" }));
    fireEvent.change(screen.getByRole("textbox", { name: "Name" }), { target: { value: name } });
    fireEvent.change(screen.getByRole("textbox", { name: "Value" }), { target: { value: "typed" } });
    fireEvent.submit(screen.getByRole("form", { name: "New variable" }));
    await waitFor(() => expect(screen.queryByText("Saving…")).toBeNull());
  };
  await save("LOG_LEVEL");
  expect(screen.queryByRole("form", { name: "New variable" })).toBeNull();
  expect(application().value).toBe("shop.main:app");
  await save("REFUSED");
  expect((await screen.findByRole("alert")).textContent).toContain("It is a secret.");
  expect(screen.getByRole<HTMLInputElement>("textbox", { name: "Value" }).value).toBe("typed");
});

test("asked for what a failed launch missed, it opens the field of that variable", async () => {
  const reason = "KeyError: 'preview'. SHOP_CURRENCY is not set, so it had the placeholder preview.";
  const entry = (name: string) => ({ kind: "variable", name, value: "preview", source: "", where: "main.py:6", made_up: true, text: name }); // prettier-ignore
  const client = clientOf(({ path }) => {
    const instance = { id: "p1", generation_id: "g1", status: "failed", reason };
    if (path.includes("/previews?")) return json({ previews: [instance] });
    if (path.endsWith("/previews/p1") || path.endsWith("/preview/status")) return json(instance);
    if (path.endsWith("/generations/g1")) return json({ id: "g1", project_id: "shop" });
    const settings = { variables: [], start: {}, memory_mb: null };
    const detected = { problem: null, entries: [entry("SHOP"), entry("SHOP_CURRENCY")] };
    return json({ project_id: "shop", revision: 1, active_preset: null, settings, presets: [], effective: [], problem: null, running: [], detected }); // prettier-ignore
  });
  const { rerender } = render(<SettingsPanel generationId="g1" client={client} asked={0} />);
  await screen.findByRole("button", { name: "Set it: SHOP_CURRENCY" });
  expect(screen.queryByRole("textbox", { name: "Value" })).toBeNull();
  rerender(<SettingsPanel generationId="g1" client={client} asked={1} />);
  expect(document.activeElement).toBe(screen.getByRole("textbox", { name: "Value" }));
  expect(screen.getByRole<HTMLInputElement>("textbox", { name: "Name" }).value).toBe("SHOP_CURRENCY");
});
