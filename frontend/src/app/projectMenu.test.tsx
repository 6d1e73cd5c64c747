import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, expect, test, vi } from "vitest";

import { clientOf, json } from "../lib/testing";
import { client } from "./ownToken";
import { ProjectMenu } from "./ProjectMenu";
import type { Projects } from "./useProjects";

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const project = { id: "g1", name: "shop", createdAt: null, preview: null };

function show(): void {
  const projects = { list: [], refresh: () => Promise.resolve() } as unknown as Projects;
  render(
    <ProjectMenu
      project={project}
      projects={projects}
      onSelect={() => undefined}
      onReplace={() => undefined}
      onUpdate={() => undefined}
      isUploading={false}
    />,
  );
  fireEvent.click(screen.getByRole("button", { name: "More for shop" }));
}

test.each([
  [0, "You cannot undo this.", "Delete for good"],
  [86_400, "You can undo this.", "Delete"],
])("a deletion says before it is agreed to whether it can be undone (kept %s s)", async (kept, sentence, action) => {
  const service = clientOf(() => json({ items: [], kept_s: kept, next: null }));
  vi.spyOn(client, "json").mockImplementation((path) => service.json(path));
  show();
  fireEvent.click(screen.getByText("Delete…"));
  expect((await screen.findByText(/All versions of its files/)).textContent).toContain(sentence);
  expect(screen.getByText(action)).toBeTruthy();
});

test("a service that does not answer is not asked to delete", async () => {
  vi.spyOn(client, "json").mockRejectedValue(new TypeError("no network"));
  show();
  fireEvent.click(screen.getByText("Delete…"));
  await screen.findByRole("alert");
  expect(screen.queryByText(/All versions of its files/)).toBeNull();
});
