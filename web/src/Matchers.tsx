// The label selector: a text box that completes names and values.
import { useEffect, useRef, useState } from "react";
import { api, useLoaded, type Params } from "./api";
import { accept, contextAt } from "./complete";

const CHOICES_MAX = 12;

interface Props {
  value: string;
  scope: Params;
  onSubmit: (value: string) => void;
}

export function Matchers({ value, scope, onSubmit }: Props) {
  const [text, setText] = useState(value);
  const [cursor, setCursor] = useState(0);
  const [open, setOpen] = useState(false);
  const [active, setActive] = useState(-1);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(value), [value]);

  const context = contextAt(text, cursor);
  const label = context.kind === "value" ? context.name : undefined;
  const source = open ? (label ?? "names") : "";
  const names = useLoaded(
    (signal) => {
      if (!source) return Promise.resolve([]);
      return label ? api.values(label, scope, signal) : api.labels(scope, signal);
    },
    `${context.kind}/${source}/${JSON.stringify(scope)}`,
  );
  const typed = context.kind === "none" ? "" : context.typed.toLowerCase();
  const fits = (choice: string) => choice.toLowerCase().includes(typed);
  const choices =
    open && context.kind !== "none" ? (names.data ?? []).filter(fits).slice(0, CHOICES_MAX) : [];

  const take = (choice: string) => {
    const [next, at] = accept(text, cursor, context, choice);
    setText(next);
    setCursor(at);
    setActive(-1);
    input.current?.focus();
    requestAnimationFrame(() => input.current?.setSelectionRange(at, at));
  };
  const submit = () => {
    setOpen(false);
    onSubmit(text.trim());
  };
  const onKeyDown = (event: React.KeyboardEvent) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step && choices.length > 0) {
      setActive((old) => (old + step + choices.length) % choices.length);
    } else if (event.key === "Tab" && choices.length > 0 && !event.shiftKey && typed) {
      take(choices[Math.max(active, 0)]);
    } else if (event.key === "Enter" && active >= 0 && choices[active]) {
      take(choices[active]);
    } else if (event.key === "Escape") {
      setOpen(false);
      return;
    } else {
      return;
    }
    event.preventDefault();
  };

  return (
    <form
      className="matchers"
      onSubmit={(event) => {
        event.preventDefault();
        submit();
      }}
    >
      <input
        ref={input}
        value={text}
        role="combobox"
        aria-label="Label matchers"
        aria-expanded={choices.length > 0}
        aria-controls="matcher-choices"
        aria-autocomplete="list"
        autoComplete="off"
        spellCheck={false}
        placeholder='{service_name="cairn", pod=~"web-.*"}'
        onChange={(event) => {
          setText(event.target.value);
          setCursor(event.target.selectionStart ?? event.target.value.length);
          setOpen(true);
          setActive(-1);
        }}
        onSelect={(event) => setCursor(event.currentTarget.selectionStart ?? 0)}
        onFocus={() => setOpen(true)}
        onBlur={() => setOpen(false)}
        onKeyDown={onKeyDown}
      />
      {choices.length > 0 && (
        <ul id="matcher-choices" role="listbox" aria-label="Completions">
          {choices.map((choice, at) => (
            <li
              key={choice}
              role="option"
              aria-selected={at === active}
              onMouseDown={(event) => {
                event.preventDefault();
                take(choice);
              }}
            >
              {choice}
            </li>
          ))}
        </ul>
      )}
    </form>
  );
}
