import { type DragEvent, useCallback, useRef, useState } from "react";

import { asProblem } from "../lib/api/problem";
import { importRepository, makeUpdate, planUpdate } from "../lib/api/projects";
import type { FilesChanged } from "../lib/api/types";
import { ended } from "../lib/launch/ending";
import { visible } from "../lib/ui/visible";
import { client } from "./ownToken";
import { PickError, pickDropped, type Picked } from "./folder";
import { isOn, type Project, type Projects } from "./useProjects";

export interface Upload {
  /** Whether something that could be dropped is over the page. */
  isOver: boolean;
  isUploading: boolean;
  problem: string | null;
  /** Upload it as a new project. */
  take: (picked: Promise<Picked>) => void;
  /** Import a repository as a new project. */
  takeFrom: (address: string) => void;
  /** Make the shown project's files these; asks first if files would be removed. */
  replace: (picked: Promise<Picked>) => void;
  /** Make the shown project's files those of its repository; always asks first. */
  update: () => void;
  /** What there is to know of the last import. */
  news: string | null;
  /** A replacement that waits for an answer. */
  asked: Replacement | null;
  answer: (isAgreed: boolean) => void;
  /** The last replacement, which can be undone. */
  replaced: Replaced | null;
  undo: () => void;
  dismiss: () => void;
  /** Take the problem back: a launch has its own answer. */
  forget: () => void;
  handlers: Record<"onDragEnter" | "onDragOver" | "onDragLeave" | "onDrop", (event: DragEvent) => void>;
}

/** Files that would replace those of a project. */
export interface Replacement {
  project: Project;
  send: () => Promise<FilesChanged>;
  /** The repository at a commit; null for files of the person. */
  source: string | null;
  changed: number;
  removed: string[];
}

/** A replacement that was made, and the version before it. */
export interface Replaced {
  project: Project;
  before: number;
  changed: number;
  removed: number;
}

/** Uploads by drop or by picking, one at a time: a new project, or new files of the one that runs. */
export function useUpload(projects: Projects, shown: Project | null, onDone: (id: string) => void): Upload {
  const [isOver, setOver] = useState(false);
  const [isUploading, setUploading] = useState(false);
  const [problem, setProblem] = useState<{ of: string | null; message: string } | null>(null);
  const shownId = shown?.id ?? null;
  const [asked, setAsked] = useState<Replacement | null>(null);
  const [replaced, setReplaced] = useState<Replaced | null>(null);
  const [news, setNews] = useState<{ of: string; message: string } | null>(null);
  const depth = useRef(0);
  const { takesUploads } = projects;
  const send = (sending: Promise<string | null>): void => {
    setUploading(true);
    setProblem(null);
    setNews(null);
    sending
      .then((message) => message !== null && setProblem({ of: shownId, message }))
      .catch((error: unknown) =>
        setProblem({ of: shownId, message: error instanceof PickError ? error.message : asProblem(error).message }),
      )
      .finally(() => setUploading(false));
  };
  const tell = (of: string, message: string): void => setNews({ of, message });
  const takeFrom = (address: string): void =>
    add(
      importRepository(client, address).then(async (made) => {
        await projects.refresh();
        if (made.notes.length > 0) tell(made.id, `Imported. ${made.notes.join(" ")}`);
        return made.id;
      }),
    );
  const take = (picked: Promise<Picked>): void => add(picked.then(projects.upload));
  const add = (adding: Promise<string>): void =>
    send(
      adding.then((id) => {
        onDone(id);
        // Beside the upload: what it says concerns the project alone, and is no reason to wait.
        client.checkPlan(id).catch((error: unknown) => {
          const { status, message } = asProblem(error);
          if (status === 400)
            setProblem({
              of: id,
              message: `Uploaded, but the project cannot start: ${ended(withoutRefusal(message))}`,
            });
        });
        return null;
      }),
    );
  const replace = (picked: Promise<Picked>): void => {
    if (shown) send(picked.then((one) => propose(shown, one)));
  };
  const propose = async (project: Project, picked: Picked): Promise<string | null> => {
    const plan = await projects.replace(project.id, picked, true);
    const sending = (): Promise<FilesChanged> => projects.replace(project.id, picked);
    if (plan.removed.length === 0) return make(project, sending);
    setAsked({ project, send: sending, source: null, changed: plan.changed.length, removed: plan.removed });
    return null;
  };
  const update = (): void => {
    if (shown) send(proposeUpdate(shown));
  };
  const proposeUpdate = async (project: Project): Promise<string | null> => {
    const plan = await planUpdate(client, project.id);
    const { changed, removed, origin, commit } = plan;
    const source = withoutScheme(origin) + (commit === "" ? "" : ` at ${commit.slice(0, 7)}`);
    if (changed.length + removed.length === 0) tell(project.id, `Up to date with ${source}.`);
    else
      setAsked({
        project,
        // Just what was shown, also if somebody pushes meanwhile or saves a file.
        send: () => makeUpdate(client, project.id, plan).catch(asMissed),
        source,
        changed: changed.length,
        removed,
      });
    return null;
  };
  const make = async (project: Project, sending: () => Promise<FilesChanged>): Promise<string | null> => {
    setReplaced(null);
    const made = await sending();
    const { changed, removed, version } = made;
    if (changed.length + removed.length > 0)
      setReplaced({ project, before: version - 1, changed: changed.length, removed: removed.length });
    return failureOf(made);
  };
  const answer = (isAgreed: boolean): void => {
    setAsked(null);
    if (asked && isAgreed) send(make(asked.project, asked.send));
  };
  const undo = (): void => {
    setReplaced(null);
    if (replaced) send(projects.restore(replaced.project.id, replaced.before).then(failureOf));
  };
  const moved = (event: DragEvent, step: number): void => {
    if (!takesUploads || !event.dataTransfer.types.includes("Files")) return;
    event.preventDefault();
    depth.current = Math.max(0, depth.current + step);
    setOver(depth.current > 0);
  };
  const handlers = {
    onDragEnter: (event: DragEvent) => moved(event, 1),
    onDragOver: (event: DragEvent) => moved(event, 0),
    onDragLeave: (event: DragEvent) => moved(event, -1),
    onDrop: (event: DragEvent) => {
      moved(event, -depth.current);
      if (!takesUploads || isUploading || !event.dataTransfer.types.includes("Files")) return;
      const place = event.target instanceof Element ? event.target.closest("[data-drop]") : null;
      const isReplacing = place?.getAttribute("data-drop") === "replace" && isOn(shown?.preview ?? null);
      (isReplacing ? replace : take)(pickDropped(event.dataTransfer));
    },
  };
  const forget = useCallback((): void => setProblem(null), []);
  const dismiss = (): void => {
    forget();
    setReplaced(null);
    setNews(null);
  };
  // It stays with what was on the screen when it happened.
  const told = problem?.of === shownId ? problem.message : null;
  return {
    isOver,
    isUploading,
    problem: told,
    take,
    takeFrom,
    replace,
    update,
    news: news?.of === shownId ? news.message : null,
    asked,
    answer,
    replaced,
    undo,
    dismiss,
    forget,
    handlers,
  };
}

/** An update that was refused because of what has changed since it was shown. */
function asMissed(error: unknown): never {
  if (asProblem(error).status !== 412) throw error;
  throw new PickError("The project’s files have changed meanwhile, so nothing was replaced. Update it again.");
}

function withoutScheme(address: string): string {
  return visible(address.replace(/^https?:\/\//, ""));
}

function withoutRefusal(message: string): string {
  return message.replace(/^Cannot launch: /, "");
}

/** What to say of a change that is kept and does not run; null where all is well, which the log tells. */
function failureOf({ reload }: FilesChanged): string | null {
  if (reload.status !== "failed") return null;
  const why = ended(reload.error?.detail ?? "See the log");
  return `Files updated, but the new version does not start: ${why} The previous version is still running.`;
}
