// Time range: a preset that ends now, or two moments in UTC.
import { fromInput, PRESET_DEFAULT, PRESETS, toInput, type Range } from "./time";
import { setUrl } from "./url";

interface Props {
  url: URLSearchParams;
  range: Range;
}

export function RangePicker({ url, range }: Props) {
  const fixed = url.has("from") && url.has("until");
  const change = (part: Partial<Range>) => {
    const next = { ...range, ...part };
    if (next.until > next.from) setUrl({ ...next, range: null }, "push");
  };
  const moment = (label: string, seconds: number, set: (seconds: number) => void) => (
    <input
      type="datetime-local"
      step="1"
      aria-label={label}
      value={toInput(seconds)}
      onChange={(event) => event.target.value && set(fromInput(event.target.value))}
    />
  );
  return (
    <>
      <select
        aria-label="Time range"
        value={fixed ? "fixed" : (url.get("range") ?? PRESET_DEFAULT)}
        onChange={(event) => {
          if (event.target.value === "fixed") setUrl({ ...range, range: null }, "push");
          else setUrl({ range: event.target.value, from: null, until: null }, "push");
        }}
      >
        {Object.keys(PRESETS).map((preset) => (
          <option key={preset} value={preset}>
            last {preset}
          </option>
        ))}
        <option value="fixed">fixed (UTC)</option>
      </select>
      {fixed && moment("From (UTC)", range.from, (from) => change({ from }))}
      {fixed && moment("Until (UTC)", range.until, (until) => change({ until }))}
    </>
  );
}
