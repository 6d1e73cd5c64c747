import { cleanup, fireEvent, render, screen, within } from "@testing-library/react";
import { type ReactNode, useState } from "react";
import { afterEach, expect, test, vi } from "vitest";

import { type Draft, EMPTY } from "../request/draft";
import { Editor } from "../request/Editor";
import { clientOf, json } from "../testing";
import type { Translate } from "../texts/translate";
import { NewVariable } from "./NewVariable";
import { filledDraft, variableProblem } from "./references";
import { useVariables } from "./useVariables";
import { VariableTable } from "./VariableTable";

afterEach(cleanup);

const t = ((text: string) => text) as unknown as Translate;
const item = { name: "page", value: "2", secret: false };

function Whole({
  client,
  onSend,
  onDone,
}: {
  client: ReturnType<typeof clientOf>;
  onSend: (draft: Draft) => void;
  onDone: () => void;
}): ReactNode {
  const variables = useVariables(client, "g");
  const [draft, setDraft] = useState<Draft>({ ...EMPTY, path: "/{{book}}", body: "" });
  const ready = filledDraft(draft, variables.known.values);
  return (
    <>
      <Editor
        {...{ draft, ready, variables }}
        blocked={variableProblem(t, draft, variables.known, true)}
        onDraft={setDraft}
        onSend={() => onSend(ready)}
        onCancel={vi.fn()}
        isSending={false}
        unavailable={null}
        onOpenFile={undefined}
        baseUrl={null}
        hasResponse={false}
      />
      <VariableTable variables={variables} />
      <NewVariable from="access_token" value="abc" variables={variables} onDone={onDone} />
    </>
  );
}

test("Send leads to the field of a variable without a value, and a value of a response becomes a secret", async () => {
  const stored: string[] = [];
  const client = clientOf(({ method, path, body }) => {
    if (method !== "GET") stored.push(`${method} ${path.replace(/^.*preview/, "")} ${body}`);
    return json({ items: [item] });
  });
  const onSend = vi.fn();
  const onDone = vi.fn();
  render(<Whole {...{ client, onSend, onDone }} />);
  const field = await screen.findByLabelText("Value of {{book}}");
  fireEvent.click(screen.getByRole("button", { name: "Send" }));
  expect(onSend).not.toHaveBeenCalled();
  expect(document.activeElement).toBe(field);
  fireEvent.change(field, { target: { value: "7" } });
  fireEvent.keyDown(field, { key: "Enter" });
  expect(await screen.findAllByText("7")).toHaveLength(2);
  fireEvent.click(screen.getByRole("button", { name: "Send" }));
  expect(onSend.mock.calls[0]?.[0]).toMatchObject({ path: "/7" });
  // A value of a response, whose key says that it is a secret.
  const group = within(screen.getByRole("group", { name: "Keep the value as a variable" }));
  expect(group.getByLabelText<HTMLInputElement>("Name of the variable").value).toBe("access_token");
  fireEvent.click(group.getByRole("button", { name: "Set" }));
  await screen.findByText("access_token");
  expect(screen.getByText("secret")).toBeTruthy();
  expect(onDone).toHaveBeenCalledOnce();
  expect(stored).toEqual([
    'PUT /variables/book {"value":"7","secret":false}',
    'PUT /variables/access_token {"value":"abc","secret":true}',
  ]);
});

test("of a project of another application they stay in the browser, and none is a secret", async () => {
  localStorage.clear();
  const client = clientOf(() =>
    json({ code: "generation_read_only", title: "x", detail: "Another application keeps it.", status: 409 }, 409),
  );
  const Table = (): ReactNode => <VariableTable variables={useVariables(client, "g")} />;
  render(<Table />);
  await screen.findByText(/Kept in this browser/);
  expect(screen.queryByText("Secret")).toBeNull();
  fireEvent.change(screen.getByLabelText("Name of the variable"), { target: { value: "page" } });
  fireEvent.change(screen.getByLabelText("Value of the variable"), { target: { value: "2" } });
  fireEvent.click(screen.getByRole("button", { name: "Set" }));
  await screen.findByText("Saved.");
  expect(localStorage.getItem("preview:variables:g")).toBe('{"page":"2"}');
});
