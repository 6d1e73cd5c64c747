import { act, cleanup, renderHook, waitFor } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { clientOf, event, json, Stream } from "../testing";
import { TogetherStore } from "./store";
import { useTogether } from "./useTogether";

afterEach(cleanup);

const ME = { generation_id: "g1", viewer: { id: "v1", name: "Uwe" }, role: "use" };

/** A service whose stream of viewers the test writes; a preview that is over is not found. */
function service() {
  const stream = new Stream("");
  const now = { isOver: false };
  const client = clientOf(({ path }) => {
    if (now.isOver)
      return json({ code: "no_active_preview", title: "The generation has no live preview.", status: 404 }, 404);
    if (path.endsWith("/viewers/me")) return json(ME);
    if (path.endsWith("/viewers")) return stream.response;
    return json({ items: [], next: null });
  });
  return { client, stream, now };
}

test("a guest whose stream broke just before the preview's end learns of the end", async () => {
  const { client, stream, now } = service();
  const store = new TogetherStore(client, "g1", "p1");
  const close = store.open(true);
  stream.write(event("viewers", { items: [ME.viewer] }));
  await expect.poll(() => store.snapshot.viewers.length).toBe(1);
  now.isOver = true;
  stream.close();
  await expect.poll(() => store.snapshot.ended, { timeout: 10_000 }).toBe("end");
  expect(store.snapshot.viewers).toEqual([]);
  close();
});

test("a guest learns of the end although the preview was seen stopping first, and is unknown afterwards", async () => {
  const stream = new Stream("");
  const now = { status: "running", seen: "" };
  const client = clientOf(({ path }) => {
    now.seen = now.status;
    if (now.status === "gone") return json({ code: "unauthorized", title: "Sign in first.", status: 401 }, 401);
    if (path.endsWith("/viewers/me")) return json(ME);
    if (path.endsWith("/viewers")) return stream.response;
    if (path.includes("/comments")) return json({ items: [], next: null });
    const preview = { id: "p1", generation_id: "g1", status: now.status };
    return json(path.includes("/previews?") ? { previews: [preview] } : preview);
  });
  const { result } = renderHook(() => useTogether("g1", { client }));
  act(() => stream.write(event("viewers", { items: [ME.viewer] })));
  await waitFor(() => expect(result.current.viewers.length).toBe(1));
  for (const status of ["stopping", "gone"]) {
    now.status = status;
    act(() => client.noteChange("g1"));
    await waitFor(() => expect(now.seen).toBe(status));
  }
  act(() => stream.write(event("end", {})));
  await waitFor(() => expect(result.current.ended).toBe("end"));
});
