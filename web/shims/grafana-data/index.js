// The handful of @grafana/data names that @grafana/flamegraph 13.0.1 imports.
export const FieldType = {
  time: "time",
  number: "number",
  string: "string",
  boolean: "boolean",
  enum: "enum",
  other: "other",
};
export const MappingType = {
  ValueToText: "value",
  RangeToText: "range",
  RegexToText: "regex",
  SpecialValue: "special",
};
export const escapeStringForRegex = (s) => s.replace(/[\\^$*+?.()|[\]{}]/g, "\\$&");
const scaled = (steps) => (v, dec) => {
  if (v == null || !Number.isFinite(v))
    return { text: v === Infinity ? "∞" : v === -Infinity ? "-∞" : "NaN", suffix: "" };
  const a = Math.abs(v);
  let [f, s] = steps[0];
  for (const [g, t] of steps)
    if (a >= g) {
      f = g;
      s = t;
    }
  const x = v / f,
    d = dec ?? (x === 0 ? 0 : Math.abs(x) >= 100 ? 0 : Math.abs(x) >= 10 ? 1 : 2);
  return { text: String(+x.toFixed(d)), suffix: s };
};
const FORMATS = {
  ns: scaled([
    [1, " ns"],
    [1e3, " µs"],
    [1e6, " ms"],
    [1e9, " s"],
    [6e10, " min"],
    [3.6e12, " h"],
    [8.64e13, " d"],
  ]),
  bytes: scaled([
    [1, " B"],
    [1024, " KiB"],
    [1024 ** 2, " MiB"],
    [1024 ** 3, " GiB"],
    [1024 ** 4, " TiB"],
  ]),
  short: scaled([
    [1, ""],
    [1e3, " K"],
    [1e6, " M"],
    [1e9, " G"],
    [1e12, " T"],
  ]),
  percent: (v) => ({
    text: Number.isFinite(v) ? String(+v.toFixed(2)) : v > 0 ? "∞" : "—",
    suffix: Number.isFinite(v) ? "%" : "",
  }),
};
export const getValueFormat = (id) => FORMATS[id] ?? FORMATS.short;
export function getDisplayProcessor({ field }) {
  const e = field.config?.type?.enum;
  if (e || field.type === FieldType.enum) return (v) => ({ text: e?.text?.[v] ?? String(v), numeric: v });
  if (field.type === FieldType.string) return (v) => ({ text: String(v), numeric: NaN });
  const f = getValueFormat(field.config?.unit),
    maps = field.config?.mappings ?? [];
  return (v) => {
    const r = { ...f(v), numeric: v };
    for (const m of maps) {
      if (m.type === MappingType.ValueToText && m.options[v])
        return { ...r, ...m.options[v], suffix: m.options[v].text ? "" : r.suffix };
      if (m.type === MappingType.RangeToText && v >= m.options.from && v <= m.options.to) {
        r.color = m.options.result.color;
        break;
      }
    }
    return r;
  };
}
export const applyFieldOverrides = ({ data, theme }) =>
  data.map((fr) => ({
    ...fr,
    fields: fr.fields.map((f) => ({ ...f, display: getDisplayProcessor({ field: f, theme }) })),
  }));
export const createDataFrame = (d) => ({ ...d, length: d.fields[0]?.values.length ?? 0 });
export function createTheme({ colors: { mode = "dark" } = {} } = {}) {
  const isDark = mode === "dark",
    sp = (...a) => a.map((x) => `${x * 8}px`).join(" ");
  return {
    isDark,
    isLight: !isDark,
    spacing: (...a) => (a.length ? sp(...a) : "8px"),
    shape: {
      borderRadius: (n = 1) => `${n * 2}px`,
      radius: { default: "4px", circle: "100%", pill: "9999px" },
    },
    zIndex: { navbarFixed: 1000 },
    typography: {
      fontSize: 14,
      fontWeightMedium: 500,
      fontFamily: "Inter, system-ui, Helvetica, Arial, sans-serif",
      body: { fontSize: "14px" },
      bodySmall: { fontSize: "12px", lineHeight: 1.5 },
      fontFamilyMonospace: "monospace",
    },
    colors: isDark
      ? {
          background: { canvas: "#111217", primary: "#181b1f", secondary: "#22252b" },
          border: { weak: "#2d3036", medium: "#3c3f45" },
          text: { primary: "#d5d7dc", secondary: "#9da0a8", disabled: "#6b6e76", link: "#6e9fff" },
          primary: { main: "#3d71d9" },
          info: { main: "#3d71d9" },
          error: { text: "#ff5286" },
          success: { text: "#6ccf8e" },
          warning: { main: "#ff9900", transparent: "rgba(255,153,0,.15)" },
          emphasize: (c) => c,
        }
      : {
          background: { canvas: "#f4f5f5", primary: "#fff", secondary: "#f4f5f5" },
          border: { weak: "#e4e5e6", medium: "#c7c9cc" },
          text: { primary: "#24292e", secondary: "#5b5f66", disabled: "#a0a3a8", link: "#1f62e0" },
          primary: { main: "#3871dc" },
          info: { main: "#3871dc" },
          error: { text: "#cf0e5b" },
          success: { text: "#0a764e" },
          warning: { main: "#ff9900", transparent: "rgba(255,153,0,.15)" },
          emphasize: (c) => c,
        },
  };
}
