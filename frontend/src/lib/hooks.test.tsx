import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { Problem } from "./api/problem";
import { clientOf, endEvent, frame, json, line, statusEvent, Stream, toldStep } from "./testing";
import { usePreview } from "./usePreview";
import { usePreviewLogs } from "./usePreviewLogs";

beforeEach(() => sessionStorage.clear());
afterEach(cleanup);

const INSTANCE = {
  id: "p1",
  generation_id: "g1",
  status: "running",
  health: "healthy",
  base_url: "http://localhost:3001",
  created_at: "2026-11-20T12:00:00.000Z",
  expires_at: "2026-11-20T13:00:00.000Z",
  reason: null,
};

describe("usePreviewLogs", () => {
  test("gives lines, state and the way back to earlier lines", async () => {
    const stream = new Stream();
    const asked: string[] = [];
    const client = clientOf(({ path }) => {
      asked.push(path);
      if (path.includes("/logs/stream")) return stream.response;
      return json({ lines: [line(1), line(2)], first_kept: 1 });
    });
    const { result } = renderHook(() => usePreviewLogs("g1", { client }));
    act(() => stream.write(statusEvent("p1") + frame(line(3)) + frame(line(4))));
    await waitFor(() => expect(result.current.lines.map((one) => one.seq)).toEqual([3, 4]));
    expect(result.current.connection.phase).toBe("live");
    expect(result.current.status?.status).toBe("running");
    await act(() => result.current.loadOlder());
    await waitFor(() => expect(result.current.lines.map((one) => one.seq)).toEqual([1, 2, 3, 4]));
    expect(asked.at(-1)).toContain("before=3");
    // The stream and the page of earlier lines: with colours, which the API leaves out unless it is asked.
    const logs = asked.filter((path) => path.includes("/preview/logs"));
    expect(logs.length).toBeGreaterThanOrEqual(2);
    for (const path of logs) expect(new URL(path, "http://service").searchParams.get("ansi")).toBe("keep");
    act(() => {
      stream.write(endEvent("p1"));
      stream.close();
    });
    await waitFor(() => expect(result.current.connection.phase).toBe("ended"));
    expect(result.current.end?.reason).toBe("stopped on request");
  });

  test("knows the steps of a launch whose lines it has not read, and of one that is over", async () => {
    const stream = new Stream();
    const asked: string[] = [];
    const client = clientOf(({ path }) => {
      asked.push(path);
      return stream.response;
    });
    const { result } = renderHook(() => usePreviewLogs("g-late", { client }));
    const done = toldStep("answers", { answer: { path: "/health", status: 200 } });
    act(() => stream.write(statusEvent("p1", "running", { steps: [done], restarts: 2 }) + frame(line(9_000))));
    await waitFor(() => expect(result.current.steps.map((one) => one.state)).toEqual(["done"]));
    expect(result.current.healthCheck).toEqual({ path: "/health", status: "200" });
    expect(result.current.restarts).toBe(2);
    expect(asked.filter((path) => path.includes("after=0"))).toEqual([]);
    const broken = toldStep("answers", { state: "failed", detail: "exit code 1" });
    act(() => {
      stream.write(endEvent("p1", "failed", { steps: [broken] }));
      stream.close();
    });
    await waitFor(() => expect(result.current.steps[0]?.detail).toBe("exit code 1"));
  });

  test("does not connect while it is not enabled", () => {
    let asked = 0;
    const client = clientOf(() => {
      asked += 1;
      return json({});
    });
    const { result } = renderHook(() => usePreviewLogs("g1", { client, enabled: false }));
    expect(result.current.connection.phase).toBe("idle");
    expect(asked).toBe(0);
  });

  test("goes on where the tab was before a reload", async () => {
    const first = new Stream();
    const client = clientOf(() => first.response);
    const { result, unmount } = renderHook(() => usePreviewLogs("g1", { client }));
    act(() => first.write(statusEvent("p1") + frame(line(1)) + frame(line(2))));
    await waitFor(() => expect(result.current.lines).toHaveLength(2));
    unmount();

    const second = new Stream();
    const ids: (string | null)[] = [];
    const again = clientOf(({ headers }) => {
      ids.push(headers.get("last-event-id"));
      return second.response;
    });
    const { result: reloaded } = renderHook(() => usePreviewLogs("g1", { client: again }));
    await waitFor(() => expect(reloaded.current.lines).toHaveLength(2));
    await waitFor(() => expect(ids).toEqual(["2"]));
  });
});

describe("usePreview", () => {
  test("launches, and says how it is", async () => {
    let isLaunched = false;
    const client = clientOf(({ method, path }) => {
      if (path.endsWith("/preview/launch")) {
        isLaunched = method === "POST";
        return json({ ...INSTANCE, session_token: "t" }, 201);
      }
      if (path.startsWith("/api/v1/previews?")) return json({ previews: isLaunched ? [INSTANCE] : [] });
      if (path.endsWith("/status"))
        return json({ id: "p1", status: "running", memory_usage_mb: 40, cpu_usage_percent: 2 });
      return json(INSTANCE);
    });
    const { result } = renderHook(() => usePreview("g1", { client }));
    await waitFor(() => expect(result.current.isLoaded).toBe(true));
    expect(result.current.instance).toBeNull();
    await act(() => result.current.launch());
    await waitFor(() => expect(result.current.instance?.id).toBe("p1"));
    expect(result.current.usage.at(-1)).toMatchObject({ memoryMb: 40, cpuPercent: 2 });
  });

  test("keeps the reason why a launch was refused", async () => {
    const client = clientOf(({ path }) =>
      path.endsWith("/launch")
        ? json({ code: "no_port_available", detail: "Each port is taken." }, 503)
        : json({ previews: [] }),
    );
    const { result } = renderHook(() => usePreview("g1", { client }));
    await act(() => result.current.launch());
    expect(result.current.problem).toBeInstanceOf(Problem);
    expect(result.current.problem?.message).toBe("Each port is taken.");
    act(() => result.current.dismissProblem());
    expect(result.current.problem).toBeNull();
  });
});

describe("usePreview, where not all is well", () => {
  const LIMIT = {
    code: "preview_limit_reached",
    detail: "Too many.",
    details: { limit: 1, previews: [{ preview_id: "p9", generation_id: "g9" }] },
  };

  test("says why it cannot be launched before another preview is offered to be stopped for it", async () => {
    const client = clientOf(({ path }) => {
      if (path.endsWith("/launch")) return json(LIMIT, 409);
      if (path.endsWith("/plan")) return json({ code: "invalid_generation", detail: "There is no app." }, 400);
      return json({ previews: [] });
    });
    const { result } = renderHook(() => usePreview("g1", { client }));
    await act(() => result.current.launch());
    expect(result.current.problem?.message).toBe("There is no app.");
  });

  test("offers to stop what is in the way where it could be launched, or nobody can tell", async () => {
    for (const status of [200, 404, 503]) {
      const client = clientOf(({ path }) => {
        if (path.endsWith("/launch")) return json(LIMIT, 409);
        return path.endsWith("/plan") ? json({}, status) : json({ previews: [] });
      });
      const { result, unmount } = renderHook(() => usePreview("g1", { client }));
      await act(() => result.current.launch());
      expect(result.current.problem?.code).toBe("preview_limit_reached");
      unmount();
    }
  });

  test("is busy until it shows what came of it", async () => {
    let isLaunched = false;
    const client = clientOf(({ path }) => {
      if (path.endsWith("/preview/launch")) {
        isLaunched = true;
        return json({ ...INSTANCE, session_token: "t" }, 201);
      }
      if (path.startsWith("/api/v1/previews?")) return json({ previews: isLaunched ? [INSTANCE] : [] });
      return json(INSTANCE);
    });
    const seen: string[] = [];
    const { result } = renderHook(() => {
      const preview = usePreview("g1", { client });
      seen.push(`${preview.busy ?? "idle"}, ${preview.instance === null ? "none" : "there"}`);
      return preview;
    });
    await waitFor(() => expect(result.current.isLoaded).toBe(true));
    seen.length = 0;
    await act(() => result.current.launch());
    expect(seen.slice(seen.indexOf("launching, none"))).not.toContain("idle, none");
    expect(result.current).toMatchObject({ busy: null, instance: { id: "p1" } });
  });

  test("knows that it does not know while the service is away", async () => {
    let isAway = false;
    const client = clientOf(({ path }) => {
      if (isAway) throw new TypeError("refused");
      return path.startsWith("/api/v1/previews?") ? json({ previews: [INSTANCE] }) : json(INSTANCE);
    });
    const { result } = renderHook(() => usePreview("g1", { client }));
    await waitFor(() => expect(result.current.isLoaded).toBe(true));
    expect(result.current.isLost).toBe(false);
    isAway = true;
    act(() => result.current.refresh());
    await waitFor(() => expect(result.current.isLost).toBe(true));
    expect(result.current.instance?.id).toBe("p1");
    isAway = false;
    act(() => result.current.refresh());
    await waitFor(() => expect(result.current.isLost).toBe(false));
  });

  test("knows the longest life once it was told, and can do again what may pass", async () => {
    let extensions = 0;
    const refused = { code: "invalid_request", detail: "The free tier …", details: { limit_s: 3600 } };
    const client = clientOf(({ path }) => {
      if (path.endsWith("/extend")) {
        extensions += 1;
        return extensions === 1 ? json({ code: "x", detail: "Busy." }, 503) : json(refused, 400);
      }
      return path.startsWith("/api/v1/previews?") ? json({ previews: [INSTANCE] }) : json(INSTANCE);
    });
    const { result } = renderHook(() => usePreview("g1", { client }));
    await waitFor(() => expect(result.current.isLoaded).toBe(true));
    await act(() => result.current.extend(60));
    await act(() => result.current.again());
    expect(extensions).toBe(2);
    expect(result.current.longestLifeS).toBe(3600);
  });
});

describe("a request", () => {
  test("gets a preview token by itself, and a new one where that is over", async () => {
    const tokens: (string | null)[] = [];
    let made = 0;
    const client = clientOf(({ path, headers }) => {
      if (path.endsWith("/token")) return json({ session_token: `t${(made += 1)}` }, 201);
      tokens.push(headers.get("x-preview-token"));
      if (tokens.length === 2) return json({ code: "invalid_preview_token", detail: "Over." }, 403);
      return json({ status_code: 200, headers: {}, body: "", elapsed_ms: 1 });
    });
    const request = { method: "GET", path: "/", query: {}, headers: {}, body: null };
    await client.request("g1", request);
    await client.request("g1", request);
    expect(tokens).toEqual(["t1", "t1", "t2"]);
  });
});
