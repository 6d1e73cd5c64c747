import { cleanup, render, screen } from "@testing-library/react";
import { afterEach, expect, test } from "vitest";

import { clientOf, json } from "../testing";
import { PreviewTerminal } from "./PreviewTerminal";

afterEach(cleanup);

test("a host replaces texts, and chooses the tools", () => {
  const client = clientOf(() => json({ previews: [] }));
  render(
    <PreviewTerminal
      generationId="g"
      client={client}
      texts={{ filter: "Filtrer", log: "Journal" }}
      tools={["filter"]}
    />,
  );
  expect(screen.getByRole("region", { name: "Journal" })).toBeTruthy();
  expect(screen.getAllByRole("button").map((one) => one.getAttribute("aria-label"))).toEqual(["Filtrer"]);
});

test("a host leaves the toolbar out", () => {
  const client = clientOf(() => json({ previews: [] }));
  render(<PreviewTerminal generationId="g" client={client} tools={false} />);
  expect(screen.queryByRole("toolbar")).toBeNull();
});
