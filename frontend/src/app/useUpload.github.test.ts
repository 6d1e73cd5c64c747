import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { clientOf, json } from "../lib/testing";
import { client } from "./ownToken";
import { projectsOf, type Project, type Projects } from "./useProjects";
import { useUpload } from "./useUpload";

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

type Sent = [method: string, path: string, body: unknown, tag?: string];

function serviceOf(answers: Record<string, unknown>): Sent[] {
  const sent: Sent[] = [];
  const service = clientOf((request) => {
    const tag = request.headers.get("If-Match");
    const body: unknown = request.body === "" ? null : JSON.parse(request.body);
    sent.push(tag === null ? [request.method, request.path, body] : [request.method, request.path, body, tag]);
    const key = Object.keys(answers).find((one) => request.path.endsWith(one));
    const answer = key === undefined ? {} : answers[key];
    return answer instanceof Response ? answer : json(answer);
  });
  vi.spyOn(client, "json").mockImplementation((path, options) => service.json(path, options));
  vi.spyOn(client, "checkPlan").mockResolvedValue(undefined);
  return sent;
}

const projects = { takesUploads: true, refresh: () => Promise.resolve() } as unknown as Projects;
const PLAN = {
  changed: ["a.py"],
  removed: [] as string[],
  added: [],
  version: 2,
  origin: "https://github.com/ann/shop",
  commit: "1".repeat(40),
  etag: '"1"',
  notes: [],
  reload: { status: "none" },
};

test("a repository becomes a project, and what its files lack is said once", async () => {
  const sent = serviceOf({ "/imports": { id: "g", notes: ["Submodules are left out: their folders are empty."] } });
  const onDone = vi.fn();
  const { result } = renderHook(() => useUpload(projects, { id: "g" } as Project, onDone));
  act(() => result.current.takeFrom("ann/shop"));
  await waitFor(() => expect(onDone).toHaveBeenCalledWith("g"));
  expect(sent).toEqual([["POST", "/api/v1/imports", { url: "ann/shop" }]]);
  await waitFor(() => expect(result.current.news).toBe("Imported. Submodules are left out: their folders are empty."));
  act(() => result.current.dismiss());
  expect(result.current.news).toBeNull();
});

test("an update is shown before it is made, and takes the commit that was shown", async () => {
  const sent = serviceOf({ "/import?dry_run=true": PLAN, "/import": PLAN });
  const { result } = renderHook(() => useUpload(projects, { id: "g", name: "shop" } as Project, vi.fn()));
  act(() => result.current.update());
  await waitFor(() => expect(result.current.asked?.source).toBe("github.com/ann/shop at 1111111"));
  expect(sent).toHaveLength(1);
  act(() => result.current.answer(false));
  expect(result.current.asked).toBeNull();
  expect(sent).toHaveLength(1);
  act(() => result.current.update());
  await waitFor(() => expect(result.current.asked).not.toBeNull());
  act(() => result.current.answer(true));
  await waitFor(() => expect(result.current.replaced?.before).toBe(1));
  const body = { url: PLAN.origin, commit: PLAN.commit };
  expect(sent[2]).toEqual(["POST", "/api/v1/generations/g/import", body, PLAN.etag]);
});

test("an update replaces nothing if the files have changed since it was shown", async () => {
  const refusal = new Response(JSON.stringify({ status: 412, code: "precondition_failed", detail: "Read it again." }), {
    status: 412,
    headers: { "Content-Type": "application/problem+json" },
  });
  serviceOf({ "/import?dry_run=true": PLAN, "/import": refusal });
  const { result } = renderHook(() => useUpload(projects, { id: "g", name: "shop" } as Project, vi.fn()));
  act(() => result.current.update());
  await waitFor(() => expect(result.current.asked).not.toBeNull());
  act(() => result.current.answer(true));
  await waitFor(() => expect(result.current.problem).toContain("nothing was replaced. Update it again."));
  expect(result.current.replaced).toBeNull();
});

test("a project that is up to date is not asked about", async () => {
  serviceOf({ "/import?dry_run=true": { ...PLAN, changed: [], origin: "https://github.com/a\u202eb/c" } });
  const { result } = renderHook(() => useUpload(projects, { id: "g", name: "shop" } as Project, vi.fn()));
  act(() => result.current.update());
  await waitFor(() => expect(result.current.news).toBe("Up to date with github.com/a\\u202eb/c at 1111111."));
  expect(result.current.asked).toBeNull();
});

test("a project of a service before imports has no origin", () => {
  const known = [{ id: "g", name: "shop", created_at: "2026-11-27T00:00:00Z" }];
  expect(projectsOf(known, [])[0]?.origin).toBe("");
});
