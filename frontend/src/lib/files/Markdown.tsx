import { markdownLanguage } from "@codemirror/lang-markdown";
import { createElement, Fragment, type ReactNode, useMemo } from "react";

import { useTranslate } from "../texts/translate";
import { visible } from "../ui/visible";
import styles from "./markdown.module.css";

/** A longer text is shown as it is written. */
export const MOST_MARKDOWN_CHARS = 100_000;
/** Deeper parts are shown as they are written. */
const MOST_DEPTH = 30;
/** A text that takes longer to read is shown as it is written. */
const MOST_MS = 200;
/**
 * Signs times characters of lines without an empty line between them. They are read in one step, which may take time by
 * this product: some 100 ms at this size.
 */
const MOST_WORK = 50_000_000;
const SIGNS = /[!-/:-@[-`{-~]/g;
/** Time grows by the square of this depth too. */
const NESTED = /^(?:[ \t]*(?:>|(?:[*+-]|\d{1,9}[.)])[ \t])){100}/m;

type Node = ReturnType<typeof markdownLanguage.parser.parse>["topNode"];

interface MarkdownProps {
  text: string;
  /** Opens another file of the project; false for one that it does not have. */
  onFile: (path: string) => (() => void) | null;
}

/**
 * A text in Markdown. It is made of elements alone: HTML in it is never markup, links lead to `https:`, `http:` and
 * `mailto:` or to files of the project, and nothing is loaded.
 */
export default function Markdown({ text, onFile }: MarkdownProps): ReactNode {
  const t = useTranslate();
  const top = useMemo(() => read(text), [text]);
  return <div className={styles.markdown}>{rendered(text, top, onFile, t("image"))}</div>;
}

/** The parts of a text; null if it takes too long to find them. A hostile text would stop the page. */
function read(text: string): Node | null {
  if (text.length > MOST_MARKDOWN_CHARS || NESTED.test(text)) return null;
  for (const lines of text.split(/\n[ \t]*\r?(?=\n)/))
    if (lines.length * (lines.match(SIGNS)?.length ?? 0) > MOST_WORK) return null;
  try {
    const started = performance.now();
    const parse = markdownLanguage.parser.startParse(text);
    for (;;) {
      const tree = parse.advance();
      if (tree) return tree.topNode;
      if (performance.now() - started > MOST_MS) return null;
    }
  } catch {
    return null;
  }
}

function rendered(text: string, top: Node | null, onFile: MarkdownProps["onFile"], image: string): ReactNode {
  if (top === null) return <pre tabIndex={0}>{visible(text)}</pre>;
  try {
    return new Renderer(text, onFile, image).blocks(top, 0);
  } catch {
    // A text that is nested without end.
    return <pre tabIndex={0}>{visible(text)}</pre>;
  }
}

const MARKS = new Set([
  ...["HeaderMark", "QuoteMark", "ListMark", "LinkMark", "EmphasisMark", "CodeMark", "CodeInfo", "LinkTitle"],
  ...["StrikethroughMark", "SuperscriptMark", "SubscriptMark", "TableDelimiter", "LinkReference", "LinkLabel"],
  // No text of a page is hidden in them, and none acts.
  ...["Comment", "CommentBlock", "HTMLTag", "ProcessingInstruction", "ProcessingInstructionBlock"],
]);
const TAGS: Readonly<Record<string, string>> = {
  ...{ Paragraph: "p", BulletList: "ul", OrderedList: "ol", ListItem: "li", Blockquote: "blockquote" },
  ...{ Emphasis: "em", StrongEmphasis: "strong", Strikethrough: "del", Superscript: "sup", Subscript: "sub" },
  ...{ TableHeader: "tr", TableRow: "tr" },
};

class Renderer {
  readonly #text: string;
  readonly #onFile: MarkdownProps["onFile"];
  /** Stands for a picture without a description. */
  readonly #image: string;

  constructor(text: string, onFile: MarkdownProps["onFile"], image: string) {
    this.#text = text;
    this.#onFile = onFile;
    this.#image = image;
  }

  /** The elements of a node that has only other nodes. */
  blocks(node: Node, depth: number): ReactNode[] {
    const made: ReactNode[] = [];
    for (let one = node.firstChild; one; one = one.nextSibling)
      made.push(<Fragment key={one.from}>{this.#element(one, depth + 1)}</Fragment>);
    return made;
  }

  /** The elements of a node with the text between them. */
  #inline(node: Node, depth: number): ReactNode[] {
    const made: ReactNode[] = [];
    let at = node.from;
    for (let one = node.firstChild; one; one = one.nextSibling) {
      if (one.from > at) made.push(this.#words(at, one.from));
      made.push(<Fragment key={one.from}>{this.#element(one, depth + 1)}</Fragment>);
      at = one.to;
    }
    if (at < node.to) made.push(this.#words(at, node.to));
    return made;
  }

  #element(node: Node, depth: number): ReactNode {
    const { name } = node;
    if (MARKS.has(name)) return null;
    if (depth > MOST_DEPTH) return this.#words(node.from, node.to);
    const heading = /^(?:ATX|Setext)Heading([1-6])$/.exec(name);
    // The page has headings above it.
    if (heading) return createElement(`h${Math.min(6, Number(heading[1]) + 2)}`, null, ...this.#inline(node, depth));
    const tag = TAGS[name];
    if (tag === "ol") return <ol start={this.#start(node)}>{this.blocks(node, depth)}</ol>;
    if (tag === "ul") return <ul>{this.blocks(node, depth)}</ul>;
    if (tag === "tr") return <tr>{this.#cells(node, depth)}</tr>;
    if (tag !== undefined) return createElement(tag, null, ...this.#inline(node, depth));
    switch (name) {
      case "FencedCode":
      case "CodeBlock":
        return this.#code(node);
      case "InlineCode":
        return <code>{this.#inline(node, depth)}</code>;
      case "HTMLBlock":
        return <pre tabIndex={0}>{this.#words(node.from, node.to)}</pre>;
      case "HorizontalRule":
        return <hr />;
      case "HardBreak":
        return <br />;
      case "Link":
      case "Autolink":
      case "Image":
        return this.#link(node, depth);
      case "URL":
        return link(this.#slice(node), this.#words(node.from, node.to), this.#onFile);
      case "Escape":
        return this.#words(node.from + 1, node.to);
      case "Table":
        return (
          <div className={styles.table}>
            <table>
              <tbody>{this.blocks(node, depth)}</tbody>
            </table>
          </div>
        );
      case "Task":
        return this.#inline(node, depth);
      case "TaskMarker":
        return <input type="checkbox" disabled checked={/x/i.test(this.#slice(node))} readOnly />;
      default:
        return node.firstChild ? this.#inline(node, depth) : this.#words(node.from, node.to);
    }
  }

  #cells(row: Node, depth: number): ReactNode[] {
    const Cell = row.name === "TableHeader" ? "th" : "td";
    return row.getChildren("TableCell").map((one) => <Cell key={one.from}>{this.#inline(one, depth + 1)}</Cell>);
  }

  #code(node: Node): ReactNode {
    const parts = node.getChildren("CodeText").map((one) => this.#slice(one));
    return (
      <pre tabIndex={0}>
        <code>{visible(parts.join(node.name === "CodeBlock" ? "\n" : ""))}</code>
      </pre>
    );
  }

  #link(node: Node, depth: number): ReactNode {
    const url = node.getChild("URL");
    const words: ReactNode[] = [];
    let at = node.from;
    for (let one = node.firstChild; one; one = one.nextSibling) {
      if (one.from > at) words.push(this.#words(at, one.from));
      at = one.to;
      // After the words there is the address, and perhaps a title.
      if (one.name === "LinkMark" && /^[\])]/.test(this.#slice(one))) break;
      if (node.name === "Autolink" ? one.name === "URL" : one.name !== "URL")
        words.push(
          <Fragment key={one.from}>{one.name === "URL" ? this.#slice(one) : this.#element(one, depth + 1)}</Fragment>,
        );
    }
    // Nothing is loaded from elsewhere: a picture is shown as its description.
    const shown = node.name === "Image" ? <em>{words.length > 0 ? words : this.#image}</em> : words;
    return url === null ? shown : link(this.#slice(url), shown, this.#onFile);
  }

  #start(list: Node): number {
    const mark = list.firstChild?.getChild("ListMark");
    return mark ? Number.parseInt(this.#slice(mark), 10) || 0 : 1;
  }

  #slice(node: Node): string {
    return this.#text.slice(node.from, node.to);
  }

  #words(from: number, to: number): string {
    return visible(this.#text.slice(from, to));
  }
}

function link(address: string, words: ReactNode, onFile: MarkdownProps["onFile"]): ReactNode {
  const target = address.replace(/^<|>$/g, "");
  if (/^(?:https?:\/\/|mailto:)/i.test(target))
    return (
      <a href={target} target="_blank" rel="noopener noreferrer" title={visible(target)}>
        {words}
      </a>
    );
  const path = target.replace(/^\.\//, "").replace(/[?#].*$/s, "");
  const open = /^[a-z][a-z0-9+.-]*:/i.test(path) ? null : onFile(path);
  if (open === null) return words;
  return (
    <button type="button" className={styles.file} onClick={open}>
      {words}
    </button>
  );
}
