import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/react";
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

function show(group = ""): void {
  const projects = { list: [], refresh: () => Promise.resolve() } as unknown as Projects;
  render(
    <ProjectMenu
      project={{ ...project, group }}
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

test("a group is renamed with its projects that the page does not list", async () => {
  const moved: string[] = [];
  const service = clientOf(({ method, path }) => {
    if (method === "PATCH") moved.push(path);
    return json(
      path.endsWith("&cursor=a%3D")
        ? { generations: [{ id: "old", group: "Shops" }], next_cursor: null }
        : {
            generations: [
              { id: "g1", group: "Shops" },
              { id: "g2", group: "Blogs" },
            ],
            next_cursor: "a=",
          },
    );
  });
  vi.spyOn(client, "json").mockImplementation((path, options) => service.json(path, options));
  show("Shops");
  fireEvent.click(screen.getByText("Rename its group…"));
  expect(await screen.findByText("It has 2 projects.")).toBeTruthy();
  fireEvent.change(screen.getByDisplayValue("Shops"), { target: { value: "Stores" } });
  fireEvent.click(screen.getByRole("button", { name: "Rename" }));
  await waitFor(() => expect(moved).toEqual(["/api/v1/generations/g1", "/api/v1/generations/old"]));
});
