import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";

const path = (relative: string) => fileURLToPath(new URL(relative, import.meta.url));

export default defineConfig({
  // Relative, so that the page works under any sub-path that ends in a slash.
  base: "./",
  resolve: {
    alias: [
      { find: /^lodash$/, replacement: "lodash-es" },
      // The inner components are fully controlled, which the public one is not; the version is pinned.
      { find: /^@fg\//, replacement: path("./node_modules/@grafana/flamegraph/dist/esm/") },
    ],
    dedupe: ["react", "react-dom", "@tanstack/react-virtual"],
  },
  build: { outDir: "dist", target: "es2022", license: { fileName: "licenses.md" } },
  server: { proxy: { "/api": "http://127.0.0.1:7070" } },
});
