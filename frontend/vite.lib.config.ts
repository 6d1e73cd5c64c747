import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

// The pieces to embed. React comes from the host; xterm.js and the rest come along. Class names are scoped.
export default defineConfig({
  plugins: [react()],
  publicDir: false,
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2022",
    minify: false,
    lib: { entry: "src/lib/index.ts", formats: ["es"], fileName: "preview-react", cssFileName: "preview-react" },
    rolldownOptions: { external: ["react", "react-dom", "react/jsx-runtime"] },
  },
});
