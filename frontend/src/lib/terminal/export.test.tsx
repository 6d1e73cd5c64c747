import { cleanup, fireEvent, render, screen } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, expect, test, vi } from "vitest";

import type { PreviewClient } from "../api/client";
import { LogSession } from "../logs/session";
import { EVERYTHING, type LogFilter } from "../logs/view";
import { clientOf, json } from "../testing";
import { ExportMenu } from "./ExportMenu";
import { useExport } from "./useExport";

afterEach(() => {
  cleanup();
  vi.restoreAllMocks();
});

const nothing = (): undefined => undefined;
const NO_COPIES = { onCopy: nothing, onSaveText: nothing, onSaveJson: nothing };

function Exporter(props: { client: PreviewClient; session: LogSession; filter: LogFilter }): ReactNode {
  const file = useExport(props.session, props.client);
  return (
    <>
      <ExportMenu {...NO_COPIES} filter={props.filter} onExport={(format) => file.start(format, props.filter)} />
      <output>{file.error ?? (file.isOn ? "on" : "off")}</output>
    </>
  );
}

function choose(client: PreviewClient, filter: LogFilter, name: string): void {
  render(<Exporter client={client} session={new LogSession(client, "g1")} filter={filter} />);
  fireEvent.click(screen.getByRole("button", { name: "Export the log" }));
  fireEvent.click(screen.getByRole("menuitem", { name }));
}

test("the log is saved as the service writes it, with the filter that is on", async () => {
  const asked: string[] = [];
  const saved: string[] = [];
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (this: HTMLAnchorElement) {
    saved.push(this.download);
  });
  const client = clientOf(({ path }) => {
    asked.push(path);
    return new Response("1,2");
  });
  choose(client, { ...EVERYTHING, levels: ["ERROR"], sources: ["subprocess"] }, "CSV");
  expect(await screen.findByText("off")).toBeTruthy();
  expect(asked).toEqual(["/api/v1/generations/g1/preview/logs?format=csv&level=ERROR&source=subprocess"]);
  expect(saved).toEqual(["g1-log.csv"]);
});

test("all lines can be had without the filter, where there is one", () => {
  const asked: boolean[] = [];
  const onLink = vi.fn();
  const menu = (filter: LogFilter, hasTerms: boolean): ReactNode => (
    <ExportMenu
      {...NO_COPIES}
      filter={filter}
      hasTerms={hasTerms}
      onExport={(_, isWhole) => asked.push(isWhole)}
      onLink={onLink}
    />
  );
  const { rerender } = render(menu(EVERYTHING, true));
  fireEvent.click(screen.getByRole("button", { name: "Export the log" }));
  fireEvent.click(screen.getByRole("menuitem", { name: "All lines, without the filter" }));
  expect(asked).toEqual([true]);
  rerender(menu(EVERYTHING, false));
  fireEvent.click(screen.getByRole("button", { name: "Export the log" }));
  expect(screen.queryByRole("menuitem", { name: "All lines, without the filter" })).toBeNull();
  fireEvent.click(screen.getByRole("menuitem", { name: "Copy a link to this view" }));
  expect(onLink).toHaveBeenCalledOnce();
});

test("why there is no file is said", async () => {
  const client = clientOf(() => json({ code: "preview_not_found", detail: "There is no preview." }, 404));
  choose(client, EVERYTHING, "JSON Lines");
  expect(await screen.findByText("There is no preview.")).toBeTruthy();
});
