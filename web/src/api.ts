// The querier's JSON for this page. Errors become exceptions that carry the server's message.
import { useEffect, useState } from "react";

export interface ProfileType {
  id: string;
  name: string;
  unit: string;
  delta: boolean;
}

export interface Series {
  ts: number[];
  labels: string[];
  series: (number | null)[][];
}

export interface Flame {
  names: string[];
  level: number[];
  value: number[];
  self: number[];
  label: number[];
  total: number;
  truncated: number;
  warnings?: string[];
}

export type Params = Record<string, string | number | undefined>;

const search = (params: Params) => {
  const pairs = Object.entries(params).filter(([, value]) => value != null && value !== "");
  return new URLSearchParams(pairs.map(([key, value]) => [key, String(value)]));
};

async function get<T>(path: string, params: Params, signal?: AbortSignal): Promise<T> {
  const answer = await fetch(`api/v1/${path}?${search(params)}`, {
    signal,
    headers: { accept: "application/json" },
  });
  if (!answer.ok) {
    const body = await answer.json().catch(() => null);
    throw new Error(body?.message ?? `${answer.status} ${answer.statusText}`);
  }
  return answer.json();
}

export const api = {
  types: (params: Params, signal?: AbortSignal) => get<ProfileType[]>("profile-types", params, signal),
  labels: (params: Params, signal?: AbortSignal) => get<string[]>("labels", params, signal),
  values: (name: string, params: Params, signal?: AbortSignal) =>
    get<string[]>(`labels/${encodeURIComponent(name)}/values`, params, signal),
  series: (params: Params, signal?: AbortSignal) => get<Series>("series", params, signal),
  flamegraph: (params: Params, signal?: AbortSignal) => get<Flame>("flamegraph", params, signal),
  pprofUrl: (params: Params) => `api/v1/profile.pb.gz?${search(params)}`,
};

export interface Loaded<T> {
  data?: T;
  error?: Error;
  loading: boolean;
}

/** Runs `load` whenever `key` changes; the last answer stays until the next one is there. */
export function useLoaded<T>(load: (signal: AbortSignal) => Promise<T>, key: string): Loaded<T> {
  const [state, setState] = useState<Loaded<T>>({ loading: true });
  useEffect(() => {
    const abort = new AbortController();
    setState((old) => ({ data: old.data, loading: true }));
    load(abort.signal).then(
      (data) => setState({ data, loading: false }),
      (error) => error.name !== "AbortError" && setState({ error, loading: false }),
    );
    return () => abort.abort();
  }, [key]);
  return state;
}
