// The page's whole state lives in the query string, so every view is a link.
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
const notify = () => listeners.forEach((listener) => listener());
addEventListener("popstate", notify);

export type Patch = Record<string, string | number | null | undefined>;

/** Changes parameters; null or "" removes one. `push` makes the change a step that Back undoes. */
export function setUrl(patch: Patch, history_: "push" | "replace" = "replace") {
  const url = new URL(location.href);
  for (const [key, value] of Object.entries(patch)) {
    if (value == null || value === "") url.searchParams.delete(key);
    else url.searchParams.set(key, String(value));
  }
  if (history_ === "push") history.pushState(null, "", url);
  else history.replaceState(null, "", url);
  notify();
}

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

export function useUrl(): URLSearchParams {
  return new URLSearchParams(useSyncExternalStore(subscribe, () => location.search));
}
