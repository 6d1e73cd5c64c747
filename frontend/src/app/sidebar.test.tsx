import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import { clientOf, json } from "../lib/testing";
import { client } from "./ownToken";
import { FromGithub } from "./FromGithub";
import { ProjectMenu } from "./ProjectMenu";
import { Sidebar } from "./Sidebar";
import type { Project, Projects } from "./useProjects";

beforeEach(() => localStorage.clear());
afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const project = (name: string, group = ""): Project => ({ id: name, name, createdAt: null, group, preview: null });
const LIST = ["a", "b", "c", "d", "e"].map((name) => project(name)).concat(project("books", "Shops"));

function projectsOf(list: readonly Project[]): Projects {
  const refresh = (): Promise<void> => Promise.resolve();
  return { list, refresh, takesUploads: true, isLost: false, unread: new Map() } as unknown as Projects;
}

function show(): void {
  const nothing = (): void => undefined;
  render(
    <Sidebar
      projects={projectsOf(LIST)}
      selected={null}
      onSelect={nothing}
      onPick={nothing}
      onGithub={nothing}
      onReplace={nothing}
      onUpdate={nothing}
      isUploading={false}
    />,
  );
}

test("a group closes, stays closed in this browser, and a search finds what is in it", () => {
  show();
  const name = screen.getByRole("button", { name: /Shops/ });
  expect(name.getAttribute("aria-expanded")).toBe("true");
  fireEvent.click(name);
  expect(screen.queryByText("books")).toBeNull();
  expect(screen.getByText("a")).toBeTruthy();
  cleanup();
  show();
  expect(screen.queryByText("books")).toBeNull();
  fireEvent.change(screen.getByRole("searchbox"), { target: { value: "book" } });
  expect(screen.getByText("books")).toBeTruthy();
});

test("a project is moved to a group by its menu", async () => {
  const asked: unknown[] = [];
  const service = clientOf((request) => {
    asked.push([request.method, request.path, request.body]);
    return json({});
  });
  vi.spyOn(client, "json").mockImplementation((path, options) => service.json(path, options));
  render(
    <ProjectMenu
      project={project("a")}
      projects={projectsOf(LIST)}
      onSelect={() => undefined}
      onReplace={() => undefined}
      onUpdate={() => undefined}
      isUploading={false}
    />,
  );
  fireEvent.click(screen.getByRole("button", { name: "More for a" }));
  fireEvent.click(screen.getByText("Move to a group…"));
  fireEvent.change(screen.getByLabelText("Group"), { target: { value: " Shops " } });
  fireEvent.click(screen.getByText("Move"));
  await vi.waitFor(() => expect(asked).toHaveLength(1));
  expect(JSON.stringify(asked[0])).toContain("Shops");
});

test("an import without an address stays open, and says no", () => {
  vi.spyOn(client, "json").mockImplementation(() => new Promise(() => undefined));
  const onImport = vi.fn();
  const onClose = vi.fn();
  render(<FromGithub onImport={onImport} onClose={onClose} />);
  const send = screen.getByText("Import", { exact: true });
  fireEvent.click(send);
  expect(onClose).not.toHaveBeenCalled();
  fireEvent.change(screen.getByRole("textbox", { hidden: true }), { target: { value: " ann/shop " } });
  fireEvent.click(send);
  expect(onImport).toHaveBeenCalledWith("ann/shop");
});
