import { type KeyboardEvent, type ReactNode, useEffect, useId, useRef, useState } from "react";

import { asProblem, type Problem } from "../lib/api/problem";
import { deskOf } from "../lib/request/desk";
import type { MenuItem } from "../lib/terminal/Menu";
import { Notice } from "../lib/ui/controls";
import controls from "../lib/ui/controls.module.css";
import { useLoad } from "../lib/ui/useLoad";
import { visible } from "../lib/ui/visible";
import { fuzzyScore } from "./order";
import styles from "./overlay.module.css";
import { client } from "./ownToken";
import { PANES } from "./panes";
import { isOn, type Project, type Projects } from "./useProjects";

interface PaletteProps {
  project: Project | null;
  projects: Projects;
  onSelect: (id: string) => void;
  actions: readonly MenuItem[];
  onClose: () => void;
}

interface Command {
  kind: string;
  label: string;
  /** A promise keeps the palette open until it is done, and shows why it failed. */
  act: () => unknown;
}

/** As many as a person reads through. */
const MOST_SHOWN = 30;

/** Everything that can be gone to or done, found by a few letters of its name. */
export function Palette({ project, projects, onSelect, actions, onClose }: PaletteProps): ReactNode {
  const [typed, setTyped] = useState("");
  const [at, setAt] = useState(0);
  const dialog = useRef<HTMLDialogElement>(null);
  const list = useRef<HTMLUListElement>(null);
  const id = useId();
  useEffect(() => dialog.current?.showModal(), []);
  const { commands, isLoading, problem } = useCommands({ project, projects, onSelect, actions });
  const found = commands
    .map((command) => ({ command, score: fuzzyScore(typed, `${command.label} ${command.kind}`) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => (typed === "" ? 0 : b.score - a.score))
    .slice(0, MOST_SHOWN)
    .map(({ command }) => command);
  const chosen = Math.min(at, found.length - 1);
  useEffect(() => {
    list.current?.children[chosen]?.scrollIntoView({ block: "nearest" });
  }, [chosen]);
  const [said, setSaid] = useState<{ busy: string | null; problem: string | null }>({ busy: null, problem: null });
  const run = (command: Command | undefined): void => {
    if (!command || said.busy !== null) return;
    const doing = command.act();
    if (!(doing instanceof Promise)) {
      dialog.current?.close();
      return;
    }
    setSaid({ busy: `${command.label}…`, problem: null });
    doing.then(
      () => dialog.current?.close(),
      (error: unknown) => setSaid({ busy: null, problem: asProblem(error).message }),
    );
  };
  const key = (event: KeyboardEvent): void => {
    const step = event.key === "ArrowDown" ? 1 : event.key === "ArrowUp" ? -1 : 0;
    if (step !== 0) setAt((chosen + step + found.length) % Math.max(1, found.length));
    else if (event.key === "Enter") run(found[chosen]);
    else return;
    event.preventDefault();
  };
  return (
    <dialog ref={dialog} className={styles.palette} aria-label="Commands" onClose={onClose}>
      <input
        autoFocus
        role="combobox"
        aria-expanded="true"
        aria-controls={id}
        aria-activedescendant={found[chosen] ? `${id}-${chosen}` : undefined}
        aria-label="Find a project, a pane, an endpoint or an action"
        placeholder="Find a project, a pane, an endpoint or an action"
        className={controls.field}
        value={typed}
        onChange={(event) => {
          setTyped(event.target.value);
          setAt(0);
        }}
        onKeyDown={key}
      />
      <ul ref={list} id={id} role="listbox" aria-label="Commands" className={styles.commands}>
        {found.map((command, index) => (
          <li
            key={`${command.kind} ${command.label} ${index}`}
            id={`${id}-${index}`}
            role="option"
            aria-selected={index === chosen}
            onPointerMove={() => setAt(index)}
            onClick={() => run(command)}
          >
            <span>{command.label}</span>
            <small>{command.kind}</small>
          </li>
        ))}
      </ul>
      {found.length === 0 && (
        <p role="status" className={styles.none}>
          {problem?.message ?? (isLoading ? "Loading the endpoints…" : "Nothing matches.")}
        </p>
      )}
      {said.busy !== null && (
        <p role="status" className={styles.none}>
          {said.busy}
        </p>
      )}
      {said.problem !== null && (
        <Notice tone="bad" role="alert">
          {said.problem}
        </Notice>
      )}
    </dialog>
  );
}

interface Found {
  commands: readonly Command[];
  /** Whether the endpoints are still to come. */
  isLoading: boolean;
  /** Why the endpoints could not be loaded. */
  problem: Problem | null;
}

function useCommands({ project, projects, onSelect, actions }: Omit<PaletteProps, "onClose">): Found {
  const { value, isLoading, problem } = useLoad(project === null ? null : `endpoints ${project.id}`, () =>
    project === null ? Promise.reject(new Error("no project")) : client.endpoints(project.id),
  );
  const go = (show: string): void => {
    if (project) location.assign(`#/${encodeURIComponent(project.id)}?show=${show}`);
  };
  const call = (what: Promise<unknown>): Promise<unknown> => what.finally(() => void projects.refresh());
  const running = project !== null && isOn(project.preview);
  const commands = [
    ...(project === null
      ? []
      : [
          ...PANES.map((one) => ({ kind: "Pane", label: one.word, act: () => go(one.id) })),
          ...(running
            ? [
                { kind: "Action", label: "Restart the preview", act: () => call(client.restart(project.id)) },
                { kind: "Action", label: "Stop the preview", act: () => call(client.stop(project.id)) },
              ]
            : [{ kind: "Action", label: "Launch the preview", act: () => call(client.launch(project.id)) }]),
        ]),
    ...(projects.list ?? []).map((one) => ({ kind: "Project", label: one.name, act: () => onSelect(one.id) })),
    ...actions.map((one) => ({ kind: "Page", label: one.label, act: one.act })),
    ...(value?.endpoints ?? []).map((one) => ({
      kind: "Endpoint",
      label: visible(`${one.method} ${one.path}`),
      act: () => {
        const before = location.hash;
        const pick = (): void => {
          if (project) deskOf(client, project.id).pick(one);
        };
        go("requests");
        // A new address draws the panes again: the form that comes then gets the focus.
        if (location.hash === before) pick();
        else addEventListener("hashchange", pick, { once: true });
      },
    })),
  ];
  return { commands, isLoading, problem };
}
