import { useCallback, useEffect, useRef, useState } from "react";

import { useNow } from "../lib/ui/useNow";
import type { Project } from "./useProjects";

const KEY = "preview:notify";
/** A preview that ends this soon is announced once. */
const SOON_MS = 5 * 60_000;
const EACH_MS = 30_000;

export interface Notifications {
  /** Null where the browser has none. */
  isOn: boolean | null;
  toggle: () => void;
}

/** What happened to a project between two looks that a person who looks elsewhere wants to know. */
export function newsOf(before: Project | undefined, now: Project, at: number): string | null {
  const [last, preview] = [before?.preview ?? null, now.preview];
  if (preview === null || before === undefined) return null;
  const isSame = last?.id === preview.id;
  if (preview.status === "failed" && !(isSame && last.status === "failed"))
    return last?.status === "running" ? "has crashed." : "has failed to start.";
  if (preview.status !== "running") return null;
  const left = Date.parse(preview.expires_at) - at;
  return left > 0 && left <= SOON_MS ? "ends in less than 5 minutes." : null;
}

/** Desktop notifications, if the person has asked for them in this browser; only while the page is not in sight. */
export function useNotifications(list: readonly Project[] | null, onShow: (id: string) => void): Notifications {
  const isThere = "Notification" in globalThis;
  const [isOn, setOn] = useState(wantsNotifications);
  const before = useRef(new Map<string, Project>());
  const told = useRef(new Set<string>());
  // What ends soon is noticed although nothing changes.
  const minute = useNow(EACH_MS, isOn);
  useEffect(() => {
    const last = before.current;
    before.current = new Map((list ?? []).map((one) => [one.id, one]));
    if (!isOn || document.visibilityState === "visible") return;
    for (const project of list ?? []) {
      const news = newsOf(last.get(project.id), project, Date.now());
      const key = `${project.preview?.id ?? ""} ${news ?? ""}`;
      if (news === null || told.current.has(key)) continue;
      told.current.add(key);
      const shown = new Notification(project.name, { body: `This preview ${news}`, tag: key });
      shown.onclick = () => {
        window.focus();
        onShow(project.id);
      };
    }
  }, [list, isOn, onShow, minute]);
  const toggle = useCallback(() => {
    const set = (next: boolean): void => {
      keep(next);
      setOn(next);
    };
    if (isOn) set(false);
    else void Notification.requestPermission().then((answer) => set(answer === "granted"));
  }, [isOn]);
  return { isOn: isThere ? isOn : null, toggle };
}

/** Whether the person has asked for notifications in this browser; then the page looks while it is hidden, too. */
export function wantsNotifications(): boolean {
  return "Notification" in globalThis && Notification.permission === "granted" && isKept();
}

function isKept(): boolean {
  try {
    return localStorage.getItem(KEY) === "on";
  } catch {
    return false;
  }
}

function keep(isOn: boolean): void {
  try {
    localStorage.setItem(KEY, isOn ? "on" : "off");
  } catch {
    // not kept, then
  }
}
