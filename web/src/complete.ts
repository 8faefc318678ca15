// What could come next at the cursor of a label selector: a label's name, or a value of one.

export type Context =
  | { kind: "name"; from: number; typed: string }
  | { kind: "value"; name: string; from: number; typed: string }
  | { kind: "none" };

/** Reads `{a="x", b=~"y` up to the cursor. */
export function contextAt(text: string, cursor: number): Context {
  const before = text.slice(0, cursor);
  const value = /([A-Za-z_][\w.]*)\s*(?:=~|!~|!=|=)\s*"([^"]*)$/.exec(before);
  if (value) return { kind: "value", name: value[1], from: cursor - value[2].length, typed: value[2] };
  const name = /(?:^|[{,])\s*([\w.]*)$/.exec(before);
  if (name) return { kind: "name", from: cursor - name[1].length, typed: name[1] };
  return { kind: "none" };
}

/** The text and cursor after taking `choice`. */
export function accept(text: string, cursor: number, context: Context, choice: string): [string, number] {
  if (context.kind === "none") return [text, cursor];
  const after = text.slice(cursor);
  const quoted = choice.replace(/["\\]/g, "\\$&");
  const inserted = context.kind === "name" ? `${choice}="` : `${quoted}"`;
  const opened = context.kind === "name" && !text.slice(0, context.from).includes("{") ? "{" : "";
  const rest = context.kind === "value" ? after.replace(/^[^"]*"?/, "") : after;
  const close = context.kind === "value" && rest === "" ? "}" : "";
  const head = text.slice(0, context.from) + opened + inserted;
  return [head + rest + close, head.length];
}
