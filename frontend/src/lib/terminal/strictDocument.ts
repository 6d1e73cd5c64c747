/* eslint-disable @typescript-eslint/no-deprecated -- one overload of createElement is deprecated, and all are meant here */
import type { Terminal } from "@xterm/xterm";

/**
 * A document for xterm.js under a strict Content-Security-Policy.
 *
 * xterm.js writes `<style>` elements and `style` attributes, which `style-src 'self'` forbids. The same rules as
 * constructed style sheets and as properties of the element's style are allowed: they cannot come from markup.
 */
export function strictDocument(real: Document): Document {
  const createElement = (name: string): HTMLElement => {
    if (name === "style") return styleElement(real);
    const element = real.createElement(name);
    if (name === "span" || name === "div") takeStyleAsProperty(element);
    return element;
  };
  return new Proxy(real, {
    get(target, property) {
      if (property === "createElement") return createElement;
      const value = Reflect.get(target, property, target) as unknown;
      return typeof value === "function" ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

/**
 * Open a terminal whose document is strict.
 *
 * Two parts of xterm.js 6.0 take the page's own document whatever they are given: the scroll bar, while it is made, for
 * which that document is strict for the moment of opening; and what makes the rows, which is given another one. A test
 * in a browser looks whether anything was blocked.
 */
export function openStrictly(terminal: Terminal, host: HTMLElement): void {
  withStrictElements(document, () => terminal.open(host));
  const inner = terminal as unknown as { _core?: { _renderService?: { _renderer?: { value?: Renderer } } } };
  const rows = inner._core?._renderService?._renderer?.value?._rowFactory;
  if (rows?._document) rows._document = strictDocument(document);
}

interface Renderer {
  _rowFactory?: { _document?: Document };
}

function withStrictElements(real: Document, open: () => void): void {
  const createElement = real.createElement.bind(real);
  real.createElement = (name: string, options?: ElementCreationOptions) =>
    name === "style" ? styleElement(real) : createElement(name, options);
  try {
    open();
  } finally {
    // The document's own property goes, and the prototype's method is back.
    Reflect.deleteProperty(real, "createElement");
  }
}

/** Looks like a style element to the writer of its text; the rules go into a constructed sheet. */
function styleElement(real: Document): HTMLElement {
  const element = Document.prototype.createElement.call(real, "template");
  const sheet = new CSSStyleSheet();
  let text = "";
  real.adoptedStyleSheets = [...real.adoptedStyleSheets, sheet];
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (css: string) => {
      text = css;
      sheet.replaceSync(css);
    },
  });
  element.remove = () => {
    real.adoptedStyleSheets = real.adoptedStyleSheets.filter((one) => one !== sheet);
    Element.prototype.remove.call(element);
  };
  return element;
}

function takeStyleAsProperty(element: HTMLElement): void {
  element.setAttribute = (name: string, value: string) => {
    if (name === "style") element.style.cssText = value;
    else Element.prototype.setAttribute.call(element, name, value);
  };
}
