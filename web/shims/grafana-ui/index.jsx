// The handful of @grafana/ui names that @grafana/flamegraph 13.0.1 imports, in plain HTML + CSS.
import {
  cloneElement,
  createContext,
  forwardRef,
  useContext,
  useEffect,
  useLayoutEffect,
  useId,
  useMemo,
  useRef,
  useState,
} from "react";
import { createPortal } from "react-dom";
import { createTheme } from "@grafana/data";
import { useVirtualizer } from "@tanstack/react-virtual";
import "./ui.css";
export const ThemeContext = createContext(createTheme({}));
export const useTheme2 = () => useContext(ThemeContext);
const cache = new WeakMap();
export function useStyles2(fn, ...args) {
  const t = useTheme2();
  let m = cache.get(t);
  if (!m) cache.set(t, (m = new Map()));
  if (args.length) return fn(t, ...args);
  if (!m.has(fn)) m.set(fn, fn(t));
  return m.get(fn);
}
const P = {
  search:
    "M7 2a5 5 0 1 0 3.1 8.9l3.5 3.5 1-1-3.5-3.5A5 5 0 0 0 7 2Zm0 1.4a3.6 3.6 0 1 1 0 7.2 3.6 3.6 0 0 1 0-7.2Z",
  times: "m4 3-1 1 4 4-4 4 1 1 4-4 4 4 1-1-4-4 4-4-1-1-4 4Z",
  "angle-right": "m6 3-1 1 4 4-4 4 1 1 5-5Z",
  "angle-down": "m3 6 1-1 4 4 4-4 1 1-5 5Z",
  "angle-double-down": "m3 4 1-1 4 4 4-4 1 1-5 5Zm0 5 1-1 4 4 4-4 1 1-5 5Z",
  "angle-double-up": "m3 7 1 1 4-4 4 4 1-1-5-5Zm0 5 1 1 4-4 4 4 1-1-5-5Z",
  "gf-show-context": "m4 5 1 1 3-3 3 3 1-1-4-4Zm0 6 1-1 3 3 3-3 1 1-4 4ZM2 7.3h12v1.4H2Z",
  "align-left": "M2 3h12v1.4H2Zm0 4h8v1.4H2Zm0 4h12v1.4H2Z",
  "align-right": "M2 3h12v1.4H2Zm4 4h8v1.4H6Zm-4 4h12v1.4H2Z",
  eye: "M8 3C4 3 1.5 6.500 1 8c.5 1.500 3 5 7 5s6.500-3.500 7-5c-.5-1.500-3-5-7-5Zm0 2a3 3 0 1 1 0 6 3 3 0 0 1 0-6Z",
  copy: "M5 1h8v10h-2V3H5Zm-2 3h7v11H3Z",
  "history-alt": "M8 2a6 6 0 1 1-6 6h1.400A4.600 4.600 0 1 0 5 4.500L6.500 6H2V1.500l2 2A6 6 0 0 1 8 2Z",
  "arrow-down": "M7.300 2h1.400v9l3-3 1 1L8 13.700 3.300 9l1-1 3 3Z",
  "arrow-up": "M7.300 14h1.400V5l3 3 1-1L8 2.300 3.300 7l1 1 3-3Z",
  "exchange-alt": "M2 5h9L9 3l1-1 4 4-4 4-1-1 2-2H2Z",
  "exclamation-circle": "M8 1a7 7 0 1 1 0 14A7 7 0 0 1 8 1Zm-.7 3v5h1.400V4Zm0 6.500V12h1.400v-1.500Z",
  "ellipsis-v": "M7 2h2v2H7Zm0 5h2v2H7Zm0 5h2v2H7Z",
};
export const Icon = ({ name, size, className, title, ...r }) => (
  <svg
    className={`gx-icon ${className ?? ""}`}
    viewBox="0 0 16 16"
    width="14"
    height="14"
    aria-hidden="true"
    fill="currentColor"
  >
    <path d={P[name] ?? "M3 3h10v10H3Z"} />
  </svg>
);
export const Button = forwardRef(({ icon, variant, fill, size, tooltip, className, children, ...r }, ref) => (
  <button
    ref={ref}
    type="button"
    className={`gx-btn gx-${fill ?? "solid"} ${className ?? ""}`}
    title={typeof tooltip === "string" ? tooltip : undefined}
    {...r}
  >
    {icon && <Icon name={icon} />}
    {children}
  </button>
));
export const IconButton = forwardRef(
  ({ name, variant, size, tooltip, tooltipPlacement, iconType, className, ...r }, ref) => (
    <button
      ref={ref}
      type="button"
      className={`gx-iconbtn gx-v-${variant ?? "secondary"} ${className ?? ""}`}
      title={tooltip}
      {...r}
    >
      <Icon name={name} />
    </button>
  ),
);
export const ButtonGroup = ({ children, className }) => (
  <div role="group" className={`gx-group ${className ?? ""}`}>
    {children}
  </div>
);
export const Input = forwardRef(({ prefix, suffix, className, ...r }, ref) => (
  <span className={`gx-input ${className ?? ""}`}>
    {prefix}
    <input ref={ref} type="text" aria-label={r.placeholder} spellCheck={false} {...r} />
    {suffix}
  </span>
));
export function RadioButtonGroup({ options, value, onChange, disabled, className, ...r }) {
  const id = useId();
  return (
    <div role="radiogroup" className={`gx-radio ${className ?? ""}`}>
      {options.map((o) => (
        <label key={o.value} title={o.description} className={value === o.value ? "on" : ""}>
          <input
            type="radio"
            name={id}
            aria-label={o.label ?? o.description}
            checked={value === o.value}
            disabled={disabled}
            onChange={() => onChange(o.value)}
          />
          {o.icon && <Icon name={o.icon} />}
          {o.label}
        </label>
      ))}
    </div>
  );
}
export const Portal = ({ children }) => createPortal(children, document.body);
export const Tooltip = ({ content, children }) =>
  cloneElement(children, { title: typeof content === "string" ? content : undefined });
export function VizTooltipContainer({ position, offset, className, children }) {
  const ref = useRef(null),
    t = useTheme2();
  const [p, setP] = useState({ x: position.x + offset.x, y: position.y + offset.y });
  useLayoutEffect(() => {
    const b = ref.current.getBoundingClientRect();
    let x = position.x + offset.x,
      y = position.y + offset.y;
    if (x + b.width > innerWidth) x = Math.max(0, position.x - offset.x - b.width);
    if (y + b.height > innerHeight) y = Math.max(0, innerHeight - b.height - 4);
    setP({ x, y });
  }, [position.x, position.y]);
  return (
    <div
      ref={ref}
      role="tooltip"
      className={`gx-tip ${className ?? ""}`}
      style={{ left: p.x, top: p.y, background: t.colors.background.primary, color: t.colors.text.primary }}
    >
      {children}
    </div>
  );
}
export const InteractiveTable = ({ columns, data, className }) => (
  <table className={`gx-itable ${className ?? ""}`}>
    <thead>
      <tr>
        {columns.map((c) => (
          <th key={c.id}>{c.header}</th>
        ))}
      </tr>
    </thead>
    <tbody>
      {data.map((r, i) => (
        <tr key={i}>
          {columns.map((c) => (
            <td key={c.id}>{r[c.id]}</td>
          ))}
        </tr>
      ))}
    </tbody>
  </table>
);
const menuKeys = (e, close) => {
  const it = [...e.currentTarget.querySelectorAll("[role=menuitem]")],
    i = it.indexOf(document.activeElement);
  if (e.key === "ArrowDown") it[(i + 1) % it.length]?.focus();
  else if (e.key === "ArrowUp") it[(i - 1 + it.length) % it.length]?.focus();
  else if (e.key === "Escape") close?.();
  else return;
  e.preventDefault();
};
export const MenuItem = ({ label, icon, onClick, active, disabled }) => (
  <button
    type="button"
    role="menuitem"
    className={`gx-mi ${active ? "on" : ""}`}
    disabled={disabled}
    onClick={onClick}
  >
    {icon && <Icon name={icon} />}
    {label}
  </button>
);
export const MenuGroup = ({ label, children }) => (
  <div role="group" aria-label={label}>
    <div className="gx-mg">{label}</div>
    {children}
  </div>
);
export const Menu = Object.assign(
  ({ children, close }) => (
    <div role="menu" className="gx-menu" onKeyDown={(e) => menuKeys(e, close)}>
      {children}
    </div>
  ),
  { Item: MenuItem, Group: MenuGroup, Divider: () => <hr /> },
);
export function ContextMenu({ renderMenuItems, x, y, onClose }) {
  const ref = useRef(null),
    t = useTheme2();
  const [p, setP] = useState({ x, y });
  useLayoutEffect(() => {
    const b = ref.current.getBoundingClientRect();
    setP({ x: Math.min(x, innerWidth - b.width - 4), y: Math.min(y, innerHeight - b.height - 4) });
    ref.current.querySelector("[role=menuitem]")?.focus();
  }, [x, y]);
  useEffect(() => {
    const k = (e) => e.key === "Escape" && document.body.click();
    addEventListener("keydown", k);
    return () => removeEventListener("keydown", k);
  }, []);
  return createPortal(
    <div
      ref={ref}
      className="gx-pop"
      style={{ left: p.x, top: p.y, background: t.colors.background.primary, color: t.colors.text.primary }}
    >
      <Menu close={() => document.body.click()}>{renderMenuItems()}</Menu>
    </div>,
    document.body,
  );
}
export function Dropdown({ overlay, children }) {
  const [open, setOpen] = useState(null),
    t = useTheme2();
  useEffect(() => {
    if (!open) return;
    const f = () => setOpen(null);
    addEventListener("click", f);
    return () => removeEventListener("click", f);
  }, [open]);
  return (
    <>
      {cloneElement(children, {
        "aria-haspopup": "menu",
        "aria-expanded": !!open,
        onClick: (e) => {
          const b = e.currentTarget.getBoundingClientRect();
          e.stopPropagation();
          setOpen(open ? null : { x: b.left, y: b.bottom + 2 });
        },
      })}
      {open &&
        createPortal(
          <div
            className="gx-pop"
            style={{
              left: open.x,
              top: open.y,
              background: t.colors.background.primary,
              color: t.colors.text.primary,
            }}
          >
            {overlay}
          </div>,
          document.body,
        )}
    </>
  );
}
export const TableCellDisplayMode = { Auto: "auto", ColorText: "color-text", Custom: "custom" };
export function Table({ data, width, height, initialSortBy = [], onSortByChange }) {
  const t = useTheme2(),
    ref = useRef(null);
  const [sort, setSort] = useState(initialSortBy[0]);
  const order = useMemo(() => {
    const n = Array.from({ length: data.length }, (_, i) => i);
    const f = sort && data.fields.find((x) => x.name === sort.displayName);
    if (f) {
      const v = f.values,
        s = sort.desc ? -1 : 1;
      n.sort(
        f.type === "string"
          ? (a, b) => s * (v[a] < v[b] ? -1 : v[a] > v[b] ? 1 : 0)
          : (a, b) => {
              const x = Number.isNaN(v[a]) ? -Infinity : v[a],
                y = Number.isNaN(v[b]) ? -Infinity : v[b];
              return s * (x < y ? -1 : x > y ? 1 : 0);
            },
      );
    }
    return n;
  }, [data.length, data.fields[1]?.values.join, sort, data]);
  const virt = useVirtualizer({
    count: order.length,
    getScrollElement: () => ref.current,
    estimateSize: () => 26,
    overscan: 8,
  });
  const cols = data.fields.map((f) => `${f.config.custom?.width ?? 120}px`).join(" ");
  const click = (f) => {
    const s = { displayName: f.name, desc: sort?.displayName === f.name ? !sort.desc : f.type !== "string" };
    setSort(s);
    onSortByChange?.([s]);
  };
  return (
    <div
      role="table"
      aria-rowcount={order.length}
      className="gx-table"
      style={{ width, height, "--gx-line": t.colors.border.weak }}
    >
      <div role="row" className="gx-tr gx-th" style={{ gridTemplateColumns: cols }}>
        {data.fields.map((f) => (
          <div
            role="columnheader"
            key={f.name}
            aria-sort={sort?.displayName === f.name ? (sort.desc ? "descending" : "ascending") : "none"}
            className={f.type === "number" ? "num" : ""}
          >
            {!f.config.custom?.hideHeader && (
              <button type="button" onClick={() => click(f)}>
                {f.name}
                {sort?.displayName === f.name && <Icon name={sort.desc ? "arrow-down" : "arrow-up"} />}
              </button>
            )}
          </div>
        ))}
      </div>
      <div ref={ref} className="gx-tbody" style={{ height: height - 32 }} tabIndex={0}>
        <div style={{ height: virt.getTotalSize(), position: "relative" }}>
          {virt.getVirtualItems().map((vi) => {
            const i = order[vi.index];
            return (
              <div
                role="row"
                aria-rowindex={vi.index + 1}
                key={vi.key}
                className="gx-tr"
                style={{ gridTemplateColumns: cols, transform: `translateY(${vi.start}px)` }}
              >
                {data.fields.map((f) => {
                  const o = f.config.custom?.cellOptions;
                  if (o?.type === "custom") {
                    const C = o.cellComponent;
                    return (
                      <div role="cell" key={f.name}>
                        {C({ frame: data, rowIndex: i, field: f })}
                      </div>
                    );
                  }
                  const d = f.display ? f.display(f.values[i]) : { text: String(f.values[i]), suffix: "" };
                  const link = f.config.links?.[0];
                  return (
                    <div
                      role="cell"
                      key={f.name}
                      className={f.type === "number" ? "num" : "str"}
                      style={o?.type === "color-text" && d.color ? { color: d.color } : undefined}
                      title={f.type === "string" ? d.text : undefined}
                    >
                      {link ? (
                        <button
                          type="button"
                          className="gx-link"
                          style={{ color: t.colors.text.link }}
                          onClick={() => link.onClick({ origin: { field: f, rowIndex: i } })}
                        >
                          {d.text}
                        </button>
                      ) : (
                        d.text + (d.suffix ?? "")
                      )}
                    </div>
                  );
                })}
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}
