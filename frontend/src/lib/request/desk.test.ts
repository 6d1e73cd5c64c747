import { describe, expect, test } from "vitest";

import type { Endpoint } from "../api/types";
import { clientOf, event, json, Stream } from "../testing";
import { deskOf, RequestDesk } from "./desk";
import { type Draft, EMPTY } from "./draft";

const noMark = () => ({ id: 1, end: () => undefined });
const get = (path: string): Draft => ({ ...EMPTY, path });

/** A preview that answers with the path it is asked for; what waits is answered by `release`. */
function service() {
  const waiting: (() => void)[] = [];
  const client = clientOf(async ({ path, body }) => {
    if (path.endsWith("/token")) return json({ session_token: "t" }, 201);
    const asked = (JSON.parse(body) as { path: string }).path;
    if (asked === "/slow") await new Promise<void>((resolve) => waiting.push(resolve));
    return json({ status_code: 200, headers: {}, body: asked, elapsed_ms: 1 });
  });
  return { client, waiting };
}

describe("the desk of a generation", () => {
  test("an answer is gone when another endpoint is picked", async () => {
    const desk = new RequestDesk(service().client, "g1");
    await desk.send(get("/one"), noMark);
    expect(desk.snapshot.shown).toMatchObject({ sent: { target: "/one" }, answer: { body: "/one" } });
    desk.begin(get("/two"));
    expect(desk.snapshot).toMatchObject({ draft: { path: "/two" }, shown: null });
  });

  test("a response is shown while it comes, and stays when it is stopped", async () => {
    const stream = new Stream("");
    const client = clientOf(({ path }) =>
      path.endsWith("/token") ? json({ session_token: "t" }, 201) : stream.response,
    );
    const desk = new RequestDesk(client, "g1");
    const sending = desk.send(get("/events"), noMark);
    stream.write(event("head", { status_code: 200, headers: { "content-type": "text/plain" }, request_id: "r1" }));
    stream.write(event("piece", { text: "grün " }) + event("piece", { base64: "/wA=" }));
    await expect.poll(() => desk.snapshot.shown?.growing?.sizeBytes).toBe(8);
    expect(desk.snapshot.shown?.growing?.tail).toMatch(/^grün /);
    desk.cancel();
    await sending;
    expect(desk.snapshot.shown).toMatchObject({
      isOn: false,
      sent: { status: 200 },
      answer: { body: "Z3LDvG4g/wA=", encoding: "base64", request_id: "r1" },
    });
    expect(desk.snapshot.shown?.answer?.cut).toContain("Stopped.");
  });

  test("a response that ends early says why", async () => {
    const stream = new Stream("");
    const client = clientOf(({ path }) =>
      path.endsWith("/token") ? json({ session_token: "t" }, 201) : stream.response,
    );
    const desk = new RequestDesk(client, "g1");
    const sending = desk.send(get("/events"), noMark);
    stream.write(event("head", { status_code: 200, headers: {}, request_id: "r1" }) + event("piece", { text: "a" }));
    stream.write(event("end", { reason: "too_large", detail: "It is too large.", elapsed_ms: 5, log: null }));
    stream.close();
    await sending;
    expect(desk.snapshot.shown?.answer).toMatchObject({ body: "a", cut: "It is too large.", elapsed_ms: 5 });
  });

  test("an untouched draft is filled in when the running preview describes its endpoint", () => {
    const desk = new RequestDesk(service().client, "g1");
    const endpoint: Endpoint = {
      method: "POST",
      path: "/a",
      summary: "",
      description: "",
      tags: [],
      query: {},
      body: { name: "string" },
      response: null,
      source: "static",
    };
    const described = {
      ...endpoint,
      bodies: [{ content_type: "application/json", sample: { name: "Emma" }, files: [], required: true }],
    };
    desk.pick(endpoint);
    desk.learn([described]);
    expect(desk.snapshot.draft.body).toContain("Emma");
    desk.pick(endpoint);
    desk.write({ ...desk.snapshot.draft, body: "mine" });
    desk.learn([described]);
    expect(desk.snapshot.draft.body).toBe("mine");
  });

  test("an answer that comes late is not shown under another request", async () => {
    const { client, waiting } = service();
    const desk = new RequestDesk(client, "g1");
    const sending = desk.send(get("/slow"), noMark);
    await expect.poll(() => waiting.length).toBe(1);
    expect(desk.snapshot.shown?.isOn).toBe(true);
    desk.begin(get("/two"));
    waiting[0]?.();
    await sending;
    expect(desk.snapshot.shown).toBeNull();
    expect(desk.snapshot.settled).toBe(1);
  });

  test("a draft is there again behind a look at another project", () => {
    const { client } = service();
    deskOf(client, "g1").begin(get("/half-written"));
    deskOf(client, "g2").begin(get("/other"));
    expect(deskOf(client, "g1").snapshot).toMatchObject({ view: "request", draft: { path: "/half-written" } });
  });
});
