import { type ReactNode, type RefObject, type SyntheticEvent, useEffect, useId, useRef } from "react";

import { useTranslate } from "../texts/translate";
import { Button, IconButton } from "./controls";
import controls from "./controls.module.css";

interface DialogProps {
  title: string;
  /** Called when it is closed, by a button or the Escape key. */
  onClose: () => void;
  /** Whether its content needs more than a form's width. */
  wide?: boolean;
  children: ReactNode;
}

/** A modal dialog, open for as long as it is rendered; the focus returns where it was. */
export function Dialog({ title, onClose, wide = false, children }: DialogProps): ReactNode {
  const t = useTranslate();
  const { close, ...modal } = useModal(onClose);
  return (
    <dialog
      {...modal}
      className={wide ? `${controls.dialog} ${controls.wideDialog}` : controls.dialog}
      aria-label={title}
    >
      <div className={controls.dialogHead}>
        <h3>{title}</h3>
        <IconButton icon="close" label={t("Close")} onClick={close} />
      </div>
      {children}
    </dialog>
  );
}

interface AskProps extends DialogProps {
  /** The word on the button that does it. */
  action: string;
  kind?: "primary" | "danger";
  onYes: () => void;
}

/** A modal question before something happens. Escape and Cancel do nothing. */
export function Ask({ title, action, kind = "danger", onYes, onClose, children }: AskProps): ReactNode {
  const t = useTranslate();
  const { close, ...modal } = useModal(onClose);
  const id = useId();
  return (
    <dialog
      {...modal}
      role={kind === "danger" ? "alertdialog" : "dialog"}
      className={controls.dialog}
      aria-label={title}
      aria-describedby={id}
    >
      <form
        onSubmit={(event) => {
          event.preventDefault();
          close();
          onYes();
        }}
      >
        <div className={controls.dialogHead}>
          <h3>{title}</h3>
        </div>
        <div id={id}>{children}</div>
        <div className={controls.dialogButtons}>
          <Button onClick={close}>{t("Cancel")}</Button>
          <Button kind={kind} type="submit">
            {action}
          </Button>
        </div>
      </form>
    </dialog>
  );
}

interface Modal {
  ref: RefObject<HTMLDialogElement | null>;
  onCancel: (event: SyntheticEvent) => void;
  onClose: (event: SyntheticEvent) => void;
  /** Closes it: the focus returns, and the owner knows, before anything else can happen. */
  close: () => void;
}

/**
 * What makes a dialog element modal while it is rendered.
 *
 * The browser tells of a closed dialog only later. A key pressed in between would act on a page that still takes the
 * dialog for open, so that the next question would be closed with it; the owner is therefore told at once.
 */
function useModal(onClose: () => void): Modal {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    ref.current?.showModal();
    // The browser begins with the close button, and React's autoFocus comes before the dialog is open.
    ref.current?.querySelector<HTMLElement>("[data-autofocus]")?.focus();
  }, []);
  const close = (): void => {
    ref.current?.close();
    onClose();
  };
  // The events of a question inside a dialog are its own.
  const own = (event: SyntheticEvent): boolean => event.target === event.currentTarget;
  return {
    ref,
    onCancel: (event) => {
      if (!own(event)) return;
      event.preventDefault();
      close();
    },
    // Where the browser lets nobody prevent it.
    onClose: (event) => own(event) && onClose(),
    close,
  };
}
