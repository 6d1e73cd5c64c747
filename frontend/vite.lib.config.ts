import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

/**
 * The library's three style sheets, all in ASCII: a host's page may have another charset.
 *
 * `preview-react.css` stands beside a page's own rules; `preview-react.layer.css` has the same in `@layer preview`, for
 * pages whose own rules are in layers; `preview-react.strict.css` outweighs the page's rules, up to two ids each.
 */
function styleSheets(): Plugin {
  const reset = readFileSync(new URL("src/lib/ui/reset.css", import.meta.url), "utf8");
  const inAscii = (css: string): string =>
    css.replace(/[^\0-\x7f]/gu, (one) => `\\${(one.codePointAt(0) ?? 0).toString(16)} `);
  return {
    name: "style-sheets",
    writeBundle({ dir = "dist" }) {
      const path = join(dir, "preview-react.css");
      const css = inAscii(`${reset}\n${readFileSync(path, "utf8")}`);
      writeFileSync(path, css);
      writeFileSync(join(dir, "preview-react.layer.css"), `@layer preview {\n${css}\n}\n`);
      writeFileSync(
        join(dir, "preview-react.strict.css"),
        strengthened(`.preview-root:where(:not(dialog)) { all: revert; }\n${css}`),
      );
    },
  };
}

/** The same rules, each selector with the weight of three ids more; the roots are the library's too. */
function strengthened(css: string): string {
  const withId = (selector: string): string =>
    /^\s*(@|&|(from|to|[\d.]+%)\s*$)/.test(selector)
      ? selector
      : /^\s*:where\(/.test(selector)
        ? selector.replace(/(\s*)$/, ":not(#_#_#_)$1")
        : selector.replace(/(\.[A-Za-z_][\w-]*)/, "$1:not(#_#_#_)");
  return css.replace(/\/\*[\s\S]*?\*\//g, "").replace(/[^{};]+(?=\{)/g, (head) =>
    head.trim().startsWith("@")
      ? head
      : head
          .split(/,(?![^(]*\))/)
          .map(withId)
          .join(","),
  );
}

// The pieces to embed. React comes from the host; the rest comes along. Class names are scoped. Each module
// is a file, so that a host's bundler takes what is used.
export default defineConfig({
  plugins: [react(), styleSheets()],
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    // These know light-dark(): what it is rewritten to for older ones knows the system's scheme, and no other choice.
    cssTarget: ["chrome123", "edge123", "firefox120", "safari17.5"],
    minify: false,
    lib: { entry: "src/lib/index.ts", formats: ["es"], fileName: "preview-react", cssFileName: "preview-react" },
    rolldownOptions: {
      external: ["react", "react-dom", "react/jsx-runtime"],
      output: {
        preserveModules: true,
        preserveModulesRoot: "src",
        entryFileNames: (chunk) => (chunk.isEntry ? "preview-react.js" : "modules/[name].js"),
        // Frameworks with server components take the whole library as client code.
        banner: (chunk) => (chunk.isEntry ? '"use client";' : ""),
      },
    },
  },
});
