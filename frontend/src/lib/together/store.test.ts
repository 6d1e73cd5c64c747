import { expect, test } from "vitest";

import { clientOf, event, json, Stream } from "../testing";
import { TogetherStore } from "./store";

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
