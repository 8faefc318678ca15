// Time ranges: presets that end now, or two fixed moments. Unix seconds throughout.

export const PRESETS: Record<string, number> = {
  "5m": 300,
  "15m": 900,
  "1h": 3600,
  "3h": 10800,
  "12h": 43200,
  "24h": 86400,
  "7d": 604800,
};

export const PRESET_DEFAULT = "15m";

export interface Range {
  from: number;
  until: number;
}

/** The fixed range of the URL if it has one, else the preset counted back from `now`. */
export function rangeOf(url: URLSearchParams, now: number): Range {
  const from = Number(url.get("from"));
  const until = Number(url.get("until"));
  if (from > 0 && until > from) return { from, until };
  const preset = PRESETS[url.get("range") ?? PRESET_DEFAULT] ?? PRESETS[PRESET_DEFAULT];
  return { from: now - preset, until: now };
}

/** What `<input type="datetime-local">` reads and writes, in UTC. */
export const toInput = (seconds: number) => new Date(seconds * 1000).toISOString().slice(0, 19);
export const fromInput = (text: string) => Math.round(Date.parse(`${text}Z`) / 1000);
