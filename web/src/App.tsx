// The page: what to look at on top, the value over time, and where it went.
import { useEffect, useMemo, useState } from "react";
import { api, useLoaded, type ProfileType } from "./api";
import { FlamePanel } from "./FlamePanel";
import { Matchers } from "./Matchers";
import { RangePicker } from "./RangePicker";
import { modeOf, useTheme } from "./theme";
import { rangeOf } from "./time";
import { TimeSeries } from "./TimeSeries";
import { setUrl, useUrl } from "./url";
import "./app.css";

/** While there is nothing to look at yet, the page asks again this often. */
const FIRST_PROFILE_POLL_MS = 2000;
/** Points over the width of the chart. */
const STEPS = 120;

const nowSeconds = () => Math.floor(Date.now() / 1000);

function preferred(types: ProfileType[]): string | undefined {
  const cpu = types.find((type) => type.id.startsWith("process_cpu:cpu:"));
  return (cpu ?? types[0])?.id;
}

function Alert({ error }: { error: Error }) {
  return <p role="alert">{error.message}</p>;
}

export function App() {
  const url = useUrl();
  const mode = modeOf(url);
  const theme = useTheme(mode);
  const [now, setNow] = useState(nowSeconds);
  const from = url.get("from");
  const until = url.get("until");
  const preset = url.get("range");
  const range = useMemo(() => rangeOf(url, now), [from, until, preset, now]);

  const types = useLoaded((signal) => api.types({ ...range }, signal), JSON.stringify(range));
  const type = url.get("type") ?? preferred(types.data ?? []);
  const unit = types.data?.find((known) => known.id === type)?.unit ?? "short";
  const waiting = types.data?.length === 0 && !from;
  useEffect(() => {
    if (!waiting) return;
    const timer = setInterval(() => setNow(nowSeconds()), FIRST_PROFILE_POLL_MS);
    return () => clearInterval(timer);
  }, [waiting]);

  const query = url.get("query") ?? "";
  const params = { type, query, ...range };
  const key = JSON.stringify(params);
  const step = Math.max(1, Math.round((range.until - range.from) / STEPS));
  const nothing = Promise.resolve(undefined);
  const series = useLoaded((signal) => (type ? api.series({ ...params, step }, signal) : nothing), key);
  const flame = useLoaded((signal) => (type ? api.flamegraph(params, signal) : nothing), key);
  const warnings = flame.data?.warnings ?? [];

  return (
    <>
      <header>
        <h1>cairn</h1>
        <select
          aria-label="Profile type"
          value={type ?? ""}
          onChange={(event) => setUrl({ type: event.target.value, sandwich: null, focus: null }, "push")}
        >
          {types.data?.map((known) => (
            <option key={known.id} value={known.id}>
              {known.name}
            </option>
          ))}
          {type && !types.data?.some((known) => known.id === type) && <option value={type}>{type}</option>}
        </select>
        <Matchers
          value={query}
          scope={{ type, ...range }}
          onSubmit={(text) => setUrl({ query: text }, "push")}
        />
        <RangePicker url={url} range={range} />
        <button type="button" onClick={() => setNow(nowSeconds())}>
          Refresh
        </button>
        <span className="space" />
        {type && (
          <a href={api.pprofUrl(params)} download>
            pprof
          </a>
        )}
        <button
          type="button"
          onClick={() => {
            setUrl({ ...range, range: null });
            navigator.clipboard?.writeText(location.href);
          }}
        >
          Copy link
        </button>
        <button
          type="button"
          aria-label="Toggle theme"
          onClick={() => setUrl({ theme: mode === "dark" ? "light" : "dark" })}
        >
          ◐
        </button>
      </header>
      <main>
        {types.error && <Alert error={types.error} />}
        {waiting && (
          <p role="status">
            Nothing here yet. Cairn profiles itself, so the first profile comes within ten seconds.
          </p>
        )}
        <section aria-busy={series.loading}>
          {series.error && <Alert error={series.error} />}
          {series.data && (
            <TimeSeries
              data={series.data}
              unit={unit}
              range={range}
              theme={theme}
              onRange={(picked) => setUrl({ ...picked, range: null }, "push")}
            />
          )}
        </section>
        <section aria-busy={flame.loading}>
          {warnings.map((warning) => (
            <p key={warning} role="alert">
              Partial answer: {warning}
            </p>
          ))}
          {flame.error && <Alert error={flame.error} />}
          {flame.data && flame.data.total !== 0 && (
            <FlamePanel flame={flame.data} unit={unit} theme={theme} url={url} />
          )}
          {flame.data && flame.data.total === 0 && <p role="status">No samples for this query.</p>}
          {flame.data && flame.data.truncated > 0 && (
            <p className="faint">
              {((100 * flame.data.truncated) / flame.data.total).toFixed(2)}% of the total is in frames too
              small to draw.
            </p>
          )}
        </section>
      </main>
    </>
  );
}
