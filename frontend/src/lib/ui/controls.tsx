import { type ButtonHTMLAttributes, type ReactNode, useEffect, useRef, useState } from "react";

import { useTranslate } from "../texts/translate";
import controls from "./controls.module.css";
import { Icon, type IconName } from "./icons";

export function classes(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(" ");
}

interface ButtonProps extends ButtonHTMLAttributes<HTMLButtonElement> {
  kind?: "normal" | "primary" | "danger" | "quiet";
  small?: boolean;
  icon?: IconName;
}

export function Button({ kind = "normal", small, icon, className, children, ...rest }: ButtonProps): ReactNode {
  const look = classes(controls.button, kind !== "normal" && controls[kind], small && controls.small, className);
  return (
    <button type="button" className={look} {...rest}>
      {icon && <Icon name={icon} />}
      {children}
    </button>
  );
}

interface IconButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "children"> {
  icon: IconName;
  label: string;
  pressed?: boolean;
}

/** A button that is only a picture: its label is its name and its tooltip. */
export function IconButton({ icon, label, pressed, className, ...rest }: IconButtonProps): ReactNode {
  return (
    <button
      type="button"
      className={classes(controls.button, controls.icon, className)}
      aria-label={label}
      title={label}
      {...(pressed !== undefined && { "aria-pressed": pressed })}
      {...rest}
    >
      <Icon name={icon} />
    </button>
  );
}

/** Copies a text, and says that it did. */
export function CopyButton({ text, label }: { text: string | (() => string); label: string }): ReactNode {
  const t = useTranslate();
  const [done, setDone] = useState(false);
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  useEffect(() => () => clearTimeout(timer.current), []);
  const copy = (): void => {
    void copyText(typeof text === "string" ? text : text()).then(() => {
      setDone(true);
      clearTimeout(timer.current);
      timer.current = setTimeout(() => setDone(false), 1_500);
    });
  };
  return <IconButton icon={done ? "check" : "copy"} label={done ? t("Copied") : label} onClick={copy} />;
}

/** A sentence with its way out. */
export function Notice(props: {
  tone?: "info" | "warn" | "bad";
  role?: "alert" | "status";
  children: ReactNode;
  actions?: ReactNode;
}): ReactNode {
  return (
    <div className={controls.notice} data-tone={props.tone ?? "info"} role={props.role}>
      <div className={controls.noticeText}>{props.children}</div>
      {props.actions}
    </div>
  );
}

/** Said to screen readers, and only when it changes. */
export function Announce({ children }: { children: string }): ReactNode {
  return (
    <div className={controls.hidden} role="status" aria-live="polite">
      {children}
    </div>
  );
}

export function Dot({ tone }: { tone: "good" | "busy" | "bad" | "idle" }): ReactNode {
  return <span className={controls.dot} data-tone={tone} aria-hidden="true" />;
}

export async function copyText(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without a secure context (http on another machine's name) there is only the old way.
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    // eslint-disable-next-line @typescript-eslint/no-deprecated -- see above
    document.execCommand("copy");
    area.remove();
  }
}

export function saveFile(name: string, parts: BlobPart[], type: string): void {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
