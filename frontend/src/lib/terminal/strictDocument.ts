/* eslint-disable @typescript-eslint/no-deprecated -- one overload of createElement is deprecated, and all are meant here */
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
 * Open a terminal whose document is strict. One part of xterm.js (the scroll bar) takes the page's own document whatever
 * it is given; so that one is strict, too, for the moment of opening.
 */
export function openStrictly(real: Document, open: () => void): void {
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

/** Looks like a style element to whoever writes its text; the rules go into a constructed sheet. */
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
