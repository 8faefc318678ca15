#!/bin/sh
# Makes the maps of this folder, and what V8 saw of the code that they are of, anew. Needs Node.js 20
# or later, and esbuild and terser in PATH: npm install esbuild terser.
set -eu
cd "$(dirname "$0")"
echo '{"type":"module"}' >src/package.json
esbuild src/main.js --bundle --minify --sourcemap --log-level=warning --outfile=esbuild.cjs
esbuild src/main.js --bundle --sourcemap --sources-content=false --source-root=app/ --log-level=warning --outfile=plain.cjs
terser plain.cjs --compress inline=false,reduce_vars=false --mangle toplevel --source-map "content=plain.cjs.map,root=webpack" --output terser.cjs
for made in esbuild plain terser; do
  node observe.mjs "$made.cjs" >"$made.json"
done
node observe.mjs src/main.js >original.json
rm src/package.json
